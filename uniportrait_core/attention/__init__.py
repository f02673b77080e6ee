"""ID attention in a cross-attention layer, and the weights that it needs (paper section 3.3)."""
