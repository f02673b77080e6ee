"""Loaded weights under the host's model management."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...uniportrait_core.attention.adapter import IDLayer, LoRA
from ...uniportrait_core.embedding.backbone import FaceBackbone
from ...uniportrait_core.embedding.feature_choice import FeatureChoice
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.files.checkpoint import FaceIDWeights, RouterWeights, load_backbone, load_faceid, load_router
from ...uniportrait_core.files.metadata import FACE, PICTURE, TOKENS, base_name
from ...uniportrait_core.style.ip_adapter import IPAdapter
from .unconditional import UnconditionalTokens


@dataclass(frozen=True)
class FaceEncoder:
    """What makes tokens of faces.

    Attributes:
        resampler, backbone: its two networks, for the host to load and offload.
        features: those that the resampler reads.
        unconditional: unconditional tokens that were made already.
    """

    resampler: ModelPatcher
    backbone: ModelPatcher
    features: FeatureChoice
    unconditional: UnconditionalTokens = field(default_factory=UnconditionalTokens)

    @property
    def clip_dim(self) -> int | None:
        """Width of the CLIP vision model that the resampler was trained with (1280: ViT-H); None for no CLIP."""
        channels = self.backbone.model.stage_channels
        dim = self.resampler.model.structure_dim - self.features.shallow_dim(channels)
        return dim if self.features.sees_with_clip else None


@dataclass(frozen=True)
class Weights:
    """What Apply ID Router draws people with; pictures of a plain IP-Adapter are as people to it.

    Attributes:
        base: kind of model that they are for, in words.
        token_shape: of one person, (tokens, dim).
        layers: keys and values of the tokens, for every cross-attention layer.
        lora: for one person; empty where there is none.
        router: routers and the LoRA for several people; None allows one person only.
        encoder: what makes the tokens; None where they are not of faces.
    """

    base: str
    token_shape: tuple[int, int]
    layers: tuple[IDLayer, ...]
    lora: LoRA
    router: RouterWeights | None
    encoder: FaceEncoder | None

    def face_encoder(self, node: str) -> FaceEncoder:
        """The encoder, for a node of this title. Raises UniPortraitError where there is none."""
        if self.encoder is None:
            raise UniPortraitError(
                f"The weights at {node} are those of an IP-Adapter, which knows pictures and no faces; needed are "
                "weights with a face backbone. Connect Load UniPortrait."
            )
        return self.encoder


def load_weights(faceid_path: Path, router_path: Path | None, backbone_path: Path) -> Weights:
    """Read the three files and see that they belong together.

    Raises:
        UniPortraitError: a file is not what its place needs, or the files do not fit each other.
    """
    faceid, backbone = load_faceid(faceid_path), load_backbone(backbone_path)
    _check_backbone(faceid, faceid_path, backbone, backbone_path)
    encoder = FaceEncoder(_managed(faceid.resampler), _managed(backbone), faceid.metadata.features)
    weights = Weights(faceid.base, faceid.resampler.token_shape, faceid.layers, faceid.lora, None, encoder)
    return with_router(weights, router_path, faceid_path.name) if router_path else weights


def picture_weights(adapter: IPAdapter, router_path: Path | None) -> Weights:
    """Those of a plain IP-Adapter, and a router's. Raises UniPortraitError where the router is not for them."""
    shape = adapter.token_shape
    weights = Weights(base_name(shape[1]), shape, adapter.layers, (), None, None)
    return with_router(weights, router_path, "the IP-Adapter") if router_path else weights


def with_router(weights: Weights, path: Path, partner: str) -> Weights:
    """Weights with the router of a file.

    Args:
        weights: without a router.
        path: of the file.
        partner: file that keys and values are from, or what else to call them in a message.

    Raises:
        UniPortraitError: the file holds no router, or one for other weights.
    """
    router = load_router(path)
    _check_tokens(weights, router, path)
    needed = [(*weights.token_shape, layer.channels) for layer in weights.layers]
    found = [(r.aggregate[0].shape[1], r.key_in[0].shape[1], r.query_out.shape[0]) for r in router.layers]
    if needed != found:
        differ = (number for number, pair in enumerate(zip(found, needed, strict=False)) if pair[0] != pair[1])
        number = next(differ, 0)
        raise UniPortraitError(
            f"{path.name} is for {router.base} and {partner} for {weights.base}, and they are of different models: "
            f"(tokens, dim, channels) of layer {number + 1} are {found[number]} and {needed[number]}, with "
            f"{len(found)} and {len(needed)} layers. Choose files that were published or trained together."
        )
    if weights.encoder and router.metadata.features != weights.encoder.features:
        raise UniPortraitError(
            f"{path.name} was trained with {router.metadata.features}, {partner} with {weights.encoder.features}. "
            "Choose files that were published or trained together."
        )
    return replace(weights, router=router)


def _check_tokens(weights: Weights, router: RouterWeights, path: Path) -> None:
    found, needed = router.metadata.tokens, FACE if weights.encoder else PICTURE
    if found != needed:
        node = "Load UniPortrait" if found == FACE else "Encode Pictures"
        raise UniPortraitError(
            f"{path.name} is a router for {TOKENS[found]}, needed here is one for {TOKENS[needed]}. "
            f"Choose it at router on {node}, and here another or none."
        )


def _check_backbone(faceid: FaceIDWeights, faceid_path: Path, backbone: FaceBackbone, path: Path) -> None:
    resampler, features, channels = faceid.resampler, faceid.metadata.features, backbone.stage_channels
    needed, found = resampler.intrinsic_dim, features.intrinsic_dim(channels, backbone.embedding_dim)
    if needed != found:
        raise UniPortraitError(
            f"{path.name} gives features of {found} numbers where {faceid_path.name} needs {needed}. "
            "Choose the backbone that was published with these face-ID weights."
        )
    clip_dim = resampler.structure_dim - features.shallow_dim(channels)
    if clip_dim < 0 or (clip_dim > 0) != features.sees_with_clip:
        raise UniPortraitError(
            f"{faceid_path.name} reads structure features of {resampler.structure_dim} numbers, but says that it was "
            f"trained with {features}, to which {path.name} gives {features.shallow_dim(channels)} numbers. Choose the "
            "backbone that these face-ID weights were trained with, or export them again."
        )


def _managed(module: nn.Module) -> ModelPatcher:
    management = comfy.model_management
    return ModelPatcher(module, management.get_torch_device(), management.unet_offload_device())
