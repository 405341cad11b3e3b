"""What a run stands on: devices, processes, signals, compilation, memory."""
