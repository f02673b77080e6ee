"""People to save for tests: files with drawn faces, and tokens too small for any model."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from uniportrait_core.embedding.identity import Identity
from uniportrait_core.files.identity_file import save_face_id

SIZE = 112  # pixels of a thumbnail


def person(number: int, face: bool = True) -> Identity:
    """A person of their own looks, or one who was saved without a face."""
    tokens = torch.full((2, 4), float(number))
    return Identity(tokens, tokens, thumbnail=torch.from_numpy(drawn(number)) if face else None)


def drawn(number: int) -> np.ndarray:
    """A face, (112, 112, 3), uint8."""
    dice = np.random.default_rng(number)
    behind, skin = (tuple(int(value) for value in dice.integers(low, 240, 3)) for low in (40, 120))
    image = Image.new("RGB", (SIZE, SIZE), behind)
    draw = ImageDraw.Draw(image)
    draw.ellipse((26, 16, 86, 96), fill=skin)
    for left in (42, 62):
        draw.ellipse((left, 44, left + 8, 52), fill="black")
    draw.arc((42, 60, 70, 82), 20, 160, fill="black", width=3)
    return np.asarray(image).copy()


def save(folder: Path, name: str, *numbers: int, face: bool = True) -> Path:
    """Write people to `<folder>/<name>.safetensors`."""
    path = folder / f"{name}.safetensors"
    save_face_id(path, tuple(person(number, face) for number in numbers))
    return path
