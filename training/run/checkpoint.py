"""Checkpoints: whole or absent, plain tensors only, and enough of them to go on as if nothing had happened."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from uniportrait_core.errors import UniPortraitError

PREFIX = "checkpoint-"
STATE, TENSORS = "state.json", "training.safetensors"
WEIGHT, AVERAGE, OPTIMIZER = "weight.", "average.", "optimizer."


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step: steps that were taken.
        deciding: settings that have to stay.
        free: settings that may change.
        scaler: state of the loss's scale in half precision; empty in others.
    """

    step: int
    deciding: dict
    free: dict
    scaler: dict


def save(
    folder: Path,
    progress: Progress,
    trained: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimizer: Optimizer,
    keep: int,
) -> Path:
    """Write a checkpoint, and delete the oldest where there are more than `keep`.

    Args:
        folder: of all checkpoints.
        trained: parameters by name.
        average: their moving average by name; empty where there is none.
        optimizer: of the parameters.

    Raises:
        UniPortraitError: it cannot be written; the ones before it stay.
    """
    final = folder / f"{PREFIX}{progress.step:08d}"
    part = final.with_suffix(".part")
    tensors = {f"{WEIGHT}{name}": value for name, value in trained.items()}
    tensors |= {f"{AVERAGE}{name}": value for name, value in average.items()}
    tensors |= {f"{OPTIMIZER}{key}": value for key, value in _optimizer_state(trained, optimizer)}
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file({key: value.detach().contiguous().cpu() for key, value in tensors.items()}, part / TENSORS)
        (part / STATE).write_text(json.dumps(asdict(progress), indent=1))
        for path in (part / TENSORS, part / STATE):
            _to_disk(path)
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
    except (OSError, SafetensorError) as error:  # a full disk is either
        shutil.rmtree(part, ignore_errors=True)
        kept = latest(folder)
        raise UniPortraitError(
            f"The checkpoint of step {progress.step} cannot be written to {folder} ({error}); "
            f"{kept.name if kept else 'none'} is the last whole one. Make room, and start again to go on from there."
        ) from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if not path.suffix and (path / STATE).is_file())


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint, if any."""
    return next(reversed(checkpoints(folder)), None)


def remove_partial(folder: Path) -> None:
    """Remove what killed runs have left."""
    for path in folder.glob(f"{PREFIX}*.part"):
        shutil.rmtree(path, ignore_errors=True)


def read(checkpoint: Path) -> Progress:
    """How far a checkpoint is. Raises UniPortraitError where it is another program's, or damaged."""
    try:
        return Progress(**json.loads((checkpoint / STATE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UniPortraitError(
            f"{checkpoint} cannot be read ({error}). Delete it, and start again to go on from the one before."
        ) from error


def load(
    checkpoint: Path, trained: Mapping[str, nn.Parameter], average: Mapping[str, Tensor], optimizer: Optimizer
) -> None:
    """Put everything back as it was.

    Raises:
        UniPortraitError: the checkpoint is of another network.
    """
    tensors = load_file(checkpoint / TENSORS)
    found = {key.removeprefix(WEIGHT) for key in tensors if key.startswith(WEIGHT)}
    if found != set(trained) or any(tensors[WEIGHT + name].shape != value.shape for name, value in trained.items()):
        raise UniPortraitError(
            f"{checkpoint} holds {len(found)} trained tensors that are not the {len(trained)} of these settings. Give "
            "another run.output, or the settings that it was begun with."
        )
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(tensors[WEIGHT + name])
        for name, value in average.items():
            value.copy_(tensors[AVERAGE + name])
    for name, value in trained.items():
        marker = f"{OPTIMIZER}{name}/"
        kept = {key.removeprefix(marker): tensor for key, tensor in tensors.items() if key.startswith(marker)}
        if kept:  # a step count stays where the optimizer keeps it, on the CPU
            optimizer.state[value] = {k: t if k == "step" else t.to(value.device) for k, t in kept.items()}


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """What is exported of a checkpoint, by name in the network: the moving average where there is one."""
    tensors = load_file(checkpoint / TENSORS)
    kind = AVERAGE if any(key.startswith(AVERAGE) for key in tensors) else WEIGHT
    return {key.removeprefix(kind): value for key, value in tensors.items() if key.startswith(kind)}


def check_deciding(checkpoint: Path, found: Mapping, needed: Mapping) -> None:
    """See that a training goes on with the settings that decide what it is.

    Raises:
        UniPortraitError: some are others, named.
    """
    if others := differences(found, needed):
        raise UniPortraitError(
            f"{checkpoint} was made with other settings: {others}. Give another run.output, or the settings of before."
        )


def differences(found: Mapping, needed: Mapping) -> str:
    """Which settings are others, in words; nothing where none is."""
    before, now = dict(_flat(found)), dict(_flat(needed))
    others = [key for key in before | now if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in others)


def _to_disk(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flat(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _optimizer_state(trained: Mapping[str, nn.Parameter], optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, value in trained.items():
        for key, kept in optimizer.state.get(value, {}).items():
            yield f"{name}/{key}", torch.as_tensor(kept)
