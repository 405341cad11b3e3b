"""What the TPU compiler reports about the programs of a recipe, without a TPU."""
