"""Using a trained network: loading it, predicting, explaining predictions, exporting."""
