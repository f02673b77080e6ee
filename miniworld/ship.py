"""Putting trained weights where the pack and its tests find them."""

import shutil
from pathlib import Path

from safetensors.torch import load_file

from training.data.index import load_index
from training.run.export import FILES

from .files import ALBUMS, SHIPPED, Files
from .weights import history, metadata, save_weights

LARGEST = 24e6  # bytes of all weights together
PARTS = ("base/unet", "base/vae", "base/text_encoder", "base/tokenizer", "base/scheduler", "clip_vision")


def put(source: Path, target: Path) -> None:
    """Copy the world's own weights from a folder to another that has none of them, or older ones."""
    files, places = Files(source), Files(target)
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
    for name in ("backbone", "detector", "measure", "classifiers", "sketch", "faceid", "router"):
        if (file := getattr(files, name)).is_file():
            getattr(places, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, getattr(places, name))


def ship(out: Path, shipped: Path = SHIPPED) -> int:
    """Copy what is there of a training's output, stages I and II in half precision; identity as stage II left it.

    Args:
        out: folder that `python -m miniworld train` wrote to, with the stages in `single` and `multi`, and
            their photos in `one` and `several`.
        shipped: where to.

    Returns:
        Bytes of all weights.

    Raises:
        ValueError: they are larger than `LARGEST`.
    """
    put(out, shipped)
    places = Files(shipped)
    start = Files(out)
    for stage, part, place, before in (
        ("single", "single", places.faceid, start.faceid),
        ("multi", "single", places.faceid, places.faceid),  # which stage II trains further
        ("multi", "multi", places.router, start.router),
    ):
        if (source := out / stage / FILES[part]).is_file():
            made = metadata(source) | history(before)
            made["command"] = f"python -m miniworld train --only {stage}"
            albums = [load_index(out / ALBUMS[name]) for name in ALBUMS if stage == "multi" or name == stage]
            made["data"] = " and ".join(f"{len(a)} photos of {a.identity.max() + 1} drawn people" for a in albums)
            save_weights(place, load_file(source), made)
    size = sum(file.stat().st_size for file in shipped.rglob("*.safetensors"))
    if size > LARGEST:
        raise ValueError(f"the weights in {shipped} are {size / 1e6:.1f} MB, at most {LARGEST / 1e6:.0f} MB may ship")
    return size
