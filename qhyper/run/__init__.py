"""Runs: what is asked, carried out, compared and kept."""
