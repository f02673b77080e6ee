"""Photos in all formats and colour modes that the host's Load Image reads: the same face is found in each."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from drawn_people import photo, places
from graph import Graph, GraphError

GREYER = 0.25  # of a crop in shades of grey, mean difference at most; all others
CLOSE = 0.03


def turned(picture: Image.Image, path: Path) -> None:
    """As a telephone saves it: lying on its side, with a note which side is up."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


SAVED: dict[str, Callable[[Image.Image, Path], None]] = {
    "rgb.png": lambda picture, path: picture.save(path),
    "palette.png": lambda picture, path: picture.quantize(256).save(path),
    "palette.gif": lambda picture, path: picture.save(path),
    "alpha.png": lambda picture, path: picture.convert("RGBA").save(path),
    "alpha.webp": lambda picture, path: picture.convert("RGBA").save(path, quality=95),
    "palette_with_alpha.png": lambda picture, path: picture.convert("RGBA").quantize(256).save(path),
    "lossy.jpg": lambda picture, path: picture.save(path, quality=95),
    "progressive.jpg": lambda picture, path: picture.save(path, quality=95, progressive=True),
    "print.jpg": lambda picture, path: picture.convert("CMYK").save(path, quality=95),
    "turned.jpg": turned,
    "rgb.bmp": lambda picture, path: picture.save(path),
    "rgb.tiff": lambda picture, path: picture.save(path),
    "packed.tiff": lambda picture, path: picture.save(path, compression="tiff_lzw"),
    "rgb.ppm": lambda picture, path: picture.save(path),
    "grey.png": lambda picture, path: picture.convert("L").save(path),
    "grey_with_alpha.png": lambda picture, path: picture.convert("LA").save(path),
}


def detected(name: str) -> dict[str, torch.Tensor]:
    """The faces of a photo in the host's input folder."""
    graph = Graph()
    detector = graph.add(
        "UniPortraitFaceDetector", backend="mini world", model="mini-world-face_detector", provider="auto"
    )
    node, _ = graph.add(
        "UniPortraitDetectFaces", detector=detector, image=graph.add("LoadImage", image=name), order="left to right",
        min_confidence=0.5, mask_grow=0.0,
    )  # fmt: skip
    for slot, output in enumerate(("image", "crops", "masks")):
        graph.take([node, slot], output)
    return graph.run()


@pytest.fixture(scope="module")
def folder(base):
    path = base / "input"
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("name", SAVED)
def test_the_same_face_is_found(folder, name):
    SAVED["rgb.png"](photo(1, 4), folder / "wanted.png")
    SAVED[name](photo(1, 4), folder / name)
    wanted, found = detected("wanted.png"), detected(name)
    assert len(found["crops"]) == len(wanted["crops"]) == 1
    assert found["image"].shape == wanted["image"].shape  # the right way up
    ((x, y),) = places(1, 4)
    height, width = found["masks"].shape[1:]
    assert found["masks"][0, int(y * height), int(x * width)] == 1
    grey = "grey" in name
    difference = (found["crops"] - wanted["crops"]).abs().mean()
    assert difference <= (GREYER if grey else CLOSE)
    colour = (found["crops"][..., 0] - found["crops"][..., 2]).abs().mean()
    assert (colour < 0.01) == grey


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 31)], ids=str)
def test_photos_too_small_for_a_face(folder, size):
    photo(1, 4).resize(size).save(folder / "small.png")
    with pytest.raises(GraphError, match=rf"1 picture of {size[0]}×{size[1]} .* needed are .* Take a larger photo\."):
        detected("small.png")


def test_a_film_is_as_many_photos_as_it_has_frames(folder):
    frames = [photo(1, seed) for seed in (4, 5, 6)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    found = detected("film.gif")
    assert len(found["image"]) == len(found["crops"]) == 3
