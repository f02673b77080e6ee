"""The style picture in a LATENT: in first place before the pictures to draw, and out again after sampling."""

import logging

import comfy.sample
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...uniportrait_core.errors import UniPortraitError

MARK = "uniportrait_reference"  # in a LATENT whose first picture is a style picture

logger = logging.getLogger("uniportrait")


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


def with_reference(latent: dict, reference: Tensor) -> dict:
    """A LATENT with a picture before its own.

    The others keep their noise: a seed makes of them what it makes without the reference.

    Args:
        latent: samples (pictures, channels, height, width).
        reference: (1, channels, height, width).
    """
    samples = latent["samples"]
    numbers = list(latent.get("batch_index", range(len(samples))))
    pictures = torch.cat((reference.to(samples), samples))
    changed = {"samples": pictures, "batch_index": [numbers[0], *numbers], MARK: True}
    if "noise_mask" in latent:
        mask = latent["noise_mask"]
        masks = comfy.utils.repeat_to_batch_size(mask.reshape(-1, 1, *mask.shape[-2:]), len(samples))
        changed["noise_mask"] = torch.cat((torch.ones_like(masks[:1]), masks))
    return {**latent, **changed}


def without_reference(latent: dict) -> dict:
    """A LATENT without its first picture. Raises UniPortraitError where nothing would be left."""
    samples = latent["samples"]
    if len(samples) < 2:
        raise UniPortraitError(
            f"The latent at Drop Reference holds {len(samples)} picture, needed are the style picture and others. "
            "Connect the sampler that draws the latent of Style Reference, and only one Drop Reference."
        )
    if not latent.get(MARK):
        logger.warning(
            "Drop Reference: nothing says that the first picture of this latent is a style picture; it is taken out "
            "all the same. Connect a sampler that draws the latent of Style Reference."
        )
    changed = {"samples": samples[1:]}
    for key in ("batch_index", "noise_mask"):
        if len(latent.get(key, ())) == len(samples):
            changed[key] = latent[key][1:]
    changed[MARK] = False
    return {**latent, **changed}
