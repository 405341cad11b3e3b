"""Exporting a network to formats that other programs read."""
