"""qhyper."""
