"""Measurements and proofs: rates against other libraries, parity, kills, TPU estimates."""
