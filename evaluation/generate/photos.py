"""Photos of people as they are sent to servers: under a name that tells their content, those of a batch in one size."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from ..pictures.reading import content_hash, open_picture

GREY = (128, 128, 128)


@dataclass(frozen=True)
class Photo:
    """A photo to upload.

    Attributes:
        name: of the file, different for different contents, so that no photo takes another's place on a server.
        content: of the file.
    """

    name: str
    content: bytes


def read_photos(files: Sequence[Path]) -> tuple[Photo, ...]:
    """The photos of one person.

    One photo is sent as it is. Several become a batch, which in ComfyUI has one size: they get a grey border to the
    largest width and height, as ComfyUI itself would cut them. Raises UniPortraitError for one that cannot be read.
    """
    pictures = [open_picture(file) for file in files]
    if len({picture.size for picture in pictures}) == 1:
        return tuple(_photo(file.read_bytes(), file.suffix.lower()) for file in files)
    size = tuple(max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    return tuple(_photo(_as_png(ImageOps.pad(picture, size, color=GREY)), ".png") for picture in pictures)


def _photo(content: bytes, ending: str) -> Photo:
    return Photo(f"evaluation_{content_hash(content)[:24]}{ending}", content)


def _as_png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
