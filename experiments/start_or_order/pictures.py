"""Pictures."""

draw = None
