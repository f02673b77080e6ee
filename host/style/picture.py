"""A style picture as what samplers need of it."""

import logging
from dataclasses import dataclass

import comfy.utils
from comfy.sd import VAE
from torch import Tensor

from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.style.trajectory import Trajectory
from .ip_attention import StyleTokens

PIXELS = 8  # of a picture, per spot of the latent

logger = logging.getLogger("uniportrait")


@dataclass(frozen=True)
class Style:
    """A style picture, ready to be sampled beside others.

    Attributes:
        latent: as the VAE gives it, (1, channels, height, width).
        trajectory: the same at all noise levels, in the units in which models compute.
        tokens: for IP-Adapter attention; None without an IP-Adapter.
    """

    latent: Tensor
    trajectory: Trajectory
    tokens: StyleTokens | None = None


def fit_picture(image: Tensor, samples: Tensor) -> Tensor:
    """The first picture of an IMAGE in the size of a latent, cut at the edges where the proportions are others.

    What is changed goes to the log.

    Args:
        image: (pictures, height, width, channels), values 0..1.
        samples: of the latent, (pictures, channels, height, width).

    Returns:
        RGB, (1, height, width, 3).
    """
    if image.ndim != 4 or image.shape[0] == 0 or image.shape[-1] < 3 or min(image.shape[1:3]) < PIXELS:
        raise UniPortraitError(
            f"image at Style Reference is of shape {tuple(image.shape)}; needed is a picture, (1, height, width, 3), "
            f"of {PIXELS} pixels or more. Connect Load Image."
        )
    if len(image) > 1:
        logger.warning("Style Reference: image holds %d pictures; the first is used.", len(image))
    picture, (height, width) = image[:1, ..., :3], (PIXELS * side for side in samples.shape[-2:])
    if picture.shape[1:3] != (height, width):
        found = f"{picture.shape[2]}×{picture.shape[1]}"
        logger.info("Style Reference: the style picture, %s, is resized to %d×%d for the latent.", found, width, height)
        picture = comfy.utils.common_upscale(picture.movedim(-1, 1), width, height, "lanczos", "center").movedim(1, -1)
    return picture


def encode_picture(vae: VAE, picture: Tensor, samples: Tensor) -> Tensor:
    """The mean latent of a picture that fits `samples`, (1, channels, height, width), float32.

    Raises:
        UniPortraitError: the VAE is for another kind of model.
    """
    latent = vae.encode(picture).float().cpu()
    if latent.shape[1:] != samples.shape[1:]:
        raise UniPortraitError(
            f"The VAE at Style Reference makes latents of shape {tuple(latent.shape[1:])}, and latent is of shape "
            f"{tuple(samples.shape[1:])}. Use the VAE of a Stable Diffusion 1.5 checkpoint."
        )
    return latent
