"""EfficientNet in Flax Linen: networks, pretrained weights, fine-tuning in stages."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efficientnet.inference.loading import load as load
    from efficientnet.inference.network import Network as Network
    from efficientnet.network.model import EfficientNet as EfficientNet
    from efficientnet.network.variants import VARIANTS as VARIANTS

__version__ = "0.1.0"

_MODULES = {
    "EfficientNet": "efficientnet.network.model",
    "Network": "efficientnet.inference.network",
    "VARIANTS": "efficientnet.network.variants",
    "load": "efficientnet.inference.loading",
}


def __getattr__(name: str) -> Any:
    """Imports what is used only when it is used, because JAX takes seconds to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
