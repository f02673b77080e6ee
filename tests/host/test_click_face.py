"""Choosing a face by a click in the real front end, on the classic canvas and with Vue nodes.

Environment: as for `test_workflows.py`; no stand-in weights are needed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

import drawn_people
from browser import VUE_NODES, FrontEnd, front_end
from comfy_server import ComfyClient, comfy_server

pytestmark = [pytest.mark.browser]

SIZE = [380, 60]  # of a node; it grows as it needs to
NODES = (  # name, type, place, widgets
    ("photo", "LoadImage", [0, 0], {"image": "drawn_0.png"}),
    ("other", "LoadImage", [0, 400], {"image": "drawn_1.png"}),
    ("photos", "ImageBatch", [0, 760], {}),
    ("detector", "UniPortraitFaceDetector", [0, 900], {"backend": "mini world", "model": "mini-world-face_detector"}),
    ("world", "UniPortraitLoadMiniWorld", [0, 1060], {}),
    ("weights", "LoadUniPortrait", [0, 1200], drawn_people.WEIGHTS),
    ("encode", "FaceIDEncode", [350, 0], {}),
    ("detect", "UniPortraitDetectFaces", [780, 0], {}),
    ("pick", "ImageFromBatch", [1210, 0], {}),
    ("crops", "PreviewImage", [1210, 150], {}),
    ("picked", "PreviewImage", [1210, 450], {}),
)
LINKS = (  # from, output, to, input
    ("photo", 0, "photos", "image1"), ("other", 0, "photos", "image2"), ("photos", 0, "encode", "image"),
    ("photos", 0, "detect", "image"), ("detector", 0, "encode", "detector"), ("detector", 0, "detect", "detector"),
    ("world", 3, "encode", "clip_vision"), ("weights", 0, "encode", "uniportrait"), ("encode", 1, "crops", "images"),
    ("detect", 1, "pick", "image"), ("pick", 0, "picked", "images"),
)  # fmt: skip
BUILD = """([nodes, links, size]) => {
    app.graph.clear();
    const made = {};
    for (const [name, type, pos, values] of nodes) {
        const node = made[name] = LiteGraph.createNode(type);
        const all = { ...Object.fromEntries((node.widgets ?? []).map(found => [found.name, found.value])), ...values };
        node.pos = pos;
        app.graph.add(node);  // which gives it what a former node of its id had in its widgets
        for (const widget of node.widgets ?? []) widget.value = all[widget.name];
        node.setSize([size[0], Math.max(size[1], node.size[1])]);
    }
    for (const [from, output, to, input] of links)
        made[from].connect(output, made[to], made[to].inputs.findIndex(found => found.name === input));
    app.canvas.ds.scale = 0.8;
    app.canvas.ds.offset = [-200, 100];
    app.graph.setDirtyCanvas(true, true);
    return Object.fromEntries(Object.entries(made).map(([name, node]) => [name, node.id]));
}"""
VALUES = """id => Object.fromEntries(app.graph.getNodeById(id).widgets.map(widget => [widget.name, widget.value]))"""
ARROW = """([id, name]) => {
    const node = app.graph.getNodeById(id), widget = node.widgets.find(found => found.name === name);
    const { scale, offset } = app.canvas.ds, { left, top } = app.canvas.canvas.getBoundingClientRect();
    const place = [node.pos[0] + node.size[0] - 28, node.pos[1] + widget.y + 10];
    return [left + (place[0] + offset[0]) * scale, top + (place[1] + offset[1]) * scale];
}"""
HIDDEN = """id => app.graph.getNodeById(id).widgets.filter(widget => widget.name === '$$canvas-image-preview')
    .map(widget => Boolean(widget.hidden))"""
BREAK = "() => { LiteGraph.LGraphNode.prototype.addDOMWidget = () => { throw new Error('no such thing') } }"
SCALES = (number / 20 for number in itertools.count(1))  # structure_scale
SAVED = {  # what a workflow holds of the nodes' widgets, by position
    "encode": ["largest", 0, "error", 0.5, "photos of one person"],  # after structure_scale
    "detect": ["left to right", 0.5, 0.2],
}


def build(page: Page) -> dict[str, int]:
    """Put the workflow on the canvas; returns the ids of its nodes."""
    page.keyboard.press("Escape")
    return page.evaluate(BUILD, [NODES, LINKS, SIZE])


class Canvas:
    """The workflow on the canvas, after Run."""

    def __init__(self, shown: FrontEnd, vue: bool) -> None:
        self.shown, self.page, self.vue = shown, shown.page, vue
        if vue:
            shown.skip_before(*VUE_NODES)
        self.page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", vue)
        self.ids: dict[str, int] = {}

    def build(self) -> None:
        """Put the workflow on the canvas and press Run."""
        self.ids = build(self.page)
        self.run()

    def run(self) -> None:
        """Press Run, with a value that is new: 0.3.64 shows nothing of an encoder whose result it reuses."""
        scale = next(SCALES)
        self.page.evaluate(
            "([id, value]) => { app.graph.getNodeById(id).widgets[0].value = value }", [self.ids["encode"], scale]
        )
        self.shown.run()
        self.page.locator(".up-faces:visible").nth(1).wait_for()

    def panel(self, node: str) -> Locator:
        """What is under a node; that of Encode Face ID is the left one."""
        panels = sorted(self.page.locator(".up-faces:visible").all(), key=lambda found: found.bounding_box()["x"])
        return panels[("encode", "detect").index(node)]

    def face(self, node: str, number: int) -> Locator:
        return self.panel(node).locator(f'.up-faces__face[data-number="{number}"]')

    def chosen(self, node: str) -> list[int]:
        """Numbers of the faces that are marked."""
        found = self.panel(node).locator('.up-faces__face[aria-pressed="true"]').all()
        return [int(button.get_attribute("data-number")) for button in found]

    def value(self, node: str, widget: str) -> Any:
        return self.page.evaluate(VALUES, self.ids[node])[widget]

    def advance(self, node: str, widget: str) -> None:
        """Press the right arrow of a widget, or choose the next of its options."""
        before = self.value(node, widget)
        if not self.vue:
            self.page.mouse.click(*self.page.evaluate(ARROW, [self.ids[node], widget]))
        else:
            row = self.page.locator(f'[data-node-id="{self.ids[node]}"] [aria-label="{widget}"]')
            if isinstance(before, str):
                row.first.click()
                options = self.page.get_by_role("option")
                options.first.wait_for()
                names = [option.inner_text().strip() for option in options.all()]
                options.nth(names.index(before) + 1).click()
            else:
                row.get_by_test_id("increment").click()
        self.page.wait_for_timeout(400)
        assert self.value(node, widget) != before


@pytest.fixture(scope="module")
def server(core, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    models = tmp_path_factory.mktemp("models")
    drawn_people.write_faceid(core, models / "uniportrait")
    with comfy_server(Path(os.environ["COMFYUI_PATH"]), models) as running:
        photos = [drawn_people.photo(people=3, seed=1), drawn_people.photo(people=2, seed=2)]
        drawn_people.write_photos(running.base / "input", photos)
        yield running


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    with front_end(server, "FaceIDEncode") as page:
        yield page


@pytest.fixture(scope="module", params=["classic", "vue"])
def canvas(shown: FrontEnd, request: pytest.FixtureRequest) -> Canvas:
    made = Canvas(shown, request.param == "vue")
    made.build()
    if folder := os.environ.get("UNIPORTRAIT_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shown.page.screenshot(path=Path(folder) / f"click_face_{request.param}.png")
    return made


def test_every_face_is_framed_where_it_is(canvas: Canvas) -> None:
    """From left to right on Detect Faces, in the photo that was drawn."""
    photo = canvas.panel("detect").locator(".up-faces__photo").bounding_box()
    places = drawn_people.places(people=3, seed=1)
    for number, (x, y) in enumerate(places):
        button = canvas.face("detect", number)
        box = button.bounding_box()
        left, top = photo["x"] + x * photo["width"], photo["y"] + y * photo["height"]
        assert box["x"] < left < box["x"] + box["width"] and box["y"] < top < box["y"] + box["height"]
        assert f"face {number + 1} of 3, " in button.get_attribute("aria-label")
        assert button.inner_text().startswith(f"{number}")
    expect(canvas.panel("detect").locator(".up-faces__face")).to_have_count(3)
    assert photo["width"] > 200 and photo["width"] / photo["height"] == pytest.approx(1.5, rel=0.02)


def test_the_photo_is_shown_once(canvas: Canvas) -> None:
    """That with drawn frames is not shown beside the one to click on; the crops under Encode Face ID are."""
    for node, pictures in (("detect", False), ("encode", True)):
        if canvas.vue:
            images = canvas.page.locator(f'[data-node-id="{canvas.ids[node]}"] img:visible').all()
            assert any(not image.evaluate("image => image.closest('.up-faces')") for image in images) == pictures
        else:
            hidden = canvas.page.evaluate(HIDDEN, canvas.ids[node])
            assert hidden == [not pictures]


def test_a_click_on_a_face_takes_it(canvas: Canvas) -> None:
    assert canvas.chosen("encode") == [canvas.value("encode", "face_index")] == [0]
    canvas.face("encode", 1).click()
    assert canvas.chosen("encode") == [canvas.value("encode", "face_index")] == [1]
    assert canvas.shown.prompt()[f"{canvas.ids['encode']}"]["inputs"]["face_index"] == 1
    canvas.face("encode", 0).click()
    assert canvas.chosen("encode") == [canvas.value("encode", "face_index")] == [0]


def test_the_widgets_move_the_mark(canvas: Canvas) -> None:
    """Another number: another face. Another order: the face that has this number there."""
    canvas.face("encode", 0).click()
    canvas.advance("encode", "face_index")
    assert canvas.chosen("encode") == [canvas.value("encode", "face_index")] == [1]
    canvas.face("encode", 0).click()

    def place() -> float:
        return canvas.face("encode", 0).bounding_box()["x"]

    largest = place()
    canvas.advance("encode", "face")
    assert canvas.value("encode", "face") == "left to right" and canvas.chosen("encode") == [0]
    assert place() < largest
    canvas.advance("encode", "face")
    assert canvas.value("encode", "face") == "most confident"
    surest = canvas.face("encode", 0).get_attribute("aria-label")
    shares = [label.split(",")[1] for label in labels(canvas)]
    assert surest.split(",")[1] == max(shares)


def labels(canvas: Canvas) -> list[str]:
    return [face.get_attribute("aria-label") for face in canvas.panel("encode").locator(".up-faces__face").all()]


def test_another_photo_of_the_batch(canvas: Canvas) -> None:
    """A number counts in every photo of Encode Face ID; on Detect Faces numbers go on."""
    for node, numbers in (("encode", [0, 1]), ("detect", [3, 4])):
        panel = canvas.panel(node)
        panel.locator(".up-faces__thumb").nth(1).click()
        found = panel.locator(".up-faces__face").all()
        assert [int(face.get_attribute("data-number")) for face in found] == numbers
        assert panel.locator('.up-faces__thumb[aria-current="true"]').get_attribute("title") == "photo 2 of 2, 2 faces"
    canvas.face("encode", 1).click()
    assert canvas.value("encode", "face_index") == 1
    canvas.panel("encode").locator(".up-faces__thumb").nth(0).click()
    assert canvas.chosen("encode") == [1]
    canvas.face("encode", 2).click()  # which the second photo does not have
    lacking = canvas.panel("encode").locator(".up-faces__thumb.is-lacking")
    expect(lacking).to_have_count(1)
    lacking.click()
    assert canvas.panel("encode").locator(".up-faces__note").inner_text().startswith("There is no face 2 here")
    for node in ("encode", "detect"):
        canvas.panel(node).locator(".up-faces__thumb").nth(0).click()


def test_a_face_of_detect_faces_is_given_to_a_node(canvas: Canvas) -> None:
    """To one of those that take a face by its number: both are asked for, as there are two."""
    canvas.face("detect", 2).click()
    offered = canvas.panel("detect").locator(".up-faces__offer button")
    expect(offered).to_have_count(3)
    offered.nth(0).click()
    assert canvas.value("pick", "batch_index") == 2 and 2 in canvas.chosen("detect")
    canvas.face("detect", 1).click()
    offered.nth(1).click()
    # Encode Face ID may number in another order: the face is the same.
    (mark,) = canvas.chosen("encode")
    photos = [canvas.panel(node).locator(".up-faces__photo").bounding_box() for node in ("encode", "detect")]
    faces = [canvas.face("encode", mark).bounding_box(), canvas.face("detect", 1).bounding_box()]
    shares = [(face["x"] - photo["x"]) / photo["width"] for face, photo in zip(faces, photos, strict=True)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
    assert set(canvas.chosen("detect")) == {1, 2}
    canvas.advance("pick", "batch_index")
    assert canvas.chosen("detect") == [1]  # 3 is in the other photo


def test_the_keyboard_will_do(canvas: Canvas) -> None:
    canvas.face("encode", 0).click()
    canvas.page.keyboard.press("ArrowRight")
    canvas.page.keyboard.press("Enter")
    assert canvas.value("encode", "face_index") == 1
    canvas.page.keyboard.press("Delete")  # which deletes a node that is selected, elsewhere
    assert canvas.page.evaluate("id => Boolean(app.graph.getNodeById(id))", canvas.ids["encode"])


def test_a_choice_can_be_undone(canvas: Canvas) -> None:
    canvas.face("encode", 0).click()
    canvas.face("encode", 2).click()
    canvas.page.locator("body").press("Control+z")
    canvas.page.wait_for_function("id => app.graph.getNodeById(id).widgets[2].value === 0", arg=canvas.ids["encode"])
    canvas.page.locator(".up-faces:visible").nth(1).wait_for()
    canvas.page.wait_for_timeout(500)
    assert canvas.chosen("encode") == [0]


def test_saved_workflows_hold_what_they_held(canvas: Canvas) -> None:
    canvas.build()
    workflow = canvas.shown.workflow()
    for name, values in SAVED.items():
        (node,) = (node for node in workflow["nodes"] if str(node["id"]) == str(canvas.ids[name]))
        assert node["widgets_values"][-len(values) :] == values
        assert len(node["widgets_values"]) == {"encode": 6, "detect": 3}[name]
    canvas.shown.load(workflow)
    canvas.run()
    assert canvas.chosen("encode") == [0] and canvas.face("encode", 2).count() == 1
    assert not canvas.shown.errors


def test_numbers_are_those_of_the_nodes(shown: FrontEnd, core) -> None:
    """In every order, also where faces tie, for boxes of any kind."""
    detection = core("faces.detection")
    dice = np.random.default_rng(5)
    photos = []
    for count in dice.integers(1, 9, 40):
        corners = dice.integers(0, 12, (count, 4)) * dice.choice([1.0, 1 / 3, 0.1234567])
        confidences = dice.choice([0.5, 0.75, 0.9, 0.123456789], count)
        boxes = np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1)
        photos.append(
            [detection.Face(box, np.zeros((5, 2)), sure) for box, sure in zip(boxes, confidences, strict=True)]
        )
    sent = [[{"box": face.box.tolist(), "confidence": float(face.confidence)} for face in photo] for photo in photos]
    numbered = shown.page.evaluate(
        """async ([photos, orders]) => {
            const { numberFaces } = await import('/extensions/ComfyUI-UniPortrait/js/faces/numbering.js');
            return orders.map(order => photos.map(faces =>
                numberFaces({ min_confidence: 0.1, faces }, { order, minConfidence: 0.1 })
                    .map(face => faces.indexOf(face))));
        }""",
        [sent, list(detection.ORDERS)],
    )
    for order, answers in zip(detection.ORDERS, numbered, strict=True):
        for photo, answer in zip(photos, answers, strict=True):
            assert [id(photo[place]) for place in answer] == list(map(id, detection.order_faces(photo, order))), order


def test_a_script_that_fails_stops_nothing(shown: FrontEnd, server: ComfyClient) -> None:
    """The photo is left out, a warning says so once, and Run goes on."""
    warnings: list[str] = []
    shown.page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    shown.open(server.url, "FaceIDEncode")
    shown.page.evaluate(BREAK)
    build(shown.page)
    shown.run()
    assert shown.page.locator(".up-faces").count() == 0
    assert len([text for text in warnings if "choosing faces by a click is off" in text]) == 1
    assert not shown.errors
    shown.open(server.url, "FaceIDEncode")
