"""The networks that are not trained: text encoders, VAE, and what sees faces."""
