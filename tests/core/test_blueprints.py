"""The blocks in `subgraphs/`: each file is one node that holds a whole graph, as ComfyUI's front end wants it."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "subgraphs").glob("*.json"))
INPUT, OUTPUT = -10, -20  # ids of a subgraph's ends
LOADERS = {"CheckpointLoaderSimple", "VAELoader", "CLIPVisionLoader", "LoadUniPortrait", "UniPortraitFaceDetector"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def block(request):
    """A file's name, its node, and the graph inside."""
    content = json.loads(request.param.read_text("utf-8"))
    (node,), (inside,) = content["nodes"], content["definitions"]["subgraphs"]
    return request.param.stem, node, inside


def test_the_blocks():
    names = {path.stem for path in FILES}
    assert names == {"Portrait of one person", "Portrait of two people", "Style picture and face"}


def test_a_block_is_one_node_with_a_name_and_a_description(block):
    name, node, inside = block
    assert node["type"] == inside["id"]
    assert name == node["title"] == inside["name"]
    assert inside["description"].endswith(".")


def test_a_block_has_its_models_inside_and_its_photos_outside(block):
    _, node, inside = block
    types = {one["type"] for one in inside["nodes"]}
    assert types >= LOADERS and not types & {"LoadImage", "SaveImage"}
    names = {socket["name"]: socket["type"] for socket in node["inputs"]}
    assert names.items() >= {"width": "INT", "height": "INT", "id_scale": "FLOAT", "seed": "INT"}.items()
    assert list(names.values())[0] == "IMAGE"
    assert [socket["type"] for socket in node["outputs"]] == ["IMAGE"]


def test_the_wires_of_a_block_lead_somewhere(block):
    _, node, inside = block
    nodes = {one["id"]: one for one in inside["nodes"]}
    assert [socket["name"] for socket in node["inputs"]] == [socket["name"] for socket in inside["inputs"]]
    for link in inside["links"]:
        given = inside["inputs"] if link["origin_id"] == INPUT else nodes[link["origin_id"]]["outputs"]
        taken = inside["outputs"] if link["target_id"] == OUTPUT else nodes[link["target_id"]]["inputs"]
        source, target = given[link["origin_slot"]], taken[link["target_slot"]]
        assert link["id"] in (source.get("links") or source.get("linkIds"))
        assert link["id"] == target.get("link") or link["id"] in target.get("linkIds", [])
        assert link["type"] == source["type"] == target["type"]


def test_blocks_are_published():
    ignored = (ROOT / ".comfyignore").read_text("utf-8").split()
    assert not {"subgraphs", "subgraphs/", "*.json"} & set(ignored)
