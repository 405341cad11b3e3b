"""EfficientNet in Flax Linen: network, pretrained weights and training in stages."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Imports `load` when it is asked for, because JAX comes with it and takes its time."""
    if name == "load":
        from efficientnet.inference.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
