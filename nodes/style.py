"""A style picture as what samplers need of it."""

import logging
from dataclasses import dataclass

import comfy.sample
import comfy.utils
import torch
from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from torch import Tensor

from ..uniportrait_core.adapter import IDLayer
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.identity import Identity
from ..uniportrait_core.ip_adapter import IPAdapter
from ..uniportrait_core.trajectory import Trajectory
from .clip import VIT_H

MARK = "uniportrait_reference"  # in a LATENT whose first picture is a style picture
PIXELS = 8  # of a picture, per spot of the latent

logger = logging.getLogger("uniportrait")


@dataclass(frozen=True)
class StyleTokens:
    """What a plain IP-Adapter makes of a style picture.

    Attributes:
        layers: keys and values of the cross-attention layers.
        tokens: the picture as if it were a person: conditional and unconditional tokens, (4, 768).
    """

    layers: tuple[IDLayer, ...]
    tokens: Identity


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


def picture_tokens(adapter: IPAdapter, clip: ClipVisionModel | None, picture: Tensor) -> StyleTokens:
    """A picture, (1, height, width, 3), through a plain IP-Adapter.

    Raises:
        UniPortraitError: there is no CLIP vision model, or one of another kind.
    """
    if clip is None:
        raise UniPortraitError(
            f"Style Reference has an ip_adapter and no clip_vision, which the IP-Adapter sees with. Connect {VIT_H} "
            "from Load CLIP Vision."
        )
    embedding = clip.encode_image(picture)["image_embeds"].float().cpu()
    if embedding.shape[-1:] != (adapter.embedding_dim,):
        raise UniPortraitError(
            f"The CLIP vision model at Style Reference gives image embeddings of {embedding.shape[-1]} numbers, the "
            f"IP-Adapter needs {adapter.embedding_dim}. In Load CLIP Vision load the one that its file was made with: "
            f"for ip-adapter_sd15 {VIT_H} (CLIP ViT-H/14)."
        )
    cond, uncond = adapter.tokens(torch.cat((embedding, torch.zeros_like(embedding))))
    return StyleTokens(adapter.layers, Identity(cond, uncond))


def fit_latent(latent: dict, model: ModelPatcher) -> dict:
    """A LATENT of pictures to draw as a model can draw them: empty ones for other models are made to fit, as ever.

    Raises:
        UniPortraitError: it is of another kind, or has a style picture already.
    """
    samples, channels = latent["samples"], model.get_model_object("latent_format").latent_channels
    if latent.get(MARK):
        raise UniPortraitError(
            "latent at Style Reference begins with a style picture already, needed are pictures to draw. Connect Drop "
            "Reference between."
        )
    if isinstance(samples, Tensor) and samples.ndim == 4:
        samples = comfy.sample.fix_empty_latent_channels(model, samples)
    if getattr(samples, "is_nested", False) or samples.ndim != 4 or samples.shape[1] != channels or not len(samples):
        shape = "several parts" if getattr(samples, "is_nested", False) else f"shape {tuple(samples.shape)}"
        raise UniPortraitError(
            f"latent at Style Reference is of {shape}; needed is (pictures, {channels}, height, width). Connect Empty "
            "Latent Image, or VAE Encode for pictures to start from."
        )
    return {**latent, "samples": samples}
