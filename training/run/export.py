"""What was trained, in the published format: safetensors that Load UniPortrait reads."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ..config import Config
from ..files import whole_file
from ..model.build import PARTS, TRAINED, trained_parts

FILES = {"single": "uniportrait-faceid.safetensors", "multi": "uniportrait-router.safetensors"}
PREFIXES = {"resampler.": "faceid_proj.", "adapter.": "faceid_adapter."}


def export(trained: Mapping[str, Tensor], config: Config, stage: str, kind: str, step: int, folder: Path) -> Path:
    """Write the weights of a stage, each file whole or not at all; where stage II trained those of stage I, these too.

    Args:
        trained: parameters that are trained, by name in the network.
        kind: of the base model, in words.
        step: how far they were trained.
        folder: where to.

    Returns:
        The stage's file.

    Raises:
        UniPortraitError: it cannot be written.
    """
    parts = set(trained_parts(config, stage))
    for one in (stage, *(other for other in FILES if other != stage and parts.issuperset(TRAINED[other]))):
        markers = [marker for part in TRAINED[one] for marker in PARTS[part]]
        tensors = {_published(name): value.contiguous().cpu() for name, value in trained.items() if _any(markers, name)}
        with whole_file(folder / FILES[one]) as file:
            file.write(save(tensors, metadata=_metadata(config, one, kind, step)))
    return folder / FILES[stage]


def _any(markers: list[str], name: str) -> bool:
    return any(marker in name for marker in markers)


def _published(name: str) -> str:
    for ours, theirs in PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def _metadata(config: Config, stage: str, kind: str, step: int) -> dict[str, str]:
    features = {"intrinsic": config.features.intrinsic, "structure": list(config.features.structure)}
    places = {"base": True, "data": {"shards"}, "run": {"output", "stage_one", "start_from"}}
    settings = config.model_dump(mode="json", exclude=places)
    return {
        "uniportrait.format": "1",
        "uniportrait.base": kind,
        "uniportrait.stage": stage,
        "uniportrait.tokens": "ip-adapter" if config.base.ip_adapter else "face",
        "uniportrait.features": json.dumps(features),
        "uniportrait.training": json.dumps({"step": step, **settings}),
    }
