"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_safetensors(path: Path, state: dict[str, torch.Tensor]) -> None:
    """Write a state dict as a safetensors file."""
    with whole_file(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def write_pickle(path: Path, content: Any) -> None:
    """Write dictionaries of plain tensors as a PyTorch pickle that `weights_only` reads."""
    with whole_file(path) as temporary:
        torch.save(content, temporary)
