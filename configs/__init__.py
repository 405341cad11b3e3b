"""One recipe per file; `common.py` makes the configs that they start from."""
