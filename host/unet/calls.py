"""What a UNet call draws: whose prompt each part of it is, where in the picture, and whether a reference goes first.

All of it stands in the call's `transformer_options`. The host batches prompts and numbers them (`cond_or_uncond`), but
what a number means depends on who calls: for self-attention guidance 0 is the negative prompt, for a guider of three
prompts 0, 1 and 2 may be anything. Each part also carries the uuid of its prompt, and the guider knows every prompt by
name. So a `PREDICT_NOISE` wrapper notes what is known of the prompts, and the UNet call looks it up.

Between the two a pack may cut pictures into tiles and batch these in an order of its own (`model_function_wrapper`).
Conditions that are pictures it cuts and batches like the latent, in proportion to their size. So there is one such
condition of ours, which says of each spot whose it is and where. It is twice as large as the latent, as a well-known
pack for tiles fails with conditions of the same size; what cuts it in another way is noticed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import torch
from comfy.conds import CONDNoiseShape
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...uniportrait_core.attention.id_attention import COND, UNCOND
from ...uniportrait_core.routing.regions import WHOLE, Window

SCALE = 2  # of the condition of ours, to the latent
PROMPTS = "uniportrait_prompts"  # what is known of each prompt, by its uuid
PLACES = "uniportrait_places"  # the condition that says whose each spot is; in transformer_options a `Part` of each row
REFERENCE = "uniportrait_reference"  # how many pictures are sampled, the first of them a reference
PAST_THE_CALL = (
    "a node runs the U-Net's blocks by itself, past ComfyUI's own call of it, as DeepCache does. Take that node away."
)
Sigmas = tuple[float, float]
"""Noise levels, the highest and the lowest, between which something works."""
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


def within(sigmas: Sigmas | None, sigma: Tensor | None) -> bool:
    """Whether a noise level lies between two; where one is not known, it does."""
    if sigmas is None or sigma is None:
        return True
    highest, lowest = sigmas
    return lowest <= float(sigma.max()) <= highest


def noted(model_options: Mapping[str, Any] | None, key: str, value: object) -> dict[str, Any]:
    """A step's `model_options` with a note to the UNet calls of that step, in their `transformer_options`."""
    options = model_options or {}
    return {**options, "transformer_options": {**options.get("transformer_options", {}), key: value}}


def add_notes(model: ModelPatcher) -> None:
    """Let `model`, which the caller has cloned, note what `parts_of` looks up."""
    if not model.get_wrappers(WrappersMP.PREDICT_NOISE, PROMPTS):  # the same for all who look it up
        model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, PROMPTS, _note_prompts)


def _note_prompts(executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
    """A `PREDICT_NOISE` wrapper: tell the UNet calls of a step what the guider knows of its prompts."""
    known: dict[object, Part] = {}
    for name, prompts in getattr(executor.class_obj, "conds", {}).items():
        kind = UNCOND if any(word in name for word in NEGATIVE) else COND
        for prompt in prompts or ():
            if prompt["uuid"] in known:  # the host copies prompts of an area to the other side, uuid and all
                prompt["uuid"] = uuid4()
            known[prompt["uuid"]] = Part(kind, *_place(prompt.get("area"), x.shape[-2:]))
            if "model_function_wrapper" in (model_options or {}):
                prompt["model_conds"] = {**prompt.get("model_conds", {}), PLACES: _Places(_places(kind, x))}
    return executor(x, timestep, noted(model_options, PROMPTS, known), seed)


def parts_of(options: Mapping[str, Any]) -> list[Part]:
    """The parts of a UNet call, by its `transformer_options`: of rows that a pack has put in order each one alone.

    The number counts for prompts that the guider does not know, which some packs make.
    """
    if PLACES in options:
        return options[PLACES]
    numbers = options["cond_or_uncond"]
    uuids, known = options.get("uuids", ()), options.get(PROMPTS, {})
    if len(uuids) != len(numbers):  # a pack that makes calls of its own
        uuids = [None] * len(numbers)
    return [
        known.get(uuid) or Part(COND if number == 0 else UNCOND) for number, uuid in zip(numbers, uuids, strict=True)
    ]


def has_parts(options: Mapping[str, Any], rows: int) -> bool:
    """Whether the options of a UNet call say whose its rows are, which packs with calls of their own may leave out."""
    numbers = options.get("cond_or_uncond")
    return PLACES in options or bool(numbers and rows % len(numbers) == 0)


def pictures_with_reference(options: Mapping[str, Any], rows: int) -> int | None:
    """How many pictures each part of a UNet call has, the first of them a reference for the others to look at.

    Args:
        options: the call's transformer_options.
        rows: of the call.

    Returns:
        None where there is no reference, or where a call has some of the pictures only.
    """
    pictures = options.get(REFERENCE)
    return pictures if pictures and rows == pictures * len(options.get("cond_or_uncond") or ()) else None


def placed(options: dict[str, Any], conditions: dict[str, Any], x: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """A UNet call's options, with a part for each row where a pack has made tiles, and its conditions without ours."""
    if PLACES not in conditions:
        return options, conditions
    others = {key: value for key, value in conditions.items() if key != PLACES}
    places, size = conditions[PLACES], tuple(x.shape[-2:])
    if len(places) != len(x) or tuple(places.shape[-2:]) != tuple(SCALE * side for side in size):
        return options, others  # a pack that makes tiles of nothing but the latent
    parts = []
    for first, last in zip(places[..., 0, 0].tolist(), places[..., -1, -1].tolist(), strict=True):
        kind, top, left, height, width = first
        if kind not in (COND, UNCOND):
            return options, others
        if (last[1] - top + 1, last[2] - left + 1) == tuple(places.shape[-2:]):
            top, left = top // SCALE, left // SCALE  # packs round places down
            window = top / height, left / width, (top + size[0]) / height, (left + size[1]) / width
            parts.append(Part(int(kind), size, window))
        else:  # beyond the picture's edge and in again on its other side, or resized
            parts.append(Part(int(kind), (int(height), int(width))))
    usual = parts_of(options) if options.get("cond_or_uncond") else [None]
    if parts == [part for part in usual for _ in range(len(x) // len(usual))]:
        return options, others
    return {**options, PLACES: parts}, others


class _Places(CONDNoiseShape):
    """The condition that says whose each spot is."""

    def process_cond(self, batch_size: int, area: Sequence[int] | None, **kwargs: Any) -> "_Places":
        scaled = None if area is None else [SCALE * side for side in area]
        return super().process_cond(batch_size, area=scaled, **kwargs)


def _places(kind: int, x: Tensor) -> Tensor:
    """Of each spot of the latents x its kind, top and left, and the picture's height and width, on the CPU.

    Returns:
        (1, 5, SCALE · height, SCALE · width); top and left count in that size, height and width in the latent's.
    """
    height, width = x.shape[-2:]
    top, left = torch.meshgrid(torch.arange(SCALE * height), torch.arange(SCALE * width), indexing="ij")
    same = torch.ones_like(top)
    return torch.stack((kind * same, top, left, height * same, width * same))[None].float()


def _place(area: Sequence[int] | None, latent: torch.Size) -> tuple[tuple[int, int], Window]:
    """Size and window of what an area of the host, height and width, then top and left, covers of the latent."""
    height, width = latent
    if area is None:
        return (height, width), WHOLE
    (tall, wide), (top, left) = area[:2], area[len(area) // 2 :][:2]
    tall, wide = min(tall, height - top), min(wide, width - left)
    return (tall, wide), (top / height, left / width, (top + tall) / height, (left + wide) / width)
