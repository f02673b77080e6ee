"""The pack's workflows in a real server, and in the real front end.

What follows from a workflow is kept beside it: the prompt that the front end makes of it (`tests/prompts/<name>.json`)
and the picture that the template browser shows (`workflows/<name>.jpg`). After a change of a workflow, write both anew:

    UNIPORTRAIT_UPDATE_WORKFLOWS=1 python dev.py test --host newest -- -k test_workflows

Environment:
    COMFYUI_PATH: folder of the ComfyUI to test in.
    UNIPORTRAIT_STANDINS: models folder that `tests/standins/build.py` wrote.
    CHROMIUM: path of the browser, where it has an unusual name.
    UNIPORTRAIT_REQUIRE_BROWSER: 1 makes a missing browser an error.
    UNIPORTRAIT_SCREENSHOTS: folder for pictures of the loaded workflows.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from insightface.utils.face_align import norm_crop
from PIL import Image, ImageFilter, ImageOps

import canvas
from browser import FrontEnd, front_end, save_jpeg
from comfy_server import PACK, ComfyClient
from placeholders import drawn_photo
from servers import server_for_workflows
from standins.detector import FACES, photo
from workflow_prompts import PHOTOS, PROMPTS, Prompt, add_photos, add_picture, load_prompt, of_class

INSTALLED_AS = "ComfyUI-UniPortrait"  # folder in custom_nodes
WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))
NAMES = [path.stem for path in WORKFLOWS]
PICTURE_WIDTH, PICTURE_LIMIT = 1280, 300_000  # pixels, bytes
SIZED = ("EmptyLatentImage", "ImageScale")  # nodes that say how large a picture is
MEASURED = (1, 49)  # the front end whose measures `canvas.py` has; 1.27 makes collapsed nodes some pixels narrower
LOADERS = (
    "CheckpointLoaderSimple", "VAELoader", "CLIPVisionLoader", "ControlNetLoader", "LoadUniPortrait",
    "UniPortraitLoadIPAdapter",
)  # fmt: skip
FORMER = {"FaceIDEncode": (1, 5), "IDRouterApply": (4, 7)}  # widget values and inputs of nodes in old workflows
UPDATE = os.environ.get("UNIPORTRAIT_UPDATE_WORKFLOWS") == "1"
DRAWN = """() => [
    app.graph._nodes.map(node => {
        const folded = node.flags.collapsed;
        return [String(node.id), [folded ? node._collapsed_width : node.size[0], folded ? 0 : node.size[1]]];
    }),
    [...app.graph.links.values()].map(link => [
        link.id,
        [...app.graph.getNodeById(link.origin_id).getOutputPos(link.origin_slot)],
        [...app.graph.getNodeById(link.target_id).getInputPos(link.target_slot)],
    ]),
]"""
NEAR = 5  # pixels; a folded node is as wide as its title is in the browser's font

Workflow = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    """A server with stand-in weights, and the photos that the workflows name."""
    # Results are kept for all tests: a face, once encoded, is there for every workflow.
    with server_for_workflows(["--cache-lru", "1000"]) as running:
        yield running


@pytest.fixture(scope="module")
def pack_nodes(server: ComfyClient) -> list[str]:
    """Ids of the pack's nodes."""
    module = f"custom_nodes.{INSTALLED_AS}"
    return [name for name, about in server.object_info().items() if about["python_module"] == module]


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    """The front end of the server."""
    with front_end(server) as page:
        yield page


def load(name: str) -> Workflow:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def lowered(prompt: Prompt, steps: int = 2, divisor: int = 4, listed: int = 2) -> Prompt:
    """The prompt with fewer steps, smaller pictures and shorter lists, but the whole path of the faces."""
    prompt = copy.deepcopy(prompt)
    for node in of_class(prompt, "KSampler", "UniPortraitStyleReference"):
        prompt[node]["inputs"]["steps"] = steps
    for node in of_class(prompt, *SIZED):
        for side in ("width", "height"):
            prompt[node]["inputs"][side] //= divisor
    for node in of_class(prompt, "UniPortraitPromptList"):
        inputs = prompt[node]["inputs"]
        inputs["prompts"] = "\n".join(inputs["prompts"].splitlines()[:listed])
    for node in of_class(prompt, "UniPortraitMixFaceID"):
        prompt[node]["inputs"]["series"] = listed
    return prompt


