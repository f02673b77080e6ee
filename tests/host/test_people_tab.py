"""Saved people in the real front end, with nodes drawn on the canvas and with nodes that are elements.

Each test does what a person does with mouse and keyboard, and looks at the graph and at the disk afterwards.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

import saved
from browser import VUE_NODES, FrontEnd, front_end
from comfy_server import ComfyClient, comfy_server

pytestmark = pytest.mark.browser

LOAD, SAVE, COMBINE = "UniPortraitLoadFaceID", "UniPortraitSaveFaceID", "MultiIDConditioning"
NAMES = ["anna", "bob", "carl", "dora", "eva", "finn", "old time"]  # as the tab shows them
EMPTY = {"nodes": [], "links": [], "groups": [], "last_node_id": 0, "last_link_id": 0, "version": 0.4}
SHOWN = "[...document.querySelectorAll('.uniportrait-card:not([hidden]) .uniportrait-name')].map(e => e.textContent)"
NODES = "app.graph._nodes.map(node => [node.type, node.widgets?.[0]?.value])"
ON_SCREEN = """([type, x, y]) => {
    const node = app.graph._nodes.find(node => node.type === type);
    return app.canvasPosToClientPos([node.pos[0] + (x < 0 ? node.size[0] + x : x), node.pos[1] + y]);
}"""
WIDGET_Y = (
    "([type, name]) => app.graph._nodes.find(n => n.type === type).widgets.find(w => w.name === name).last_y + 10"
)
MANY = 1000
TILES = 100  # more than a window of the tests' size shows, those included that are loaded a little early


def write_people(server: ComfyClient) -> Path:
    """The people of `NAMES`, and nobody else."""
    folder = server.base / "output" / "uniportrait_faces"
    shutil.rmtree(folder, ignore_errors=True)
    for number, name in enumerate(("anna_00001_", "bob", "carl", "dora", "finn")):
        saved.save(folder, name, number)
    saved.save(folder / "friends", "eva", 7, 8)
    saved.save(folder, "old time", 9, face=False)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    with comfy_server(Path(os.environ["COMFYUI_PATH"]), tmp_path_factory.mktemp("models")) as running:
        write_people(running)
        yield running


@pytest.fixture(scope="module", params=["canvas", "elements"])
def shown(server: ComfyClient, request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    """The front end, with nodes drawn on the canvas or made of elements."""
    settings = {"Comfy.VueNodes.Enabled": request.param == "elements"}
    with front_end(server, LOAD, settings=settings) as page:
        page.page.set_default_timeout(30_000)
        if request.param == "elements":
            page.skip_before(*VUE_NODES)
        yield page


@pytest.fixture
def folder(server: ComfyClient) -> Path:
    return write_people(server)


@pytest.fixture
def tab(shown: FrontEnd, folder: Path) -> Iterator[Page]:
    """The page with the tab open, which a click on its button does, beside an empty canvas."""
    page = shown.page
    page.evaluate("empty => app.loadGraphData(empty)", EMPTY)
    page.click(".uniportrait-people-tab-button")
    wait_for_names(page, NAMES)
    yield page
    screenshot(page)
    page.click(".uniportrait-people-tab-button")
    assert not shown.errors


def screenshot(page: Page) -> None:
    if place := os.environ.get("UNIPORTRAIT_SCREENSHOTS"):
        name = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0]
        page.screenshot(path=Path(place) / f"{name}.png")


def wait_for_names(page: Page, names: list[str]) -> None:
    page.wait_for_function(f"names => JSON.stringify({SHOWN}) === JSON.stringify(names)", arg=names)


def card(page: Page, name: str) -> Locator:
    """By whole name: `has_text` would find it anywhere."""
    return page.locator(".uniportrait-card").filter(has=page.get_by_text(name, exact=True))


def drag(page: Page, name: str, x: int, y: int) -> None:
    card(page, name).drag_to(page.locator("#graph-canvas"), target_position={"x": x, "y": y})


def answer(page: Page, text: str) -> None:
    """Type into the question that is open."""
    field = page.locator("[role=dialog] input")
    field.fill(text)
    field.press("Enter")
    field.wait_for(state="detached")


def loaded(page: Page) -> list[str]:
    """Files of all Load Face ID, in the order in which they came."""
    return [value for kind, value in page.evaluate(NODES) if kind == LOAD]


def tensors(path: Path) -> bytes:
    """What comes after the header, whose metadata has no order."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


