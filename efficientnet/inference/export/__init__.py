"""A network as an artifact that runs without this project."""
