"""Weights and inputs made from their names, so that known answers need no weight files.

Every tensor is drawn from a generator of its own, keyed by tag and name: the order of drawing does not matter.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
SMALL_SLOPES = ("res_layer.3", "input_layer.2")  # PReLU slopes of the backbone


def _normal(tag: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(f"{tag}:{name}".encode())))
    return generator.standard_normal(int(np.prod(shape)), dtype=np.float32).reshape(shape)


def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """An input: standard normal, float32."""
    return torch.from_numpy(_normal("golden", name, shape))


def weight(tag: str, key: str, shape: tuple[int, ...]) -> Tensor:
    """The weight called `key` of the model called `tag`."""
    drawn = torch.from_numpy(_normal(tag, key, shape))
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_var":
        return 1 + 0.1 * drawn.abs()
    if leaf == "running_mean":
        return 0.1 * drawn
    if len(shape) >= 2:
        return drawn * np.float32(np.prod(shape[1:]) ** -0.5)
    if leaf == "weight":
        return 0.25 + 0.02 * drawn if any(slope in key for slope in SMALL_SLOPES) else 1 + 0.1 * drawn
    return 0.02 * drawn


def weights(tag: str, shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """All weights of the model called `tag`."""
    return {key: weight(tag, key, tuple(shape)) for key, shape in shapes.items()}


def shapes(name: str) -> dict:
    """A table of shapes among the golden data."""
    return json.loads((GOLDEN / f"{name}_shapes.json").read_text())


def golden(name: str) -> dict[str, Tensor]:
    """Known answers."""
    return load_file(GOLDEN / f"{name}.safetensors")


def cases() -> dict:
    """How the known answers were made."""
    return json.loads((GOLDEN / "cases.json").read_text())["cases"]


def clip_config() -> dict:
    """Configuration of the small CLIP vision model, in Hugging Face's words."""
    return json.loads((GOLDEN / "cases.json").read_text())["clip_vision_small"]


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Largest absolute difference over the largest absolute value wanted."""
    return ((found.double() - wanted.double()).abs().max() / wanted.double().abs().max()).item()
