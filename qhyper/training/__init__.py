"""Training: settings, the loop, and exact minimisation."""
