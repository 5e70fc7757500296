"""Tables."""

tables = measured = None
