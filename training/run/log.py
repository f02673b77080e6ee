"""What TensorBoard shows: losses, rates, throughput, and pictures."""

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from .preview import Previews

FOLDER = "log"


class Log(AbstractContextManager):
    """Written on the main process; others say nothing."""

    def __init__(self, output: Path | None):
        """
        Args:
            output: folder of the run; None writes nothing.
        """
        self._writer = SummaryWriter(str(output / FOLDER)) if output else None
        self._before = time.perf_counter()

    def numbers(self, step: int, numbers: Mapping[str, float], pictures: int) -> None:
        """What came of a step, and the pictures a second of all processes; what is not known is left out."""
        now = time.perf_counter()
        rate, self._before = pictures / (now - self._before), now
        if self._writer:
            for name, value in {**numbers, "pictures_per_second": rate}.items():
                if math.isfinite(value):
                    self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, previews: Previews) -> None:
        """Drawn pictures, their routing maps, and how alike the faces are."""
        if not self._writer:
            return
        self._writer.add_images("pictures", previews.pictures, step, dataformats="NHWC")
        if previews.routing is not None:
            self._writer.add_images("routing", previews.routing, step, dataformats="NHWC")
        if math.isfinite(previews.likeness):
            self._writer.add_scalar("face_similarity", previews.likeness, step)
        self._writer.flush()
        self._before = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()
