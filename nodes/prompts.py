"""Whose prompt each part of a UNet call is, and which part of the picture it draws.

The host batches prompts and numbers them (`cond_or_uncond`), but what a number means depends on who calls: for
self-attention guidance 0 is the negative prompt, for a guider of three prompts 0, 1 and 2 may be anything. Each part
also carries the uuid of its prompt, and the guider knows every prompt by name. So a `PREDICT_NOISE` wrapper notes what
is known of the prompts, and the UNet call looks it up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import torch
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from ..uniportrait_core.attention import COND, UNCOND
from ..uniportrait_core.regions import WHOLE, Window

KEY = "uniportrait_prompts"  # in transformer_options
NEGATIVE = ("neg", "uncond", "empty")  # parts of the names that guiders give prompts of no wish


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
    known: dict[object, Part] = {}
    for name, prompts in getattr(executor.class_obj, "conds", {}).items():
        kind = UNCOND if any(word in name for word in NEGATIVE) else COND
        for prompt in prompts or ():
            if prompt["uuid"] in known:  # the host copies prompts of an area to the other side, uuid and all
                prompt["uuid"] = uuid4()
            known[prompt["uuid"]] = Part(kind, *_place(prompt.get("area"), x.shape[-2:]))
    options = model_options or {}
    noted = {**options, "transformer_options": {**options.get("transformer_options", {}), KEY: known}}
    return executor(x, timestep, noted, seed)


def parts_of(options: Mapping[str, Any]) -> list[Part]:
    """The parts of a UNet call, by its `transformer_options`.

    The number counts for prompts that the guider does not know, which some packs make.
    """
    numbers = options.get("cond_or_uncond", [0])
    uuids, known = options.get("uuids", ()), options.get(KEY, {})
    if len(uuids) != len(numbers):  # a pack that makes calls of its own
        uuids = [None] * len(numbers)
    return [
        known.get(uuid) or Part(COND if number == 0 else UNCOND) for number, uuid in zip(numbers, uuids, strict=True)
    ]


def _place(area: Sequence[int] | None, latent: torch.Size) -> tuple[tuple[int, int], Window]:
    """Size and window of what an area of the host, height and width, then top and left, covers of the latent."""
    height, width = latent
    if area is None:
        return (height, width), WHOLE
    (tall, wide), (top, left) = area[:2], area[len(area) // 2 :][:2]
    tall, wide = min(tall, height - top), min(wide, width - left)
    return (tall, wide), (top / height, left / width, (top + tall) / height, (left + wide) / width)
