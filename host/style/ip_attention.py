"""The plain IP-Adapter in the host: a style picture as tokens, and attention to them beside the text."""

from collections.abc import Sequence
from dataclasses import dataclass

from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...uniportrait_core.attention.adapter import IDLayer
from ...uniportrait_core.attention.projection import prepare
from ...uniportrait_core.embedding.identity import Identity
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.files.metadata import base_name
from ...uniportrait_core.style.ip_adapter import IPAdapter
from ..models.clip_vision import VIT_H
from ..people.picture_tokens import picture_tokens
from ..unet.layers import check_unet, cross_attentions
from ..unet.tap import IDTap, add_tap

KEY = "uniportrait_style_tokens"
APPLY = "Apply Style"  # title of the node, for messages


@dataclass(frozen=True)
class StyleTokens:
    """What a plain IP-Adapter makes of a style picture.

    Attributes:
        layers: keys and values of the cross-attention layers.
        tokens: the picture as if it were a person: conditional and unconditional tokens, (4, 768).
    """

    layers: tuple[IDLayer, ...]
    tokens: Identity


def style_tokens(adapter: IPAdapter, clip: ClipVisionModel | None, picture: Tensor) -> StyleTokens:
    """A picture, (1, height, width, 3), through a plain IP-Adapter. Raises UniPortraitError without the right CLIP."""
    if clip is None:
        raise UniPortraitError(
            f"Style Reference has an ip_adapter and no clip_vision, which the IP-Adapter sees with. Connect {VIT_H} "
            "from Load CLIP Vision."
        )
    (tokens,) = picture_tokens(adapter, clip, picture, "Style Reference")
    return StyleTokens(adapter.layers, tokens)


def check_ip_adapter(model: ModelPatcher, layers: Sequence[IDLayer], node: str) -> None:
    """See that an IP-Adapter with these layers is for a model. Raises UniPortraitError, with the node's title."""
    check_unet(model, layers, base_name(layers[0].to_k.shape[1]), node, what="IP-Adapter's weights")


def add_ip_attention(model: ModelPatcher, picture: StyleTokens, scale: float) -> None:
    """Let the layers of `model`, which the caller has cloned, see a picture beside the text.

    Raises UniPortraitError where the IP-Adapter is not for this model.
    """
    check_ip_adapter(model, picture.layers, APPLY)
    heads = [attention.heads for attention in cross_attentions(model.model.diffusion_model)]
    people = (picture.tokens,)
    attention = {i: prepare(layer, None, people, scale, heads[i]) for i, layer in enumerate(picture.layers)}
    add_tap(model, IDTap(attention, masks=[], node=APPLY), key=KEY)
