"""The reference among the pictures that are sampled: the first of them, which is there for the others to look at."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

KEY = "uniportrait_reference"  # in transformer_options: how many pictures are sampled, the reference included


def pictures_with_reference(options: Mapping[str, Any], rows: int) -> int | None:
    """How many pictures each part of a UNet call has, the first of them a reference.

    Args:
        options: the call's transformer_options.
        rows: of the call.

    Returns:
        None where there is no reference, or where a call has some of the pictures only.
    """
    pictures = options.get(KEY)
    return pictures if pictures and rows == pictures * len(options.get("cond_or_uncond", [0])) else None


def spare_reference(before: Tensor, after: Tensor, parts: int, pictures: int) -> Tensor:
    """`after`, but with the rows of each part's first picture from `before`; both (rows, spots, channels)."""
    before, after = (t.unflatten(0, (parts, pictures, -1)) for t in (before, after))
    return torch.cat((before[:, :1], after[:, 1:]), dim=1).flatten(0, 2)
