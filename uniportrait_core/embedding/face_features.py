"""The ID embedding module: aligned face crops to identity tokens (paper section 3.2).

Follows `get_single_faceid_embeds` of the published `uniportrait_pipeline.py`.
"""

from math import isqrt

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .backbone import FaceBackbone
from .feature_choice import FeatureChoice

CROP_SIZE = 224
GRID = 16  # height and width of what CLIP ViT-H/14 sees in a crop


def to_crop_size(images: Tensor) -> Tensor:
    """Cut images to their central square and bring it to the crop size; crops of that size pass untouched.

    Args:
        images: RGB, (photos, height, width, 3), values 0..1.

    Returns:
        (photos, 224, 224, 3), values 0..1.
    """
    height, width = images.shape[1:3]
    if height == width == CROP_SIZE:
        return images
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, top : top + side, left : left + side].movedim(-1, 1)
    resized = F.interpolate(square, size=(CROP_SIZE, CROP_SIZE), mode="bicubic", antialias=True)
    return resized.clamp(0, 1).movedim(1, -1)


def look_at_faces(backbone: FaceBackbone, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What the face backbone sees in aligned crops.

    Args:
        backbone: on the device of `crops`.
        crops: RGB, (photos, 224, 224, 3), values 0..1.

    Returns:
        Embeddings, (photos, 512), not normalised, and one map per stage, (photos, channels, height, width).
    """
    faces = (crops.movedim(-1, 1) - 0.5).div(0.5).clamp(-1, 1)
    return backbone(F.interpolate(faces, size=backbone.IMAGE_SIZE, mode="bilinear", align_corners=False))


def nobody(backbone: FaceBackbone, device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """What the backbone is taken to see where there is nobody: zeros, for one photo, as `look_at_faces` gives them."""
    sides = (backbone.IMAGE_SIZE >> depth for depth in range(1, len(backbone.stage_channels) + 1))
    shapes = zip(backbone.stage_channels, sides, strict=True)
    stages = [torch.zeros(1, channels, side, side, device=device) for channels, side in shapes]
    return torch.zeros(1, backbone.embedding_dim, device=device), stages


def local_features(stages: list[Tensor], grid: int) -> tuple[Tensor, Tensor]:
    """The backbone's maps as features, photo by photo.

    Args:
        stages: the maps, each (photos, channels, height, width).
        grid: height and width of CLIP's grid.

    Returns:
        Of the last map, (photos, 49, 512); of the others, brought to the grid, shallow to deep, (photos, grid², 448).
    """
    *shallow, last = stages
    maps = [F.interpolate(stage, size=(grid, grid), mode="bilinear", align_corners=False) for stage in shallow]
    return rearrange(last, "p c h w -> p (h w) c"), rearrange(torch.cat(maps, dim=1), "p c h w -> p (h w) c")


def resampler_inputs(
    choice: FeatureChoice, embedding: Tensor, stages: list[Tensor], clip_features: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Arrange features of photos for the resampler, all photos one after the other.

    Args:
        choice: the features that it reads.
        embedding: the backbone's, (photos, 512), not normalised.
        stages: the backbone's maps, each (photos, channels, height, width).
        clip_features: CLIP's second-to-last hidden state without class token, (photos, 256, clip_dim); for the
            unconditional tokens that of an all-zero tensor *after* normalisation. None where it is not chosen.

    Returns:
        Intrinsic features (1, photos · n, dim) and structure features (1, photos · 256, dim); as published 49 of 512,
        the last map, and 256 of 448 + clip_dim.
    """
    grid = GRID if clip_features is None else isqrt(clip_features.shape[1])
    intrinsic, structure = choice.arrange(embedding, *local_features(stages, grid), clip_features)
    return rearrange(intrinsic, "p n c -> 1 (p n) c"), rearrange(structure, "p n c -> 1 (p n) c")
