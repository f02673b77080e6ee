"""The people of the demo and of the workflows, and their photos that come with the pack."""

from pathlib import Path

import cv2
import numpy as np

from .world.picture import picture
from .world.scene import NO_HAT, Scene, compose
from .world.seeds import DEMO

PHOTOS = Path(__file__).parent / "photos"
CAST = {"ida": DEMO[8], "omar": DEMO[17], "finn": DEMO[15], "vera": DEMO[29]}
GROUP, STYLE = "group", "style"
SIZE = 256


def portrait(name: str) -> Scene:
    """The first photo by chance in which somebody wears no hat and looks friendly."""
    numbers = (compose([CAST[name]], f"{name} {number}", "illustration") for number in range(1000))
    return next(
        scene for scene in numbers if scene.looks[0].hat == NO_HAT and scene.looks[0].expression in ("calm", "smiling")
    )


def photos() -> dict[str, np.ndarray]:
    """All photos, RGB, uint8: one of each person, a group, and a picture whose style is to be taken."""
    names = list(CAST)
    group = compose([CAST[name] for name in names[:3]], "the group", "illustration", aspect=1.5)
    style = compose([DEMO[40]], "the style", "watercolour")
    return {
        **{name: picture(portrait(name), SIZE) for name in names},
        GROUP: picture(group, SIZE),
        STYLE: picture(style, SIZE),
    }


def save_photos(folder: Path = PHOTOS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in photos().items():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
