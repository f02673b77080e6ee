"""Sound files of wrong content: tensors that are missing, renamed, of another shape, type or layout, or no numbers."""

import math
from collections.abc import Callable
from random import Random

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

NAMES = ("", ".", "..", "../../x", "a\nb", "\x00", "\u202e", "x" * 5_000, "layers.999999999.0.to_q.weight")
NUMBERS = (-1, 99, 10**7, 10**9, 10**30)


def missing(tensors: Tensors, dice: Random) -> Tensors:
    gone = set(dice.sample(list(tensors), dice.choice([1, 2, len(tensors) // 2])))
    return {key: value for key, value in tensors.items() if key not in gone}


def renamed(tensors: Tensors, dice: Random) -> Tensors:
    key = dice.choice(list(tensors))
    name = dice.choice([*NAMES, key.upper(), key + ".", "module." + key, key.replace(".", "_"), key[:-1]])
    return {name if other == key else other: value for other, value in tensors.items()}


def renumbered(tensors: Tensors, dice: Random) -> Tensors:
    """A number in a name is another, also one that no network has."""
    numbered = [key for key in tensors if any(part.isdigit() for part in key.split("."))]
    if not numbered:
        return missing(tensors, dice)
    key = dice.choice(numbered)
    parts = key.split(".")
    place = dice.choice([i for i, part in enumerate(parts) if part.isdigit()])
    parts[place] = str(dice.choice(NUMBERS))
    name = ".".join(parts)
    kept = dict(tensors) if dice.random() < 0.5 else {k: v for k, v in tensors.items() if k != key}
    return {**kept, name: tensors[key].clone()}


def swapped(tensors: Tensors, dice: Random) -> Tensors:
    a, b = dice.sample(list(tensors), 2)
    return {**tensors, a: tensors[b].clone(), b: tensors[a].clone()}


def reshaped(tensors: Tensors, dice: Random) -> Tensors:
    key = dice.choice(list(tensors))
    old = tensors[key]
    shapes = [
        (), (0,), (1,), (1, 1, 1, 1, 1), (*old.shape, 1), (1, *old.shape), tuple(old.shape[::-1]),
        (old.numel(),), tuple(side + 1 for side in old.shape), tuple(max(side // 2, 1) for side in old.shape),
        (0, *old.shape[1:]), tuple(2 * side for side in old.shape),
    ]  # fmt: skip
    return {**tensors, key: _filled(dice.choice(shapes), old)}


def all_reshaped(tensors: Tensors, dice: Random) -> Tensors:
    """One size is another everywhere, so that many tensors still fit each other."""
    sizes = sorted({side for value in tensors.values() for side in value.shape})
    if not sizes:
        return tensors
    old, new = dice.choice(sizes), dice.choice([0, 1, 2, 7, 33, 65])
    shapes = {key: tuple(new if side == old else side for side in value.shape) for key, value in tensors.items()}
    # One that is large would be so everywhere, and its file with it.
    small = all(math.prod(shape) < 4_000_000 for shape in shapes.values())
    return {key: _filled(shapes[key], value) for key, value in tensors.items()} if small else missing(tensors, dice)


def retyped(tensors: Tensors, dice: Random) -> Tensors:
    keys = dice.choice([list(tensors), [dice.choice(list(tensors))]])
    types = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool,
             torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2)  # fmt: skip
    dtype = dice.choice(types)
    return {key: value.to(dtype) if key in keys else value for key, value in tensors.items()}


def not_finite(tensors: Tensors, dice: Random) -> Tensors:
    key = dice.choice([key for key, value in tensors.items() if value.is_floating_point() and value.numel()])
    value = tensors[key].clone()
    value.view(-1)[dice.randrange(value.numel())] = dice.choice([math.nan, math.inf, -math.inf])
    return {**tensors, key: value}


def huge_values(tensors: Tensors, dice: Random) -> Tensors:
    key = dice.choice([key for key, value in tensors.items() if value.is_floating_point()])
    return {**tensors, key: torch.full_like(tensors[key], dice.choice([1e38, -1e38, 1e-45]))}


def emptied(tensors: Tensors, dice: Random) -> Tensors:
    return dice.choice([{}, {"x": torch.zeros(0)}, {key: value[:0] for key, value in tensors.items() if value.ndim}])


def added(tensors: Tensors, dice: Random) -> Tensors:
    name = dice.choice([*NAMES, dice.choice(list(tensors)) + ".more", "step"])
    return {**tensors, name: torch.ones(dice.choice([(), (3,), (2, 2)]))}


def crowded(tensors: Tensors, dice: Random) -> Tensors:
    """So many more tensors that a list of them is long."""
    prefix = dice.choice(list(tensors)).split(".")[0]
    return {**tensors, **{f"{prefix}.unknown{i}": torch.ones(1) for i in range(2_000)}}


CHANGES: tuple[Callable[[Tensors, Random], Tensors], ...] = (
    missing, renamed, renumbered, swapped, reshaped, all_reshaped, retyped, not_finite, huge_values, emptied, added,
    crowded,
)  # fmt: skip


def changed(tensors: Tensors, dice: Random) -> tuple[Tensors, str]:
    """Changed content, and what was done to it."""
    how = dice.choice(CHANGES)
    return how(tensors, dice), how.__name__


def _filled(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.full(shape, 0.25).to(like.dtype)
