"""Running a protocol: every server has two hands, which take pictures to make, wait for them, and keep them."""

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
from .album import Album
from .comfy import Comfy, FailedError, GoneError, LostError, Made, RejectedError
from .dealer import Dealer
from .workflow import Workflow, read_workflow

HANDS = 2  # pictures in a server's queue, so that it never waits for the next
PATIENCE = 60.0  # seconds that a server may be away before it is given up
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0  # seconds between two looks at a prompt

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
    with Album(folder, workflow).opened() as album, logging_redirect_tqdm([logger]):
        for person in {person for group in protocol.groups for person in group}:
            album.photos(person)  # one that cannot be read is an error now, and not in an hour
        missing = album.missing(tasks)
        logger.info("%s: %d of %d pictures to make, %d servers.", folder, len(missing), len(tasks), len(servers))
        if missing:
            with tqdm(desc=protocol.name, total=len(tasks), initial=len(tasks) - len(missing), unit="pic") as progress:
                _deal(missing, album, servers, patience, progress.update)


def _deal(
    tasks: Sequence[Task], album: Album, servers: Sequence[str], patience: float, progress: Callable[[], object]
) -> None:
    dealer, reasons = Dealer(tasks, progress), {}
    hands = [Hand(Comfy(url), album, dealer, patience, reasons) for url in servers for _ in range(HANDS)]
    threads = [threading.Thread(target=hand.work, daemon=True) for hand in hands]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:  # also when this is stopped: what the servers were to do for it they need not do
        dealer.stop()
        for thread in threads:
            thread.join(timeout=10)
    if dealer.failed:
        first, reason = next(iter(dealer.failed.items()))
        raise UniPortraitError(
            f"{len(dealer.failed)} of {len(tasks)} pictures could not be made; {first.stem}: {reason.rstrip('.')}. "
            "Correct the workflow or the photo and run this again: what is there is kept."
        )
    if dealer.left:
        said = "; ".join(f"{url} {reason}" for url, reason in reasons.items()) or "none was named"
        raise UniPortraitError(
            f"{dealer.left} of {len(tasks)} pictures are not made, as no server is left ({said}). "
            "Put that right and run this again: what is there is kept."
        )


@dataclass
class Hand:
    """Makes one picture after the other on one server.

    Attributes:
        comfy: the server.
        album: where pictures go.
        dealer: where tasks come from.
        patience: seconds that the server may be of no use.
        reasons: gets, by server, why it was given up.
    """

    comfy: Comfy
    album: Album
    dealer: Dealer
    patience: float
    reasons: dict[str, str]
    failing_since: float | None = None

    def work(self) -> None:
        """Until there is no more to do, or the server is of no use. Whatever happens, no task is lost."""
        while task := self.dealer.take():
            try:
                self._make_and_keep(task)
            except FailedError as error:
                self.dealer.fail(task, str(error))
            except (GoneError, LostError) as error:
                self.dealer.give_back(task)
                if not self._returns(str(error)):
                    return
            except RejectedError as error:
                self.dealer.give_back(task)
                if self.failing_since is not None:
                    self._give_up(str(error))
                    return
                # Once this may be a photo that is not there any more, as after a start with another input folder.
                self.failing_since = time.monotonic()
                self.comfy.forget()
            except BaseException as error:
                self.dealer.give_back(task)
                self._give_up(repr(error))
                return
            else:
                self.failing_since = None
                self.dealer.done()

    def _make_and_keep(self, task: Task) -> None:
        start = time.monotonic()
        made = self._make(task)
        self.album.keep(task, made, self.comfy.url, time.monotonic() - start)

    def _make(self, task: Task) -> Made:
        workflow = self.album.workflow
        photos = [[self.comfy.upload(photo) for photo in self.album.photos(person)] for person in task.people]
        nodes = workflow.fill(photos, task.prompt, task.seed)
        prompt_id = self.comfy.submit(workflow.name_files(nodes, f"evaluation/{self.album.key(task)[:24]}"))
        wait = FIRST_WAIT
        while (outputs := self.comfy.result(prompt_id)) is None:
            if self.dealer.stopped:
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
        while not self.dealer.stopped and self.dealer.left:
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
        if self.comfy.url not in self.reasons:
            self.reasons[self.comfy.url] = reason
            logger.warning("%s %s; its pictures go to the other servers.", self.comfy.url, reason)
