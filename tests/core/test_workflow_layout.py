"""The workflows as they lie on the classic canvas: what a reader sees when one opens."""

import itertools
import json
import math
from pathlib import Path

import pytest

from canvas import Box, Wires, folded, group_box, node_box

WORKFLOWS = Path(__file__).parents[2] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
NOTES = ("Note", "MarkdownNote")
LOADERS = (
    "CheckpointLoaderSimple", "VAELoader", "CLIPVisionLoader", "ControlNetLoader", "LoadUniPortrait",
    "UniPortraitFaceDetector", "UniPortraitLoadIPAdapter", "UniPortraitLoadMiniWorld",
)  # fmt: skip
GAP = 10  # between two nodes
CLEAR = 4  # between a wire and a node that it passes
AT_HOME = 45  # a wire may cross its own nodes this near to its sockets
HEADING = 34  # height of a group's title
WINDOW = (1280, 720)  # pixels of a small browser window's canvas
READABLE = 0.85  # zoom at which a note's text of 10 pixels can still be read


@pytest.fixture(params=NAMES)
def workflow(request):
    return json.loads((WORKFLOWS / f"{request.param}.json").read_text("utf-8"))


def label(node):
    return f"{node['id']} {node.get('title') or node['type']}"


def test_there_are_workflows():
    assert len(NAMES) >= 11


def test_no_wire_runs_through_a_node(workflow):
    wires = Wires(workflow)
    for link in wires:
        source, start, target, end = wires.ends(link)
        points = wires.points(link)
        away = {
            source["id"]: [point for point in points if math.dist(point, start) > AT_HOME],
            target["id"]: [point for point in points if math.dist(point, end) > AT_HOME],
        }
        for node in workflow["nodes"]:
            box = node_box(node).grown(0 if node["id"] in away else CLEAR)
            assert not any(map(box.holds, away.get(node["id"], points))), (
                f"the wire from {label(source)} to {label(target)} runs through {label(node)}"
            )


def test_wires_run_from_left_to_right(workflow):
    wires = Wires(workflow)
    for link in wires:
        source, start, target, end = wires.ends(link)
        assert start.x < end.x, f"from {label(source)} to {label(target)}"


def test_no_two_nodes_touch(workflow):
    for first, second in itertools.combinations(workflow["nodes"], 2):
        assert not node_box(first).grown(GAP).meets(node_box(second)), f"{label(first)} and {label(second)}"


def test_a_node_is_in_one_group_and_below_its_title(workflow):
    groups = [group_box(group) for group in workflow["groups"]]
    assert all(group["title"].strip() for group in workflow["groups"])
    assert not any(first.meets(second) for first, second in itertools.combinations(groups, 2))
    for node in workflow["nodes"]:
        around = [group for group in groups if group.meets(node_box(node))]
        if node["type"] in NOTES:
            assert not around
        else:
            (group,) = around
            below = Box(group.left, group.top + HEADING, group.right, group.bottom)
            assert below.covers(node_box(node)), label(node)


def test_models_are_in_a_group_of_their_own(workflow):
    (models,) = (group_box(group) for group in workflow["groups"] if group["title"] == "Models")
    inside = [node for node in workflow["nodes"] if models.meets(node_box(node))]
    assert {node["id"] for node in inside} == {node["id"] for node in workflow["nodes"] if node["type"] in LOADERS}
    assert all(folded(node) for node in inside if len(node["outputs"]) == 1)


def test_the_note_can_be_read_when_the_graph_opens(workflow):
    view = workflow["extra"]["ds"]
    assert view["scale"] >= READABLE
    left, top = (-offset for offset in view["offset"])
    window = Box(left, top, left + WINDOW[0] / view["scale"], top + WINDOW[1] / view["scale"])
    notes = [node for node in workflow["nodes"] if node["type"] in NOTES]
    assert notes
    assert all(window.covers(node_box(note)) for note in notes)
