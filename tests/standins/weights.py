"""Pseudo-random weights: every tensor from its own name, so that any machine draws the same file."""

import os
import re
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import torch

Shapes = Mapping[str, tuple[int, ...]]
Gains = Mapping[str, float]
State = dict[str, torch.Tensor]

PRELU_SLOPE = re.compile(r"res_layer\.3\.weight$|input_layer\.2\.weight$")


def draw(tag: str, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The weight called `key` of the model called `tag`, float32.

    Matrices and convolutions have the standard deviation fan_in^-0.5, so that a layer passes on the variance that it
    is given; norms are near 1, biases near 0, the slopes of PReLU near 0.25, running variances above 1.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(f"{tag}:{key}".encode()))
    normal = torch.randn(shape, generator=generator)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_var":
        return 1 + 0.1 * normal.abs()
    if leaf == "running_mean":
        return 0.1 * normal
    if leaf == "latents":  # learned queries, (1, tokens, dim)
        return normal * shape[-1] ** -0.5
    if len(shape) >= 2:
        return normal * normal[0].numel() ** -0.5
    if PRELU_SLOPE.search(key):
        return 0.25 + 0.02 * normal
    return 1 + 0.1 * normal if leaf == "weight" else 0.02 * normal


def draw_all(tag: str, shapes: Shapes, gains: Gains | None = None, dtype: torch.dtype = torch.float16) -> State:
    """A whole model, several tensors at a time.

    Args:
        tag: name of the model, part of every tensor's seed.
        shapes: key → shape.
        gains: regular expression → factor; the first expression found in a key counts.
        dtype: what the floating-point tensors are stored as.

    Returns:
        key → tensor, in the order of `shapes`.
    """

    def one(item: tuple[str, tuple[int, ...]]) -> torch.Tensor:
        key, shape = item
        weight = draw(tag, key, shape)
        gain = next((factor for pattern, factor in (gains or {}).items() if re.search(pattern, key)), 1.0)
        return weight.mul_(gain).to(dtype) if weight.is_floating_point() else weight

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(shapes, pool.map(one, shapes.items()), strict=True))