def is_drawn(page: Page) -> bool:
    return not page.evaluate("LiteGraph.vueNodesMode")


# The tab


def test_words_find_people(tab: Page) -> None:
    expect(card(tab, "old time").locator(".uniportrait-initials")).to_have_text("OT")
    expect(card(tab, "eva").locator("img")).to_have_count(2)
    tab.click(".uniportrait-search")
    tab.keyboard.type("FRIENDS e")
    wait_for_names(tab, ["eva"])
    tab.keyboard.type("xyz")
    wait_for_names(tab, [])
    expect(tab.locator(".uniportrait-status")).to_contain_text("Nobody has such a name")
    tab.fill(".uniportrait-search", "")
    wait_for_names(tab, NAMES)


def test_a_person_is_renamed_and_the_canvas_follows(tab: Page, shown: FrontEnd, folder: Path) -> None:
    card(tab, "bob").dblclick()
    assert loaded(tab) == ["bob.safetensors"]
    card(tab, "bob").click()
    tab.keyboard.press("F2")
    answer(tab, "Robert")
    wait_for_names(tab, ["anna", "carl", "dora", "eva", "finn", "old time", "Robert"])
    assert (folder / "Robert.safetensors").is_file() and not (folder / "bob.safetensors").exists()
    assert loaded(tab) == ["Robert.safetensors"]
    card(tab, "carl").click()
    tab.locator(".uniportrait-button.pi-pencil").click()
    answer(tab, "dora")
    tab.get_by_text("There is a file dora.safetensors already. Choose another name.").wait_for()
    assert (folder / "carl.safetensors").is_file()
    assert all("409" in error for error in shown.errors)  # which the browser notes in its console by itself
    shown.errors.clear()


def test_several_are_deleted_after_a_question(tab: Page, folder: Path) -> None:
    card(tab, "anna").dblclick()  # and is chosen on the canvas, where the same key deletes
    card(tab, "dora").click()
    card(tab, "finn").click(modifiers=["Control"])
    tab.keyboard.press("Delete")
    tab.locator("[role=dialog]").get_by_role("button", name="Cancel").click()
    tab.locator("[role=dialog]").wait_for(state="detached")
    assert tab.evaluate(SHOWN) == NAMES and len(list(folder.rglob("*.safetensors"))) == len(NAMES)
    tab.locator(".uniportrait-button.pi-trash").click()
    dialog = tab.locator("[role=dialog]")
    assert "dora" in dialog.inner_text() and "finn" in dialog.inner_text()
    dialog.get_by_role("button", name="Delete").click()
    wait_for_names(tab, ["anna", "bob", "carl", "eva", "old time"])
    assert not (folder / "dora.safetensors").exists() and not (folder / "finn.safetensors").exists()
    assert len(list(folder.rglob("*.safetensors"))) == len(NAMES) - 2
    assert loaded(tab) == ["anna_00001_.safetensors"]


def test_the_keyboard_alone(tab: Page) -> None:
    tab.focus(".uniportrait-search")
    tab.keyboard.press("ArrowDown")  # into the list, to anna
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Shift+ArrowRight")
    expect(tab.locator(".uniportrait-status")).to_contain_text("2 of 7 chosen")
    tab.keyboard.press("Enter")
    assert loaded(tab) == ["bob.safetensors", "carl.safetensors"]
    tab.keyboard.press("Control+a")
    expect(tab.locator(".uniportrait-status")).to_contain_text("7 of 7 chosen")
    tab.keyboard.press("Escape")
    expect(tab.locator(".uniportrait-status")).to_contain_text("7 saved")


# On the canvas


def test_one_person_is_dragged(tab: Page) -> None:
    drag(tab, "carl", 900, 300)
    assert tab.evaluate(NODES) == [[LOAD, "carl.safetensors"]]
    x, y = tab.evaluate(ON_SCREEN, [LOAD, 0, 0])
    width = tab.evaluate("app.graph._nodes[0].size[0] * app.canvas.ds.scale")
    canvas = tab.locator("#graph-canvas").bounding_box()
    assert abs(x + width / 2 - canvas["x"] - 900) < 2 and abs(y - canvas["y"] - 300) < 60  # where it was dropped


