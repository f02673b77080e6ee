"""From the layers of a sampling's UNet calls to whoever wants to know of their routing."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...uniportrait_core.attention.id_attention import COND, Record
from ...uniportrait_core.routing.live_map import Place
from ...uniportrait_core.routing.record import RoutingRecord, shares_of
from ...uniportrait_core.routing.regions import grid_size
from .calls import Part, noted, pictures_with_reference
from .lineage import running_now

KEY = "uniportrait_record"  # in transformer_options: how many pictures are sampled, and who listens

logger = logging.getLogger("uniportrait")

Hear = Callable[[Tensor, slice, Place], None]
"""Told what a layer decided, as for `Record`, which of its rows are pictures, and where they are."""


class Drawing(Protocol):
    """What draws people in a model: a tap.

    Attributes:
        people: how many.
        alone: whether there is one person, to whom the whole picture belongs without being routed.
    """

    people: int
    alone: bool


class Listener(Protocol):
    """Who wants to know of the routing."""

    def listen(self, drawing: Drawing, options: Mapping[str, Any]) -> Hear | None:
        """What the layers of `drawing` tell in a UNet call with these transformer_options; None for nothing."""

    def leave_out(self) -> None:
        """There was a UNet call whose place in the pictures is not known."""


def listening(model_options: Mapping[str, Any] | None, x: Tensor, listener: Listener) -> dict[str, Any]:
    """A step's `model_options` with one more listener to its UNet calls; x are the latents that are sampled."""
    options = (model_options or {}).get("transformer_options", {})
    _, others = options.get(KEY, (0, ()))
    return noted(model_options, KEY, (len(x), (*others, listener)))


def add_record(model: ModelPatcher, record: RoutingRecord) -> None:
    """Let each sampling of `model`, which the caller has cloned, fill `record`, by `lineage.running_now`.

    An earlier record of the model stays as it is.
    """
    listener = _Recording(record)

    def sample(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        sampling = running_now()
        record.begin(sampling)
        try:
            samples = executor(*args, **kwargs)
        except BaseException:
            record.forget(sampling)  # there will be no picture of it
            raise
        record.finish()
        return samples

    def predict(executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        return executor(x, timestep, listening(model_options, x, listener), seed)

    for kind, wrapper in ((WrappersMP.OUTER_SAMPLE, sample), (WrappersMP.PREDICT_NOISE, predict)):
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)


@dataclass(frozen=True)
class _Recording:
    """Fills a record."""

    record: RoutingRecord

    def listen(self, drawing: Drawing, options: Mapping[str, Any]) -> Hear:
        sigma = float(options["sigmas"].max())

        def hear(decision: Tensor, pictures: slice, place: Place) -> None:
            shares = shares_of(decision[..., pictures, :], drawing.people)
            self.record.add(sigma, shares, place.grid, place.latent, place.window)

        return hear

    def leave_out(self) -> None:
        if not self.record.incomplete:
            logger.warning(
                "Record Routing: the sampler draws only some of the pictures at a time, or a tile of them, and does "
                "not say which. This is left out of the record."
            )
        self.record.incomplete = True


def recorder_of(options: Mapping[str, Any], parts: Sequence[Part], x: Tensor, drawing: Drawing) -> Record | None:
    """What the layers of a UNet call tell their routing to; None, at no cost, where nobody wants to know.

    Args:
        options: the call's transformer_options.
        parts: of the call.
        x: its latents.
        drawing: whose layers they are.
    """
    if KEY not in options:
        return None
    wanted, listeners = options[KEY]
    pictures, grid_of = len(x) // len(parts), tuple(x.shape[-2:])
    tiled = any(part.size not in (None, grid_of) for part in parts)
    if pictures != wanted or tiled or options.get("context_window") is not None:
        for listener in listeners:
            listener.leave_out()
        return None
    hears = [hear for listener in listeners if (hear := listener.listen(drawing, options))]
    if not hears:
        return None
    first_picture = 0 if pictures_with_reference(options, len(x)) is None else 1  # nobody is drawn in a reference

    @torch.compiler.disable
    def tell(decision: Tensor, first: int) -> None:
        for row in range(0, decision.shape[-2], pictures):
            part = parts[(first + row) // pictures]
            height, width = part.size or grid_of
            top, left, bottom, right = part.window
            latent = round(height / (bottom - top)), round(width / (right - left))
            place = Place(grid_size(decision.shape[-1], *grid_of), latent, part.window)
            for hear in hears:
                hear(decision, slice(row + first_picture, row + pictures), place)

    if drawing.alone:
        for number, part in enumerate(parts):
            if part.kind == COND:
                tell(torch.ones(1, pictures, 1), number * pictures)
    return tell
