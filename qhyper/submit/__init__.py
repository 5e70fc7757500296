"""Submissions of a run to quantum computers, their draws and jobs."""
