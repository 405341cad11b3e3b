"""The commands of `efficientnet.commands`, from a checkout."""
