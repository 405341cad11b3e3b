"""From photos to a fine-tuned network in one call, and the rules that decide its recipe."""
