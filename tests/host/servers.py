"""What the tests that start servers of their own have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from comfy_server import ComfyClient, comfy_server
from workflow_prompts import add_photos


def standin_models() -> Path:
    """The models folder with stand-in weights; a test without it is skipped."""
    models = os.environ.get("UNIPORTRAIT_STANDINS")
    if not models:
        pytest.skip("UNIPORTRAIT_STANDINS is not set: there are no weights to run with")
    return Path(models)


@contextmanager
def server_for_workflows(arguments: Sequence[str] = ()) -> Iterator[ComfyClient]:
    """A server with stand-in weights, and the photos that the workflows name."""
    with comfy_server(Path(os.environ["COMFYUI_PATH"]), standin_models(), arguments) as running:
        add_photos(running)
        yield running
