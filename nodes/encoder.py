"""The encoder under the host's model management: aligned crops become identities.

Photos are looked at in chunks. Their features wait in system memory, less than a megabyte for each photo, and the
resampler reads them chunk by chunk: on the device, any number of photos needs the memory of one chunk.
"""

from collections.abc import Callable, Sequence

import comfy.model_management
import comfy.utils
import torch
import torch.nn.functional as F
from comfy.clip_vision import ClipVisionModel
from torch import Tensor

from ..uniportrait_core.embedding import look_at_faces, resampler_inputs, unconditional_inputs
from ..uniportrait_core.identity import FaceID, Identity, mean_embedding
from ..uniportrait_core.resampler import Features
from .clip import clip_features
from .weights import Weights

CHUNK = 8  # photos
THUMBNAIL = 112  # pixels
MOST_SCALES = 32  # whose unconditional tokens are kept; a slider has 21


def encode_people(weights: Weights, clip: ClipVisionModel, people: Sequence[Tensor], structure_scale: float) -> FaceID:
    """Encode people under the host's model management, with its progress bar.

    Args:
        weights: of UniPortrait.
        clip: CLIP ViT-H/14.
        people: the aligned crops of each, (photos, 224, 224, 3), values 0..1.
        structure_scale: weight of the structure branch, 0..1.
    """
    comfy.model_management.load_models_gpu([clip.patcher, weights.backbone, weights.resampler])
    known = weights.unconditional.setdefault(clip, {})
    progress = comfy.utils.ProgressBar(sum(map(len, people)) + (structure_scale not in known))
    if structure_scale not in known:
        mean_colour = clip_features(clip, None).to(weights.backbone.load_device)
        nobody = weights.resampler.model.project(*unconditional_inputs(weights.backbone.model, mean_colour))
        known[structure_scale] = weights.resampler.model([nobody], structure_scale)[0].cpu()
        if len(known) > MOST_SCALES:
            known.pop(next(iter(known)))  # the oldest
        progress.update(1)
    return tuple(
        _encode_person(weights, clip, crops, structure_scale, known[structure_scale], progress.update)
        for crops in people
    )


def _encode_person(
    weights: Weights,
    clip: ClipVisionModel,
    crops: Tensor,
    structure_scale: float,
    uncond: Tensor,
    update: Callable[[int], None],
) -> Identity:
    embeddings, features = [], []
    for chunk in crops.split(CHUNK):
        embedding, feature = _look_at(weights, clip, chunk)
        embeddings.append(embedding)
        features.append(feature)
        update(len(chunk))
    return Identity(
        cond=weights.resampler.model(features, structure_scale)[0].cpu(),
        uncond=uncond,
        embedding=mean_embedding(torch.cat(embeddings)),
        thumbnail=_thumbnail(crops[0]),
    )


def _look_at(weights: Weights, clip: ClipVisionModel, crops: Tensor) -> tuple[Tensor, Features]:
    """Embeddings and features of a chunk, to wait for the other chunks off the device."""
    device = weights.backbone.load_device
    embeddings, stages = look_at_faces(weights.backbone.model, crops.to(device))
    inputs = resampler_inputs(stages, clip_features(clip, crops).to(device))
    return embeddings.cpu(), Features(*(part.cpu() for part in weights.resampler.model.project(*inputs)))


def _thumbnail(crop: Tensor) -> Tensor:
    """A crop, values 0..1, at half its size as uint8."""
    small = F.interpolate(crop.movedim(-1, 0)[None], size=(THUMBNAIL, THUMBNAIL), mode="area")
    return (small[0].movedim(0, -1) * 255).round().to(torch.uint8)
