"""The network: its variants, layers and freeze groups."""
