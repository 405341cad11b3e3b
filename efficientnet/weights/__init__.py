"""Pretrained weights: checkpoints of other projects, read exactly into our variables."""

from efficientnet.weights.conventions import Preprocessing
from efficientnet.weights.load import load_pretrained
from efficientnet.weights.pretrained import Pretrained, adapt, save

__all__ = ["Preprocessing", "Pretrained", "adapt", "load_pretrained", "save"]
