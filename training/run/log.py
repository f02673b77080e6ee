"""What TensorBoard shows: losses, rates, throughput, and pictures."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from .preview import Previews

FOLDER = "log"


class Log(AbstractContextManager):
    """Written on the main process; others say nothing."""

    def __init__(self, output: Path | None, begun: int = 0):
        """
        Args:
            output: folder of the run; None writes nothing.
            begun: step to go on from; what was written of later ones is forgotten.
        """
        self._writer = SummaryWriter(str(output / FOLDER), purge_step=begun + 1) if output else None
        self._before = time.perf_counter()

    def numbers(self, step: int, numbers: Mapping[str, float], pictures: int) -> None:
        """What came of a step, and the pictures a second of all processes; what is not known is left out."""
        now = time.perf_counter()
        rate, self._before = pictures / (now - self._before), now
        if self._writer:
            for name, value in {**numbers, "pictures_per_second": rate}.items():
                if math.isfinite(value):
                    self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, previews: Sequence[Previews]) -> None:
        """Drawn pictures, their routing maps, and how alike the faces are."""
        if not self._writer:
            return
        for number, preview in enumerate(previews):  # of sizes of their own
            self._writer.add_images(f"pictures/{number}", preview.pictures, step, dataformats="NHWC")
            if preview.routing is not None:
                self._writer.add_images(f"routing/{number}", preview.routing, step, dataformats="NHWC")
        likeness = sum(preview.likeness for preview in previews) / max(len(previews), 1)
        if math.isfinite(likeness):
            self._writer.add_scalar("face_similarity", likeness, step)
        self._writer.flush()
        self._before = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()
