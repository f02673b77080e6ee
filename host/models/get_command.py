"""The command that gets published model files into this ComfyUI, as a user can paste it into a terminal."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths

PACK = Path(__file__).resolve().parents[2]


def published_files() -> list[Mapping[str, Any]]:
    """What `get_models.py` can get, with name and folder; see `ModelFile` in `model_files/table.py`."""
    return json.loads((PACK / "model_files" / "files.json").read_text("utf-8"))


def get_command(names: Sequence[str] = ()) -> str:
    """The command line for these files, or for all that the workflows need, with this ComfyUI's Python and folder."""
    models = Path(folder_paths.models_dir)
    ordinary = models.name == "models" and any((models.parent / sign).exists() for sign in ("main.py", "custom_nodes"))
    words = [sys.executable, str(PACK / "get_models.py")]
    words += ["--comfyui", str(models.parent)] if ordinary else ["--models", str(models)]
    for name in names:
        words += ["--only", name]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def or_get(*names: str) -> str:
    """For an error about missing files: how to get those that can be got."""
    published = {file["name"] for file in published_files()}
    known = [name for name in names if name in published]
    return f", or run `{get_command(known)}`" if known else ""
