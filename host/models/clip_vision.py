"""CLIP vision as UniPortrait uses it: the second-to-last hidden state of every patch."""

import torch
from comfy.clip_vision import ClipVisionModel
from torch import Tensor

from ...uniportrait_core.embedding.face_features import CROP_SIZE
from ...uniportrait_core.errors import UniPortraitError

VIT_H = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"


def check_clip(clip: ClipVisionModel, dim: int | None) -> None:
    """See that a CLIP vision model is of the width that the weights need, and takes crops as they are.

    Raises UniPortraitError for any other; for none where the weights need no CLIP (None).
    """
    if dim is None:
        return
    embeddings = getattr(getattr(clip.model, "vision_model", None), "embeddings", None)
    found = embeddings.patch_embedding.weight.shape[0] if hasattr(embeddings, "class_embedding") else None
    if found != dim or clip.image_size != CROP_SIZE:
        kind = f"has {found} channels" if found else f"is {type(clip.model).__name__}, which is not CLIP"
        raise UniPortraitError(
            f"The CLIP vision model at Encode Face ID {kind} and takes {clip.image_size}-pixel images; needed are "
            f"{dim} channels and {CROP_SIZE} pixels. Load {VIT_H} (CLIP ViT-H/14) in Load CLIP Vision; weights of the "
            "mini world go with clip_vision of Load Mini World."
        )


def clip_features(clip: ClipVisionModel, crops: Tensor | None) -> Tensor:
    """Second-to-last hidden state without the class token, float32 on CLIP's device.

    Args:
        clip: loaded on its device.
        crops: RGB, (photos, 224, 224, 3), values 0..1; None for an all-zero tensor after normalisation, the mean
            colour, on which the unconditional tokens rest.

    Returns:
        (photos, 256, channels).
    """
    if crops is None:
        pixels = torch.zeros(1, 3, CROP_SIZE, CROP_SIZE)
    else:
        mean, std = torch.tensor(clip.image_mean), torch.tensor(clip.image_std)
        pixels = ((crops.cpu() - mean) / std).movedim(-1, 1)
    # `encode_image` of the host cannot be used: it normalises, and would turn zeros into another colour.
    return clip.model(pixel_values=pixels.to(clip.load_device), intermediate_output=-2)[1][:, 1:].float()
