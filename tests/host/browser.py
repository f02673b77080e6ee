"""ComfyUI's real front end in a headless Chromium, driven by Playwright's Python package."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import ConsoleMessage, Locator, Page, expect, sync_playwright

from comfy_client import ComfyClient

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # a first visit would open the template browser over the canvas
    "Comfy.OnboardingCoachmarks.Seen": ["appMode"],  # nor does the tour of apps open
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # texts would be left out of a picture of a large graph
}
# What is there from a version on; earlier ones have it as an experiment, or not at all.
APPS = (1, 49), "apps"
VUE_NODES = (1, 49), "nodes made of elements"
PACK = "uniportrait"  # a word by which console errors of the pack are told from others
TIMEOUT = 120_000  # milliseconds
MARGIN = 20  # graph units around a picture of the whole graph
SHARPER = 2  # a picture is drawn this much larger and then scaled down

# In `wait_for_function` an expression whose value is a function would be called: hence the !!
READY = "node => !!(window.app?.graph && window.LiteGraph?.registered_node_types?.[node])"
BOUNDS = """() => {
    const items = [...app.graph._groups, ...app.graph._nodes];
    const title = item => item.type ? LiteGraph.NODE_TITLE_HEIGHT : 0;
    return [
        Math.min(...items.map(item => item.pos[0])),
        Math.min(...items.map(item => item.pos[1] - title(item))),
        Math.max(...items.map(item => item.pos[0] + item.size[0])),
        Math.max(...items.map(item => item.pos[1] + item.size[1])),
    ];
}"""
WAY_BACK = "div:has(> button > .pi-bars) { display: none !important }"  # the button that ends the focus mode
UNDER_NODES = """() => {
    const sizes = {};
    for (const node of app.graph._nodes.filter(node => node.imgs?.length))
        (sizes[node.type] ??= []).push(node.imgs.map(image => [image.naturalWidth, image.naturalHeight]));
    return sizes;
}"""
FIT = """([scale, x, y]) => {
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset = [x, y];
    app.graph.setDirtyCanvas(true, true);
}"""


def find_chromium() -> str:
    """The Chromium that `CHROMIUM` names, or the first one installed under a usual name.

    A test without one is skipped, or fails where `UNIPORTRAIT_REQUIRE_BROWSER` is 1.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        missing = "no Chromium was found; install it, or set CHROMIUM to its path"
        pytest.fail(missing) if os.environ.get("UNIPORTRAIT_REQUIRE_BROWSER") == "1" else pytest.skip(missing)
    return found


