"""A drawn world in which all of UniPortrait can be trained from nothing, and the recipes that train it.

Beside the pack, never imported by its nodes. It uses `uniportrait_core` for what the pack does to photos.
"""
