"""The target: a binary network, its objective, and the exact certificate of its landscape."""