def with_photo(prompt: Prompt, name: str, loader: str | None = None) -> Prompt:
    """The prompt with another photo in a Load Image, by default in its first."""
    prompt = copy.deepcopy(prompt)
    prompt[loader or of_class(prompt, "LoadImage")[0]]["inputs"]["image"] = name
    return prompt


def run(server: ComfyClient, prompt: Prompt) -> tuple[list[np.ndarray], list[Image.Image]]:
    """The saved pictures, each (height, width, 3) uint8, and the face crops that the encoders show.

    Hosts that do not know `has_intermediate_output` show no crops of an encoder whose result they reuse.
    """
    outputs = server.run(prompt)
    saved, crops = (
        server.images({node: outputs[node] for node in of_class(prompt, name) if node in outputs})
        for name in ("SaveImage", "FaceIDEncode")
    )
    return [np.asarray(picture.convert("RGB")) for picture in saved], crops


def pictures_wanted(prompt: Prompt) -> int:
    """How many pictures a prompt saves: all of a latent, for every one of its lists, at every Save Image."""

    def values(node: str, name: str) -> list[Any]:
        return [prompt[found]["inputs"][name] for found in of_class(prompt, node)]

    lines = [len(prompts.splitlines()) for prompts in values("UniPortraitPromptList", "prompts")]
    several = (*lines, *values("UniPortraitMixFaceID", "series"), *values("EmptyLatentImage", "batch_size"))
    return len(of_class(prompt, "SaveImage")) * math.prod(several)


def assert_picture(picture: np.ndarray, prompt: Prompt) -> None:
    """It has the size that the prompt asks for, and is neither black nor flat."""
    sizes = [prompt[node]["inputs"] for node in of_class(prompt, *SIZED)]
    assert {picture.shape} == {(size["height"], size["width"], 3) for size in sizes}
    assert picture.std() > 5


def difference(first: np.ndarray | Image.Image, second: np.ndarray | Image.Image) -> np.ndarray:
    """Of two pictures, value by value."""
    return np.abs(np.asarray(first).astype(int) - np.asarray(second))


# In the server


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_runs(server: ComfyClient, name: str) -> None:
    prompt = lowered(load_prompt(name))
    pictures, crops = run(server, prompt)
    assert len(pictures) == pictures_wanted(prompt) > 0
    for picture in pictures:
        assert_picture(picture, prompt)
    assert {crop.size for crop in crops} <= {(224, 224)}
    if "has_intermediate_output" in server.object_info("FaceIDEncode")["FaceIDEncode"]:
        assert len(crops) == len(of_class(prompt, "FaceIDEncode"))


@pytest.mark.slow
def test_the_photo_decides_the_picture(server: ComfyClient) -> None:
    prompt = lowered(load_prompt("single_id"))
    add_picture(server, "again.png", Image.fromarray(photo("astronaut")))
    (picture,), _ = run(server, prompt)
    # Under another name the server knows no results of it, and encodes and samples anew.
    (same,), _ = run(server, with_photo(prompt, "again.png"))
    (other,), _ = run(server, with_photo(prompt, "group.jpg"))
    assert np.array_equal(picture, same)
    assert difference(picture, other).mean() > 5


