"""From a scene to pixels: the picture, the masks, and where the faces are."""

import numpy as np

from .colour import BLACK, WHITE
from .dice import Dice
from .figure import Place, draw_figure, face_of
from .ink import STYLES, silhouette
from .paper import on_paper
from .person import draw_person
from .places.table import PLACES
from .raster import rasterize
from .scene import Scene
from .sheet import Sheet

# Colours of people's silhouettes, one for each of four.
FLAT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), WHITE)


def picture(scene: Scene, size: int) -> np.ndarray:
    """The picture of a scene, RGB, (size, size · aspect, 3), uint8.

    Args:
        size: its height in pixels.
    """
    sheet = Sheet(STYLES[scene.style])
    PLACES[scene.place][1](sheet, Dice("place", scene.seed), 100 * scene.aspect)
    _draw_people(sheet, scene)
    return on_paper(_pixels(sheet, scene, size), scene.style, scene.seed)


def masks(scene: Scene, size: int) -> np.ndarray:
    """Which pixels show which person, (people, size, size · aspect), bool; nobody where the place is seen."""
    sheet = Sheet(silhouette(BLACK))
    for look, colour in zip(scene.looks, FLAT, strict=False):
        sheet.ink = silhouette(colour)
        draw_figure(sheet, draw_person(look.person), look)
    colours = np.array([BLACK, *FLAT[: len(scene.looks)]]) * 255
    distances = np.abs(_pixels(sheet, scene, size)[None] - colours[:, None, None]).sum(axis=-1)
    return np.arange(1, len(colours))[:, None, None] == distances.argmin(axis=0)


def faces(scene: Scene, size: int) -> list[Place]:
    """Boxes and landmarks in pixels, from left to right; see `Place`."""
    found = (face_of(draw_person(look.person), look) for look in scene.looks)
    return [Place(place.box * size, place.landmarks * size) for place in found]


def _draw_people(sheet: Sheet, scene: Scene) -> None:
    for look in scene.looks:
        draw_figure(sheet, draw_person(look.person), look)


def _pixels(sheet: Sheet, scene: Scene, size: int) -> np.ndarray:
    return rasterize(sheet.svg(100 * scene.aspect, 100), round(size * scene.aspect), size)
