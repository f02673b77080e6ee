"""Trainings of the mini world as tests begin them."""

from pathlib import Path

import torch

from miniworld.config import TINY, Budget
from miniworld.files import Files
from miniworld.recipes.job import Job


def job(folder: Path, **changes) -> Job:
    settings = dict(
        name="test", preset=TINY, budget=Budget(8, 60, 4, 1e-2), seed=1, device=torch.device("cpu"),
        data=folder / "data", files=Files(folder), command="pytest",
    )  # fmt: skip
    return Job(**{**settings, **changes})
