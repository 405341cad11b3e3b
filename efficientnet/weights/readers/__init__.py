"""One reader for each format of checkpoint files."""