class FrontEnd:
    """The front end's page. `errors` collects uncaught exceptions, and console errors that name the pack."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        page.on("console", self._listen)

    def open(self, url: str, node: str) -> None:
        """Open the page and wait until it knows a node type."""
        self.page.goto(url)
        self.page.wait_for_function(READY, arg=node)
        self._settle()
        # Some versions of the front end stumble over themselves while they start.
        self.errors = [error for error in self.errors if self._names_pack(error)]

    @property
    def version(self) -> tuple[int, int]:
        """Of the front end, its first two numbers."""
        major, minor, *_ = self.page.evaluate("window.__COMFYUI_FRONTEND_VERSION__").split(".")
        return int(major), int(minor)

    def skip_before(self, version: tuple[int, int], what: str) -> None:
        """Skip the test in older front ends, such as that of the oldest ComfyUI."""
        if self.version < version:
            pytest.skip("front end {}.{} has no ".format(*self.version) + what)

    def node_types(self) -> set[str]:
        """Every node type that can be put on the canvas."""
        return set(self.page.evaluate("Object.keys(LiteGraph.registered_node_types)"))

    def load(self, workflow: dict[str, Any], app: bool | None = False) -> None:
        """What dropping a workflow file on the canvas does.

        Args:
            workflow: in UI format.
            app: whether to show it as an app or as a graph then; with None it stays as it opens.
        """
        self.page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
        self.page.wait_for_function("count => app.graph._nodes.length === count", arg=len(workflow["nodes"]))
        self._settle()
        if app is not None and app != self.shows_app():
            self.page.evaluate("app.extensionManager.command.execute('Comfy.ToggleLinear')")
            self._settle()

    def shows_app(self) -> bool:
        """Whether the workflow is shown as an app, a page of inputs and outputs, and not as a graph."""
        return self.page.get_by_test_id("linear-center-panel").count() > 0

    def app_inputs(self) -> dict[str, Locator]:
        """The inputs of an app by their labels, in order; one that has a label twice is there once."""
        items = self.page.get_by_test_id("app-mode-widget-item").all()
        return {item.get_by_test_id("builder-widget-label").inner_text().strip(): item for item in items}

    def workflow(self) -> dict[str, Any]:
        """The graph on the canvas, as the front end would save it."""
        return json.loads(self.page.evaluate("JSON.stringify(app.graph.serialize())"))

    def prompt(self) -> dict[str, Any]:
        """The graph on the canvas in API format, as the button Run would send it."""
        return json.loads(self.page.evaluate("app.graphToPrompt().then(made => JSON.stringify(made.output))"))

    def run(self) -> None:
        """Press the button Run, and wait until all is done and shown."""
        self.page.evaluate("""() => {
            window.runEnded = false;
            for (const event of ['execution_success', 'execution_error', 'execution_interrupted'])
                app.api.addEventListener(event, ({ detail }) => {
                    window.runEnded = [event, detail?.exception_message ?? ''];
                }, { once: true });
            return app.queuePrompt(0);
        }""")
        self.page.wait_for_function("() => window.runEnded")
        ended, message = self.page.evaluate("window.runEnded")
        assert ended == "execution_success", message
        self._settle()

    def pictures_under_nodes(self) -> dict[str, list[list[tuple[int, int]]]]:
        """By node type, for each node that shows pictures their widths and heights."""
        return self.page.evaluate(UNDER_NODES)

    def picture(self, width: int) -> Image.Image:
        """The whole graph, without the controls around the canvas.

        Args:
            width: of the picture, in pixels; its height follows from the graph.
        """
        left, top, right, bottom = self.page.evaluate(BOUNDS)
        scale = width / (right - left + 2 * MARGIN)
        self.page.set_viewport_size({"width": width, "height": round((bottom - top + 2 * MARGIN) * scale)})
        self._hide_controls()
        self.page.evaluate(FIT, [scale, MARGIN - left, MARGIN - top])
        self._settle()
        large = Image.open(BytesIO(self.page.screenshot())).convert("RGB")
        return large.resize((width, round(large.height * width / large.width)), Image.Resampling.LANCZOS)

    def _hide_controls(self) -> None:
        if not self.page.evaluate("app.extensionManager.focusMode"):
            self.page.evaluate("app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
            self.page.add_style_tag(content=WAY_BACK)

    def _settle(self) -> None:
        """Photos are loaded, and texts laid over the canvas, a moment after the graph."""
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(1000)

    def _listen(self, message: ConsoleMessage) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and self._names_pack(text):
            self.errors.append(text)

    def _names_pack(self, text: str) -> bool:
        return PACK in text.lower()


@contextmanager
def front_end(
    server: ComfyClient, node: str = "LoadUniPortrait", settings: Mapping[str, object] | None = None
) -> Iterator[FrontEnd]:
    """Open a server's front end for the time of a `with` block.

    Args:
        server: a running server.
        node: id of the pack's node to wait for.
        settings: of the front end, beside those of all tests.
    """
    with front_ends(server, 1, node, settings) as (shown,):
        yield shown


@contextmanager
def front_ends(
    server: ComfyClient, count: int, node: str = "LoadUniPortrait", settings: Mapping[str, object] | None = None
) -> Iterator[list[FrontEnd]]:
    """As `front_end`, in several browsers that know nothing of each other."""
    chromium = find_chromium()
    expect.set_options(timeout=TIMEOUT)
    server.request("/settings", {**SETTINGS, **(settings or {})})
    with sync_playwright() as playwright:
        browsers = [playwright.chromium.launch(executable_path=chromium, args=list(QUIET)) for _ in range(count)]
        pages = [
            browser.new_page(viewport={"width": 1600, "height": 900}, device_scale_factor=SHARPER)
            for browser in browsers
        ]
        shown = [FrontEnd(page) for page in pages]
        for one in shown:
            one.open(server.url, node)
        yield shown
        for browser in browsers:
            browser.close()


def save_jpeg(picture: Image.Image, path: Path, limit: int = 300_000) -> None:
    """Write a picture at the best quality whose file is below `limit` bytes."""
    for quality in range(92, 20, -4):
        file = BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= limit:
            break
    path.write_bytes(file.getvalue())
