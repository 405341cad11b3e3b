"""Pretrained weights: checkpoints of other projects, read exactly into our variables."""

from efficientnet.weights.conventions import Preprocessing
from efficientnet.weights.load import load_pretrained
from efficientnet.weights.pretrained import Pretrained, adapt, check_classifier, save

__all__ = ["Preprocessing", "Pretrained", "adapt", "check_classifier", "load_pretrained", "save"]
