"""The results of runs: predictions, metrics, tables, plots and pages."""
