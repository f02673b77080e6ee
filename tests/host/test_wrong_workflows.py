"""Workflow files as other versions of the pack would have saved them, or nobody, in the real front end.

What stands at a node of the pack in such a file is cut, grown, put in other places or of another kind. The page goes
on: our scripts fail nowhere, the canvas can be saved and sent, and the next workflow is as if there had been no other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from browser import FrontEnd, front_end
from comfy_server import PACK, ComfyClient
from servers import server_for_workflows
from workflow_prompts import load_prompt

COUNT = int(os.environ.get("UNIPORTRAIT_WRONG_WORKFLOWS", "12"))  # the long form sets some hundreds
OURS = set(json.loads((PACK / "tests" / "node_texts.json").read_text("utf-8")))
VALUES = [
    None, "", "none", "../x", -1, 0, 1e308, 10**30, True, [], ["1", 0], {}, {"a": [1]}, "\x00", "<b>x</b>", "x" * 5000,
]  # fmt: skip
WAYS = (
    "fewer values", "more values", "another value", "values in other places", "no values", "values by name",
    "fewer inputs", "inputs of another name", "an input of another kind", "no outputs", "no properties", "no size",
    "flags", "more widgets",
)  # fmt: skip

Node = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    with server_for_workflows() as running:
        yield running


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    with front_end(server) as page:
        yield page


def change(node: Node, way: str, dice: Random) -> None:
    """Make a node of a workflow in UI format a wrong one."""
    values, inputs = node.get("widgets_values") or [], node.get("inputs") or []
    if way == "fewer values":
        node["widgets_values"] = values[: dice.randrange(len(values) + 1)]
    elif way == "more values":
        node["widgets_values"] = values + [dice.choice(VALUES) for _ in range(dice.choice([1, 3, 50]))]
    elif way == "another value" and values:
        values[dice.randrange(len(values))] = dice.choice(VALUES)
    elif way == "values in other places":
        dice.shuffle(values)
    elif way == "no values":
        node.pop("widgets_values", None)
    elif way == "values by name":
        node["widgets_values"] = {f"name {i}": value for i, value in enumerate(values)}
    elif way == "fewer inputs":
        node["inputs"] = [one for one in inputs if one.get("link") is not None]
    elif way == "inputs of another name" and inputs:
        dice.choice(inputs)["name"] = dice.choice(["", "gone", "face_id_9", "__proto__", "constructor"])
    elif way == "an input of another kind" and inputs:
        dice.choice(inputs)["type"] = dice.choice(["*", "", "IMAGE", "UNIPORTRAIT_GONE"])
    elif way == "no outputs":
        node.pop("outputs", None)
    elif way == "no properties":
        node.pop("properties", None)
    elif way == "no size":
        node.pop("size", None)
    elif way == "flags":
        node["flags"] = {"collapsed": dice.choice([True, "yes", None]), "pinned": True}
    elif way == "more widgets":
        for one in inputs:
            one["widget"] = {"name": dice.choice(["gone", "id_scale", "image"])}


def wrong(number: int) -> tuple[str, dict[str, Any]]:
    """A wrong workflow, and what is wrong with it."""
    dice = Random(f"workflow {number}")
    path = dice.choice(sorted((PACK / "workflows").glob("*.json")))
    workflow, told = json.loads(path.read_text("utf-8")), [path.stem]
    ours = [node for node in workflow["nodes"] if node["type"] in OURS]
    for _ in range(dice.choice([1, 1, 2, 4])):
        node, way = dice.choice(ours), dice.choice(WAYS)
        change(node, way, dice)
        told.append(f"{node['type']}: {way}")
    return ", ".join(told), workflow


@pytest.mark.slow
@pytest.mark.browser
def test_wrong_workflows(shown: FrontEnd) -> None:
    told = []
    for number in range(COUNT):
        about, workflow = wrong(number)
        told.append(about)
        shown.load(workflow, app=None)
        assert not shown.errors, (about, shown.errors)
        assert {node["type"] for node in shown.workflow()["nodes"]} == {node["type"] for node in workflow["nodes"]}, (
            about
        )
        assert shown.prompt(), about
    ways = {way for about in told for way in WAYS if way in about}
    assert len(ways) > len(WAYS) // 2
    shown.load(json.loads((PACK / "workflows" / "single_id.json").read_text("utf-8")))
    assert shown.prompt() == load_prompt("single_id")