@pytest.mark.slow
def test_a_group_photo_becomes_portraits_of_two_people(server: ComfyClient) -> None:
    add_picture(server, "people.jpg", Image.fromarray(photo("group")))  # a name of which no results are kept
    prompt = with_photo(lowered(load_prompt("group_photo")), "people.jpg")
    (first, second), crops = run(server, prompt)
    assert len(crops) == 2
    assert difference(first, second).mean() > 5
    for crop, face in zip(crops, FACES["group"], strict=False):  # the first two from the left
        wanted = norm_crop(photo("group"), np.array(face.landmarks, np.float32), image_size=224)
        assert difference(crop, wanted).mean() < 3  # the photo comes as a JPEG
    picks = of_class(prompt, "ImageFromBatch")
    assert [prompt[node]["inputs"]["batch_index"] for node in picks] == [0, 1]
    prompt[picks[0]]["inputs"]["batch_index"] = 4
    (another, same), _ = run(server, prompt)
    assert np.array_equal(same, second) and difference(another, first).mean() > 5
    (detected,) = of_class(prompt, "UniPortraitDetectFaces")
    (drawn,) = server.images({"all": server.run(prompt)[detected]})
    assert drawn.size == (1280, 886) and difference(drawn, photo("group")).max() > 100


@pytest.mark.slow
def test_a_map_shows_who_is_where(server: ComfyClient) -> None:
    prompt = lowered(load_prompt("routing_map"))
    outputs = server.run(prompt)
    shown = [of_class(prompt, name)[0] for name in ("SaveImage", "UniPortraitRoutingMap", "PreviewAny")]
    picture, drawn = server.images({node: outputs[node] for node in shown[:2]})
    assert drawn.size == picture.size
    assert difference(drawn, picture).mean() > 5
    (text,), (report,) = (outputs[node]["text"] for node in shown[1:])
    assert "person 1 has" in text and "person 2 has" in text
    assert report == text


@pytest.mark.slow
def test_the_style_picture_decides_the_picture(server: ComfyClient) -> None:
    prompt = lowered(load_prompt("image_to_single_id"))
    pictures, _ = run(server, prompt)
    (latent,) = of_class(prompt, "EmptyLatentImage")
    # The sampler draws the style picture, too, but it is not among them.
    assert len(pictures) == prompt[latent]["inputs"]["batch_size"] == 2
    assert difference(*pictures).mean() > 5
    (reference,) = of_class(prompt, "UniPortraitStyleReference")
    others, _ = run(server, with_photo(prompt, "group.jpg", prompt[reference]["inputs"]["image"][0]))
    for picture, other in zip(pictures, others, strict=True):
        assert difference(picture, other).mean() > 5


@pytest.mark.slow
def test_every_line_of_a_story_is_a_picture_of_its_own(server: ComfyClient) -> None:
    prompt = lowered(load_prompt("story"), listed=4)
    pictures, _ = run(server, prompt)
    assert len(pictures) == 4
    for first, second in itertools.combinations(pictures, 2):
        assert difference(first, second).mean() > 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_only_the_chosen_face_of_a_photo_is_drawn_anew(server: ComfyClient, number: int) -> None:
    people = Image.fromarray(photo("group"))
    add_picture(server, "square.png", ImageOps.pad(people, (people.width, people.width)))  # nothing is cut off
    prompt = lowered(load_prompt("face_inpaint"), steps=1, divisor=2)
    (scale,), (pick,), (blur,) = (of_class(prompt, name) for name in ("ImageScale", "ImageFromBatch", "ImageBlur"))
    prompt = with_photo(prompt, "square.png", prompt[scale]["inputs"]["image"][0])
    prompt[pick]["inputs"]["batch_index"] = number
    (result,) = of_class(prompt, "SaveImage")
    for name, node in (("before", scale), ("mask", pick)):
        prompt[name] = {"class_type": "SaveImage", "inputs": {"images": [node, 0], "filename_prefix": name}}
    outputs = server.run(prompt)
    after, before, mask = server.images({node: outputs[node] for node in (result, "before", "mask")})

    mask = mask.convert("L")
    face = np.reshape(FACES["group"][number].box, (2, 2)).mean(axis=0) + (0, (people.width - people.height) / 2)
    middle = np.reshape(mask.getbbox(), (2, 2)).mean(axis=0)
    assert middle == pytest.approx(face * mask.width / people.width, abs=2)
    changed = difference(after, before).max(axis=-1)
    assert changed[np.asarray(mask) > 0].mean() > 5
    # Its soft edge reaches as far as the blur, and not a pixel further.
    reach = mask.filter(ImageFilter.MaxFilter(2 * prompt[blur]["inputs"]["blur_radius"] + 1))
    assert not changed[np.asarray(reach) == 0].any()


