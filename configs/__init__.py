"""One recipe a file; `common.py` declares every field."""
