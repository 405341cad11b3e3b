"""One reader for each format of checkpoint files, and `formats`, which picks the reader."""
