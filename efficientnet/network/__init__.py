"""The network: its variants, its architecture as tables, the Flax module, and freeze groups."""
