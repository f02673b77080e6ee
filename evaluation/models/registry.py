"""Models by specification: `NAME:FILE`, where NAME is one of those below or a loader, `package.module.function`.

A loader is called with the file's path, None where there is no `:FILE`, and the device, and returns what has the
interface in `interfaces.py`. So another recogniser takes a place by its name alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from uniportrait_core.errors import UniPortraitError

from ..pictures.reading import content_hash, file_hash
from ..settings import read_settings

LOADERS = {
    "detector": {
        "mtcnn": "evaluation.models.facenet.load_mtcnn",
        "yunet": "evaluation.models.detectors.load_yunet",
        "insightface": "evaluation.models.detectors.load_insightface",
        "centre": "evaluation.models.detectors.load_centre",
    },
    "recogniser": {
        "facenet": "evaluation.models.facenet.load_facenet",
        "arcface": "evaluation.models.arcface.load_arcface",
        "adaface": "evaluation.models.arcface.load_adaface",
    },
    "text_image": {"clip": "evaluation.models.clip.load_clip"},
    "aesthetic": {"laion": "evaluation.models.aesthetic.load_laion"},
    "fid_features": {"inception": "evaluation.models.inception.load_inception"},
}
BUILT_IN = ("mtcnn",)  # need no file
READ = (".json", ".txt", ".safetensors", ".bin", ".onnx")  # of a folder; others may lie there in gigabytes


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        spec: as it was named.
        identity: what tells it from every other: name, and content of the file.
        run: the model.
    """

    spec: str
    identity: str
    run: Any


@dataclass(frozen=True)
class Models:
    """Those that measure; None for what was not named, and the metrics that need it are left out.

    Attributes:
        detector, recogniser: for Face Sim and BS.
        text_image: for CLIP-T and LAION-Aes.
        aesthetic: for LAION-Aes.
        fid_features: for FID.
    """

    detector: Model | None = None
    recogniser: Model | None = None
    text_image: Model | None = None
    aesthetic: Model | None = None
    fid_features: Model | None = None


def load_models(file: Path, device: torch.device) -> Models:
    """Load all that a TOML file names, by the keys of `Models`; files are relative to it.

    Raises:
        UniPortraitError: an unknown name, a file that is missing or holds another model, or half of what is needed.
    """
    settings = read_settings(file)
    settings.only(LOADERS)
    specs = {part: settings.get(part, str) for part in LOADERS if part in settings.values}
    for part, other in (("detector", "recogniser"), ("recogniser", "detector"), ("aesthetic", "text_image")):
        if part in specs and other not in specs:
            raise UniPortraitError(f"{file} names a {part} but no {other}. Name both, or neither.")
    if not specs:
        raise UniPortraitError(f"{file} names no model. Name some of {', '.join(LOADERS)}.")
    return Models(**{part: load_model(part, spec, file.parent, device) for part, spec in specs.items()})


def load_model(part: str, spec: str, folder: Path, device: torch.device) -> Model:
    """Load one model.

    Args:
        part: of `LOADERS`.
        spec: `NAME:FILE`.
        folder: that a relative FILE is in.
        device: to run on.

    Raises:
        UniPortraitError: as `load_models`.
    """
    name, _, file = spec.partition(":")
    path = folder / Path(file).expanduser() if file else None
    if path is not None and not path.exists():
        raise UniPortraitError(
            f"{path} was not found, which {part} = {spec!r} names. Get the model as docs/evaluation.md says, or "
            "correct its path."
        )
    if path is None and name in LOADERS[part] and name not in BUILT_IN:
        raise UniPortraitError(f"{part} = {spec!r} names no file, needed is {name}:FILE. Add the path.")
    return Model(spec, f"{name}:{_identity(path)}", _loader(part, name)(path, device))


def _loader(part: str, name: str) -> Callable[[Path | None, torch.device], Any]:
    module, _, function = LOADERS[part].get(name, name).rpartition(".")
    try:
        return getattr(import_module(module), function)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise _unknown(part, name) from error
        own = module.startswith("evaluation.")
        how = "Run `pip install -r evaluation/requirements.txt`." if own else "Install what that loader needs."
        raise UniPortraitError(f"{part} = {name!r} cannot be imported ({error}). {how}") from error
    except (AttributeError, ValueError) as error:
        raise _unknown(part, name) from error


def _unknown(part: str, name: str) -> UniPortraitError:
    return UniPortraitError(
        f"{part} {name!r} is not known; known are {', '.join(LOADERS[part])}, and loaders such as "
        "package.module.function. Write NAME:FILE with one of them."
    )


def _identity(path: Path | None) -> str:
    """A hash of a file's content, or of all files in a folder that a loader may read."""
    if path is None:
        return "built in"
    files = sorted(file for file in path.rglob("*") if file.suffix in READ) if path.is_dir() else [path]
    return content_hash("".join(map(file_hash, files)).encode())
