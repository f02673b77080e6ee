"""Whether this ComfyUI is one that the pack can work in."""

import re
from importlib.util import find_spec

OLDEST = (0, 3, 64)


def check_host() -> None:
    """Refuse a host that is too old, when it starts instead of when something is missing later.

    A host that does not tell its version is judged by whether it has the interface that nodes are written for.

    Raises:
        ImportError: which the host shows beside the pack's name.
    """
    found = host_version()
    if found is None:
        if _has_node_interface():
            return
        found = "an older one, which does not tell its version"
    elif _numbers(found) >= OLDEST:
        return
    raise ImportError(
        f"ComfyUI-UniPortrait needs ComfyUI {'.'.join(map(str, OLDEST))} or later; this is {found}. Update ComfyUI and "
        "what its requirements.txt names, and start it again."
    )


def host_version() -> str | None:
    """What the host says that it is, such as "0.33.0"; None where it says nothing."""
    try:
        from comfyui_version import __version__
    except ImportError:
        return None
    return str(__version__)


def _has_node_interface() -> bool:
    try:
        return find_spec("comfy_api.latest") is not None
    except ImportError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: those of "0.3.64rc1" are 0, 3 and 64."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
