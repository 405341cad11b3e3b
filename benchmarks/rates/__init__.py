"""What benchmarks/benchmark.py measures, and with what."""
