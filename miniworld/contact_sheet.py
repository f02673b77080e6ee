"""Contact sheets, to look at."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .world.ink import STYLES
from .world.picture import picture
from .world.scene import compose
from .world.seeds import DEMO


def sheet(pictures: Sequence[np.ndarray], across: int) -> np.ndarray:
    """Pictures of one size side by side, in rows, RGB."""
    blank = np.full_like(pictures[0], 255)
    filled = [*pictures, *[blank] * (-len(pictures) % across)]
    return np.concatenate([np.concatenate(filled[i : i + across], axis=1) for i in range(0, len(filled), across)])


def save_sheet(file: Path, pictures: Sequence[np.ndarray], across: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(sheet(pictures, across), cv2.COLOR_RGB2BGR))


def save_sheets(folder: Path, size: int) -> None:
    """People, one person in many pictures, and groups in every style."""
    people = [picture(compose([DEMO[i]], f"sheet {i}", "illustration"), size) for i in range(24)]
    save_sheet(folder / "people.png", people, 6)
    same = [picture(compose([DEMO[i // 6]], f"same {i}"), size) for i in range(24)]
    save_sheet(folder / "same.png", same, 6)
    styles = list(STYLES)
    groups = [
        picture(compose([DEMO[4 * i + k] for k in range(1 + i % 4)], f"group {i}", styles[i // 4]), size)
        for i in range(16)
    ]
    save_sheet(folder / "groups.png", groups, 4)
