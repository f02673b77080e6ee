"""The pack's subgraph blueprints in the real front end: found, put on the canvas and connected by hand, and run.

ComfyUI lists them since versions after 0.3.64, which passes over the files.
"""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from browser import FrontEnd, front_end
from comfy_server import PACK, ComfyClient
from servers import server_for_workflows

INSTALLED_AS = "ComfyUI-UniPortrait"  # folder in custom_nodes
NAMES = sorted(path.stem for path in (PACK / "subgraphs").glob("*.json"))
WANTED = "a lighthouse keeper in a yellow raincoat"
SMALL = {"width": 128, "height": 64}
PLACE = (800, 250)  # of the block, in the window
DOUBLE_CLICK = 5_000  # milliseconds until the search is there
SOCKETS = """name => app.graph._nodes.find(one => one.title === name).inputs.map(({ name, type }) => [name, type])"""
ON_SCREEN = """([node, name, given]) => {
    const found = app.graph._nodes.find(one => one.title === node);
    const slots = given ? found.outputs : found.inputs;
    const index = slots.findIndex(one => one.name === name);
    const [x, y] = given ? found.getOutputPos(index) : found.getInputPos(index);
    const { left, top } = app.canvas.canvas.getBoundingClientRect();
    const { scale, offset } = app.canvas.ds;
    return [left + (x + offset[0]) * scale, top + (y + offset[1]) * scale];
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    """A server with stand-in weights, and photos."""
    with server_for_workflows() as running:
        yield running


@pytest.fixture(scope="module")
def listed(server: ComfyClient) -> list[str]:
    """Names of the pack's blueprints that the server has; a server that has no such list is skipped."""
    try:
        found = json.loads(server.request("/global_subgraphs"))
    except urllib.error.HTTPError:
        assert "subgraphs" not in server.log()
        pytest.skip("this ComfyUI lists no blueprints of packs")
    return sorted(one["name"] for one in found.values() if INSTALLED_AS in one["info"]["node_pack"])


@pytest.fixture(scope="module")
def shown(server: ComfyClient, listed: list[str]) -> Iterator[FrontEnd]:
    """The front end of the server."""
    with front_end(server) as page:
        yield page


def load_ends(shown: FrontEnd) -> None:
    """A canvas with two photos on the left and Save Image on the right."""
    workflow = json.loads((PACK / "workflows" / "multi_id.json").read_text(encoding="utf-8"))
    photos = [node for node in workflow["nodes"] if node["type"] == "LoadImage"]
    (save,) = (node for node in workflow["nodes"] if node["type"] == "SaveImage")
    for node, place in zip([*photos, save], [(0, 0), (0, 400), (1100, 0)], strict=True):
        node["pos"] = place
        for socket in (*node["inputs"], *node["outputs"]):
            socket |= {"link": None} if "link" in socket else {"links": None}
    view = {"scale": 0.8, "offset": [150, 150]}
    shown.load({**workflow, "nodes": [*photos, save], "links": [], "groups": [], "extra": {"ds": view}})


def add_block(shown: FrontEnd, name: str) -> None:
    """Double-click the canvas, type the name, take the first result, put it down."""
    page = shown.page
    search = page.get_by_role("combobox")
    for _ in range(5):  # where the browser is slow, two clicks may be no double click
        page.mouse.dblclick(*PLACE)
        with suppress(PlaywrightTimeoutError):
            search.wait_for(timeout=DOUBLE_CLICK)
            break
    search.fill(name)
    page.get_by_test_id("result-item").filter(has_text=name).first.click()
    page.wait_for_function("name => app.graph._nodes.some(one => one.title === name)", arg=name)
    page.mouse.move(*PLACE, steps=5)  # it follows the pointer until it is put down
    page.mouse.click(*PLACE)


def connect(shown: FrontEnd, source: str, output: str, target: str, name: str) -> None:
    """Drag a wire from an output to an input."""
    page = shown.page
    page.mouse.move(*page.evaluate(ON_SCREEN, [source, output, True]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(ON_SCREEN, [target, name, False]), steps=5)
    page.mouse.up()


def test_the_server_lists_the_blocks(listed: list[str]) -> None:
    assert listed == NAMES


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_a_block_is_found_connected_and_run(shown: FrontEnd, server: ComfyClient, name: str) -> None:
    load_ends(shown)
    add_block(shown, name)
    sockets = shown.page.evaluate(SOCKETS, name)
    pictures = [socket for socket, kind in sockets if kind == "IMAGE"]
    for number, picture in enumerate(pictures, start=1):
        connect(shown, f"Photo of person {number}", "IMAGE", name, picture)
    connect(shown, name, "image", "Save picture", "images")
    asks = any(socket == "prompt" for socket, _ in sockets)
    if asks:
        shown.page.locator("textarea:visible").first.fill(WANTED)
    shown.page.evaluate(
        """([name, sizes]) => {
            const block = app.graph._nodes.find(one => one.title === name);
            for (const widget of block.widgets) if (widget.name in sizes) widget.value = sizes[widget.name];
        }""",
        [name, SMALL],
    )
    prompt = shown.prompt()
    asked = [about for about in prompt.values() if WANTED in about["inputs"].values()]
    assert [about["class_type"] for about in asked] == ["CLIPTextEncode"] * asks
    for about in prompt.values():
        if "steps" in about["inputs"]:
            about["inputs"]["steps"] = 2
    (save,) = (number for number, about in prompt.items() if about["class_type"] == "SaveImage")
    (saved,) = server.run(prompt)[save]["images"]
    picture = Image.open(BytesIO(server.view(saved)))
    assert picture.size == (SMALL["width"], SMALL["height"])
