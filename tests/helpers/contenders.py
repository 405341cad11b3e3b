"""Workloads that take no time to build, for the tests of the contest."""

import time

from benchmarks.rates.workload import Setting, Workload


def steady(setting: Setting, rate: float) -> Workload:
    """Claims to run at a rate."""
    print("noise that is no answer")
    return Workload(lambda seconds: (setting.batch, setting.batch / rate), ("numpy",), threads=1)


def broken(setting: Setting) -> Workload:
    raise ValueError(f"no {setting.variant} here")


def large(setting: Setting) -> Workload:
    """Has held 400 MB."""
    bytearray(b"x") * 400_000_000
    return Workload(lambda seconds: (1, time.perf_counter()), (), threads=1)
