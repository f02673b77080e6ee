"""The pack's subgraph blueprints as the server lists them.

ComfyUI lists them since versions after 0.3.64, which passes over the files.
"""

from __future__ import annotations

import json
import os
import urllib.error
from pathlib import Path

import pytest

from comfy_server import PACK, comfy_server

INSTALLED_AS = "ComfyUI-UniPortrait"  # folder in custom_nodes
NAMES = sorted(path.stem for path in (PACK / "subgraphs").glob("*.json"))


def test_the_server_lists_the_blocks() -> None:
    with comfy_server(Path(os.environ["COMFYUI_PATH"])) as server:
        try:
            found = json.loads(server.request("/global_subgraphs"))
        except urllib.error.HTTPError:
            assert "subgraphs" not in server.log()
            pytest.skip("this ComfyUI lists no blueprints of packs")
        entries = [one for one in found.values() if INSTALLED_AS in one["info"]["node_pack"]]
        assert sorted(one["name"] for one in entries) == NAMES
