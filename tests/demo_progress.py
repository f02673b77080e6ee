"""How far the demo is, and about how long it still takes.

Almost all of the time is sampling, so nothing else is counted. Work is measured in steps times pixels: what a step
takes grows about as the picture does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from comfy_client import Event
from provision import show_status
from workflow_prompts import Prompt, of_class

ENOUGH = 2  # steps that tell the pace of a sampler, after its first one, which may load the model, too


@dataclass(frozen=True)
class Left:
    """Seconds that are still to come.

    Attributes:
        sampler: in the sampler that runs, 0 if none does.
        workflow: in the workflow that runs, `sampler` included.
        demo: in all, `workflow` included.
    """

    sampler: float
    workflow: float
    demo: float


def sampling_work(prompt: Prompt) -> dict[str, int]:
    """Steps times pixels of each sampler of a prompt, by node id."""
    work = {}
    for node in of_class(prompt, "KSampler"):
        inputs = prompt[node]["inputs"]
        latent = prompt[inputs["latent_image"][0]]["inputs"]
        work[node] = inputs["steps"] * latent["width"] * latent["height"] * latent["batch_size"]
    return work


def measure_pace(steps: int, duration: float, pixels: float) -> float | None:
    """Seconds per step and pixel, or None while too few steps are done to tell.

    Args:
        steps: of one sampler, without its first.
        duration: seconds that they took.
        pixels: that each of them works on.
    """
    return duration / (steps * pixels) if steps >= ENOUGH else None


def estimate(pace: float, sampler: float, workflow: float, later: float) -> Left:
    """How long it still takes.

    Args:
        pace: seconds per step and pixel.
        sampler: steps times pixels that the sampler that runs has before it.
        workflow: those of the workflow's samplers that have not begun.
        later: those of the workflows that have not begun.
    """
    return Left(pace * sampler, pace * (sampler + workflow), pace * (sampler + workflow + later))


def about(duration: float) -> str:
    """So many seconds in words, as exact as an estimate may be."""
    return f"{max(round(duration), 1)} s" if duration < 99.5 else f"{duration / 60:.0f} min"


def describe(number: int, count: int, left: Left | None) -> str:
    """Which workflow of how many runs, and what is left where that is known."""
    workflow = f"workflow {number} of {count}"
    if left is None or not left.demo:
        return workflow
    parts = [
        f"{about(left.sampler)} left" if left.sampler else "",
        f"{workflow}: {about(left.workflow)}{'' if left.sampler else ' left'}" if left.workflow else workflow,
        f"all: {about(left.demo)}{'' if left.workflow else ' left'}" if left.demo > left.workflow else "",
    ]
    return ", ".join(part for part in parts if part)


def seconds(start: float) -> str:
    """The time since `start`, of the clock `monotonic`."""
    return f"{monotonic() - start:.1f} s"


class Progress:
    """One line per node that is done: its title, its steps, its seconds. What is left is said in a terminal's last line
    all the time, and in a log file once per sampler."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._titles = [{node: entry["_meta"]["title"] for node, entry in prompt.items()} for prompt in prompts]
        self._number = 0  # of the workflow that runs, from 1
        # Steps times pixels of the samplers that are not done, by workflow and node.
        self._work = {
            (number, node): work
            for number, prompt in enumerate(prompts, start=1)
            for node, work in sampling_work(prompt).items()
        }
        self._pace: float | None = None  # of the sampler that was measured last
        self._begin_node(None)

    def begin(self, title: str) -> None:
        """Say that the next workflow begins."""
        self._number += 1
        print(f"\nWorkflow {self._number} of {len(self._titles)}: {title}", flush=True)

    def update(self, event: Event) -> None:
        """Show what an event of the server says."""
        if event.kind == "executing":
            self.end()
            self._begin_node(event.node)
        elif event.kind == "progress":
            self._step(event.value, event.maximum)
        if self._node:
            parts = (self._title, self._steps, seconds(self._start), self._describe())
            show_status("  " + "  ".join(part for part in parts if part))

    def end(self) -> None:
        """Finish the line of the node that ran."""
        if self._node:
            show_status("")
            print(f"  {self._title:32} {self._steps:12} {seconds(self._start):>8}", flush=True)
        self._work.pop((self._number, self._node), None)
        self._node = None

    def _begin_node(self, node: str | None) -> None:
        self._node, self._start = node, monotonic()
        self._done, self._maximum = 0, 0  # steps
        self._first: tuple[int, float] | None = None  # the first step that was heard of, and when it was done

    def _step(self, done: int, maximum: int) -> None:
        now = monotonic()
        self._done, self._maximum = done, maximum
        if self._first is None and done:
            self._first = done, now
        work = self._work.get((self._number, self._node))
        if work is None or self._first is None:
            return
        first, since = self._first
        self._pace = measure_pace(done - first, now - since, work / maximum) or self._pace
        if done - first == ENOUGH and not sys.stdout.isatty():
            print(f"  about {self._describe()}", flush=True)

    def _describe(self) -> str:
        left = None
        if self._pace is not None:
            running = self._work.get((self._number, self._node), 0)
            workflow = sum(work for (number, _), work in self._work.items() if number == self._number)
            later = sum(work for (number, _), work in self._work.items() if number > self._number)
            sampler = running * (1 - self._done / max(self._maximum, 1))
            left = estimate(self._pace, sampler, workflow - running, later)
        return describe(self._number, len(self._titles), left)

    @property
    def _title(self) -> str:
        return self._titles[self._number - 1].get(self._node, self._node)

    @property
    def _steps(self) -> str:
        return f"step {self._done}/{self._maximum}" if self._maximum else ""
