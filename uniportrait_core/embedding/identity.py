"""What the pack knows about a person."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UniPortraitError


@dataclass(frozen=True)
class OwnWords:
    """What is said of one person alone.

    Attributes:
        tokens: of a text encoder, (tokens, dim), float32, on the CPU.
        strength: β, 0..1.
        window: shares of the sampling, 0..1, between which they count.
    """

    tokens: Tensor
    strength: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Identity:
    """One person as the diffusion model sees them; all tensors are on the CPU.

    Attributes:
        cond: conditional tokens, (tokens, dim), float32.
        uncond: unconditional tokens of the same shape; they depend on the structure scale alone.
        embedding: the face backbone's embedding, of length 1, (512,), float32; for scoring, not for drawing. None in
            identities that were saved without it.
        thumbnail: the first aligned crop, (height, width, 3), uint8; None likewise.
        mask: where in the picture the person may be, (height, width), float32, 0..1; None leaves it to the router.
        weight: factor on id_scale for this person.
        words: what is said of this person alone.
    """

    cond: Tensor
    uncond: Tensor
    embedding: Tensor | None = None
    thumbnail: Tensor | None = None
    mask: Tensor | None = None
    weight: float = 1.0
    words: OwnWords | None = None


FaceID = tuple[Identity, ...]
"""People in order; one person is a tuple of one."""


def mean_embedding(embeddings: Tensor) -> Tensor:
    """The embedding of a person of whom there are several photos: the direction of the mean of the directions.

    Args:
        embeddings: (photos, dim), of any length.

    Returns:
        (dim,), of length 1.
    """
    return F.normalize(F.normalize(embeddings, dim=-1).mean(dim=0), dim=0)


def mix(master: Identity, other: Identity, weight: float) -> Identity:
    """Blend two people: `(1 − weight) · master + weight · other` on the conditional tokens.

    All else is the master's, the unconditional tokens too, as in `generate` of the published
    `uniportrait_pipeline.py`. The embedding, which that code does not have, is blended likewise.

    Args:
        master: the person at weight 0.
        other: the person at weight 1.
        weight: share of `other`, 0..1; values outside extrapolate.

    Raises:
        UniPortraitError: the two come from weights of different shape.
    """
    if master.cond.shape != other.cond.shape:
        raise UniPortraitError(
            f"The two people to mix have tokens of shape {tuple(master.cond.shape)} and {tuple(other.cond.shape)}, "
            "which come from different UniPortrait weights. Encode both with the same Load UniPortrait node."
        )
    a, b = master.embedding, other.embedding
    comparable = a is not None and b is not None and a.shape == b.shape
    embedding = F.normalize(torch.lerp(a, b, weight), dim=0) if comparable else None
    return replace(master, cond=(1 - weight) * master.cond + weight * other.cond, embedding=embedding)


def adjust(face_id: FaceID, weight: float, masks: Sequence[Tensor] | None = None) -> FaceID:
    """People with a weight and regions in place of those that they had; without masks the old ones stay.

    Args:
        face_id: the people.
        weight: factor on id_scale, for each of them.
        masks: one region per person, (height, width), 0..1.

    Raises:
        UniPortraitError: there are not as many masks as people.
    """
    if masks is None:
        return tuple(replace(person, weight=weight) for person in face_id)
    if len(masks) != len(face_id):
        raise UniPortraitError(
            f"There are {len(masks)} masks for {len(face_id)} people in face_id, needed is one for each, in order. "
            "Adjust every person before Combine Face IDs, or give a batch of as many masks."
        )
    return tuple(replace(person, weight=weight, mask=mask) for person, mask in zip(face_id, masks, strict=True))


def say(face_id: FaceID, tokens: Tensor | None, strength: float, window: tuple[float, float]) -> FaceID:
    """People with own words in place of those that they had; without tokens they have none.

    Args:
        face_id, tokens, strength, window: as in `OwnWords`.

    Raises:
        UniPortraitError: the window ends before it starts.
    """
    start, end = window
    if start > end:
        raise UniPortraitError(
            f"start_percent {start} is after end_percent {end}. Set start_percent below end_percent on Own Words."
        )
    counts = tokens is not None and strength and start < end
    words = OwnWords(tokens, strength, window) if counts else None
    return tuple(replace(person, words=words) for person in face_id)
