"""The network of a stage, and what of it is trained."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from uniportrait_core.attention.adapter import PROJECTIONS, IDLayer, LoRA
from uniportrait_core.embedding.feature_choice import FeatureChoice
from uniportrait_core.embedding.resampler import FaceIDResampler
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.checkpoint import RouterWeights, load_faceid, load_ip_adapter, load_router
from uniportrait_core.routing.router import RouterLayer

from ..config import Config, Resampler
from .adapter import Adapter
from .layout import AttentionLayer, attention_layers, kind_of, load_unet
from .network import Network
from .picture_tokens import PictureTokens

PARTS = {
    "resampler": ("resampler.",),
    "ID keys and values": (".to_k_faceid.", ".to_v_faceid."),
    "LoRA": ("_lora.",),
    "routers": ("_router.",),
}
"""What can be trained, and what the names of its parameters contain."""
IDENTITY = ("resampler", "ID keys and values")
TRAINED = {"single": (*IDENTITY, "LoRA"), "multi": ("LoRA", "routers")}
"""By stage."""


def build(config: Config, stage: str, widths: tuple[int, int], projection: int | None = None) -> Network:
    """Make the network of a stage, frozen but for what the stage trains, with the random state of torch.

    Args:
        config: its settings.
        stage: "single" or "multi".
        widths: of intrinsic and of structure features.
        projection: of CLIP's image embedding, for an IP-Adapter.

    Raises:
        UniPortraitError: a part is missing, or parts are of different kinds.
    """
    unet = load_unet(config.base.model)
    build_stage = {"single": _single, "multi": _multi}[stage]
    network = build_stage(config, unet, attention_layers(unet), widths)
    if projection and config.base.ip_adapter and (needed := network.resampler.weight.shape[1]) != projection:
        raise UniPortraitError(
            f"{Path(config.base.ip_adapter).name} was made with image embeddings of {needed} numbers, base.clip_vision "
            f"gives {projection}. Give the CLIP vision model that it was made with."
        )
    network.eval().requires_grad_(False)
    for part in trained_parts(config, stage):
        for _, parameter in parameters_of(network, part):
            parameter.requires_grad_(True)
    if config.run.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        unet.train()  # diffusers computes again in training mode only; the UNet has no dropout
    return network


def trained_parts(config: Config, stage: str) -> tuple[str, ...]:
    """Those of `PARTS` that a stage trains."""
    if stage == "single":
        return TRAINED[stage]
    factors = {"LoRA": config.optimizer.lora_factor, **dict.fromkeys(IDENTITY, config.optimizer.identity_factor)}
    return tuple(part for part in (*TRAINED[stage], *IDENTITY) if factors.get(part, 1))


def kept_parameters(network: nn.Module, config: Config, stage: str) -> dict[str, nn.Parameter]:
    """What checkpoints and files hold, by name: all that a stage can train, even where it leaves it as it is."""
    parts = {*TRAINED[stage], *trained_parts(config, stage)}
    names = {name for part in parts for name, _ in parameters_of(network, part)}
    return {name: value for name, value in network.named_parameters() if name in names}


def choice_of(config: Config) -> FeatureChoice:
    """The features that the resampler reads."""
    return FeatureChoice(config.features.intrinsic, tuple(config.features.structure))


def parameters_of(network: nn.Module, part: str) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of one of `PARTS`, with their names."""
    for name, parameter in network.named_parameters():
        if not name.startswith("unet.") and any(marker in name for marker in PARTS[part]):
            yield name, parameter


def new_resampler(sizes: Resampler, widths: tuple[int, int], output_dim: int) -> FaceIDResampler:
    """A resampler to begin with."""
    resampler = FaceIDResampler(*widths, sizes.tokens, sizes.dim, sizes.dim, sizes.depth, output_dim)
    nn.init.normal_(resampler.latents, std=sizes.dim**-0.5)
    return resampler


def _single(
    config: Config, unet: UNet2DConditionModel, layers: list[AttentionLayer], widths: tuple[int, int]
) -> Network:
    if config.run.start_from:
        adapter, resampler = _of_stage_one(config, Path(config.run.start_from), unet, layers, widths, routed=False)
        return Network(unet, adapter, resampler)
    resampler = new_resampler(config.resampler, widths, unet.config.cross_attention_dim)
    adapter = Adapter(layers, config.run.lora_rank, resampler.token_shape, routed=False)
    text = [unet.get_submodule(layer.name.removesuffix(".processor")) for layer in layers if layer.cross]
    adapter.start_from_text([layer.to_k.weight for layer in text], [layer.to_v.weight for layer in text])
    return Network(unet, adapter, resampler)


