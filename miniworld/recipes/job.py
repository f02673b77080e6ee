"""What a training is given."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import Budget, Preset
from ..data.shards import shard_counts
from ..data.store import Store
from ..files import Files


@dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        name: of the network, as in the preset's budgets.
        budget: of this one.
        seed: of everything left to chance.
        data: folder of the shards.
        files: where results go.
        command: that was called, for the metadata.
        compiled: whether autoencoder and UNet go through torch.compile.
        workers: processes that draw.
    """

    name: str
    preset: Preset
    budget: Budget
    seed: int
    device: torch.device
    data: Path
    files: Files
    command: str
    compiled: bool = False
    workers: int = 1

    @property
    def layout(self) -> torch.memory_format:
        """Of convolutions' weights and pictures, as the device is fast with.

        On CPUs convolutions of few channels crash in the other one (PyTorch 2.11, processors with AVX-512).
        """
        return torch.channels_last if self.device.type == "cuda" else torch.contiguous_format

    def store(self, kind: str, *keys: str) -> Store:
        """Data of one kind; see `data/shards.py` for kinds and keys."""
        return Store(self.data / kind, shard_counts(self.preset, self.data)[kind], self.device, keys)

    def made(self, steps: int, seconds: float, data: str, **quality: object) -> dict[str, object]:
        """Metadata of the weights."""
        return {
            "command": self.command,
            "seed": str(self.seed),
            "steps": str(steps),
            "batch": str(self.budget.batch),
            "seconds": f"{seconds:.0f}",
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU",
            "data": data,
            "quality": quality,
        }
