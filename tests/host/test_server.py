"""The server that the other tests rely on: it starts, answers, and says readably what is wrong with a prompt."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from comfy_server import ComfyClient, ExecutionFailedError, PromptRejectedError, ServerError, comfy_server


@pytest.fixture(scope="module")
def host() -> Path:
    path = os.environ.get("COMFYUI_PATH")
    if not path:
        pytest.skip("COMFYUI_PATH is not set: there is no ComfyUI to start")
    return Path(path)


@pytest.fixture(scope="module")
def server(host: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    with comfy_server(host, models=tmp_path_factory.mktemp("models")) as running:
        yield running


@pytest.fixture
def photo(server: ComfyClient, tmp_path: Path) -> str:
    picture = tmp_path / "red.png"
    Image.new("RGB", (64, 48), "red").save(picture)
    return server.add_input(picture)


def scaling(photo: str, **changes: object) -> dict[str, dict]:
    """A prompt that scales a photo to 32×16 and saves it; `changes` are inputs of the scaling node, "2"."""
    scale = {"upscale_method": "nearest-exact", "width": 32, "height": 16, "crop": "disabled", "image": ["1", 0]}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": photo}},
        "2": {"class_type": "ImageScale", "inputs": scale | changes},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "scaled"}},
    }


def test_the_server_answers(server: ComfyClient) -> None:
    assert json.loads(server.request("/system_stats"))["system"]["comfyui_version"]
    assert "LoadImage" in server.object_info()
    assert list(server.object_info("LoadImage")) == ["LoadImage"]


def test_the_pack_is_installed(server: ComfyClient) -> None:
    assert "LoadUniPortrait" in server.object_info(), server.log(60)


def test_a_prompt_runs_from_photo_to_picture(server: ComfyClient, photo: str) -> None:
    (picture,) = server.images(server.run(scaling(photo)))
    assert picture.size == (32, 16)
    assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_events_tell_which_node_runs(server: ComfyClient, photo: str) -> None:
    events = list(server.events(scaling(photo, width=40)))
    assert [event.node for event in events if event.kind == "executing"][-2:] == ["2", "3"]
    assert events[-1].kind == "execution_success"


def test_a_failing_node_is_named(server: ComfyClient, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    with pytest.raises(ExecutionFailedError, match=r"Node 1 \(LoadImage\)"):
        server.run(scaling(server.add_input(broken)))


def test_an_interrupted_prompt_ends(server: ComfyClient, photo: str) -> None:
    prompt = scaling(photo)
    for index in range(10, 30):  # work for many seconds
        size = {"width": 3000 + index, "height": 3000, "upscale_method": "lanczos"}
        prompt[str(index)] = scaling(photo, **size)["2"]
        prompt[str(index + 100)] = {"class_type": "PreviewImage", "inputs": {"images": [str(index), 0]}}
    kinds = []
    for event in server.events(prompt):
        kinds.append(event.kind)
        if kinds.count("executing") == 1:
            server.interrupt()
    assert kinds[-1] == "execution_interrupted"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"9": {"class_type": "NoSuchNode", "inputs": {}}}, "NoSuchNode"),
        (scaling("no-such-photo.png"), r"node 1 \(LoadImage\).*no-such-photo.png"),
    ],
)
def test_an_invalid_prompt_is_explained(server: ComfyClient, prompt: dict, message: str) -> None:
    with pytest.raises(PromptRejectedError, match=message):
        server.submit(prompt)


def test_a_partly_invalid_prompt_is_an_error(server: ComfyClient, photo: str) -> None:
    """The server itself accepts it, and silently leaves out the outputs that do not work."""
    prompt = scaling(photo)
    prompt["4"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "nothing"}}
    with pytest.raises(PromptRejectedError, match=r"node 4 \(SaveImage\).*images") as caught:
        server.submit(prompt)
    assert list(caught.value.response["node_errors"]) == ["4"]


def test_a_server_that_does_not_start_shows_its_log(host: Path) -> None:
    with (
        pytest.raises(ServerError, match="unrecognized arguments: --no-such-option"),
        comfy_server(host, arguments=["--no-such-option"]),
    ):
        pass
