"""Who has which spot of one picture in one step, small enough to be sent while the picture is sampled.

The layers' decisions are put together once per step and not layer by layer: layers of one grid are summed as one
tensor, so that a step takes few tensor operations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from .regions import WHOLE, Window

MOST = 64  # spots along the longer side of a map


@dataclass(frozen=True)
class Place:
    """Where in a picture a layer's spots are.

    Attributes:
        grid: height and width of the layer's grid.
        latent: those of the whole latent.
        window: the part of the picture that the grid covers.
    """

    grid: tuple[int, int]
    latent: tuple[int, int]
    window: Window = WHOLE


@dataclass(frozen=True)
class Decision:
    """What one layer decided.

    Attributes:
        rows: the winner of each spot, (rows, spots), int64; or the shares, (people, rows, spots), 0..1.
        row: which of the rows counts.
        place: where it is.
    """

    rows: Tensor
    row: int
    place: Place


def map_size(latent: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a map: the latent's, or less in proportion where a side is longer than `MOST`."""
    scale = min(MOST / max(latent), 1)
    return max(round(latent[0] * scale), 1), max(round(latent[1] * scale), 1)


def live_map(decisions: Sequence[Decision], people: int) -> Tensor:
    """The average over layers.

    Args:
        decisions: of all layers that saw the picture in a step, one at least.
        people: how many there are.

    Returns:
        (people, height, width), uint8, 255 where somebody has all of a spot, on the device of the decisions, which
        nothing in here waits for.
    """
    size = map_size(decisions[0].place.latent)
    numbers = torch.arange(people, device=decisions[0].rows.device)[:, None, None]
    groups = _groups(decisions)
    if all(alike[0].place.window == WHOLE for alike in groups):
        total = reduce(torch.add, [_resized(_summed(alike, numbers), size) for alike in groups])
        return (total[0] * (255 / len(decisions))).round().to(torch.uint8)
    total, seen = torch.zeros(1, people, *size, device=numbers.device), torch.zeros(size, device=numbers.device)
    for alike in groups:
        top, left, bottom, right = (
            round(edge * length) for edge, length in zip(alike[0].place.window, (*size, *size), strict=True)
        )
        spots = (..., slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1)))
        total[spots] += _resized(_summed(alike, numbers), tuple(seen[spots].shape))
        seen[spots] += len(alike)
    return (total[0] / seen.clamp(min=1) * 255).round().to(torch.uint8)


def _groups(decisions: Sequence[Decision]) -> list[list[Decision]]:
    """Those that can be summed as one tensor."""
    groups: dict[object, list[Decision]] = {}
    for decision in decisions:
        rows = decision.rows
        groups.setdefault((rows.shape, rows.dtype, rows.device, decision.row, decision.place), []).append(decision)
    return list(groups.values())


def _summed(alike: Sequence[Decision], numbers: Tensor) -> Tensor:
    """The sum over layers of everybody's share, (1, people, rows, columns), float32; numbers are (people, 1, 1)."""
    rows = torch.stack([decision.rows for decision in alike])[..., alike[0].row, :]
    if rows.device != numbers.device:  # a host with several GPUs
        rows = rows.to(numbers.device)
    if rows.ndim == 2:
        shares = (rows == numbers).sum(dim=1, dtype=torch.float32)
    else:
        rows = rows.float()
        # As in a record: people whom the router cannot tell apart have a spot together.
        shares = (rows / rows.sum(dim=1, keepdim=True).clamp(min=1)).sum(dim=0)
    return shares.view(1, len(numbers), *alike[0].place.grid)


def _resized(shares: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, people, rows, columns) in another size: spots of a coarse grid are repeated, those of a fine one averaged."""
    grid = tuple(shares.shape[-2:])
    if grid == size:
        return shares
    mode = "area" if grid[0] > size[0] or grid[1] > size[1] else "nearest-exact"
    return F.interpolate(shares, size=size, mode=mode)
