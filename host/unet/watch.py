"""From the layers of a sampling's UNet calls to a record of their routing."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...uniportrait_core.attention.id_attention import COND, Record
from ...uniportrait_core.routing.record import RoutingRecord
from ...uniportrait_core.routing.regions import grid_size
from .calls import Part, noted, pictures_with_reference

KEY = "uniportrait_record"  # in transformer_options: the record, and how many pictures are sampled

logger = logging.getLogger("uniportrait")


def add_record(model: ModelPatcher, record: RoutingRecord) -> None:
    """Let each sampling of `model`, which the caller has cloned, fill `record`; an earlier one stays as it is."""

    def sample(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        record.clear()
        try:
            return executor(*args, **kwargs)
        finally:
            record.finish()

    def predict(executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        return executor(x, timestep, noted(model_options, KEY, (record, len(x))), seed)

    for kind, wrapper in ((WrappersMP.OUTER_SAMPLE, sample), (WrappersMP.PREDICT_NOISE, predict)):
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)


def recorder_of(options: Mapping[str, Any], parts: Sequence[Part], x: Tensor, alone: bool) -> Record | None:
    """What the layers of a UNet call tell their routing to; None, at no cost, where nobody wants to know.

    Args:
        options: the call's transformer_options.
        parts: of the call.
        x: its latents.
        alone: whether there is one person, to whom the whole picture belongs without being routed.
    """
    if KEY not in options:
        return None
    record, wanted = options[KEY]
    pictures, grid_of = len(x) // len(parts), tuple(x.shape[-2:])
    tiled = any(part.size not in (None, grid_of) for part in parts)
    if pictures != wanted or tiled or options.get("context_window") is not None:
        if not record.incomplete:
            logger.warning(
                "Record Routing: the sampler draws only some of the pictures at a time, or a tile of them, and does "
                "not say which. This is left out of the record."
            )
        record.incomplete = True
        return None
    sigma = float(options["sigmas"].max())
    first_picture = 0 if pictures_with_reference(options, len(x)) is None else 1  # nobody is drawn in a reference

    @torch.compiler.disable
    def tell(shares: Tensor, first: int) -> None:
        for row in range(0, shares.shape[1], pictures):
            part = parts[(first + row) // pictures]
            height, width = part.size or grid_of
            top, left, bottom, right = part.window
            latent = round(height / (bottom - top)), round(width / (right - left))
            size = grid_size(shares.shape[2], *grid_of)
            record.add(sigma, shares[:, row + first_picture : row + pictures], size, latent, part.window)

    if alone:
        for number, part in enumerate(parts):
            if part.kind == COND:
                tell(torch.ones(1, pictures, 1), number * pictures)
    return tell
