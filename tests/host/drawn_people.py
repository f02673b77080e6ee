"""What a server needs to look for faces in seconds: drawn photos, and small untrained weights beside the mini world's
detector, backbone and CLIP."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

import recipe
from miniworld.files import SHIPPED
from miniworld.world.picture import faces, picture
from miniworld.world.scene import Scene, compose
from miniworld.world.seeds import TEST

BACKBONE = "mini-world-face_backbone.safetensors"
FACEID = "drawn-faceid.safetensors"
WEIGHTS = {"faceid": FACEID, "router": "none", "face_backbone": BACKBONE}  # of Load UniPortrait
CLIP_DIM, TEXT_DIM, WIDTH, TOKENS = 96, 64, 64, 4
HEIGHT, ASPECT = 320, 1.5  # of photos, in pixels, and their width in relation


def photo(people: int, seed: int) -> Image.Image:
    """A drawn photo of one to four people."""
    return Image.fromarray(picture(_scene(people, seed), HEIGHT))


def places(people: int, seed: int) -> list[tuple[float, float]]:
    """Where the noses are in that photo, from left to right, in shares of its width and height."""
    noses = [face.landmarks[2] for face in faces(_scene(people, seed), HEIGHT)]
    return [(x / (HEIGHT * ASPECT), y / HEIGHT) for x, y in noses]


def _scene(people: int, seed: int) -> Scene:
    return compose(TEST[:people], f"photo {seed}", "illustration", ASPECT)


def write_photos(folder: Path, photos: Sequence[Image.Image]) -> list[str]:
    """Write photos as PNG; returns their names."""
    for number, shown in enumerate(photos):
        shown.save(folder / f"drawn_{number}.png")
    return [f"drawn_{number}.png" for number in range(len(photos))]


def write_faceid(core: Callable, folder: Path) -> None:
    """Face-ID weights that go with the mini world's backbone and CLIP, and have learned nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = core("files.checkpoint").load_backbone(SHIPPED / "uniportrait" / BACKBONE).stage_channels
    with torch.device("meta"):
        resampler = core("embedding.resampler").FaceIDResampler(
            intrinsic_dim=channels[-1], structure_dim=sum(channels[:-1]) + CLIP_DIM, tokens=TOKENS, dim=WIDTH,
            inner_dim=WIDTH, depth=1, output_dim=TEXT_DIM,
        )  # fmt: skip
    shapes = {f"faceid_proj.{key}": list(value.shape) for key, value in resampler.state_dict().items()}
    adapter = {f"1.to_{name}_faceid.weight": [WIDTH, TEXT_DIM] for name in "kv"}
    for layer, name, end in itertools.product("01", ("q", "k", "v", "out"), ("down", "up")):
        adapter[f"{layer}.to_{name}_lora.{end}.weight"] = [1, WIDTH] if end == "down" else [WIDTH, 1]
    shapes |= {f"faceid_adapter.{key}": shape for key, shape in adapter.items()}
    save_file(recipe.weights("drawn.faceid", shapes), folder / FACEID)
