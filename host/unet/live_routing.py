"""Showing who is where while a sampler works: one small map per step, to somebody who looks.

Where nobody looks, no layer tells anything and nothing is computed. Where somebody does, a step's decisions are put
together after its UNet calls, and nobody waits for the copy to the CPU: it is picked up when it is there. What goes
wrong in here ends the showing and not the sampling.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor

from ...uniportrait_core.results.routing_report import likely_missing
from ...uniportrait_core.routing.live_map import Decision, Place, live_map
from .watch import Drawing, Hear, listening

KEY = "uniportrait_live"
PAUSE = 0.1  # seconds between two maps, at least
SIGMAS, CALLBACK = 3, 5  # places among the arguments of the host's outer_sample

logger = logging.getLogger("uniportrait")


@dataclass(frozen=True)
class Step:
    """Who is where after one step.

    Attributes:
        number: of the step, from 1; None where the sampler does not tell.
        count: how many steps there will be, likewise.
        map: of each spot what everybody has, (people, height, width), uint8, 0..255.
        shares: of the picture, 0..1, of every person.
        missing: people, numbered from 0, who have so little in the steps so far that they will not be seen.
    """

    number: int | None
    count: int | None
    map: np.ndarray
    shares: tuple[float, ...]
    missing: tuple[int, ...]


class Viewer(Protocol):
    """Somebody who looks on."""

    def looks(self) -> bool:
        """Whether they still do."""

    def begin(self, faces: Sequence[Tensor | None]) -> None:
        """A sampling begins; of every person a picture of the face, (height, width, 3), uint8, or None."""

    def show(self, step: Step) -> None:
        """A step is done."""


class LiveRouting:
    """Shows the routing of each sampling of a model, of one tap or of all, at one node.

    It is the `OUTER_SAMPLE` wrapper, and listens to the layers.
    """

    def __init__(
        self,
        faces: Sequence[Tensor | None],
        find_viewer: Callable[[], Viewer | None],
        drawing: Drawing | None = None,
    ):
        """
        Args:
            faces: of every person, as for `Viewer.begin`.
            find_viewer: asked at the beginning of a sampling; None where nobody looks.
            drawing: the tap whose layers count; None for all taps of the model.
        """
        self.faces = faces
        self.find_viewer = find_viewer
        self.drawing = drawing
        self.showing: _Showing | None = None  # for the time of a sampling that somebody looks at

    def __call__(self, executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Tensor:
        viewer = self._viewer()
        if viewer is None:
            return executor(*args, **kwargs)
        former, self.showing = self.showing, _Showing(viewer, self.faces)
        try:
            return executor(*self.showing.following(args), **kwargs)
        finally:
            self.showing.end()
            self.showing = former

    def predict(self, executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        """A `PREDICT_NOISE` wrapper: one step."""
        showing = self.showing
        if showing is None or not showing.begin_step():
            return executor(x, timestep, model_options, seed)
        denoised = executor(x, timestep, listening(model_options, x, self), seed)
        showing.end_step()
        return denoised

    def listen(self, drawing: Drawing, _options: Mapping[str, Any]) -> Hear | None:
        counts = self.drawing in (None, drawing) and not drawing.alone
        return self.showing.hear if self.showing and counts else None

    def leave_out(self) -> None:
        """Nothing is shown of such a call."""

    def _viewer(self) -> Viewer | None:
        try:
            return self.find_viewer()
        except Exception as error:
            _say_that_it_is_off(error)
            return None


class _Showing:
    """What one sampling shows to a viewer. None of its methods raises anything."""

    def __init__(self, viewer: Viewer, faces: Sequence[Tensor | None]):
        self.viewer = viewer
        self.people = len(faces)
        self.number: int | None = None  # of the step that is being made
        self.count: int | None = None  # of all steps
        self.decisions: list[Decision] = []
        self.decided: int | None = None  # the step that they are of
        self.copy: _Copy | None = None  # on its way to the CPU
        self.computed = -PAUSE  # when the last map was
        self.past: list[tuple[float, ...]] = []  # everybody's shares in the steps that were shown
        self.off = False
        self._try(lambda: viewer.begin(faces))

    def following(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of outer_sample, with a callback that also counts steps; as they are where there is none."""
        callback = args[CALLBACK] if len(args) > CALLBACK else None
        count = callback and self._try(lambda: len(args[SIGMAS]) - 1)
        if not count:
            return args
        self.number, self.count = 1, count

        def counted(*given: Any, **named: Any) -> Any:
            self.number += 1
            return callback(*given, **named)

        return (*args[:CALLBACK], counted, *args[CALLBACK + 1 :])

    def begin_step(self) -> bool:
        """Whether the layers are to tell what they decide in this step."""
        self._try(self._deliver)
        self.decisions, self.decided = [], self.number
        return bool(self._try(self.viewer.looks))

    def hear(self, rows: Tensor, pictures: slice, place: Place) -> None:
        """What a layer decided; the first picture is shown."""
        if pictures.start < pictures.stop:
            self.decisions.append(Decision(rows, pictures.start, place))

    def end_step(self) -> None:
        self._try(lambda: self._compute(time.monotonic()))

    def end(self) -> None:
        """The sampling is over, and its last step has to be shown."""
        self._try(lambda: self._deliver(wait=True))
        if self._try(self.viewer.looks):
            self._try(lambda: self._compute(float("inf")))
            self._try(lambda: self._deliver(wait=True))
        self.decisions, self.copy = [], None

    def _compute(self, now: float) -> None:
        """Start the map of the decisions on its way; right after another they wait, for the next step or the end."""
        self._deliver()
        if self.decisions and now - self.computed >= PAUSE and self.copy is None:
            self.copy = _Copy(live_map(self.decisions, self.people), self.decided, self.count)
            self.decisions, self.computed = [], now
            self._deliver()

    def _deliver(self, wait: bool = False) -> None:
        """Show the map that is on its way, if it is there."""
        if self.copy is None or not (wait or self.copy.is_there()):
            return
        copy, self.copy = self.copy, None
        shown = copy.get()
        shares = tuple((shown.mean(axis=(1, 2)) / 255).tolist())
        self.past.append(shares)
        self.viewer.show(Step(copy.number, copy.count, shown, shares, likely_missing(self.past)))

    def _try(self, work: Callable[[], Any]) -> Any:
        """What `work` gives; None where it fails, or anything has failed before."""
        if self.off:
            return None
        try:
            return work()
        except Exception as error:
            self.off, self.decisions, self.copy = True, [], None
            _say_that_it_is_off(error)
            return None


