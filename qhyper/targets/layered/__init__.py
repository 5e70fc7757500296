"""Small layered networks, of which every choice is a bit."""