def test_the_template_browser_lists_the_workflows(server: ComfyClient) -> None:
    assert NAMES, "there are no workflows"
    templates = json.loads(server.request("/api/workflow_templates"))
    assert sorted(templates[INSTALLED_AS]) == NAMES
    for name in NAMES:
        address = f"/api/workflow_templates/{INSTALLED_AS}/{name}"
        assert json.loads(server.request(f"{address}.json")) == load(name)
        file = server.request(f"{address}.jpg")
        assert len(file) <= PICTURE_LIMIT
        assert Image.open(BytesIO(file)).width == PICTURE_WIDTH


def test_every_node_has_a_help_page(server: ComfyClient, pack_nodes: list[str]) -> None:
    for node in pack_nodes:
        page = server.request(f"/extensions/{INSTALLED_AS}/docs/{node}.md").decode()
        assert page.strip(), node


@pytest.mark.parametrize("name", NAMES)
def test_missing_models_can_be_offered_for_download(server: ComfyClient, name: str) -> None:
    """Every file that a loader names comes with its address, and belongs into a folder that the server knows. The
    addresses are those of `get_models.py`, see `tests/core/test_get_models.py`."""
    folders = json.loads(server.request("/models"))
    for node in load(name)["nodes"]:
        if node["type"] in LOADERS:
            models = node["properties"]["models"]
            assert [model["name"] for model in models] == [file for file in node["widgets_values"] if file != "none"]
            for model in models:
                assert model["directory"] in folders
                assert Path(model["url"]).suffix == Path(model["name"]).suffix


# In the browser


