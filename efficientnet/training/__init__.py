"""What happens between a config and a trained model."""

from efficientnet.training.run import run

__all__ = ["run"]
