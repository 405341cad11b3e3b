"""Finding problems in a data set."""
