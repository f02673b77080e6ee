"""One picture at every noise level: what stands in for it while others are sampled beside it."""

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


def noised(latent: Tensor, noise: Tensor) -> Trajectory:
    """A picture under one and the same noise at every level.

    Args:
        latent: of the picture, (1, channels, height, width).
        noise: standard normal, of the same shape.
    """
    return Trajectory(torch.tensor([1.0, 0.0]), torch.cat((latent + noise, latent)))
