"""The prompts of the pack's workflows in API format, and the photos that they name, for the tests and the demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from comfy_client import ComfyClient
from standins.detector import photo

PROMPTS = Path(__file__).with_name("prompts")
PHOTOS = {"portrait.png": "astronaut", "group.jpg": "group"}  # photos of the installed packages

Prompt = dict[str, dict[str, Any]]


def load_prompt(name: str) -> Prompt:
    """What the front end makes of `workflows/<name>.json`: nodes by id."""
    return json.loads((PROMPTS / f"{name}.json").read_text(encoding="utf-8"))


def of_class(prompt: Prompt, *class_types: str) -> list[str]:
    """Ids of the nodes of a class, or of several."""
    return [node for node, about in prompt.items() if about["class_type"] in class_types]


def add_photos(server: ComfyClient) -> None:
    """Put the photos into the server's input folder."""
    for name, source in PHOTOS.items():
        add_picture(server, name, Image.fromarray(photo(source)))


def add_picture(server: ComfyClient, name: str, picture: Image.Image) -> None:
    """Put a picture into the server's input folder, a JPEG in good quality."""
    picture.save(server.base / "input" / name, **({"quality": 95} if name.endswith(".jpg") else {}))
