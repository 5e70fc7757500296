"""Figures of merit, tables, pictures and the page of a run."""
