"""What a run has learned: metrics, tables, pictures and pages, and runs side by side."""
