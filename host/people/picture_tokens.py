"""Pictures as if they were people: what a plain IP-Adapter makes of each."""

from dataclasses import replace

import torch
from comfy.clip_vision import ClipVisionModel
from torch import Tensor

from ...uniportrait_core.embedding.face_features import to_crop_size
from ...uniportrait_core.embedding.identity import FaceID, Identity
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.style.ip_adapter import IPAdapter
from ..models.clip_vision import VIT_H
from .photos import thumbnail

CHUNK = 8  # pictures


def encode_pictures(adapter: IPAdapter, clip: ClipVisionModel, pictures: Tensor) -> FaceID:
    """As many people as there are pictures, (pictures, height, width, 3), values 0..1, for Encode Pictures.

    CLIP sees the central square. Raises UniPortraitError where it is not the CLIP that the adapter needs.
    """
    people = picture_tokens(adapter, clip, pictures, "Encode Pictures")
    crops = to_crop_size(pictures)
    return tuple(replace(person, thumbnail=thumbnail(crop)) for person, crop in zip(people, crops, strict=True))


def picture_tokens(adapter: IPAdapter, clip: ClipVisionModel, pictures: Tensor, node: str) -> FaceID:
    """The same without thumbnails, for a node of this title."""
    seen = [clip.encode_image(chunk)["image_embeds"].float().cpu() for chunk in pictures.split(CHUNK)]
    embeddings = torch.cat(seen)
    if embeddings.shape[-1] != adapter.embedding_dim:
        raise UniPortraitError(
            f"The CLIP vision model at {node} gives image embeddings of {embeddings.shape[-1]} numbers, the "
            f"IP-Adapter needs {adapter.embedding_dim}. In Load CLIP Vision load the one that its file was made with: "
            f"for ip-adapter_sd15 {VIT_H} (CLIP ViT-H/14, 1024 numbers), for ip-adapter_sdxl CLIP ViT-bigG/14 (1280)."
        )
    *tokens, uncond = adapter.tokens(torch.cat((embeddings, torch.zeros_like(embeddings[:1]))))
    return tuple(Identity(cond, uncond) for cond in tokens)
