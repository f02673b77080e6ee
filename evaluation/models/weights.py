"""Weights of networks that the pack itself does not load."""

import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from uniportrait_core.errors import UniPortraitError


def read_weights(path: Path, source: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a PyTorch file; what lies in a `state_dict` inside is taken out.

    Args:
        path: the file. No code in it is ever run.
        source: where to get the right one, for messages.

    Raises:
        UniPortraitError: it is no such file, or holds more than tensors.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except pickle.UnpicklingError as error:
        raise UniPortraitError(
            f"{path} holds Python objects beside its tensors, or is damaged; nothing of it was run. Convert it to "
            f"safetensors as docs/evaluation.md shows, or get it from {source}."
        ) from error
    except Exception as error:  # damaged files make the readers raise nearly anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UniPortraitError(f"{path} cannot be read as weights ({reason}). Get it from {source}.") from error
    content = content.get("state_dict", content)
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def fill(model: nn.Module, weights: dict[str, Tensor], path: Path, source: str, device: torch.device) -> nn.Module:
    """Put weights into a network, which is then ready to measure. Raises UniPortraitError where they do not fit."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise unfit(path, str(error).splitlines()[-1].strip(), source) from error
    return model.eval().requires_grad_(False).to(device)


def unfit(path: Path, found: str, source: str) -> UniPortraitError:
    """The error for weights of another network."""
    return UniPortraitError(f"{path} holds other weights than needed here: {found}. Get them from {source}.")


def _unpickle(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)
