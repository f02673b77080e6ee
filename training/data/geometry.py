"""Where pictures are cut for training: their size after resizing, their bucket, and crops that keep faces whole."""

from dataclasses import dataclass
from functools import cache
from math import ceil, floor, log

STEP = 8  # pixels along a latent: crops begin and end at latents, so that cached latents can be cut as well
BUCKET_STEP = 64
WIDEST = 2.5  # aspect ratio of a bucket, either way

Size = tuple[int, int]


@dataclass(frozen=True)
class Cut:
    """How a picture is resized, and which crops of it keep every face whole.

    Attributes:
        size: height and width of the resized picture.
        crop: height and width of what is cut out of it.
        rows, columns: where crops may begin, in pixels of the resized picture. Empty where no crop holds all faces.
    """

    size: Size
    crop: Size
    rows: range
    columns: range

    @property
    def fits(self) -> bool:
        """Whether a crop holds all faces."""
        return bool(self.rows) and bool(self.columns)


def cut(size: Size, around: tuple[float, float, float, float], resolution: int, buckets: bool) -> Cut:
    """Resize a picture so that it just covers its crop, and find the crops that hold all of its faces.

    Faces too far apart for the crop are not brought together: a smaller picture would need a border, and the model
    would learn to draw borders. Such pictures are left to buckets, whose crop has nearly the picture's own shape.

    Args:
        size: height and width of the picture.
        around: left, top, right, bottom of all faces together, in its pixels.
        resolution: side of the crop; of buckets, the side of a square of their area.
        buckets: choose the crop from `bucket_sizes`.
    """
    crop = bucket_sizes(resolution)[bucket(size, resolution)] if buckets else (resolution, resolution)
    scale = max(crop[0] / size[0], crop[1] / size[1])
    height, width = (max(side, round(full * scale / STEP) * STEP) for side, full in zip(crop, size, strict=True))
    left, top, right, bottom = around
    return Cut(
        (height, width),
        crop,
        _starts(top / size[0] * height, bottom / size[0] * height, height, crop[0]),
        _starts(left / size[1] * width, right / size[1] * width, width, crop[1]),
    )


@cache
def bucket_sizes(resolution: int) -> tuple[Size, ...]:
    """Heights and widths of about the area of a square, from the widest to the tallest."""
    heights = range(BUCKET_STEP, resolution, BUCKET_STEP)
    wide = [(height, resolution**2 // height // BUCKET_STEP * BUCKET_STEP) for height in heights]
    wide = [(height, width) for height, width in wide if height < width <= WIDEST * height]
    return (*wide, (resolution, resolution), *((width, height) for height, width in reversed(wide)))


def bucket(size: Size, resolution: int) -> int:
    """Number of the bucket whose aspect ratio is nearest to a picture's."""
    aspect = log(size[1] / size[0])
    sizes = bucket_sizes(resolution)
    return min(range(len(sizes)), key=lambda number: abs(log(sizes[number][1] / sizes[number][0]) - aspect))


def _starts(low: float, high: float, length: int, crop: int) -> range:
    """Multiples of `STEP` at which a crop of a side may begin to hold what is between low and high."""
    first = ceil(max(high - crop, 0) / STEP) * STEP
    last = floor(min(low, length - crop) / STEP) * STEP
    return range(first, last + 1, STEP)
