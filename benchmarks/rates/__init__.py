"""The workloads of benchmarks/benchmark.py, and how they are timed."""
