"""One picture at every noise level: what stands in for it while others are sampled beside it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trajectory:
    """Noisy latents of a picture by noise level, straight in between and beyond.

    A probability-flow ODE in these units, `dx/dσ = ε`, is nearly straight, so what lies between two levels is found by
    the step that DDIM itself would take.

    Attributes:
        sigmas: noise levels, falling, the last 0; (levels,), at least two.
        latents: `x = z + σ·ε` at these levels, (levels, channels, height, width); the last is the picture's own.
    """

    sigmas: Tensor
    latents: Tensor

    @property
    def clean(self) -> Tensor:
        """The picture's own latent, (1, channels, height, width)."""
        return self.latents[-1:]

    def to(self, device: torch.device) -> "Trajectory":
        """The same on a device."""
        return Trajectory(self.sigmas.to(device), self.latents.to(device))

    def at(self, sigma: Tensor) -> Tensor:
        """The latent at a noise level, (1, channels, height, width); never waits for the device.

        Args:
            sigma: (1,), on the device of the trajectory.
        """
        rising = self.sigmas.flip(0)
        above = torch.searchsorted(rising, sigma.to(rising)).clamp(1, len(rising) - 1)
        high = len(rising) - 1 - above  # in falling order
        low = high + 1
        share = ((sigma - self.sigmas[low]) / (self.sigmas[high] - self.sigmas[low]))[:, None, None, None]
        return (1 - share) * self.latents[low] + share * self.latents[high]


def invert(predict: Callable[[Tensor, Tensor], Tensor], latent: Tensor, sigmas: Tensor) -> Trajectory:
    """DDIM inversion: follow the probability-flow ODE from a picture to noise, one prediction per step.

    As published (`ddim_inversion` of `inversion.py`), the noise is predicted for the level of a step's end from the
    latent of its start: there
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


def noised(latent: Tensor, noise: Tensor) -> Trajectory:
    """A picture under one and the same noise at every level.

    Args:
        latent: of the picture, (1, channels, height, width).
        noise: standard normal, of the same shape.
    """
    return Trajectory(torch.tensor([1.0, 0.0]), torch.cat((latent + noise, latent)))
