"""Files on disk: weights, and saved people."""
