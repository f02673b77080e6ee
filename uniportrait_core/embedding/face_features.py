"""The ID embedding module: aligned face crops to identity tokens (paper section 3.2).

Follows `get_single_faceid_embeds` of the published `uniportrait_pipeline.py`.
"""

from math import isqrt

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .backbone import FaceBackbone

CROP_SIZE = 224


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


def resampler_inputs(stages: list[Tensor], clip_features: Tensor) -> tuple[Tensor, Tensor]:
    """Arrange features of photos for the resampler, all photos one after the other.

    Args:
        stages: the backbone's maps, each (photos, channels, height, width).
        clip_features: CLIP's second-to-last hidden state without class token, (photos, 256, clip_dim).

    Returns:
        Intrinsic features (1, photos · 49, 512): the last map. Structure features (1, photos · 256, 448 + clip_dim):
        the other maps brought to CLIP's grid, shallow to deep, then CLIP.
    """
    intrinsic, shallow = local_features(stages, grid=isqrt(clip_features.shape[1]))
    structure = torch.cat((shallow, clip_features), dim=-1)
    return rearrange(intrinsic, "p n c -> 1 (p n) c"), rearrange(structure, "p n c -> 1 (p n) c")


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


def unconditional_inputs(backbone: FaceBackbone, mean_colour: Tensor) -> tuple[Tensor, Tensor]:
    """What the resampler is given for nobody: one photo whose stage maps are zero.

    Args:
        backbone: of whose maps there are the shapes.
        mean_colour: CLIP's features of an all-zero tensor *after* normalisation, (1, 256, clip_dim).

    Returns:
        As `resampler_inputs`.
    """
    sides = (backbone.IMAGE_SIZE >> depth for depth in range(1, len(backbone.stage_channels) + 1))
    stages = [
        mean_colour.new_zeros(1, channels, side, side)
        for channels, side in zip(backbone.stage_channels, sides, strict=True)
    ]
    return resampler_inputs(stages, mean_colour)
