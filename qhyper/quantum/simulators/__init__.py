"""Simulators of circuits."""
