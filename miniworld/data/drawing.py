"""The process that draws while others train; it imports nothing that is slow."""

import signal
import sys
from collections.abc import Collection
from pathlib import Path

from ..config import Preset
from ..reports import set_up_logging
from .shards import draw_all


def draw(preset: Preset, folder: Path, tokenizer: Path, workers: int, kinds: Collection[str]) -> None:
    """See `draw_all`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit that ends the processes started here, too
    set_up_logging()
    draw_all(preset, folder, tokenizer, workers, kinds)
