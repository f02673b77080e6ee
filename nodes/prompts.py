"""Whose prompt each part of a UNet call is, and which part of the picture it draws.

The host batches prompts and numbers them (`cond_or_uncond`), but what a number means depends on who calls: for
self-attention guidance 0 is the negative prompt, for a guider of three prompts 0, 1 and 2 may be anything. Each part
also carries the uuid of its prompt, and the guider knows every prompt by name. So a `PREDICT_NOISE` wrapper notes what
is known of the prompts, and the UNet call looks it up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from ..uniportrait_core.attention import COND, UNCOND
from ..uniportrait_core.regions import WHOLE, Window

KEY = "uniportrait_prompts"  # in transformer_options


@dataclass(frozen=True)
class Part:
    """One of the equal parts that the rows of a call consist of.

    Attributes:
        kind: COND or UNCOND.
        size: height and width in the latent that are expected; None where it is not known.
        window: where in the picture it is.
    """

    kind: int
    size: tuple[int, int] | None = None
    window: Window = WHOLE


def note_prompts(executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
    """A `PREDICT_NOISE` wrapper: tell the UNet calls of a step what the guider knows of its prompts."""
    known: dict[object, dict[int, Part]] = {}
    for name, prompts in executor.class_obj.conds.items():
        kind = UNCOND if "neg" in name else COND
        for prompt in prompts or ():
            known.setdefault(prompt["uuid"], {})[kind] = Part(kind, *_place(prompt.get("area"), x.shape[-2:]))
    options = model_options or {}
    noted = {**options, "transformer_options": {**options.get("transformer_options", {}), KEY: known}}
    return executor(x, timestep, noted, seed)


def parts_of(options: Mapping[str, Any]) -> list[Part]:
    """The parts of a UNet call, by its `transformer_options`.

    The number counts for prompts that the guider does not know, which some packs make, and where a positive and a
    negative prompt have one uuid, as the host gives them when it copies an area to the other side.
    """
    parts = []
    numbers = options.get("cond_or_uncond", [0])
    uuids = options.get("uuids") or [None] * len(numbers)
    for number, uuid in zip(numbers, uuids, strict=False):
        kind = COND if number == 0 else UNCOND
        candidates = options.get(KEY, {}).get(uuid, {kind: Part(kind)})
        parts.append(candidates.get(kind) or next(iter(candidates.values())))
    return parts


def _place(area: Sequence[int] | None, latent: torch.Size) -> tuple[tuple[int, int], Window]:
    """Size and window of what an area of the host, height and width, then top and left, covers of the latent."""
    height, width = latent
    if area is None:
        return (height, width), WHOLE
    (tall, wide), (top, left) = area[:2], area[len(area) // 2 :][:2]
    tall, wide = min(tall, height - top), min(wide, width - left)
    return (tall, wide), (top / height, left / width, (top + tall) / height, (left + wide) / width)
