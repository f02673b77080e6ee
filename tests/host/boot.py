"""A real ComfyUI in this process, with the pack loaded the way the host loads it.

The host reads its command line when it is imported, and can be imported once per process.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

PACK = Path(__file__).resolve().parents[2]


def import_host(host: str | Path, base: Path, arguments: Sequence[str] = ()) -> None:
    """Make the modules of the ComfyUI in folder `host` importable; `base` gets its models, input and output."""
    sys.path.insert(0, str(host))
    sys.argv = ["main.py", "--use-pytorch-cross-attention", "--base-directory", str(base), *arguments]
    import comfy.options
    import utils.install_util  # noqa: F401  (before another package can take the name `utils`)

    comfy.options.enable_args_parsing()


def load_pack(base: Path) -> ModuleType:
    """The pack's module, after the host has loaded it and its own further nodes."""
    import nodes

    for folder in ("models", "input", "output", "temp", "custom_nodes"):
        (base / folder).mkdir(exist_ok=True)
    asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    loaded = asyncio.run(nodes.load_custom_node(str(PACK)))
    assert loaded, "the host could not load the pack; its log says why"
    return sys.modules[str(PACK).replace(".", "_x_")]
