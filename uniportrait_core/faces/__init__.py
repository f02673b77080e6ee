"""Faces in photos: finding them by two detectors, and aligning them."""
