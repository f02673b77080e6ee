"""Watches a call: whether code ran that should not, whether anything was written where it should not be, how much
memory it took."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from uniportrait_core.faces.yunet_detector import TRIAL

RUNS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn",
        "socket.connect", "socket.bind", "webbrowser.open"}  # fmt: skip
CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
           "shutil.rmtree", "shutil.move", "shutil.copyfile"}  # fmt: skip
HARMLESS = ("/dev/null", "/dev/shm")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Guard:
    """What happens while it watches. Python calls a hook for good, so one guard serves a whole process.

    Attributes:
        allowed: folders in which the call may write; outside of `watching`, nothing is noted.
        seen: what it did that it should not have done.
    """

    allowed: tuple[str, ...] = ()
    watching: bool = False
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sys.addaudithook(self._note)

    @contextmanager
    def watch(self, *allowed: Path) -> Iterator[list[str]]:
        """Watch the body; what it does wrong is in the list that this gives."""
        self.seen, self.allowed = [], tuple(os.path.realpath(folder) for folder in allowed)
        self.watching = True
        try:
            yield self.seen
        finally:
            self.watching = False

    def _note(self, event: str, arguments: tuple) -> None:
        if not self.watching:
            return
        if event in RUNS and not _is_trial(event, arguments):
            self.seen.append(f"{event}{arguments[:2]}"[:300])
        elif event in CHANGES or (event == "open" and self._writes(*arguments)):
            for path in arguments[: 2 if event in ("os.rename", "os.link", "shutil.move") else 1]:
                if isinstance(path, str | bytes | os.PathLike) and not self._is_allowed(os.fsdecode(path)):
                    self.seen.append(f"{event} {os.fsdecode(path)!r}"[:300])

    def _writes(self, _path: object, mode: str | None, flags: int | None) -> bool:
        return any(sign in mode for sign in "wax+") if isinstance(mode, str) else bool((flags or 0) & WRITING)

    def _is_allowed(self, path: str) -> bool:
        watching, self.watching = self.watching, False
        try:
            real = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        finally:
            self.watching = watching
        return real.startswith((*self.allowed, *HARMLESS)) or "__pycache__" in real


def _is_trial(event: str, arguments: tuple) -> bool:
    """Whether it is the pack that tries a detector's file in a process of its own."""
    return event in ("subprocess.Popen", "os.posix_spawn") and TRIAL in list(arguments[1])


def resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell.

    Garbage is collected, and what was freed and lies between what is held goes back to the system, where it can.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("VmRSS")


def peak() -> int:
    """The most that it has held since `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # another system
        pass


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), 0)
