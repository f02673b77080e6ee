"""Random numbers that follow from seeds alone: of many seeds at once, on any device.

SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): the n-th number of a seed is
a hash of both. So those of a batch are made together, where they are needed, and a picture's are the same in any batch.
"""

import math

import torch
from torch import Tensor

GAMMA, FIRST, SECOND = (
    number - 2**64 for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # as int64 holds them
SEED_BITS = 32
FINE = 23  # bits of a number between 0 and 1; with the half between them float32 still holds the highest exactly


def uniform(seeds: Tensor, stream: int, *shape: int) -> Tensor:
    """Numbers between 0 and 1, neither included, (seeds, *shape), float32.

    Where a shape is longer, its first numbers are those of the shorter one.

    Args:
        seeds: below 2^32, (seeds,), int64.
        stream: below 2^31; each has numbers of its own.
    """
    found = numbers(seeds + (stream << SEED_BITS), math.prod(shape))
    return _shifted(found, 64 - FINE).float().add_(0.5).div_(2**FINE).unflatten(1, shape)


def normal(seeds: Tensor, stream: int, *shape: int) -> Tensor:
    """Numbers of mean 0 and deviation 1, by Box and Muller, (seeds, *shape), float32; `seeds`, `stream` as above."""
    count = math.prod(shape)
    length, angle = uniform(seeds, stream, 2, (count + 1) // 2).unbind(1)
    length, angle = (-2 * length.log()).sqrt(), 2 * math.pi * angle
    return torch.cat((length * angle.cos(), length * angle.sin()), dim=1)[:, :count].unflatten(1, shape)


def numbers(keys: Tensor, count: int) -> Tensor:
    """The first numbers of SplitMix64 from hashed keys, (keys, count), 64 bits each, as int64."""
    places = torch.arange(1, count + 1, device=keys.device)
    return _mixed(_mixed(keys + GAMMA)[:, None] + GAMMA * places)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * FIRST
    z = (z ^ _shifted(z, 27)) * SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """To the right, with zeros from the left."""
    return (z >> by) & ((1 << (64 - by)) - 1)