@pytest.mark.browser
def test_the_front_end_knows_the_nodes(shown: FrontEnd, pack_nodes: list[str]) -> None:
    assert pack_nodes
    assert set(pack_nodes) <= shown.node_types()
    assert not shown.errors


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_on_the_canvas(shown: FrontEnd, server: ComfyClient, name: str, tmp_path: Path) -> None:
    workflow = load(name)
    shown.load(workflow)
    save_screenshot(shown, name, tmp_path)
    assert {node["type"] for node in workflow["nodes"]} <= shown.node_types(), "missing nodes"
    assert summary(shown.workflow()) == summary(workflow)
    if shown.version >= MEASURED:
        assert_drawn_as_told(shown, workflow)

    prompt = shown.prompt()
    for node in of_class(prompt, "PreviewAny"):
        prompt[node]["inputs"].pop("preview", None)  # front end 1.27 sends what the node shows
    if UPDATE:
        text = json.dumps(prompt, indent=2, ensure_ascii=False)
        PROMPTS.mkdir(exist_ok=True)
        (PROMPTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    assert prompt == load_prompt(name)
    small = lowered(prompt)
    for picture in run(server, small)[0]:
        assert_picture(picture, small)
    assert not shown.errors


@pytest.mark.browser
def test_a_workflow_that_was_saved_before_nodes_had_so_many_inputs(shown: FrontEnd) -> None:
    workflow = load("single_id")
    for node in workflow["nodes"]:
        if node["type"] in FORMER:
            values, inputs = FORMER[node["type"]]
            node["widgets_values"], node["inputs"] = node["widgets_values"][:values], node["inputs"][:inputs]
    shown.load(workflow)
    assert shown.prompt() == load_prompt("single_id")
    assert not shown.errors


@pytest.mark.slow
@pytest.mark.browser
def test_the_crops_are_seen_under_the_encoders(shown: FrontEnd, tmp_path: Path) -> None:
    """As a user has it: the button Run, and then what the canvas shows."""
    workflow = load("group_photo")
    for node in workflow["nodes"]:
        if node["type"] == "KSampler":
            node["widgets_values"][2] = 1  # steps
        if node["type"] == "EmptyLatentImage":
            node["widgets_values"][:2] = [64, 64]
        if node["type"] == "FaceIDEncode":
            # Of which no results are kept: 0.3.64 shows no crops of an encoder whose result it reuses.
            node["widgets_values"][0] = 0.15
    shown.load(workflow)
    shown.run()
    save_screenshot(shown, "group_photo_run", tmp_path)
    pictures = {
        node: sizes
        for node, sizes in shown.pictures_under_nodes().items()
        if node in ("UniPortraitDetectFaces", "FaceIDEncode")
    }
    assert pictures == {
        "UniPortraitDetectFaces": [[[1280, 886]]],
        "FaceIDEncode": [[[224, 224]], [[224, 224]]],
    }
    assert not shown.errors


if UPDATE:

    @pytest.mark.browser
    @pytest.mark.parametrize("name", NAMES)
    def test_pictures_of_the_workflows(shown: FrontEnd, server: ComfyClient, core, name: str) -> None:
        for people, file in enumerate(PHOTOS, start=1):
            add_picture(server, file, drawn_photo(people))
        try:
            shown.load(load(name))
            if name == "routing_map":
                show_drawn_result(shown, server, core)
            save_jpeg(shown.picture(PICTURE_WIDTH), PACK / "workflows" / f"{name}.jpg", PICTURE_LIMIT)
        finally:
            add_photos(server)


def show_drawn_result(shown: FrontEnd, server: ComfyClient, core) -> None:
    """On the canvas, as if the workflow had run: a drawing as its picture, its left half person 1's."""
    picture = ImageOps.fit(drawn_photo(2), (768, 512))
    halves = np.eye(2, dtype=np.float32).repeat(8, axis=1)[:, None]
    labels = [f"person {number}: 50 %" for number in (1, 2)]
    drawn = core("results.drawing").draw_routing(np.asarray(picture), halves, labels, opacity=0.5)
    add_picture(server, "result.png", picture)
    add_picture(server, "map.png", Image.fromarray(drawn))
    text = "Picture 1: person 1 has 50 % of the picture, person 2 has 50 % of the picture."
    results = {
        "SaveImage": {"images": [{"filename": "result.png", "type": "input"}]},
        "UniPortraitRoutingMap": {"images": [{"filename": "map.png", "type": "input"}], "text": [text]},
        "PreviewAny": {"text": [text]},
    }
    for node in load("routing_map")["nodes"]:
        if node["type"] in results:
            event = {"node": str(node["id"]), "output": results[node["type"]]}
            shown.page.evaluate("event => app.api.dispatchCustomEvent('executed', event)", event)


def assert_drawn_as_told(shown: FrontEnd, workflow: Workflow) -> None:
    """Boxes and ends of wires are on the canvas where `canvas.py` has them, by which the layout is checked."""
    nodes = {str(node["id"]): node for node in workflow["nodes"]}
    boxes, wires = shown.page.evaluate(DRAWN)
    for number, size in boxes:
        left, top, right, bottom = canvas.node_box(nodes[number])
        assert size == pytest.approx([right - left, bottom - top - canvas.TITLE], abs=NEAR), nodes[number]["type"]
    told = {
        link: (canvas.output_point(nodes[str(source)], output), canvas.input_point(nodes[str(target)], taken))
        for link, source, output, target, taken, _ in workflow["links"]
    }
    assert sorted(told) == sorted(number for number, *_ in wires)
    for number, *ends in wires:
        for drawn, point in zip(ends, told[number], strict=True):
            assert drawn == pytest.approx(list(point), abs=NEAR), f"wire {number}"


def save_screenshot(shown: FrontEnd, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("UNIPORTRAIT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    shown.picture(PICTURE_WIDTH).save(folder / f"{name}.png")


def summary(workflow: Workflow) -> tuple[dict[int, tuple], list[list]]:
    """Nodes with their types and widget values, and the links."""
    nodes = {node["id"]: (node["type"], node.get("widgets_values") or []) for node in workflow["nodes"]}
    return nodes, sorted(workflow["links"])
