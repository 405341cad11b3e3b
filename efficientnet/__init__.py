"""EfficientNet in Flax Linen: networks, pretrained weights, fine-tuning in stages."""

import importlib.util
import os

from etils import epy

# Before any package imports TensorFlow, which would print pages about itself.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Notebooks hand their backend for plots down to commands in environments that don't have it, where
# matplotlib then can't even be imported.
_module, _, _backend = os.environ.get("MPLBACKEND", "").partition("://")
if _module == "module" and importlib.util.find_spec(_backend.split(".")[0]) is None:
    os.environ["MPLBACKEND"] = "agg"

# JAX takes seconds to import: each name is imported when it is used.
with epy.lazy_api_imports(globals()):
    from efficientnet.config import DataConfig, RunConfig, StageConfig
    from efficientnet.errors import UserError
    from efficientnet.finetuning.api import finetune, open_run, train
    from efficientnet.finetuning.finished_run import FinishedRun, Page, Prediction
    from efficientnet.inference.evaluate import Evaluation
    from efficientnet.inference.loading import load
    from efficientnet.inference.network import Network
    from efficientnet.network.model import EfficientNet
    from efficientnet.network.variants import VARIANTS

__all__ = [
    "VARIANTS",
    "DataConfig",
    "EfficientNet",
    "Evaluation",
    "FinishedRun",
    "Network",
    "Page",
    "Prediction",
    "RunConfig",
    "StageConfig",
    "UserError",
    "finetune",
    "load",
    "open_run",
    "train",
]
__version__ = "0.1.0"
