"""A real ComfyUI in this process, with the pack loaded the way the host loads it.

`COMFYUI_PATH` names the ComfyUI folder. The host can be imported once per process, so each version is tested in a
process of its own.
"""

import os
import tempfile
from pathlib import Path

import pytest

import boot

HOST = os.environ.get("COMFYUI_PATH")

if HOST:
    _base = tempfile.TemporaryDirectory(prefix="uniportrait-host-", ignore_cleanup_errors=True)  # gone at exit
    BASE = Path(_base.name).resolve()
    boot.import_host(HOST, BASE, ["--cpu"])
else:
    collect_ignore_glob = ["test_*.py"]

# They take longest; begun last, they would keep one process busy while the others have nothing left to do. The first
# has a server and two browsers beside the tests, whose processes are smallest at the beginning.
LONG = (
    "test_many_at_once.py",
    "test_workflows.py",
    "test_endurance.py",
    "test_faces.py",
    "test_style.py",
    "test_clean_environment.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long files begin first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def base() -> Path:
    """The host's base directory: models, input, output."""
    return BASE


@pytest.fixture(scope="session", autouse=True)
def pack():
    """The pack, loaded by the host: its module."""
    return boot.load_pack(BASE)


@pytest.fixture(scope="session")
def core(pack):
    """`core("embedding.identity")` is the module `uniportrait_core.embedding.identity` as the loaded pack has it."""
    import importlib

    return lambda name: importlib.import_module(f"{pack.__name__}.uniportrait_core.{name}")


@pytest.fixture(scope="session")
def small_weights(pack, base) -> None:
    """The small UniPortrait weights as files in the host's models folder."""
    import small

    small.write_weights(base / "models" / "uniportrait")


@pytest.fixture(scope="session")
def uniportrait(small_weights):
    """UniPortrait weights for the narrow UNet, loaded by the node."""
    import small

    return small.load_uniportrait()


@pytest.fixture(scope="session")
def unet(pack):
    """The narrow UNet, unpatched."""
    import small

    return small.unet()


@pytest.fixture(scope="session")
def known_unet(pack):
    """The UNet of the known answers, unpatched."""
    import small

    return small.unet(small.KNOWN_WIDTH)


@pytest.fixture(scope="session")
def known_uniportrait(small_weights):
    """The UniPortrait weights that go with it."""
    import small

    return small.load_uniportrait(small.FACEID, small.ROUTER)


@pytest.fixture(scope="session")
def sdxl(pack):
    """A narrow UNet of SDXL's layout, unpatched."""
    import other_models

    return other_models.drawn(other_models.sdxl())


@pytest.fixture(scope="session")
def sdxl_weights(small_weights, sdxl, base):
    """UniPortrait weights for it, of ten tokens, from files that say so, loaded by the node."""
    import other_models
    import small

    folder = base / "models" / "uniportrait"
    other_models.write_faceid(folder / small.SDXL_FACEID, sdxl, count=10, base="SDXL", stage="single")
    other_models.write_router(folder / small.SDXL_ROUTER, sdxl, count=10, base="SDXL", stage="multi")
    return small.load_uniportrait(small.SDXL_FACEID, small.SDXL_ROUTER)


@pytest.fixture(scope="session")
def controlled(pack):
    """Prompts with a narrow ControlNet on both."""
    import comfy.controlnet
    import torch

    import recipe
    import small
    from graph import pair
    from standins import host_shapes

    table = small.as_wide(host_shapes.controlnet((1, 1, 1, 1)), small.WIDTH)
    weights = {f"control_model.{key}": recipe.weight("controlnet", key, shape) for key, shape in table.items()}
    with small.narrow_models_known():
        net = comfy.controlnet.load_controlnet_state_dict(weights, model_options={"dtype": torch.float32})
    settings = {"strength": 0.8, "start_percent": 0.0, "end_percent": 1.0}
    image = recipe.noise("hint", (1, 128, 64, 3)).sigmoid()
    return pair("ControlNetApplyAdvanced", **small.prompts(), control_net=net, image=image, **settings)
