"""EfficientNet in Flax Linen: network, pretrained weights and training in stages."""
