"""The server of the crowd, from its start to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from comfy_server import comfy_server

from .alone import PROBE
from .graphs import KINDS, write_files
from .play import Play, play
from .schedule import actions
from .visitors import visitors

# What was made is kept for long, so that as much as can be is shared.
ARGUMENTS = ("--cache-lru", "300")


def played(
    host: Path,
    models: Path,
    seed: int,
    browsers: int,
    goes_on: Callable[[], bool],
    kinds: Sequence[str] = tuple(KINDS),
    most_seeds: int = 2,
) -> Play:
    """Play the schedule of a seed on a server of its own, as long as `goes_on`.

    Args:
        host: folder of ComfyUI.
        models: folder with stand-in weights.
        seed, kinds, most_seeds: as for `schedule.actions`.
        browsers: how many come in one, beside a program.
        goes_on: asked before each action.
    """
    with comfy_server(host, models, ARGUMENTS, {"OMP_NUM_THREADS": "1"}, packs=[PROBE]) as server:
        write_files(server.base)
        with visitors(server, browsers) as people:
            return play(server, people, actions(seed, len(people), kinds, most_seeds), goes_on)
