"""Pictures from files, upright and in RGB."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from uniportrait_core.errors import UniPortraitError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def open_picture(file: Path) -> Image.Image:
    """A picture as it is to be seen: turned as EXIF says, in RGB. Raises UniPortraitError where it cannot be read."""
    try:
        with Image.open(file) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UniPortraitError(
            f"{file} cannot be read as a picture ({error}). Delete it, and make or download it again."
        ) from error


def read_picture(file: Path) -> np.ndarray:
    """As `open_picture`, (height, width, 3), uint8."""
    return np.asarray(open_picture(file))


def content_hash(content: bytes) -> str:
    """What tells contents apart."""
    return hashlib.sha256(content).hexdigest()


def file_hash(file: Path) -> str:
    """`content_hash` of a file of any size."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
