"""Work dealt out to many hands, and given back by those that fail."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable

from ..protocol.protocol import Task

TRIES = 2  # of a picture for which a node raises an error, each on whatever server comes
MOST_FAILURES = 10  # pictures; with more of them the workflow is at fault, and the rest would fail, too


class Dealer:
    """Deals out tasks in their order. Every task is at one place only: waiting, out, done, or failed."""

    def __init__(self, tasks: Iterable[Task], progress: Callable[[], object]):
        """
        Args:
            tasks: to be done.
            progress: called for each that is done, one call at a time.
        """
        self._progress = progress
        self._waiting = deque(tasks)
        self._out = 0
        self._failures: Counter[Task] = Counter()
        self._changed = threading.Condition()
        self._stopped = False
        self.failed: dict[Task, str] = {}

    @property
    def left(self) -> int:
        """How many tasks are waiting or out."""
        return len(self._waiting) + self._out

    def take(self) -> Task | None:
        """The next task. Where none is waiting, this waits for one to be given back; None when there is no more."""
        with self._changed:
            while not self._waiting and self._out and not self._stopped:
                self._changed.wait()
            if self._stopped or not self._waiting:
                return None
            self._out += 1
            return self._waiting.popleft()

    def done(self) -> None:
        """A task that was out is done."""
        with self._changed:
            self._out -= 1
            self._progress()
            self._changed.notify_all()

    def give_back(self, task: Task) -> None:
        """A task that was out goes to the next who asks."""
        with self._changed:
            self._out -= 1
            self._waiting.appendleft(task)
            self._changed.notify_all()

    def fail(self, task: Task, reason: str) -> None:
        """A task that was out cannot be done by this hand; it is given up after some tries."""
        with self._changed:
            self._failures[task] += 1
            if self._failures[task] >= TRIES:
                self.failed[task] = reason
                if len(self.failed) > MOST_FAILURES:
                    self._stopped = True
                self._out -= 1
                self._changed.notify_all()
                return
        self.give_back(task)

    def stop(self) -> None:
        """Deal out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether nothing more is dealt out."""
        return self._stopped