def test_several_are_dragged_and_joined(tab: Page, shown: FrontEnd) -> None:
    card(tab, "anna").click()
    card(tab, "finn").click(modifiers=["Shift"])
    card(tab, "old time").click(modifiers=["Control"])
    card(tab, "bob").click(modifiers=["Control"])
    drag(tab, "carl", 700, 100)
    prompt = shown.prompt()
    people = [node for node in prompt if prompt[node]["class_type"] == LOAD]
    assert [prompt[node]["inputs"]["face_id_file"] for node in people] == [
        "anna_00001_.safetensors", "carl.safetensors", "dora.safetensors", os.path.join("friends", "eva.safetensors"),
        "finn.safetensors", "old time.safetensors",
    ]  # fmt: skip
    first, second = (node for node in prompt if prompt[node]["class_type"] == COMBINE)
    assert prompt[first]["inputs"] == {f"face_id_{slot}": [people[slot - 1], 0] for slot in range(1, 5)}
    assert prompt[second]["inputs"] == {
        "face_id_1": [first, 0],
        "face_id_2": [people[4], 0],
        "face_id_3": [people[5], 0],
    }
    # One step takes all of it back; a size that the front end measures afterwards may be a second one.
    for _ in range(2):
        tab.wait_for_timeout(500)
        if tab.evaluate("app.graph._nodes.length"):
            tab.keyboard.press("Control+z")
    tab.wait_for_function("app.graph._nodes.length === 0")


def test_load_face_id_shows_whom_it_will_load(tab: Page) -> None:
    drag(tab, "anna", 900, 300)
    faces = tab.locator(".uniportrait-faces img")
    assert "anna_00001_" in faces.get_attribute("src")
    tab.wait_for_function("document.querySelector('.uniportrait-faces img').naturalWidth === 112")
    if is_drawn(tab):
        y = tab.evaluate(WIDGET_Y, [LOAD, "face_id_file"])
        tab.mouse.click(*tab.evaluate(ON_SCREEN, [LOAD, -25, y]))  # the arrow to the next file
    else:
        tab.locator("[data-node-id] button[role=combobox], [data-node-id] [data-testid^=widget-select]").first.click()
        tab.get_by_role("option", name="bob.safetensors").click()
    tab.wait_for_function("document.querySelector('.uniportrait-faces img')?.src.includes('bob')")
    assert loaded(tab) == ["bob.safetensors"]


def test_people_are_saved_from_the_canvas(tab: Page, folder: Path) -> None:
    drag(tab, "anna", 700, 300)
    if is_drawn(tab):
        tab.mouse.click(*tab.evaluate(ON_SCREEN, [LOAD, 100, -15]), button="right")
    else:
        tab.locator("[data-node-id]").first.click(button="right", position={"x": 100, "y": 10})
    tab.get_by_text("Save people as …").click()
    answer(tab, "gina")
    wait_for_names(tab, [*NAMES[:6], "gina", "old time"])
    assert tensors(folder / "gina_00001_.safetensors") == tensors(folder / "anna_00001_.safetensors")
    assert [kind for kind, _ in tab.evaluate(NODES)] == [LOAD, SAVE]
    if is_drawn(tab):
        y = tab.evaluate(WIDGET_Y, [SAVE, "Save as …"])
        tab.mouse.click(*tab.evaluate(ON_SCREEN, [SAVE, 100, y]))
    else:
        tab.get_by_role("button", name="Save as …").click()
    answer(tab, "friends/hans")
    wait_for_names(tab, [*NAMES[:6], "gina", "hans", "old time"])
    assert (folder / "friends" / "hans_00001_.safetensors").is_file()
    assert tab.evaluate("app.graph._nodes[1].serialize().widgets_values") == ["friends/hans", True]


# Many people

