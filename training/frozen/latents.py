"""The VAE: pictures as latents, and back."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .folders import load_part


def load_vae(base: Path) -> AutoencoderKL:
    """The VAE of a base model in the layout of diffusers. Raises UniPortraitError where it is missing."""
    return load_part(AutoencoderKL, base, "vae")


@torch.no_grad()
def to_moments(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Mean and standard deviation of the posterior, not scaled.

    Args:
        pixels: RGB, (pictures, 3, height, width), −1..1; sizes that the VAE divides.

    Returns:
        (pictures, 2 · channels, height / 8, width / 8) for a VAE that divides by 8.
    """
    posterior = vae.encode(pixels).latent_dist
    return torch.cat((posterior.mean, posterior.std), dim=1)


def scaled(vae_config: object, latents: Tensor) -> Tensor:
    """Latents as the UNet sees them."""
    return (latents - (getattr(vae_config, "shift_factor", None) or 0)) * vae_config.scaling_factor


@torch.no_grad()
def to_pixels(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures from the UNet's latents, RGB, (pictures, height, width, 3), 0..1."""
    with torch.autocast(latents.device.type, enabled=False):  # SDXL's VAE overflows in half precision
        pictures = [decode(vae, latent) for latent in latents.split(1)]
    return (torch.cat(pictures) / 2 + 0.5).clamp(0, 1).movedim(1, -1)


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures from the UNet's latents, RGB, (pictures, 3, height, width), about −1..1, with gradients."""
    latents = latents.float() / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0)
    return vae.decode(latents).sample
