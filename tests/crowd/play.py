"""Plays a schedule on a server, and keeps what came of it."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfy_client import ComfyClient, ServerError

from .graphs import SAVED, Order, graph, node
from .outcome import BEGIN, ERROR, INTERRUPTED, STEP, SUCCESS, Outcome
from .schedule import CALM, DELETE, FREE, INTERRUPT, QUEUE, UNLOAD, WAIT, Action
from .visitors import Visitor, queue_of

MOST_WAITING = 5  # prompts
PATIENCE = 600  # seconds without an end of any prompt
DEAD = "(prompt_worker)"  # in the server's log where the thread that runs prompts has ended
LATE = 30  # seconds that a message may take
ENDS = {"execution_success": SUCCESS, "execution_error": ERROR, "execution_interrupted": INTERRUPTED}
OURS = (*ENDS, "executed", BEGIN, STEP)  # messages that are for one client alone
FACES = "uniportrait_faces"  # folder of saved people, in the output

logger = logging.getLogger("crowd")


@dataclass
class Queued:
    """A prompt, and all that is known of it."""

    order: Order
    who: int
    prompt_id: str
    disturbed: bool = False  # it ran when somebody pressed the button to interrupt, or was taken out of the queue
    found: Outcome | None = None  # None where it never ran


@dataclass
class Play:
    """What happened.

    Attributes:
        queued: all prompts.
        problems: what was wrong without comparing anything with what it is alone.
        left: in memory, by calm: before and after everything was freed.
    """

    queued: list[Queued] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def orders(self) -> set[Order]:
        """What has to be run alone, to compare."""
        return {one.order.alone for one in self.queued if one.found}

    def counts(self) -> Counter[str]:
        """How many prompts ended in which way, by kind and in all."""
        ends = [(one.order.kind, "never ran" if one.found is None else one.found.ended) for one in self.queued]
        return Counter([f"{kind} {ended}" for kind, ended in ends] + [f"all {ended}" for _, ended in ends])


def play(
    server: ComfyClient, people: Sequence[Visitor], actions: Iterable[Action], goes_on: Callable[[], bool]
) -> Play:
    """Do what a schedule says while `goes_on`, and come to a calm."""
    stage = _Stage(server, people)
    stage.calm()  # what is there before anything has happened
    for action in actions:
        if not goes_on():
            break
        stage.do(action)
    stage.calm()
    return stage.play


class _Stage:
    """A server and who is at it."""

    def __init__(self, server: ComfyClient, people: Sequence[Visitor]) -> None:
        self.server, self.people, self.play = server, people, Play()
        self.told: list[list[tuple[str, dict[str, Any]]]] = [[] for _ in people]
        self.open: list[Queued] = []  # since the last calm
        self.files: set[str] = set()  # of saved people that may be there

    def do(self, action: Action) -> None:
        running, waiting = queue_of(self.server)
        if action.what == QUEUE:
            self._wait_for(MOST_WAITING - 1)
            prompt_id = self.people[action.who].queue(graph(action.order))
            self.open.append(Queued(action.order, action.who, prompt_id))
            self.play.queued.append(self.open[-1])
        elif action.what == INTERRUPT and running:
            # Another may begin before the request comes.
            self._disturb(running + waiting[:1])
            self.server.interrupt()
        elif action.what == DELETE and waiting:
            chosen = waiting[round(action.share * (len(waiting) - 1))]
            self._disturb([chosen])
            self.server.request("/queue", {"delete": [chosen]})
        elif action.what in (UNLOAD, FREE):
            self._free(action.what == FREE)
        elif action.what == WAIT:
            self._wait_for(round(2 * action.share))
        elif action.what == CALM:
            self.calm()

    def calm(self) -> None:
        """Wait until nothing runs, gather what came of everything, and look at what is left."""
        self._wait_for(0)
        self._listen()
        for one in self.open:
            one.found = self._outcome(one)
        self._check_messages()
        self._check_files()
        self.open, self.told = [], [[] for _ in self.people]
        self.server.request("/history", {"clear": True})  # in which the host keeps every prompt with its graph
        before = self._left()
        self._free(everything=True)
        self._left()  # the host frees after a prompt
        after = self._left()
        self.play.left.append((before, after))
        logger.info("%4d prompts, RSS %.0f MB, %s", len(self.play.queued), after["rss"] / 1e6, self.play.problems[-1:])

    def _free(self, everything: bool) -> None:
        self.server.request("/free", {"unload_models": True, "free_memory": everything})

    def _disturb(self, prompt_ids: Sequence[str]) -> None:
        for one in self.open:
            one.disturbed |= one.prompt_id in prompt_ids

    def _wait_for(self, most: int) -> None:
        """Wait until no more prompts than these run and wait."""
        last, since = None, time.monotonic()
        while sum(map(len, found := queue_of(self.server))) > most:
            if found != last:
                last, since = found, time.monotonic()
            if DEAD in self.server.log():
                raise ServerError(f"The thread that runs prompts has ended.\n{self.server.log(60)}")
            if time.monotonic() - since > PATIENCE:
                raise ServerError(f"No prompt has ended for {PATIENCE} s, with {found} open.\n{self.server.log(60)}")
            time.sleep(0.1)

    def _listen(self) -> None:
        """Hear what everybody is told, until they know how their prompts ended."""
        begun = time.monotonic()
        while True:
            for told, visitor in zip(self.told, self.people, strict=True):
                told += visitor.told()
            open_ends = {one.prompt_id for one in self.open if self._history(one.prompt_id)}
            open_ends -= {about.get("prompt_id") for told in self.told for kind, about in told if kind in ENDS}
            if not open_ends:
                return
            if time.monotonic() - begun > LATE:
                self.play.problems.append(f"nobody was told how {len(open_ends)} prompts ended")
                return
            time.sleep(0.1)

    def _history(self, prompt_id: str) -> dict[str, Any]:
        return json.loads(self.server.request(f"/history/{prompt_id}")).get(prompt_id, {})

    def _outcome(self, one: Queued) -> Outcome | None:
        history = self._history(one.prompt_id)
        if not history:
            return None
        own = [(kind, about) for kind, about in self.told[one.who] if about.get("prompt_id") == one.prompt_id]
        seen = [(kind, about) for kind, about in own if kind in (BEGIN, STEP)]
        found = Outcome.of(history["status"]["messages"], history["outputs"], seen)
        executed = {about["node"]: about["output"] for kind, about in own if kind == "executed" and about.get("output")}
        if told := {name for name, output in executed.items() if output != history["outputs"].get(name)}:
            self.play.problems.append(f"{one.order}: was told another result of {', '.join(sorted(told))}")
        if found.ended not in {ENDS[kind] for kind, _ in own if kind in ENDS}:
            self.play.problems.append(f"{one.order}: ended with {found.ended}, and its visitor was not told so")
        self.files |= set(found.files)
        return found.with_files(self.server.base / "output" / FACES)

    def _check_messages(self) -> None:
        """Nobody is told of what another has queued."""
        owners = {one.prompt_id: one.who for one in self.play.queued}
        for who, (told, visitor) in enumerate(zip(self.told, self.people, strict=True)):
            strange = {kind for kind, about in told if kind in OURS and owners.get(about.get("prompt_id")) != who}
            if strange:
                self.play.problems.append(f"{visitor.name} was told of another's prompt: {', '.join(sorted(strange))}")
            self.play.problems += [f"{visitor.name}: {problem}" for problem in visitor.problems()]

    def _check_files(self) -> None:
        """Saved people are those that were reported, and of prompts that ended before they could report them."""
        folder = self.server.base / "output" / FACES
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        cut_short = [one.order.again for one in self.play.queued if one.found and one.found.ended != SUCCESS]
        may_be = {f"of_crowd/{number}_00001_.safetensors" for number in cut_short}
        known = self.files | {f"{name}.safetensors" for name in SAVED}
        if known - there or there - known - may_be:
            found = f"{sorted(there - known - may_be)} are too many, {sorted(known - there)} are missing"
            self.play.problems.append(f"files of saved people: {found}")

    def _left(self) -> dict[str, Any]:
        """What `ProbeLeft` counts."""
        body = {"prompt": {"left": node("ProbeLeft", number=0)}}
        prompt_id = json.loads(self.server.request("/prompt", body))["prompt_id"]
        self._wait_for(0)
        while not (history := self._history(prompt_id)):
            time.sleep(0.05)
        assert history["outputs"], history["status"]["messages"]
        return history["outputs"]["left"]["left"][0]
