"""Training of UniPortrait, both stages (paper sections 3.2 to 4.1), for any UNet of the Stable Diffusion family.

Beside the pack, never imported by its nodes: it uses `uniportrait_core` for all that inference does too, and
accelerate, diffusers and transformers (`requirements.txt` here) for the rest.
"""
