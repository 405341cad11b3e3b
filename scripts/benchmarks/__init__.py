"""What scripts/benchmark.py measures, and with what."""
