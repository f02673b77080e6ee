"""The attention layers of a base model, in the order of the published weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.metadata import base_name

from ..frozen.folders import load_part

CROSS = ".attn2."  # in the names of cross-attention layers


@dataclass(frozen=True)
class AttentionLayer:
    """One attention layer of the UNet.

    Attributes:
        name: of its processor in diffusers.
        channels: of the picture's spots.
        context: width of what keys and values are made from.
        inner: of queries, keys and values.
        cross: whether it attends to the text.
    """

    name: str
    channels: int
    context: int
    inner: int
    cross: bool


def load_unet(base: Path) -> UNet2DConditionModel:
    """The UNet of a base model in the layout of diffusers. Raises UniPortraitError for another kind of model."""
    unet = load_part(UNet2DConditionModel, base, "unet")
    if not any(layer.cross for layer in attention_layers(unet)):
        raise UniPortraitError(
            f"{base} has a UNet without cross-attention; needed is a model of the Stable Diffusion family (1.5, 2, "
            "SDXL). Give another folder at base.model."
        )
    if unet.config.in_channels != unet.config.out_channels:
        raise UniPortraitError(
            f"{base} has a UNet that takes {unet.config.in_channels} channels and gives {unet.config.out_channels}, as "
            "inpainting models do. Give an ordinary model at base.model."
        )
    return unet


def load_schedule(base: Path) -> DDPMScheduler:
    """The noise levels that a base model was trained with. Raises UniPortraitError where they are missing."""
    return load_part(DDPMScheduler, base, "scheduler")


def attention_layers(unet: UNet2DConditionModel) -> list[AttentionLayer]:
    """All attention layers: down blocks, up blocks, then the middle block; self- and cross-attention in turn."""
    return [
        AttentionLayer(
            name=f"{name}.processor",
            channels=attention.to_q.in_features,
            context=attention.to_k.in_features,
            inner=attention.to_q.out_features,
            cross=CROSS in f"{name}.",
        )
        for name, attention in _attentions(unet)
    ]


def kind_of(unet: UNet2DConditionModel) -> str:
    """What kind of model weights for this UNet are for, in words."""
    return base_name(unet.config.cross_attention_dim)


def _attentions(unet: UNet2DConditionModel) -> Iterator[tuple[str, Attention]]:
    for stage in ("down_blocks", "up_blocks", "mid_block"):
        for name, module in getattr(unet, stage).named_modules():
            if isinstance(module, Attention):
                yield f"{stage}.{name}", module
