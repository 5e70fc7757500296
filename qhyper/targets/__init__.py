"""What the bits mean: targets, and the objectives that score draws on them."""
