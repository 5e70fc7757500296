"""Gradient estimators; none passes through the target."""
