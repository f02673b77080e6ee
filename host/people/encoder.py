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

from ...uniportrait_core.embedding.face_features import look_at_faces, nobody, resampler_inputs
from ...uniportrait_core.embedding.identity import FaceID, Identity, mean_embedding
from ...uniportrait_core.embedding.resampler import Features
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.faces.detection import Face
from ..models.clip_vision import clip_features
from ..models.weights import FaceEncoder
from .photos import crop_faces, thumbnail

CHUNK = 8  # photos


def encode_people(
    encoder: FaceEncoder, clip: ClipVisionModel, people: Sequence[Tensor], structure_scale: float
) -> FaceID:
    """Encode people under the host's model management, with its progress bar.

    Args:
        encoder: of UniPortrait.
        clip: CLIP ViT-H/14; left alone where the encoder was trained without CLIP.
        people: the aligned crops of each, (photos, 224, 224, 3), values 0..1.
        structure_scale: weight of the structure branch, 0..1.
    """
    seers = [clip.patcher] if encoder.features.sees_with_clip else []
    comfy.model_management.load_models_gpu([*seers, encoder.backbone, encoder.resampler])
    uncond = encoder.unconditional.get(clip, structure_scale)
    progress = comfy.utils.ProgressBar(sum(map(len, people)) + (uncond is None))
    if uncond is None:
        seen = nobody(encoder.backbone.model, encoder.backbone.load_device)
        uncond = encoder.resampler.model([_project(encoder, clip, *seen, None)], structure_scale)[0].cpu()
        encoder.unconditional.keep(clip, structure_scale, uncond)
        progress.update(1)
    return tuple(_encode_person(encoder, clip, crops, structure_scale, uncond, progress.update) for crops in people)


def embed_faces(encoder: FaceEncoder, picture: np.ndarray, faces: Sequence[Face]) -> Tensor:
    """Embeddings of the faces, if any, of a picture, RGB, (height, width, 3), uint8, after `embeddings_of`.

    Returns:
        (faces, dim), each of length 1, on the CPU.
    """
    if not faces:
        return torch.zeros(0, encoder.backbone.model.embedding_dim)
    crops, device = crop_faces(picture, faces), encoder.backbone.load_device
    parts = (look_at_faces(encoder.backbone.model, chunk.to(device))[0].cpu() for chunk in crops.split(CHUNK))
    return F.normalize(torch.cat(list(parts)), dim=-1)


def embeddings_of(face_id: FaceID, encoder: FaceEncoder) -> Tensor:
    """Everybody's embedding, (people, dim); the backbone is loaded, to embed faces that are compared with them.

    Raises UniPortraitError for somebody without an embedding, or with one from another backbone.
    """
    dim = encoder.backbone.model.embedding_dim
    for number, person in enumerate(face_id, start=1):
        if person.embedding is None or person.embedding.shape != (dim,):
            found = "no face embedding" if person.embedding is None else f"one of {len(person.embedding)} numbers"
            raise UniPortraitError(
                f"Person {number} of {len(face_id)} has {found}, needed is one of {dim} numbers. Encode the photos "
                "again with the weights at Face Similarity."
            )
    comfy.model_management.load_models_gpu([encoder.backbone])
    return torch.stack([person.embedding for person in face_id])


def _encode_person(
    encoder: FaceEncoder,
    clip: ClipVisionModel,
    crops: Tensor,
    structure_scale: float,
    uncond: Tensor,
    update: Callable[[int], None],
) -> Identity:
    embeddings, features = [], []
    for chunk in crops.split(CHUNK):
        embedding, feature = _look_at(encoder, clip, chunk)
        embeddings.append(embedding)
        features.append(feature)
        update(len(chunk))
    return Identity(
        cond=encoder.resampler.model(features, structure_scale)[0].cpu(),
        uncond=uncond,
        embedding=mean_embedding(torch.cat(embeddings)),
        thumbnail=thumbnail(crops[0]),
    )


def _look_at(encoder: FaceEncoder, clip: ClipVisionModel, crops: Tensor) -> tuple[Tensor, Features]:
    """Embeddings and features of a chunk, to wait for the other chunks off the device."""
    embeddings, stages = look_at_faces(encoder.backbone.model, crops.to(encoder.backbone.load_device))
    features = _project(encoder, clip, embeddings, stages, crops)
    return embeddings.cpu(), Features(*(part.cpu() for part in features))


def _project(
    encoder: FaceEncoder, clip: ClipVisionModel, embeddings: Tensor, stages: list[Tensor], crops: Tensor | None
) -> Features:
    """What the backbone has seen in crops (None for nobody), and what CLIP sees, at the resampler's width."""
    seen = clip_features(clip, crops).to(embeddings.device) if encoder.features.sees_with_clip else None
    return encoder.resampler.model.project(*resampler_inputs(encoder.features, embeddings, stages, seen))
