"""The ID routing module: who gets which spot of the picture (paper section 3.3)."""
