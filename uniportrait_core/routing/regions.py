"""Region masks: where in the picture each person is, in place of the router's choice.

With a mask for every person, person n's share of a spot is `m_n / max(Σ m, 1e-3)`, as in the published
`uniportrait_attention_processor.py` (`faceid_mask`). With masks for some people only, which that code does not know,
these get `m_n / max(Σ m, 1)`, and what remains of a spot goes to the person that the router chooses among the others.
"""

from collections.abc import Sequence
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SUM = 1e-3  # published

Window = tuple[float, float, float, float]
"""A part of the picture: top, left, bottom and right as shares of its height and width, 0..1."""
WHOLE: Window = (0.0, 0.0, 1.0, 1.0)


def region_shares(masks: Sequence[Tensor | None], size: tuple[int, int], window: Window = WHOLE) -> Tensor:
    """The share of every spot that goes to each person.

    Args:
        masks: one per person over the whole picture, (height, width), 0..1, of any size; None where the router decides.
        size: height and width of the layer's grid.
        window: the part of the picture that the grid covers.

    Returns:
        (people, spots), float32. A person without mask has what remains beside the masks; if there are several of
        them, each has the whole of it, and the router has to choose one.
    """
    maps = [None if mask is None else _resize(_cut(mask, window), size) for mask in masks]
    given = [share for share in maps if share is not None]
    total = sum(given)
    if len(given) == len(maps):
        return torch.stack(given) / total.clamp(min=MIN_SUM)
    total = total.clamp(min=1)
    rest = (1 - sum(share / total for share in given)).clamp(min=0)
    return torch.stack([rest if share is None else share / total for share in maps])


def grid_size(spots: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of a layer's grid, of whose spots only the number is known.

    Args:
        spots: spots of the layer.
        height, width: of the latent; the layer's grid has nearly this shape.

    Returns:
        The factors of `spots` whose ratio is nearest to that of the latent.
    """
    ratio = height / width
    factors = [factor for d in range(1, isqrt(spots) + 1) if spots % d == 0 for factor in (d, spots // d)]
    # Ratios are compared as steps up or down, so that portrait and landscape are treated alike.
    rows = min(factors, key=lambda rows: max(a := rows * rows / spots / ratio, 1 / a))
    return rows, spots // rows


def _cut(mask: Tensor, window: Window) -> Tensor:
    """The pixels of a mask that lie in a window, at least one."""
    top, left, bottom, right = (
        round(edge * length) for edge, length in zip(window, (*mask.shape, *mask.shape), strict=True)
    )
    top, left = min(top, mask.shape[0] - 1), min(left, mask.shape[1] - 1)
    return mask[top : max(bottom, top + 1), left : max(right, left + 1)]


def _resize(mask: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(mask[None, None], size=size, mode="bilinear", align_corners=False).flatten()
