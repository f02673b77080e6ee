"""Evaluation is tested as the plain package that it is, without a host."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    torch.set_num_threads(1)  # the networks here are small, and other tests run beside


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    """A small CLIP of random weights, in the layout of transformers."""
    import small_clip

    return small_clip.write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def state():
    """Accelerate, with one process on the CPU."""
    from accelerate import PartialState

    return PartialState(cpu=True)