WATCH_PAINT = """() => {
    performance.clearResourceTimings();  // its list has an end, which the page itself has reached
    const started = performance.now();
    window.painted = new Promise(resolve => new MutationObserver((_, observer) => {
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => {
            const asked = performance.getEntriesByType('resource').filter(({ name, startTime }) =>
                startTime >= started && /uniportrait.people$|object_info/.test(name));
            const answered = Math.max(...asked.map(entry => entry.responseEnd));
            resolve({ waited: answered - started, painted: performance.now() - answered });
        }));
    }).observe(document.querySelector('.uniportrait-list'), { childList: true }));
}"""


def test_a_thousand_people(tab: Page, folder: Path, record_property) -> None:
    """How long it takes is noted and not judged: how much is done is."""
    for number in range(len(NAMES), MANY):
        shutil.copyfile(folder / "bob.safetensors", folder / f"person {number:04}.safetensors")
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url) if "/thumbnail" in request.url else None)
    tab.evaluate(WATCH_PAINT)
    tab.locator(".uniportrait-button.pi-refresh").click()
    for name, milliseconds in tab.evaluate("window.painted").items():
        record_property(name, milliseconds)
    tab.wait_for_timeout(500)
    assert tab.locator(".uniportrait-card").count() == MANY
    assert tab.evaluate("document.querySelectorAll('.uniportrait-people *').length") < 6 * MANY
    assert 0 < len(requests) < TILES  # only of those who are seen
    first = len(requests)
    tab.locator(".uniportrait-card").last.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('.uniportrait-card:last-child img').naturalWidth > 0")
    assert first < len(requests) < 2 * TILES
    assert len(set(requests)) == len(requests)  # none twice


# A front end whose hooks are gone

NO_TAB = "app.extensionManager.registerSidebarTab = undefined;"
TAB_THROWS = "app.extensionManager.registerSidebarTab = () => { throw new Error('gone') };"
NO_FACES = """
    const add = LiteGraph.LGraphNode.prototype.addDOMWidget;
    LiteGraph.LGraphNode.prototype.addDOMWidget = function (name, type, ...rest) {
        if (type === "uniportrait_faces") throw new Error("gone");
        return add.call(this, name, type, ...rest);
    };
"""
NO_EXTENSION = """
    const register = app.registerExtension;
    app.registerExtension = function (extension) {
        if (extension.name.startsWith("uniportrait.people")) throw new Error("gone");
        return register.call(this, extension);
    };
"""
SCRIPT = "text/javascript"
TAB_OFF, FACES_OFF, SAVING_OFF, LIST_OFF = (
    "the tab People", "the faces at Load Face ID", "saving people from the canvas", "the list of people after a run",
)  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "off"),
    [
        (NO_TAB, {TAB_OFF}),
        (TAB_THROWS, {TAB_OFF}),
        (NO_FACES, {FACES_OFF}),
        (NO_EXTENSION, {TAB_OFF, FACES_OFF, SAVING_OFF, LIST_OFF}),
    ],
    ids=["no tab", "the tab fails", "no faces", "no extensions"],
)
def test_a_hook_that_is_gone_takes_its_own_feature_alone(shown: FrontEnd, folder: Path, broken: str, off: set) -> None:
    page = shown.page.context.browser.new_page()
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    # The module by which every script of a pack gets at the front end: it is changed before they run.
    page.route(
        "**/scripts/app.js", lambda route: route.fulfill(response=(got := route.fetch()), body=got.text() + broken)
    )
    other = FrontEnd(page)
    other.open(shown.page.url, LOAD)
    page.evaluate("empty => app.loadGraphData(empty)", EMPTY)
    page.evaluate("types => types.forEach(type => app.graph.add(LiteGraph.createNode(type)))", [LOAD, SAVE])
    page.wait_for_timeout(300)
    assert page.locator(".uniportrait-people-tab-button").count() == (TAB_OFF not in off)
    names = page.evaluate("app.graph._nodes.map(node => node.widgets.map(widget => widget.name))")
    assert ("faces" in names[0], "Save as …" in names[1]) == (FACES_OFF not in off, SAVING_OFF not in off)
    assert other.prompt()["1"]["inputs"] == {"face_id_file": "anna_00001_.safetensors"}
    mine = [text for text in warnings if text.startswith("UniPortrait: ")]
    assert len(mine) == len(off) and all(any(f"UniPortrait: {name} is off" in text for text in mine) for name in off)
    assert not other.errors
    page.close()
