"""Workflows: the places for photos, prompt and seed are found, filled, and nothing else changes."""

import copy
import json

import pytest
from PIL import Image

import benchmark
import painted
from evaluation.generate.photos import read_photos
from evaluation.generate.workflow import name_files, read_workflow
from evaluation.settings import Table
from uniportrait_core.errors import UniPortraitError


def workflow_table(tmp_path, nodes=benchmark.WORKFLOW, **changes) -> Table:
    file = tmp_path / "w.json"
    file.write_text(json.dumps(nodes))
    places = {"photos": ["Photo.image"], "prompt": "Prompt.text", "seed": "3.seed"}
    return Table(tmp_path / "p.toml", "workflow", {"file": str(file), **places, **changes})


def test_places_are_filled_and_the_rest_stays(tmp_path):
    workflow = read_workflow(workflow_table(tmp_path, set={"3.scale": 0.5}), 1)
    before = copy.deepcopy(workflow.nodes)
    nodes = workflow.fill([["a.png"]], "a cat", 7)
    assert workflow.nodes == before and workflow.output == "4"
    wanted = copy.deepcopy(benchmark.WORKFLOW)
    wanted["1"]["inputs"]["image"], wanted["2"]["inputs"]["text"] = "a.png", "a cat"
    wanted["3"]["inputs"] |= {"seed": 7, "scale": 0.5}
    assert nodes == wanted
    assert name_files(nodes, "mine")["4"]["inputs"]["filename_prefix"] == "mine"


def test_several_photos_are_a_batch(tmp_path):
    nodes = read_workflow(workflow_table(tmp_path), 1).fill([["a.png", "b.png", "c.png"]], "x", 1)
    assert nodes["3"]["inputs"]["photo"] == ["1_batch3", 0]
    assert nodes["1_batch3"]["inputs"] == {"image1": ["1_batch2", 0], "image2": ["1_photo3", 0]}
    assert nodes["1_batch2"]["inputs"] == {"image1": ["1", 0], "image2": ["1_photo2", 0]}
    assert [nodes[number]["inputs"]["image"] for number in ("1", "1_photo2", "1_photo3")] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("changes", "people", "said"),
    [
        ({}, 2, "names 1 places, needed is one for each of the 2 people"),
        ({"photos": ["Photo.image"] * 3}, 2, "names 3 places"),
        ({"seed": "3.sed"}, 1, "workflow.seed is '3.sed', but that node's inputs are seed, scale, photo, text"),
        ({"seed": "KSampler.seed"}, 1, "'KSampler', which is not in the workflow"),
        ({"output": "9"}, 1, "workflow.output means node '9'"),
        ({"set": {"3.steps": 4}}, 1, "workflow.set is '3.steps'"),
        ({"sed": "3.seed"}, 1, "`workflow.sed` in .* is not known"),
        ({"file": "/nowhere.json"}, 1, "nowhere.json cannot be read"),
    ],
)
def test_places_that_are_not_there(tmp_path, changes, people, said):
    with pytest.raises(UniPortraitError, match=said):
        read_workflow(workflow_table(tmp_path, **changes), people)


def test_workflows_that_are_none(tmp_path):
    with pytest.raises(UniPortraitError, match="not a workflow in API format"):
        read_workflow(workflow_table(tmp_path, {"nodes": [], "links": []}), 1)
    twins = {**benchmark.WORKFLOW, "5": benchmark.WORKFLOW["1"]}
    with pytest.raises(UniPortraitError, match="several nodes are called"):
        read_workflow(workflow_table(tmp_path, twins), 1)
    savers = {**benchmark.WORKFLOW, "5": benchmark.WORKFLOW["4"]}
    with pytest.raises(UniPortraitError, match=r"2 Save Image nodes \(4, 5\)"):
        read_workflow(workflow_table(tmp_path, savers), 1)
    assert read_workflow(workflow_table(tmp_path, savers, output="5"), 1).output == "5"


def test_photos_are_named_by_content_and_those_of_a_batch_have_one_size(tmp_path):
    small = painted.save(tmp_path / "a.png", [painted.PEOPLE["anna"]])
    wide = painted.save(tmp_path / "b.png", [painted.PEOPLE["anna"], painted.PEOPLE["bert"]])
    (alone,) = read_photos([small])
    assert alone.content == small.read_bytes() and alone.name.endswith(".png")
    (tmp_path / "copy.png").write_bytes(small.read_bytes())
    assert read_photos([tmp_path / "copy.png"]) == (alone,)
    assert read_photos([wide])[0].name != alone.name
    both = read_photos([small, wide])
    sizes = {Image.open(__import__("io").BytesIO(photo.content)).size for photo in both}
    assert sizes == {Image.open(wide).size}
    with pytest.raises(UniPortraitError, match="cannot be read as a picture"):
        (tmp_path / "c.png").write_text("no picture")
        read_photos([tmp_path / "c.png"])
