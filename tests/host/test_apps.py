"""The workflows as apps: a page of inputs and pictures in place of the graph, in the real front end.

`extra.linearData` of a workflow names the inputs and the nodes whose outputs are shown, `extra.linearMode` says whether
it opens so. Front ends before that pass over both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from browser import APPS, FrontEnd, front_end
from comfy_server import PACK, ComfyClient
from servers import server_for_workflows

OPEN_AS_APPS = {"single_id", "multi_id", "image_to_single_id"}  # the three modes of the published demo
NAMES = sorted(path.stem for path in (PACK / "workflows").glob("*.json"))
WANTED = "a lighthouse keeper in a yellow raincoat"
SIZE = (128, 64)  # of the pictures, in pixels

Workflow = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    """A server with stand-in weights, and the photos that the workflows name."""
    with server_for_workflows() as running:
        yield running


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    """The front end of the server."""
    with front_end(server) as page:
        page.skip_before(*APPS)
        yield page


def load(name: str) -> Workflow:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def small(name: str) -> Workflow:
    """The workflow with few steps and a small picture."""
    workflow = load(name)
    for node in workflow["nodes"]:
        if node["type"] == "KSampler":
            node["widgets_values"][2] = 1
        if node["type"] == "EmptyLatentImage":
            node["widgets_values"] = [*SIZE, 1]
        if node["type"] == "UniPortraitStyleReference":
            node["widgets_values"][1] = 1
    return workflow


def named(workflow: Workflow) -> list[str]:
    """What the inputs of a workflow's app are called."""
    nodes = {str(node["id"]): node for node in workflow["nodes"]}
    labels = []
    for node, name in workflow["extra"]["linearData"]["inputs"]:
        (socket,) = (one for one in nodes[node]["inputs"] if one.get("widget", {}).get("name") == name)
        labels.append(socket.get("label", name))
    return labels


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_an_app_shows_its_inputs(shown: FrontEnd, name: str) -> None:
    workflow = load(name)
    shown.load(workflow, app=None)
    assert shown.shows_app() == (name in OPEN_AS_APPS)
    shown.load(workflow, app=True)
    labels = named(workflow)
    assert len(set(labels)) == len(labels) > 3
    assert list(shown.app_inputs()) == labels
    assert not shown.errors


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", ["single_id", "multi_id"])
def test_a_prompt_typed_into_an_app_makes_a_picture(shown: FrontEnd, name: str) -> None:
    workflow = small(name)
    shown.load(workflow, app=None)
    shown.app_inputs()["prompt"].get_by_role("textbox").fill(WANTED)
    (prompt,) = (node for node in workflow["nodes"] if node.get("title") == "Prompt")
    made = shown.prompt()
    assert [node for node, about in made.items() if WANTED in about["inputs"].values()] == [str(prompt["id"])]
    shown.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run", exact=True).click()
    width, height = SIZE
    shown.page.get_by_text(f"{width} x {height} | {name}_0").wait_for()  # below the picture
    assert not shown.errors
