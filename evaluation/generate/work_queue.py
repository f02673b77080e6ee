"""Work dealt out to the workers of many servers, and given back by those that fail."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable

from ..protocol.protocol import Task

TRIES, MOST_TRIES = 2, 4  # of a picture for which a node raises an error; more than two where more servers are there
MOST_FAILURES = 10  # pictures, none made between, by all servers: the workflow is at fault, and the rest would fail too
OUTDONE = 5  # pictures in a row that a server fails and others make: then it is the server that is at fault


class WorkQueue:
    """Deals out tasks in their order. Every task is at one place only: waiting, out, done, or failed."""

    def __init__(self, tasks: Iterable[Task], servers: Iterable[str], progress: Callable[[], object]):
        """
        Args:
            tasks: to be done.
            servers: of each worker the server.
            progress: called for each that is done, one call at a time.
        """
        self._progress = progress
        self._waiting = deque(tasks)
        self._out = 0
        self._workers = Counter(servers)
        self._tries: dict[Task, list[str]] = {}
        self._outdone: Counter[str] = Counter()
        self._failures_in_a_row, self._failing = 0, set[str]()
        self._changed = threading.Condition()
        self._stopped = False
        self.failed: dict[Task, str] = {}

    @property
    def left(self) -> int:
        """How many tasks are waiting or out."""
        with self._changed:
            return len(self._waiting) + self._out

    @property
    def stopped(self) -> bool:
        """Whether nothing more is dealt out."""
        return self._stopped

    def take(self, server: str) -> Task | None:
        """The next task for a server.

        What it has failed goes to another server, while there is one that has not. Where nothing is there for it, this
        waits for a task to be given back; None when there is no more, or the server is of no use.
        """
        with self._changed:
            while not self._stopped and not self.is_outdone(server):
                task = next((task for task in self._waiting if self._is_for(server, task)), None)
                if task is not None:
                    self._waiting.remove(task)
                    self._out += 1
                    return task
                if not self._waiting and not self._out:
                    break
                self._changed.wait()
            return None

    def done(self, task: Task, server: str) -> None:
        """A task that was out is done by a server, and those that failed it are outdone."""
        with self._changed:
            self._out -= 1
            self._failures_in_a_row, self._failing = 0, set()
            self._outdone[server] = 0
            self._outdone.update(set(self._tries.get(task, ())) - {server})
            self._progress()
            self._changed.notify_all()

    def give_back(self, task: Task) -> None:
        """A task that was out goes to the next who asks."""
        with self._changed:
            self._out -= 1
            self._waiting.appendleft(task)
            self._changed.notify_all()

    def fail(self, task: Task, server: str, reason: str) -> None:
        """A task that was out cannot be done by a server; it is given up after some tries, on all servers first."""
        with self._changed:
            tries = self._tries.setdefault(task, [])
            tries.append(server)
            self._failing.add(server)
            if len(tries) < TRIES or (len(tries) < MOST_TRIES and self._untried(task)):
                self.give_back(task)
                return
            self.failed[task] = reason
            self._failures_in_a_row += 1
            self._stopped |= self._failures_in_a_row > MOST_FAILURES and self._of_use() <= self._failing
            self._out -= 1
            self._changed.notify_all()

    def leave(self, server: str) -> None:
        """A worker of a server takes nothing more."""
        with self._changed:
            self._workers[server] -= 1
            self._changed.notify_all()

    def is_outdone(self, server: str) -> bool:
        """Whether a server fails what others make."""
        return self._outdone[server] >= OUTDONE

    def stop(self) -> None:
        """Deal out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _is_for(self, server: str, task: Task) -> bool:
        return server not in self._tries.get(task, ()) or not self._untried(task)

    def _untried(self, task: Task) -> set[str]:
        """The servers that are of use and have not failed a task."""
        return self._of_use() - set(self._tries.get(task, ()))

    def _of_use(self) -> set[str]:
        return {server for server, workers in self._workers.items() if workers > 0 and not self.is_outdone(server)}
