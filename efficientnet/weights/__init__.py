"""Pretrained weights: foreign checkpoints become our variables, exactly."""

from efficientnet.weights.conventions import Preprocessing
from efficientnet.weights.load import load_pretrained
from efficientnet.weights.own_format import save
from efficientnet.weights.pretrained import Pretrained, adapt

__all__ = ["Preprocessing", "Pretrained", "adapt", "load_pretrained", "save"]
