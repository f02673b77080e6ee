"""Pictures as they are found, and as they are kept."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

LOSSLESS = ("PNG", "BMP", "TIFF")
KEPT = {"JPEG": "jpg", "PNG": "png"}
QUALITY = 95
UPRIGHT = 1
ORIENTATION = 0x0112  # tag of EXIF


@dataclass(frozen=True)
class Photo:
    """A picture of the source.

    Attributes:
        image: RGB, upright.
        as_found: the file, where it can be kept as it is; else None.
        lossless: whether its file loses nothing.
    """

    image: Image.Image
    as_found: bytes | None
    lossless: bool

    @property
    def pixels(self) -> np.ndarray:
        """(height, width, 3), uint8."""
        return np.asarray(self.image)


def decode(data: bytes) -> Photo:
    """Read a picture, turned as its EXIF says, on white where it is transparent. Raises nearly anything if damaged."""
    with Image.open(io.BytesIO(data)) as found:
        found.load()
        upright = found.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT
        image = ImageOps.exif_transpose(found)
        plain = upright and found.mode == "RGB" and found.format in KEPT
        return Photo(_rgb(image), data if plain else None, found.format in LOSSLESS)


def keep(photo: Photo, max_size: int) -> tuple[str, bytes, tuple[int, int]]:
    """The picture as a file: the one that was found where that will do, so that nothing is lost.

    Args:
        photo: a picture.
        max_size: longest shorter side, in pixels; 0 for any.

    Returns:
        `jpg` or `png`, the file, and the height and width of the picture in it.
    """
    image = photo.image
    shorter = min(image.size)
    if max_size and shorter > max_size:
        size = tuple(round(side * max_size / shorter) for side in image.size)
        image = image.resize(size, Image.Resampling.LANCZOS)
    elif photo.as_found is not None:
        return ("png" if photo.lossless else "jpg"), photo.as_found, image.size[::-1]
    ending = "png" if photo.lossless else "jpg"
    return ending, encode(image, ending), image.size[::-1]


def encode(image: Image.Image, ending: str) -> bytes:
    """A picture as a file, `jpg` or `png`, without what the camera noted."""
    file = io.BytesIO()
    options = {"quality": QUALITY, "subsampling": 0} if ending == "jpg" else {"compress_level": 3}
    image.save(file, {"jpg": "JPEG", "png": "PNG"}[ending], **options)
    return file.getvalue()


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
