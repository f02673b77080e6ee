"""The host's pictures as photos, the faces in them as the host's pictures, and its masks as regions."""

import logging
from collections.abc import Iterator, Sequence

import comfy.utils
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...uniportrait_core.embedding.face_features import CROP_SIZE
from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.faces.alignment import align
from ...uniportrait_core.faces.detection import Detector, Face, find_faces, order_faces

MIN_SIDE = 32
THUMBNAIL = 112  # pixels

logger = logging.getLogger("uniportrait")


def check_photos(image: Tensor) -> None:
    """See that an IMAGE, (photos, height, width, channels), is one to find faces in.

    Raises UniPortraitError where it is empty, not RGB, or too small.
    """
    photos, height, width, channels = image.shape if image.ndim == 4 else (0, 0, 0, 0)
    if channels == 3 and photos and min(height, width) >= MIN_SIDE:
        return
    cure = "Connect Load Image"
    if channels == 4:
        cure = "Remove the alpha channel"
    elif channels == 3 and photos:
        cure = "Take a larger photo"
    raise UniPortraitError(
        f"image is {photos} picture{'s' * (photos != 1)} of {width}×{height} pixels with {channels} channels; needed "
        f"are RGB pictures (3 channels) of {MIN_SIDE} pixels or more. {cure}."
    )


def to_pixels(image: Tensor) -> Iterator[np.ndarray]:
    """Each picture of an IMAGE, (pictures, height, width, 3), values 0..1, as (height, width, 3), uint8."""
    return ((picture.cpu().numpy() * 255).round().clip(0, 255).astype(np.uint8) for picture in image)


def to_image(pictures: Sequence[np.ndarray]) -> Tensor:
    """Pictures of one size, (height, width, 3), uint8, as an IMAGE."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def crop_faces(photo: np.ndarray, faces: Sequence[Face]) -> Tensor:
    """The faces of a photo, (height, width, 3), uint8, aligned, as an IMAGE, (faces, 224, 224, 3)."""
    return to_image([align(photo, face.landmarks, CROP_SIZE) for face in faces])


def thumbnail(crop: Tensor) -> Tensor:
    """A crop, (224, 224, 3), values 0..1, at half its size, uint8."""
    small = F.interpolate(crop.movedim(-1, 0)[None], size=(THUMBNAIL, THUMBNAIL), mode="area")
    return (small[0].movedim(0, -1) * 255).round().to(torch.uint8)


def find_crops(
    detector: Detector, image: Tensor, order: str, index: int, skip: bool, min_confidence: float
) -> tuple[Tensor, list[list[Face]]]:
    """Cut one face out of every photo, aligned.

    Args:
        detector: finds the faces.
        image: IMAGE, (photos, height, width, 3), values 0..1.
        order: how the faces of a photo are numbered, of `detection.ORDERS`.
        index: number of the face to take, from 0.
        skip: leave out photos without such a face.
        min_confidence: of a face, 0..1.

    Returns:
        IMAGE, (photos, 224, 224, 3); and all faces of every photo, as they were found.

    Raises:
        UniPortraitError: a photo that is not to be skipped has no such face, or no photo has.
    """
    crops, found, progress = [], [], comfy.utils.ProgressBar(len(image))
    for number, photo in enumerate(to_pixels(image), start=1):
        found.append(find_faces(detector, photo, min_confidence))
        faces = order_faces(found[-1], order)
        if index < len(faces):
            crops.append(crop_faces(photo, faces[index : index + 1]))
        elif not skip:
            raise _no_such_face(len(faces), index, f"photo {number} of {len(image)}", photo.shape)
        progress.update(1)
    if not crops:
        raise UniPortraitError(
            f"None of the {len(image)} photos at image has face number {index}, so all were skipped. Lower face_index "
            "or min_confidence on Encode Face ID, or use photos in which the face is larger."
        )
    return torch.cat(crops), found


def _no_such_face(found: int, index: int, photo: str, shape: tuple[int, ...]) -> UniPortraitError:
    if not found:
        return no_face(photo, shape, "Encode Face ID")
    return UniPortraitError(
        f"There are {found} faces in {photo}, and face_index is {index}, where 0 is the first. "
        "Lower face_index on Encode Face ID, or set no_face to skip photo."
    )


def no_face(photo: str, shape: tuple[int, ...], node: str) -> UniPortraitError:
    """The error for a photo, (height, width, …), in which no face is found."""
    height, width = shape[:2]
    return UniPortraitError(
        f"No face found in {photo} ({width}×{height}). Use a photo in which the face is larger and seen from the "
        f"front, or lower min_confidence on {node}."
    )


def region_masks(mask: Tensor) -> list[Tensor]:
    """The masks of a MASK, each (height, width), 0..1. Raises UniPortraitError where it is of another shape, or NaN."""
    if mask.ndim == 2:
        mask = mask[None]
    elif mask.ndim == 4 and mask.shape[1] == 1:  # as some packs give it
        mask = mask[:, 0]
    if mask.ndim != 3 or mask.numel() == 0 or not mask.isfinite().all():
        raise UniPortraitError(
            f"mask at Adjust Face ID is of shape {tuple(mask.shape)}, needed is (masks, height, width) of finite "
            "numbers. Connect a mask, for example of Load Image (as Mask)."
        )
    for number, region in enumerate(mask, start=1):
        if not region.any():
            logger.warning("Mask %d at Adjust Face ID is black: the person will be nowhere in the picture.", number)
    return list(mask.float().cpu().clamp(0, 1))
