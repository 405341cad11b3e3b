"""What is computed in a way of its own on each platform."""
