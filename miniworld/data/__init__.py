"""Drawings for training: made by all processors, read onto the device."""
