"""Loaded UniPortrait weights under the host's model management."""

from dataclasses import dataclass, field
from pathlib import Path

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...uniportrait_core.embedding.backbone import FaceBackbone
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.files.checkpoint import FaceIDWeights, RouterWeights, load_backbone, load_faceid, load_router
from .unconditional import UnconditionalTokens


@dataclass(frozen=True)
class Weights:
    """What `LoadUniPortrait` gives.

    Attributes:
        faceid: resampler, ID keys and values, single-ID LoRA.
        router: routers and multi-ID LoRA; None allows one person only.
        resampler, backbone: the two networks of the encoder, for the host to load and offload.
        unconditional: unconditional tokens that were made already.
    """

    faceid: FaceIDWeights
    router: RouterWeights | None
    resampler: ModelPatcher
    backbone: ModelPatcher
    unconditional: UnconditionalTokens = field(default_factory=UnconditionalTokens)

    @property
    def clip_dim(self) -> int:
        """Width of the CLIP vision model that the resampler was trained with (1280: ViT-H)."""
        return self.faceid.resampler.structure_dim - sum(self.backbone.model.stage_channels[:-1])


def load_weights(faceid_path: Path, router_path: Path | None, backbone_path: Path) -> Weights:
    """Read the three files and see that they belong together.

    Raises:
        UniPortraitError: a file is not what its place needs, or the files do not fit each other.
    """
    faceid = load_faceid(faceid_path)
    router = load_router(router_path) if router_path else None
    backbone = load_backbone(backbone_path)
    _check_backbone(faceid, faceid_path, backbone, backbone_path)
    if router:
        _check_router(faceid, faceid_path, router, router_path)
    return Weights(faceid, router, _managed(faceid.resampler), _managed(backbone))


def _check_backbone(faceid: FaceIDWeights, faceid_path: Path, backbone: FaceBackbone, path: Path) -> None:
    needed, found = faceid.resampler.intrinsic_dim, backbone.stage_channels[-1]
    if needed != found or faceid.resampler.structure_dim <= sum(backbone.stage_channels[:-1]):
        raise UniPortraitError(
            f"{path.name} gives features of {found} numbers where {faceid_path.name} needs {needed}. "
            "Choose the backbone that was published with these face-ID weights."
        )


def _check_router(faceid: FaceIDWeights, faceid_path: Path, router: RouterWeights, path: Path) -> None:
    tokens, dim = faceid.resampler.token_shape
    needed = [(tokens, dim, layer.channels) for layer in faceid.layers]
    found = [(r.aggregate[0].shape[1], r.key_in[0].shape[1], r.query_out.shape[0]) for r in router.layers]
    if needed != found:
        raise UniPortraitError(
            f"{path.name} and {faceid_path.name} are of different models: (tokens, dim, channels) of their first layer "
            f"are {found[0]} and {needed[0]}, with {len(found)} and {len(needed)} layers. "
            "Choose files that were published together."
        )


def _managed(module: nn.Module) -> ModelPatcher:
    management = comfy.model_management
    return ModelPatcher(module, management.get_torch_device(), management.unet_offload_device())
