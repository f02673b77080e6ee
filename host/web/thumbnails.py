"""Faces of saved people as pictures that a browser shows."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from ...uniportrait_core.files.identity_header import read_thumbnail, read_thumbnails
from .refusal import RequestRefusedError

QUALITY = 90  # of JPEG: 4 to 5 KB for 112×112 pixels


def face_number(text: str) -> int:
    """The number of a person in a file, from 0, as a request gives it. Raises RequestRefusedError for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise RequestRefusedError(400, f"person is {ascii(text)[:20]}.", "Give a number from 0.")
    return int(text)


def jpeg(path: Path, person: int) -> bytes:
    """The face of one person of an identity file.

    Raises:
        RequestRefusedError: the file has no such person, or keeps no face of this one.
        UniPortraitError: it cannot be read.
    """
    thumbnails = read_thumbnails(path)
    place = thumbnails[person] if person < len(thumbnails) else None
    if place is None:
        raise RequestRefusedError(
            404,
            f"{path.name} keeps no face of person {person} of {len(thumbnails)}.",
            "Encode the person again and save it with thumbnail on.",
        )
    file = BytesIO()
    Image.fromarray(read_thumbnail(path, place)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