def _multi(
    config: Config, unet: UNet2DConditionModel, layers: list[AttentionLayer], widths: tuple[int, int]
) -> Network:
    routed = config.router.choice != "none"
    before = load_router(Path(config.run.start_from)) if config.run.start_from else None
    hidden = len(before.layers[0].key_in[0]) if before else config.router.hidden
    if config.base.ip_adapter:
        path = Path(config.base.ip_adapter)
        pictures = load_ip_adapter(path)
        _check_layers(path, pictures.layers, unet, layers)
        tokens = PictureTokens(pictures)
        rank = _rank(before.lora) if before else config.run.lora_rank
        adapter = Adapter(layers, rank, tokens.token_shape, routed, hidden)
        _copy_id_layers(adapter, pictures.layers)
    else:
        adapter, tokens = _of_stage_one(
            config, Path(config.run.stage_one), unet, layers, widths, routed=routed, hidden=hidden
        )
    if before:
        _copy_routers(adapter, Path(config.run.start_from), before)
    return Network(unet, adapter, tokens)


def _of_stage_one(
    config: Config,
    path: Path,
    unet: UNet2DConditionModel,
    layers: list[AttentionLayer],
    widths: tuple[int, int],
    routed: bool,
    hidden: int = 0,
) -> tuple[Adapter, FaceIDResampler]:
    """What stage I exported to `path`, with new routers where these are wanted."""
    found = load_faceid(path)
    _check_layers(path, found.layers, unet, layers)
    sizes = (found.resampler.intrinsic_dim, found.resampler.structure_dim)
    if sizes != widths or found.metadata.features != choice_of(config):
        raise UniPortraitError(
            f"{path.name} was trained on {found.metadata.features}, {sizes[0]} and {sizes[1]} wide; here they are "
            f"{choice_of(config)}, {widths[0]} and {widths[1]} wide. Give the face_backbone, clip_vision and features "
            "of stage I."
        )
    adapter = Adapter(layers, _rank(found.lora), found.resampler.token_shape, routed, hidden)
    _copy_id_layers(adapter, found.layers)
    _copy_lora(adapter, found.lora)
    return adapter, found.resampler.float()


def _rank(lora: LoRA) -> int:
    return len(lora[0]["q"].down) if lora else 0


def _check_layers(path: Path, found: tuple[IDLayer, ...], unet: UNet2DConditionModel, layers: list) -> None:
    """See that keys and values are for the UNet's cross-attention layers."""
    needed = [layer.inner for layer in layers if layer.cross]
    if [layer.channels for layer in found] != needed:
        raise UniPortraitError(
            f"{path.name} has {len(found)} layers of {sorted({layer.channels for layer in found})} channels, the base "
            f"model ({kind_of(unet)}) has {len(needed)} of {sorted(set(needed))}. Give the base.model that it was "
            "trained on, or weights for this one."
        )


@torch.no_grad()
def _copy_id_layers(adapter: Adapter, layers: tuple[IDLayer, ...]) -> None:
    crossing = [weights for weights in adapter.layers() if hasattr(weights, "to_k_faceid")]
    for weights, layer in zip(crossing, layers, strict=True):
        weights.to_k_faceid.weight.copy_(layer.to_k)
        weights.to_v_faceid.weight.copy_(layer.to_v)


@torch.no_grad()
def _copy_lora(adapter: Adapter, lora: LoRA) -> None:
    for weights, pairs in zip(adapter.layers(), lora, strict=False):  # of a file without LoRA none
        for projection in PROJECTIONS:
            _copy_pair(getattr(weights, f"to_{projection}_lora"), pairs[projection].down, pairs[projection].up)


@torch.no_grad()
def _copy_routers(adapter: Adapter, path: Path, before: RouterWeights) -> None:
    """Routers and LoRA of a file. Raises UniPortraitError where they are of other sizes."""
    mine = [router for weights in adapter.layers() if (router := weights.router())]
    pairs = [pair for one, other in zip(mine, before.layers, strict=False) for pair in _tensors(one, other)]
    ranks = _rank(before.lora), adapter.layers()[0].rank
    if len(mine) != len(before.layers) or any(old.shape != new.shape for old, new in pairs) or ranks[0] != ranks[1]:
        raise UniPortraitError(
            f"{path.name} has {len(before.layers)} routers and a LoRA of rank {ranks[0]}; needed are {len(mine)} of "
            f"the base model's sizes and a LoRA of rank {ranks[1]}. Give weights of the same base model and stage I."
        )
    for old, new in pairs:
        old.copy_(new)
    _copy_lora(adapter, before.lora)


def _tensors(one: RouterLayer, other: RouterLayer) -> Iterator[tuple[Tensor, Tensor]]:
    """Their tensors, side by side."""
    for field in fields(RouterLayer):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        yield from zip(mine, theirs, strict=True) if isinstance(mine, tuple) else [(mine, theirs)]


def _copy_pair(lora: nn.Module, down: Tensor, up: Tensor) -> None:
    lora.down.weight.copy_(down)
    lora.up.weight.copy_(up)
