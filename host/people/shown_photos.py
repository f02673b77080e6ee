"""Photos and the faces in them for the front end, which frames the faces and lets one be chosen by a click."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import folder_paths
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...uniportrait_core.faces.detection import Face
from .photos import to_pixels

LONGEST_SIDE = 1024  # pixels of the picture that is shown; boxes are in pixels of the photo
QUALITY = 88  # of the JPEG


def show_faces(
    image: Tensor, found: Sequence[Sequence[Face]], order: str, min_confidence: float, index: int | None = None
) -> dict[str, list]:
    """What a node adds to its UI data, so that the front end can show photos with their faces.

    Args:
        image: IMAGE, (photos, height, width, 3), values 0..1.
        found: the faces of every photo, in the order in which the detector gave them; empty without a detector.
        order: how the faces of a photo were numbered, of `detection.ORDERS`.
        min_confidence: that the faces were found with, 0..1.
        index: of the face that was taken, where one was.

    Returns:
        `faces`: a list for this run of the node, of one entry per photo: the picture as the host's temporary file,
        the photo's size, the settings, and box, landmarks and confidence of every face. A list in a list, as the host
        counts and shows every dictionary that stands directly in UI data as an output.
    """
    settings = {"order": order, "min_confidence": min_confidence, "index": index}
    photos = [
        {
            "photo": _write(photo),
            "width": photo.shape[1],
            "height": photo.shape[0],
            **settings,
            "faces": [_numbers(face) for face in faces],
        }
        for photo, faces in zip(image, found, strict=False)
    ]
    return {"faces": [photos] if photos else []}


def _numbers(face: Face) -> dict:
    # Not rounded: the front end sorts by them, and must number faces as `order_faces` does.
    return {"box": face.box.tolist(), "landmarks": face.landmarks.tolist(), "confidence": float(face.confidence)}


def _write(photo: Tensor) -> dict[str, str]:
    """A photo, (height, width, 3), as a small JPEG in the host's temporary folder: where it is, as the host says it."""
    height, width = photo.shape[:2]
    scale = min(LONGEST_SIDE / max(height, width), 1)
    if scale < 1:
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        photo = F.interpolate(photo.movedim(-1, 0)[None], size, mode="area")[0].movedim(0, -1)
    (pixels,) = to_pixels(photo[None])
    folder, name = Path(folder_paths.get_temp_directory()), f"uniportrait_photo_{secrets.token_hex(8)}.jpg"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name, quality=QUALITY)
    return {"filename": name, "subfolder": "", "type": "temp"}