class _Copy:
    """A map on its way to the CPU."""

    def __init__(self, made: Tensor, number: int | None, count: int | None):
        self.number, self.count = number, count
        if made.is_cuda:
            self.made, self.done = made.to("cpu", non_blocking=True), torch.cuda.Event()
            self.done.record(torch.cuda.current_stream(made.device))
        else:
            self.made, self.done = made.cpu(), None

    def is_there(self) -> bool:
        return self.done is None or self.done.query()

    def get(self) -> np.ndarray:
        """Waits, if it has to."""
        if self.done is not None:
            self.done.synchronize()
        return self.made.numpy()


def _say_that_it_is_off(error: Exception) -> None:
    logger.warning("Who is where is not shown while this sampling lasts: %s: %s", type(error).__name__, error)


def add_live_routing(model: ModelPatcher, live: LiveRouting) -> None:
    """Let samplings of `model`, which the caller has cloned, be shown."""
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, live)
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, live.predict)


def move_live_routing(model: ModelPatcher, find_viewer: Callable[[], Viewer | None]) -> None:
    """Let all taps of `model`, which the caller has cloned, be shown as one, at another node."""
    former: list[LiveRouting] = model.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY)
    for kind in (WrappersMP.OUTER_SAMPLE, WrappersMP.PREDICT_NOISE):
        model.remove_wrappers_with_key(kind, KEY)
    if former:
        add_live_routing(model, LiveRouting(former[0].faces, find_viewer))
