"""Data sets: labelled rows, by name, from files, and whole images."""
