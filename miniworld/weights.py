"""Weights as files: half precision, with what made them written inside."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

TEXT = "text_model."
STAGE_RUN = "uniportrait.training"  # all settings of a stage, by `training.run.export`


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for key, value in tensors.items()
    }


def save_weights(file: Path, tensors: Mapping[str, Tensor], made: Mapping[str, object]) -> None:
    """Write weights, whole or not at all.

    Args:
        made: command, seed, steps, data, quality; kept as the file's metadata.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in made.items()}
    unfinished = file.with_name(file.name + ".tmp")
    save_file(halved(tensors), unfinished, metadata={"format": "pt", **words})
    unfinished.replace(file)


def begin_with(net: nn.Module, file: Path) -> nn.Module:
    """Give a network the weights of a file, where there is one: its training goes on from them. Returns the network."""
    if file.is_file():
        net.load_state_dict(in_floats(file))
    return net


def in_floats(file: Path) -> dict[str, Tensor]:
    """The tensors of a file as a network computes with them: float32, but for whole numbers."""
    return {key: t.float() if t.is_floating_point() else t for key, t in load_file(file).items()}


def metadata(file: Path) -> dict[str, str]:
    """What is written inside of how the weights were made."""
    with safe_open(file, "pt") as opened:
        return opened.metadata() or {}


def history(file: Path) -> dict[str, str]:
    """Metadata that tell of the trainings so far of what a training goes on from; nothing where it begins anew."""
    if not file.is_file():
        return {}
    made = metadata(file)
    last = {key: made[key] for key in ("steps", "batch", "seconds", "data", STAGE_RUN) if key in made}
    return {"before": json.dumps([*json.loads(made.get("before", "[]")), last])}


def save_part(model: nn.Module, folder: Path, made: Mapping[str, object]) -> None:
    """A network of diffusers or transformers as a folder that its `from_pretrained` reads."""
    with TemporaryDirectory() as saved:  # by the library itself, which may change the names of weights
        copy.deepcopy(model).half().save_pretrained(saved)
        (weights,) = Path(saved).glob("*.safetensors")
        (config,) = Path(saved).glob("config.json")
        save_weights(folder / weights.name, _published_names(model, load_file(weights)), made)
        (folder / config.name).write_bytes(config.read_bytes())


def _published_names(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names that every version of transformers and the host read: newer ones leave out the encoder's own name."""
    if type(model).__name__ != "CLIPTextModel":
        return tensors
    return {f"{TEXT}{key.removeprefix(TEXT)}": value for key, value in tensors.items()}
