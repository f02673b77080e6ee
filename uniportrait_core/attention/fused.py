"""Where ID attention is computed by the kernel of `fused_kernel.py`.

Where it was measured faster than PyTorch's kernels, and never while torch.compile looks on or where gradients are asked
for. `UNIPORTRAIT_FUSED=0` in the environment turns it off, `UNIPORTRAIT_FUSED=1` on for every GPU.
"""

import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from ..routing.router import Choice

FASTER_ON: frozenset[tuple[int, int]] = frozenset()
"""Compute capabilities of the GPUs on which it was measured faster (`docs/performance.md`)."""
SETTING = "UNIPORTRAIT_FUSED"
INTERPRETER = "TRITON_INTERPRET"  # Triton's own setting: kernels run on the CPU, slowly


def wanted(*tensors: Tensor) -> bool:
    """Whether to use the kernel on such tensors."""
    setting = os.environ.get(SETTING, "")
    if setting == "0" or torch.compiler.is_compiling():
        return False
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return False
    device = tensors[0].device
    if _is_gpu(device):
        return (setting == "1" or _capability(device) in FASTER_ON) and _has_triton()
    return setting == "1" and os.environ.get(INTERPRETER) == "1" and _has_triton()


def _is_gpu(device: torch.device) -> bool:
    return device.type == "cuda"  # AMD's, too


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


@cache
def _has_triton() -> bool:
    """PyTorch brings it along on Linux."""
    return find_spec("triton") is not None


def add_attention(
    hidden: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    indices: Sequence[int],
    choice: Choice | None = None,
    shares: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """A layer's attention output with ID attention added, by the kernel.

    Args:
        hidden: the attention output, (rows, spots, channels), float32, float16 or bfloat16; left as it is.
        query: the layer's queries, of its shape and type.
        key: (any, people, heads, tokens, channels per head), the last dimension contiguous.
        value: likewise, with the same strides.
        indices: which of `key` is for each of the equal parts that the rows consist of, 0 or 1.
        choice: who has which spots; in parts that it is not about, and without shares, the first person has all.
        shares: of each spot for each person, (people, rows, spots), where people have region masks.

    Returns:
        The sum, of the shape of `hidden`, and the winner of each spot of the chosen parts, int64, or None.
    """
    from .fused_kernel import launch  # imports Triton

    return launch(hidden, query, key, value, indices, choice, shares)
