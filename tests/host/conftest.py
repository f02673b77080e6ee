"""A real ComfyUI in this process, with the pack loaded the way the host loads it.

`COMFYUI_PATH` names the ComfyUI folder. The host can be imported once per process, so each version is tested in a
process of its own.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOST = os.environ.get("COMFYUI_PATH")

if HOST:
    sys.path.insert(0, HOST)
    _base = tempfile.TemporaryDirectory(prefix="uniportrait-host-", ignore_cleanup_errors=True)  # gone at exit
    BASE = Path(_base.name).resolve()
    # The host reads its command line when it is imported.
    sys.argv = ["main.py", "--cpu", "--use-pytorch-cross-attention", "--base-directory", str(BASE)]
    import comfy.options
    import utils.install_util  # noqa: F401  (before another package can take the name `utils`)

    comfy.options.enable_args_parsing()
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def base() -> Path:
    """The host's base directory: models, input, output."""
    return BASE


@pytest.fixture(scope="session", autouse=True)
def pack():
    """The pack, loaded by the host: its module."""
    import nodes

    for folder in ("models", "input", "output", "temp", "custom_nodes"):
        (BASE / folder).mkdir(exist_ok=True)
    asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    loaded = asyncio.run(nodes.load_custom_node(str(ROOT)))
    assert loaded, "the host could not load the pack; its log says why"
    return sys.modules[str(ROOT).replace(".", "_x_")]


@pytest.fixture(scope="session")
def core(pack):
    """`core("attention")` is the module `uniportrait_core.attention` as the loaded pack has it."""
    import importlib

    return lambda name: importlib.import_module(f"{pack.__name__}.uniportrait_core.{name}")


@pytest.fixture(scope="session")
def small_weights(pack, base) -> None:
    """The small UniPortrait weights as files in the host's models folder."""
    import small

    small.write_weights(base / "models" / "uniportrait")


@pytest.fixture(scope="session")
def uniportrait(small_weights):
    """The small UniPortrait weights, loaded by the node."""
    import small

    return small.load_uniportrait()


@pytest.fixture(scope="session")
def unet(pack):
    """The narrow UNet, unpatched."""
    import small

    return small.unet()
