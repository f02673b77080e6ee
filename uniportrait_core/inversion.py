"""DDIM inversion: the noise that a picture comes from (`ddim_inversion` of the published `inversion.py`)."""

from collections.abc import Callable

import torch
from torch import Tensor

from .trajectory import Trajectory


def invert(predict: Callable[[Tensor, Tensor], Tensor], latent: Tensor, sigmas: Tensor) -> Trajectory:
    """Follow the probability-flow ODE from a picture to noise, one prediction per step.

    As published, the noise is predicted for the level of a step's end from the latent of its start: there
    `z ← √ᾱ'·(z − √(1−ᾱ)·ε)/√ᾱ + √(1−ᾱ')·ε`, and here, with `x = z/√ᾱ` and `σ² = (1−ᾱ)/ᾱ`, `x ← x + (σ' − σ)·ε`.

    Args:
        predict: noise ε in `z` for `z`, (1, channels, height, width), at a noise level, (1,).
        latent: of the picture, (1, channels, height, width); taken for one of the cleanest level.
        sigmas: noise levels, rising from the cleanest that the model knows, (steps + 1,).

    Returns:
        The latents at all levels but the first, in whose place is the picture at 0.
    """
    found = [latent]
    x = latent * (1 + sigmas[0] ** 2).sqrt()
    for start, end in zip(sigmas[:-1], sigmas[1:], strict=True):
        noise = predict(x / (1 + start**2).sqrt(), end[None])
        x = x + (end - start) * noise
        found.append(x)
    return Trajectory(torch.cat((sigmas[1:].flip(0), sigmas.new_zeros(1))), torch.cat(found[::-1]))
