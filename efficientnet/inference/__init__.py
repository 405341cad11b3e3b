"""What a trained network is for: predictions, their explanation, and its export."""
