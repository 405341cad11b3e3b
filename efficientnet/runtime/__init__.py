"""Devices, processes, signals and compilation: what a run stands on."""
