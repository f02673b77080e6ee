"""Weight files in the published layouts, of a few kilobytes: for tests that read many."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import recipe
from uniportrait_core.attention.adapter import PROJECTIONS
from uniportrait_core.embedding.backbone import FaceBackbone, UnitShape
from uniportrait_core.embedding.resampler import FaceIDResampler

RANK, TOKENS, DIM = 4, 8, 24
CHANNELS = (16, 20, 12)  # of the cross-attention layers
FORMS = ("zip", "legacy", "safetensors")


def lora_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    for index in range(2 * len(CHANNELS)):
        width = CHANNELS[index // 2]
        for name in PROJECTIONS:
            source = DIM if index % 2 and name in "kv" else width
            yield f"{index}.to_{name}_lora.down.weight", (RANK, source)
            yield f"{index}.to_{name}_lora.up.weight", (width, RANK)


def faceid_adapter_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from lora_shapes()
    for layer, width in enumerate(CHANNELS):
        yield f"{2 * layer + 1}.to_k_faceid.weight", (width, DIM)
        yield f"{2 * layer + 1}.to_v_faceid.weight", (width, DIM)


def router_adapter_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from lora_shapes()
    for layer, width in enumerate(CHANNELS):
        prefix = f"{2 * layer + 1}."
        for name, source in (("q", width), ("k", DIM)):
            yield f"{prefix}to_{name}_router.0.weight", (2 * source, source)
            yield f"{prefix}to_{name}_router.0.bias", (2 * source,)
            yield f"{prefix}to_{name}_router.2.weight", (width, 2 * source)
        yield f"{prefix}aggr_router.weight", (1, TOKENS)
        yield f"{prefix}aggr_router.bias", (1,)


def resampler_shapes() -> dict[str, tuple[int, ...]]:
    resampler = FaceIDResampler(20, 28, TOKENS, dim=32, inner_dim=64, depth=3, output_dim=DIM)
    return {key: tuple(value.shape) for key, value in resampler.state_dict().items()}


def backbone_shapes() -> dict[str, tuple[int, ...]]:
    backbone = FaceBackbone([UnitShape(4, 4, 4, 2, False)], [0], embedding_dim=6)
    return {key: tuple(value.shape) for key, value in backbone.state_dict().items()}


def ip_adapter_shapes(dim: int = 768) -> dict[str, dict[str, tuple[int, ...]]]:
    norm = {"norm.weight": (dim,), "norm.bias": (dim,)}
    layers = {f"{2 * i + 1}.to_{n}_ip.weight": (width, dim) for i, width in enumerate(CHANNELS) for n in "kv"}
    return {"image_proj": {"proj.weight": (4 * dim, 20), "proj.bias": (4 * dim,), **norm}, "ip_adapter": layers}


def published(name: str) -> dict[str, Any]:
    """The content of a published file, as `torch.load` gives it."""
    if name == "ip_adapter":
        return {part: recipe.weights(f"ip.{part}", shapes) for part, shapes in ip_adapter_shapes().items()}
    if name == "backbone":
        return OrderedDict(recipe.weights("backbone", backbone_shapes()))
    if name == "router":
        return {"faceid_adapter": recipe.weights("router", dict(router_adapter_shapes()))}
    return {
        "faceid_proj": recipe.weights("proj", resampler_shapes()),
        "faceid_adapter": OrderedDict(recipe.weights("adapter", dict(faceid_adapter_shapes()))),
    }


def flat(content: dict[str, Any]) -> dict[str, Tensor]:
    """Nested dictionaries as the flat keys of a safetensors file."""
    if all(isinstance(value, Tensor) for value in content.values()):
        return dict(content)
    return {f"{part}.{key}": value for part, tensors in content.items() for key, value in tensors.items()}


def write(path: Path, content: dict[str, Any], form: str) -> Path:
    if form == "safetensors":
        save_file(flat(content), path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path
