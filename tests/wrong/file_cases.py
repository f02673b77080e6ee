"""One wrong file after another: made from a seed and a number, read, judged."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch

from .damage import damaged
from .demands import faults
from .files import KINDS, Kind, disagreements, written
from .guard import Guard, forget_peak, peak
from .tensors import changed
from .traps import MARK, NAMES, calling, endless_content, odd_content, odd_header, packed, place_oddly

PATIENCE = 60  # seconds, after which a file is said to have made its reader hang
FEW = 150_000_000  # bytes that any reading may take beside what the file is worth
WORTH = 12  # bytes of memory for a byte of file


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        about: the case: kind of file, what was done to it, its name.
        result: "refused" or "read".
        faults: what is not as it should be; none where all is well.
        message: of the error, if any.
    """

    about: str
    result: str = "read"
    faults: list[str] = field(default_factory=list)
    message: str = ""


def run_case(seed: int, number: int, folder: Path, guard: Guard, only: str = "") -> Outcome:
    """Make the wrong file of this number in `folder`, which is empty then and afterwards, read it, and judge."""
    dice = Random(f"{seed}:{number}")
    kinds = list(KINDS.values())
    kind = KINDS[only] if only else dice.choices(kinds, [kind.often for kind in kinds])[0]
    place = folder / "place"
    place.mkdir()
    name = (dice.choice(NAMES) if dice.random() < 0.08 else "wrong") + kind.ending
    path = place / name
    done = make(kind, path, dice)
    outcome = Outcome(f"{number}: {kind.name}, {done}, {ascii(name)}")
    before = sorted(str(entry) for entry in folder.rglob("*"))
    size = path.lstat().st_size
    forget_peak()
    start = peak()
    given = None
    with guard.watch(place) as seen:
        try:
            with limited(PATIENCE), torch.inference_mode(dice.random() < 0.5):
                given = kind.read(path)
        except Exception as error:
            outcome.result, outcome.message = "refused", str(error)
            outcome.faults += faults(error, shown(name))
    outcome.faults += seen
    outcome.faults += [f"it took {used // 10**6} MB"] if (used := peak() - start) > FEW + WORTH * size else []
    if (place / MARK).exists():
        outcome.faults.append("CODE RAN")
    after = sorted(str(entry) for entry in folder.rglob("*") if entry.name != "again.safetensors")
    outcome.faults += [f"files changed: {sorted(set(before) ^ set(after))}"] if before != after else []
    if given:
        try:
            outcome.faults += disagreements(path, given)
        except Exception as error:
            outcome.faults.append(f"another reader refuses it: {type(error).__name__}: {str(error)[:200]}")
    _clear(place)
    return outcome


def make(kind: Kind, path: Path, dice: Random) -> str:
    """Write a wrong file of a kind; returns what was done."""
    if os.name != "nt" and dice.random() < 0.03:
        sound = path.with_name("sound")
        sound.write_bytes(kind.sound(kind.forms[0]))
        return f"a {place_oddly(path, sound, dice)} in its place"
    form = dice.choice(kind.forms)
    way = "damage" if kind.content else dice.choices(("damage", "tensors", "trap"), (5, 5, 4))[0]
    if way == "damage":
        content, done = damaged(kind.sound(form), dice)
    elif way == "tensors":
        tensors, done = changed(kind.tensors(), dice)
        content = written(tensors, form, kind.metadata)
        if dice.random() < 0.1:
            content, more = damaged(content, dice)
            done += f" and {more}"
    else:
        trap: Callable = dice.choice([calling, odd_content, endless_content, packed, odd_header, odd_header])
        done, further = trap.__name__, {calling: (path.with_name(MARK),), odd_header: (kind.metadata,)}
        content = trap(kind.tensors(), dice, *further.get(trap, ()))
    path.write_bytes(content)
    return f"{form}: {done}"


def shown(name: str) -> str:
    """A file's name as an error shows it: signs that are not printed are written out."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Interrupt what takes longer, where the system can."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"it hangs, for {seconds} seconds")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _clear(place: Path) -> None:
    for entry in place.iterdir():
        if not entry.is_symlink() and entry.is_file():
            entry.chmod(0o600)
    shutil.rmtree(place)
