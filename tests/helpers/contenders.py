"""Workloads that are instant to build, for testing the comparison of libraries."""

import time

from benchmarks.rates.workload import Setting, Workload


def steady(setting: Setting, rate: float) -> Workload:
    """A workload that reports a given rate."""
    print("noise that is no answer")
    return Workload(lambda seconds: (setting.batch, setting.batch / rate), ("numpy",), threads=1)


def broken(setting: Setting) -> Workload:
    raise ValueError(f"no {setting.variant} here")


def large(setting: Setting) -> Workload:
    """A workload whose building takes 400 MB of memory."""
    bytearray(b"x") * 400_000_000
    return Workload(lambda seconds: (1, time.perf_counter()), (), threads=1)
