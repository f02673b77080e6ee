"""Running a protocol: every server has two workers, which take pictures to make, wait for them, and keep them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from uniportrait_core.errors import UniPortraitError

from ..protocol.protocol import Protocol, Task, read_protocol
from .comfy import Comfy, FailedError, GoneError, LostError, Made, RejectedError
from .picture_folder import PictureFolder
from .work_queue import WorkQueue
from .workflow import Workflow, name_files, read_workflow

WORKERS = 2  # pictures in a server's queue, so that it never waits for the next
PATIENCE = 60.0  # seconds that a server may be away before it is given up
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0  # seconds between two looks at a prompt
FAREWELL = 10.0  # seconds that a stop waits for servers to be told of it

logger = logging.getLogger("uniportrait")


def generate(file: Path, servers: Sequence[str] = (), output: Path | None = None) -> Path:
    """Make the pictures of a protocol file that are not there yet.

    Args:
        file: the protocol file.
        servers: addresses, in place of those in the file.
        output: folder, in place of the one in the file.

    Returns:
        The folder.

    Raises:
        UniPortraitError: bad input, pictures that could not be made, or no server left.
    """
    protocol, settings = read_protocol(file)
    workflow = read_workflow(settings.table("workflow"), len(protocol.groups[0]))
    output = output or Path(settings.get("output", str))
    make_pictures(protocol, workflow, servers or settings.texts("servers"), output)
    return output


def make_pictures(
    protocol: Protocol, workflow: Workflow, servers: Sequence[str], folder: Path, patience: float = PATIENCE
) -> None:
    """Make those pictures of a protocol that are not in the folder yet; `generate` says more."""
    tasks = protocol.tasks()
    with PictureFolder(folder, workflow).opened() as pictures, logging_redirect_tqdm([logger]):
        missing = pictures.missing(tasks)
        logger.info("%s: %d of %d pictures to make, %d servers.", folder, len(missing), len(tasks), len(servers))
        if missing:
            with tqdm(desc=protocol.name, total=len(tasks), initial=len(tasks) - len(missing), unit="pic") as progress:
                _make_all(missing, pictures, servers, patience, progress.update)


def _make_all(
    tasks: Sequence[Task],
    pictures: PictureFolder,
    servers: Sequence[str],
    patience: float,
    progress: Callable[[], object],
) -> None:
    clients = [Comfy(url) for url in servers for _ in range(WORKERS)]
    queue, outcome = WorkQueue(tasks, [comfy.url for comfy in clients], progress), Outcome({}, [])
    workers = [Worker(comfy, pictures, queue, patience, outcome) for comfy in clients]
    threads = [threading.Thread(target=worker.work, daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:  # also when this is stopped: what the servers were to do for it they need not do
        queue.stop()
        end = time.monotonic() + FAREWELL
        for thread in threads:
            thread.join(timeout=max(end - time.monotonic(), 0))
    if outcome.faults:
        raise outcome.faults[0]
    if queue.failed:
        first, reason = next(iter(queue.failed.items()))
        left = f", {queue.left} were not tried" if queue.left else ""
        raise UniPortraitError(
            f"{len(queue.failed)} of {len(tasks)} pictures could not be made{left}; {first.stem}: {reason.rstrip('.')}"
            ". Correct the workflow or the photo and run this again: what is there is kept."
        )
    if queue.left:
        said = "; ".join(f"{url} {reason}" for url, reason in outcome.given_up.items()) or "none was named"
        raise UniPortraitError(
            f"{queue.left} of {len(tasks)} pictures are not made, as no server is left ({said}). "
            "Put that right and run this again: what is there is kept."
        )


@dataclass(frozen=True)
class Outcome:
    """What the workers of a run could not put right.

    Attributes:
        given_up: servers, and why.
        faults: of this machine, such as a full disk; the first ends the run.
    """

    given_up: dict[str, str]
    faults: list[UniPortraitError]


@dataclass
class Worker:
    """Makes one picture after the other on one server.

    Attributes:
        comfy: the server.
        pictures: where they go.
        queue: where tasks come from.
        patience: seconds that the server may be of no use.
        outcome: gets what it could not put right.
    """

    comfy: Comfy
    pictures: PictureFolder
    queue: WorkQueue
    patience: float
    outcome: Outcome
    failing_since: float | None = None

    def work(self) -> None:
        """Until there is no more to do, or the server is of no use. Whatever happens, no task is lost."""
        try:
            while (task := self.queue.take(self.comfy.url)) and self._try(task):
                pass
            if self.queue.is_outdone(self.comfy.url):
                self._give_up("fails pictures that other servers make")
        finally:
            self.queue.leave(self.comfy.url)

    def _try(self, task: Task) -> bool:
        """Make a picture, or give the task back; whether this worker is to go on."""
        try:
            self._make_and_keep(task)
        except FailedError as error:
            self.queue.fail(task, self.comfy.url, str(error))
        except (GoneError, LostError) as error:
            self.queue.give_back(task)
            return self._returns(str(error))
        except RejectedError as error:
            self.queue.give_back(task)
            if self.failing_since is not None:
                self._give_up(str(error))
                return False
            # Once this may be a photo that is not there any more, as after a start with another input folder.
            self.failing_since = time.monotonic()
            self.comfy.forget()
        except UniPortraitError as fault:  # of this machine, not of the server
            self.queue.give_back(task)
            self.outcome.faults.append(fault)
            self.queue.stop()
            return False
        except BaseException as error:
            self.queue.give_back(task)
            self._give_up(repr(error))
            return False
        else:
            self.failing_since = None
            self.queue.done(task, self.comfy.url)
        return True

    def _make_and_keep(self, task: Task) -> None:
        start = time.monotonic()
        made = self._make(task)
        self.pictures.keep(task, made, self.comfy.url, time.monotonic() - start)

    def _make(self, task: Task) -> Made:
        workflow = self.pictures.workflow
        photos = [[self.comfy.upload(photo) for photo in photos] for photos in self.pictures.photos_to_send(task)]
        nodes = workflow.fill(photos, task.prompt, task.seed)
        prompt_id = self.comfy.submit(name_files(nodes, f"evaluation/{self.pictures.key(task)[:24]}"))
        wait = FIRST_WAIT
        while (outputs := self.comfy.result(prompt_id)) is None:
            if self.queue.stopped:
                self.comfy.cancel(prompt_id)
                raise LostError("was to stop")
            time.sleep(wait)
            wait = min(wait * 1.5, LONGEST_WAIT)
        return self.comfy.download(outputs, workflow.output)

    def _returns(self, reason: str) -> bool:
        """Wait for the server to answer again; one that makes nothing for too long is given up."""
        now = time.monotonic()
        if self.failing_since is None:
            self.failing_since = now
        self.comfy.forget()
        while not self.queue.stopped and self.queue.left:
            if time.monotonic() > self.failing_since + self.patience:
                self._give_up(reason)
                return False
            time.sleep(min(1.0, self.patience / 10))
            try:
                self.comfy.check()
                return True
            except GoneError as error:
                reason = str(error)
        return False

    def _give_up(self, reason: str) -> None:
        if self.comfy.url not in self.outcome.given_up:
            self.outcome.given_up[self.comfy.url] = reason
            logger.warning("%s %s; its pictures go to the other servers.", self.comfy.url, reason)
