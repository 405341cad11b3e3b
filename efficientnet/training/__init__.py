"""What happens between a config and a trained model."""
