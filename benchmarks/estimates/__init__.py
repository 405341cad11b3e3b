"""What the TPU compiler says about a recipe's programs, without a TPU."""
