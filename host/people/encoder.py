"""The encoder under the host's model management: aligned crops become identities.

Photos are looked at in chunks. Their features wait in system memory, less than a megabyte for each photo, and the
resampler reads them chunk by chunk: on the device, any number of photos needs the memory of one chunk.
"""

from collections.abc import Callable, Sequence

import comfy.model_management
import comfy.utils
import numpy as np
import torch
import torch.nn.functional as F
from comfy.clip_vision import ClipVisionModel
from torch import Tensor

from ...uniportrait_core.embedding.face_features import look_at_faces, resampler_inputs, unconditional_inputs
from ...uniportrait_core.embedding.identity import FaceID, Identity, mean_embedding
from ...uniportrait_core.embedding.resampler import Features
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.faces.detection import Face
from ..models.clip_vision import clip_features
from ..models.weights import Weights
from .photos import crop_faces

CHUNK = 8  # photos
THUMBNAIL = 112  # pixels


def encode_people(weights: Weights, clip: ClipVisionModel, people: Sequence[Tensor], structure_scale: float) -> FaceID:
    """Encode people under the host's model management, with its progress bar.

    Args:
        weights: of UniPortrait.
        clip: CLIP ViT-H/14.
        people: the aligned crops of each, (photos, 224, 224, 3), values 0..1.
        structure_scale: weight of the structure branch, 0..1.
    """
    comfy.model_management.load_models_gpu([clip.patcher, weights.backbone, weights.resampler])
    uncond = weights.unconditional.get(clip, structure_scale)
    progress = comfy.utils.ProgressBar(sum(map(len, people)) + (uncond is None))
    if uncond is None:
        mean_colour = clip_features(clip, None).to(weights.backbone.load_device)
        nobody = weights.resampler.model.project(*unconditional_inputs(weights.backbone.model, mean_colour))
        uncond = weights.resampler.model([nobody], structure_scale)[0].cpu()
        weights.unconditional.keep(clip, structure_scale, uncond)
        progress.update(1)
    return tuple(_encode_person(weights, clip, crops, structure_scale, uncond, progress.update) for crops in people)


def embed_faces(weights: Weights, picture: np.ndarray, faces: Sequence[Face]) -> Tensor:
    """Embeddings of the faces, if any, of a picture, RGB, (height, width, 3), uint8, after `embeddings_of`.

    Returns:
        (faces, dim), each of length 1, on the CPU.
    """
    if not faces:
        return torch.zeros(0, weights.backbone.model.embedding_dim)
    crops, device = crop_faces(picture, faces), weights.backbone.load_device
    parts = (look_at_faces(weights.backbone.model, chunk.to(device))[0].cpu() for chunk in crops.split(CHUNK))
    return F.normalize(torch.cat(list(parts)), dim=-1)


def embeddings_of(face_id: FaceID, weights: Weights) -> Tensor:
    """Everybody's embedding, (people, dim); the backbone is loaded, to embed faces that are compared with them.

    Raises UniPortraitError for somebody without an embedding, or with one from another backbone.
    """
    dim = weights.backbone.model.embedding_dim
    for number, person in enumerate(face_id, start=1):
        if person.embedding is None or person.embedding.shape != (dim,):
            found = "no face embedding" if person.embedding is None else f"one of {len(person.embedding)} numbers"
            raise UniPortraitError(
                f"Person {number} of {len(face_id)} has {found}, needed is one of {dim} numbers. Encode the photos "
                "again with the weights at Face Similarity."
            )
    comfy.model_management.load_models_gpu([weights.backbone])
    return torch.stack([person.embedding for person in face_id])


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
