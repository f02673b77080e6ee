"""What is asked of the tensors of a file before anything is made of them. All errors are ValueErrors that say what is
wrong with which tensor."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

UNUSED = "num_batches_tracked"  # end of the keys of tensors that count something and are never calculated with


def layer_count(keys: Iterable[str], prefix: str = "") -> int:
    """How many layers there are of which keys begin with `prefix` and a number from 0. None may be missing."""
    found = {int(match[1]) for key in keys if (match := re.match(rf"{re.escape(prefix)}(\d{{1,9}})\.", key))}
    gap = next(number for number in range(len(found) + 1) if number not in found)
    if gap < len(found) or not found:
        raise ValueError(f"{prefix}{gap} is missing")
    return gap


def check_shapes(
    tensors: Mapping[str, Tensor], axes: Mapping[str, str], sizes: Mapping[str, int] | None = None
) -> dict:
    """See that tensors have as many axes as they need, of sizes that fit each other.

    Args:
        tensors: by key. One that is missing raises KeyError.
        axes: names of each tensor's axes, "out in": one name stands for one size, a number for itself.
        sizes: of axes that are known already.

    Returns:
        The sizes of all axes, by name.
    """
    known = dict(sizes or {})
    for key, names in axes.items():
        shape, wanted = tuple(tensors[key].shape), names.split()
        fits = len(shape) == len(wanted) and all(
            side > 0 and side == (int(name) if name.isdigit() else known.setdefault(name, side))
            for side, name in zip(shape, wanted, strict=True)
        )
        if not fits:
            needed = ", ".join(str(known.get(name, name)) for name in wanted)
            raise ValueError(f"{key} is of shape {shape}, needed is ({needed})")
    return known


def check_numbers(tensors: Mapping[str, Tensor]) -> None:
    """See that all tensors hold floating-point numbers, and neither NaN nor infinity."""
    for key, value in tensors.items():
        if key.endswith(UNUSED):
            continue
        if not value.is_floating_point():
            raise ValueError(
                f"{key} is of type {str(value.dtype).removeprefix('torch.')}, not of floating-point numbers"
            )
        # The extremes of numbers with NaN among them are NaN; unlike `isfinite`, this needs no memory.
        if (
            value.numel()
            and not torch.stack((value if value.itemsize > 1 else value.float()).aminmax()).isfinite().all()
        ):
            raise ValueError(f"{key} holds NaN or infinity")
