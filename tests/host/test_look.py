"""How the pack looks in the real front end: in other languages, and the colours of its wires and slots."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from browser import VUE_NODES, FrontEnd, front_end
from comfy_server import ComfyClient, comfy_server
from translations import HELP, HELP_LANGUAGES, LANGUAGES, node_texts

pytestmark = pytest.mark.browser

# A wire of each type: from node, output, to node, input.
WIRES = {
    "UNIPORTRAIT": ("LoadUniPortrait", 0, "FaceIDEncode", "uniportrait"),
    "UNIPORTRAIT_FACE_ID": ("FaceIDEncode", 0, "MultiIDConditioning", "face_id_1"),
    "UNIPORTRAIT_DETECTOR": ("UniPortraitFaceDetector", 0, "FaceIDEncode", "detector"),
    "UNIPORTRAIT_ROUTING": ("UniPortraitRecordRouting", 1, "UniPortraitRoutingMap", "routing"),
    "UNIPORTRAIT_IP_ADAPTER": ("UniPortraitLoadIPAdapter", 0, "UniPortraitStyleReference", "ip_adapter"),
    "UNIPORTRAIT_STYLE": ("UniPortraitStyleReference", 0, "UniPortraitApplyStyle", "style"),
}
# Each wire gets a row of its own, with room between its nodes.
DRAW = """wires => {
    app.graph.clear();
    app.canvas.ds.scale = 0.5;
    app.canvas.ds.offset = [100, 100];
    Object.entries(wires).forEach(([type, [from, output, to, input]], row) => {
        const [start, end] = [from, to].map((name, column) => {
            const node = LiteGraph.createNode(name);
            node.pos = [100 + 900 * (row % 2) * 2 + 900 * column, 100 + 560 * Math.floor(row / 2)];
            app.graph.add(node);
            return node;
        });
        start.connect(output, end, end.findInputSlot(input));
    });
    app.graph.setDirtyCanvas(true, true);
}"""
# The middle of each wire in pixels of the page, by type.
MIDDLES = """() => Object.fromEntries([...app.graph.links.values()].map(link => {
    const { scale, offset } = app.canvas.ds;
    const canvas = app.canvas.canvas.getBoundingClientRect();
    return [link.type, [0, 1].map(axis => (link._pos[axis] + offset[axis]) * scale + [canvas.x, canvas.y][axis])];
}))"""
TABLE = "() => Object.entries(app.canvas.default_connection_color_byType)"
# The dot of the output that each wire begins at, where nodes are elements of the page.
DOTS = """() => Object.fromEntries([...app.graph.links.values()].map(link => {
    const node = document.querySelector(`[data-node-id="${link.origin_id}"]`);
    const dot = node.querySelectorAll('.lg-slot--output [data-testid="slot-dot"]')[link.origin_slot];
    return [link.type, getComputedStyle(dot).backgroundColor];
}))"""


SPOKEN = ("ja", "zh-TW")  # two of the front end's languages, one with a region in its code
# A node in the middle of the page, and where one of its widgets is on the page.
PUT_NODE = """type => {
    app.graph.clear();
    const node = LiteGraph.createNode(type);
    node.pos = [0, 0];
    app.graph.add(node);
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [600, 300];
    app.graph.setDirtyCanvas(true, true);
    return node.title;
}"""
WIDGET = """name => {
    const node = app.graph._nodes[0];
    const widget = node.widgets.find(widget => widget.name === name);
    const { offset } = app.canvas.ds;
    const canvas = app.canvas.canvas.getBoundingClientRect();
    return [canvas.x + offset[0] + node.size[0] / 2, canvas.y + offset[1] + (widget.last_y ?? widget.y) + 10];
}"""
LABELS = """() => {
    const node = app.graph._nodes[0];
    const sockets = [...node.inputs, ...node.outputs].map(socket => [socket.name, socket.localized_name]);
    return Object.fromEntries([...sockets, ...node.widgets.map(widget => [widget.name, widget.label])]);
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    with comfy_server(Path(os.environ["COMFYUI_PATH"])) as running:
        yield running


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    with front_end(server) as page:
        yield page


def set_setting(shown: FrontEnd, name: str, value: object) -> None:
    shown.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
    shown.page.wait_for_timeout(500)


def test_the_server_hands_out_translations_and_help_pages(server: ComfyClient) -> None:
    served = json.loads(server.request("/i18n"))
    for language in LANGUAGES:
        assert served[language]["nodeDefs"] == node_texts(language), language
    for language in HELP_LANGUAGES:
        text = server.request(f"/extensions/ComfyUI-UniPortrait/docs/FaceIDEncode/{language}.md")
        assert text == (HELP / "FaceIDEncode" / f"{language}.md").read_bytes()


@pytest.mark.parametrize("language", SPOKEN)
def test_the_front_end_speaks_the_language(server: ComfyClient, shown: FrontEnd, language: str) -> None:
    """A node's title, labels and, with the mouse on a widget, its tooltip."""
    texts = node_texts(language)["IDRouterApply"]
    server.request("/settings", {"Comfy.Locale": language})
    shown.open(server.url, "IDRouterApply")
    # What the key R does: on a slow machine the language may have come after the nodes.
    shown.page.evaluate("app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')")
    shown.page.wait_for_function(
        "title => LiteGraph.registered_node_types.IDRouterApply.title === title", arg=texts["display_name"]
    )
    assert shown.page.evaluate(PUT_NODE, "IDRouterApply") == texts["display_name"]
    labels = shown.page.evaluate(LABELS)
    for name, about in texts["inputs"].items():
        assert labels[name] == about["name"]

    shown.page.wait_for_timeout(300)
    x, y = shown.page.evaluate(WIDGET, "id_scale")
    shown.page.mouse.move(x - 5, y)
    shown.page.mouse.move(x, y)
    shown.page.get_by_text(texts["inputs"]["id_scale"]["tooltip"]).wait_for()
    if folder := os.environ.get("UNIPORTRAIT_SCREENSHOTS"):
        shown.page.screenshot(path=Path(folder) / f"tooltip-{language}.png")


def drawn_colours(shown: FrontEnd) -> dict[str, tuple[int, ...]]:
    """The pixel in the middle of each wire, by type."""
    shown.page.evaluate(DRAW, WIRES)
    shown.page.wait_for_timeout(500)
    middles = shown.page.evaluate(MIDDLES)
    picture = Image.open(BytesIO(shown.page.screenshot(scale="css"))).convert("RGB")
    if folder := os.environ.get("UNIPORTRAIT_SCREENSHOTS"):
        picture.save(Path(folder) / "wires.png")
    return {type_: picture.getpixel((round(x), round(y))) for type_, (x, y) in middles.items()}


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance as WCAG defines it, 0 to 1."""
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Contrast as WCAG defines it, from 1."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("palette", "background"), [("dark", "#222222"), ("light", "#d3d3d3")])
def test_wires_have_colours_of_their_own(shown: FrontEnd, palette: str, background: str) -> None:
    """Also after the palette was changed, which forgets the colours of all types that it does not know."""
    set_setting(shown, "Comfy.ColorPalette", palette)
    colours = drawn_colours(shown)
    assert set(colours) == set(WIRES)
    known = {colour for type_, colour in shown.page.evaluate(TABLE) if colour and type_ not in WIRES}
    assert len(known) > 10
    built_in = [ImageColor.getrgb(colour) for colour in known]
    for type_, colour in colours.items():
        assert contrast(colour, ImageColor.getrgb(background)) > 2, (type_, colour)
        assert all(distance(colour, other) > 60 for other in built_in), (type_, colour)
    assert all(distance(*pair) > 60 for pair in itertools.combinations(colours.values(), 2)), colours


def test_slots_of_vue_nodes_have_the_same_colours(shown: FrontEnd) -> None:
    shown.skip_before(*VUE_NODES)
    set_setting(shown, "Comfy.VueNodes.Enabled", True)
    shown.page.evaluate(DRAW, WIRES)
    shown.page.wait_for_function("count => document.querySelectorAll('[data-node-id]').length === count", arg=12)
    table = dict(shown.page.evaluate(TABLE))
    dots = {type_: ImageColor.getrgb(colour) for type_, colour in shown.page.evaluate(DOTS).items()}
    assert dots == {type_: ImageColor.getrgb(table[type_]) for type_ in WIRES}
    set_setting(shown, "Comfy.VueNodes.Enabled", False)


def test_a_palette_that_knows_the_types_goes_first(shown: FrontEnd) -> None:
    """Here by what loading a palette does with the table."""
    shown.page.evaluate("Object.assign(app.canvas.constructor.link_type_colors, { UNIPORTRAIT_STYLE: '#ffffff' })")
    assert min(drawn_colours(shown)["UNIPORTRAIT_STYLE"]) > 180
    shown.page.evaluate("Object.assign(app.canvas.constructor.link_type_colors, { UNIPORTRAIT_STYLE: '' })")
    assert min(drawn_colours(shown)["UNIPORTRAIT_STYLE"]) < 100


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Between two colours, in steps of 255 per channel."""
    return float(np.linalg.norm(np.subtract(one[:3], other[:3])))
