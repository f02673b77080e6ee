"""Who is where, in the real front end: a sampler works, and the map of each step is seen under the node.

With stand-in weights and two saved people, whose faces are drawn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import recipe
from browser import VUE_NODES, FrontEnd, front_end
from comfy_server import ComfyClient, comfy_server
from servers import standin_models
from workflow_prompts import load_prompt, of_class

STEPS = 4
SETTING = "UniPortrait.LiveRouting"
FACES = "two.safetensors"
ELEMENTS = "Comfy.VueNodes.Enabled"
# The graph is put together as a person does it: nodes from the list, values, wires.
BUILD = """([files, steps]) => {
    app.graph.clear();
    const nodes = {};
    const add = (name, type, x, y, values = {}) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        app.graph.add(node);
        for (const [key, value] of Object.entries(values))
            node.widgets.find((widget) => widget.name === key).value = value;
        nodes[name] = node;
    };
    const wire = (from, output, to, input) =>
        nodes[from].connect(output, nodes[to], nodes[to].inputs.findIndex(({ name }) => name === input));
    add("checkpoint", "CheckpointLoaderSimple", 0, 0, { ckpt_name: files.checkpoint });
    add("weights", "LoadUniPortrait", 0, 150, files.weights);
    add("people", "UniPortraitLoadFaceID", 0, 330, { face_id_file: files.faces });
    add("text", "CLIPTextEncode", 350, 430, { text: "two people" });
    add("latent", "EmptyLatentImage", 350, 680, { width: 128, height: 192 });
    add("apply", "IDRouterApply", 350, 0, { layers: "all" });
    add("record", "UniPortraitRecordRouting", 700, 0);
    add("sampler", "KSampler", 1050, 0, { steps, cfg: 2, seed: 1, control_after_generate: "fixed" });
    add("save", "SaveLatent", 1400, 0);
    wire("checkpoint", 0, "apply", "model");
    wire("weights", 0, "apply", "uniportrait");
    wire("people", 0, "apply", "face_id");
    wire("apply", 0, "record", "model");
    wire("record", 0, "sampler", "model");
    wire("checkpoint", 1, "text", "clip");
    wire("text", 0, "sampler", "positive");
    wire("text", 0, "sampler", "negative");
    wire("latent", 0, "sampler", "latent_image");
    wire("sampler", 0, "save", "samples");
    return Object.fromEntries(Object.entries(nodes).map(([name, node]) => [name, node.id]));
}"""
# After the pack's own listener, which has drawn by then.
LISTEN = """() => {
    window.liveSteps = [];
    app.api.addEventListener("uniportrait.routing.step", ({ detail }) => {
        const canvas = document.querySelector(".uniportrait-live-map");
        const pixels = canvas?.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        window.liveSteps.push({ node: detail.node, size: canvas && [canvas.width, canvas.height],
            drawn: pixels ? [...pixels] : [], label: document.querySelector(".uniportrait-live-step")?.textContent });
    });
}"""
SEEN = """() => ({
    panels: document.querySelectorAll(".uniportrait-live").length,
    shares: [...document.querySelectorAll(".uniportrait-live-share")].map((share) => share.textContent),
    faces: [...document.querySelectorAll(".uniportrait-live-face")].map((face) => face.naturalWidth),
    badges: [...document.querySelectorAll(".uniportrait-live-badge")].map((badge) => badge.textContent),
    colours: [...document.querySelectorAll(".uniportrait-live-person")].map((person) =>
        person.style.getPropertyValue("--uniportrait-person")),
    words: document.querySelector(".uniportrait-live-map")?.getAttribute("aria-label"),
    height: document.querySelector(".uniportrait-live-map")?.getBoundingClientRect().height ?? 0,
})"""
WORDS = """async () => {
    const url = [...document.styleSheets].map(({ href }) => href).find((href) => href?.includes("live_routing.css"));
    const { painted, decoded } = await import(new URL("map.js", url));
    const { aboutToBeMissing } = await import(new URL("words.js", url));
    const map = Uint8Array.from([255, 0, 128, 0, 255, 127]);
    return {
        pixels: [...painted(map, ["#ff0000", "#0000ff"])],
        decoded: [...decoded("AP+A")],
        one: aboutToBeMissing([1]),
        several: aboutToBeMissing([0, 1, 3]),
    };
}"""


@pytest.fixture(scope="module")
def server(core, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    with comfy_server(Path(os.environ["COMFYUI_PATH"]), standin_models()) as running:
        # The second one's face is not known.
        cond = recipe.noise("live.people", (3, 16, 768))
        identity, face = core("embedding.identity").Identity, torch.zeros(112, 112, 3, dtype=torch.uint8)
        face[20:92, 30:82] = torch.tensor([224, 172, 105], dtype=torch.uint8)
        people = (identity(cond[0], cond[2], thumbnail=face), identity(cond[1], cond[2]))
        core("files.identity_file").save_face_id(running.base / "output" / "uniportrait_faces" / FACES, people)
        yield running


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    with front_end(server, "IDRouterApply") as page:
        page.page.evaluate(LISTEN)
        yield page


def set_setting(shown: FrontEnd, name: str, value: object) -> None:
    shown.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])


def put_together(shown: FrontEnd) -> dict[str, Any]:
    """The graph on the canvas; ids of its nodes."""
    prompt = load_prompt("multi_id")
    checkpoint, weights = (
        prompt[of_class(prompt, name)[0]]["inputs"] for name in ("CheckpointLoaderSimple", "LoadUniPortrait")
    )
    files = {"checkpoint": checkpoint["ckpt_name"], "weights": weights, "faces": FACES}
    return shown.page.evaluate(BUILD, [files, STEPS])


def sampled_again(shown: FrontEnd, seed: int) -> list[dict[str, Any]]:
    """Run with another seed; what was seen at each step."""
    shown.page.evaluate(
        """seed => {
            window.liveSteps = [];
            const sampler = app.graph._nodes.find(({ type }) => type === "KSampler");
            sampler.widgets.find(({ name }) => name === "seed").value = seed;
        }""",
        seed,
    )
    shown.run()
    return shown.page.evaluate("window.liveSteps")


def save_picture(shown: FrontEnd, name: str) -> None:
    if folder := os.environ.get("UNIPORTRAIT_SCREENSHOTS"):
        shown.page.screenshot(path=Path(folder) / f"live_{name}.png")


def values(workflow: dict[str, Any]) -> dict[str, Any]:
    return {node["type"]: node.get("widgets_values") for node in workflow["nodes"] if node["type"] != "KSampler"}


@pytest.mark.browser
@pytest.mark.parametrize("vue", [False, True], ids=["canvas", "vue"])
def test_the_map_is_seen_while_a_sampler_works(shown: FrontEnd, vue: bool) -> None:
    set_setting(shown, SETTING, True)
    if vue:
        shown.skip_before(*VUE_NODES)
    set_setting(shown, ELEMENTS, vue)
    ids = put_together(shown)
    before, prompt = values(shown.workflow()), shown.prompt()
    steps = sampled_again(shown, seed=2 + vue)
    # Fast steps may come in one; the last is always there.
    assert 2 <= len(steps) <= STEPS and steps[-1]["label"] == f"step {STEPS} of {STEPS}"
    assert {step["node"] for step in steps} == {str(ids["record"])} and steps[0]["size"] == [16, 24]
    assert len({json.dumps(step["drawn"]) for step in steps}) > 1  # it grows
    assert min(steps[-1]["drawn"][3::4]) >= 254  # every spot is somebody's
    seen = shown.page.evaluate(SEEN)
    assert seen["panels"] == 1 and seen["height"] >= 100
    assert sum(int(share.removesuffix(" %")) for share in seen["shares"]) == pytest.approx(100, abs=1)
    assert seen["colours"] == ["#e69f00", "#56b4e9"]
    assert seen["faces"] == [64] and seen["badges"] == ["", "2"]
    assert seen["words"].startswith("person 1 has ")
    save_picture(shown, "vue" if vue else "canvas")
    assert values(shown.workflow()) == before
    prompt[str(ids["sampler"])]["inputs"]["seed"] = 2 + vue
    assert shown.prompt() == prompt
    set_setting(shown, SETTING, False)
    assert shown.page.evaluate(SEEN)["panels"] == 0
    assert sampled_again(shown, seed=12 + vue) == []
    assert shown.page.evaluate(SEEN)["panels"] == 0
    assert not shown.errors


@pytest.mark.browser
def test_what_the_map_is_made_of(shown: FrontEnd) -> None:
    made = shown.page.evaluate(WORDS)
    assert made["pixels"] == [255, 0, 0, 255, 0, 0, 255, 255, 128, 0, 127, 255]
    assert made["decoded"] == [0, 255, 128]
    assert made["one"] == "Person 2 is about to be missing"
    assert made["several"] == "Person 1, person 2 and person 4 are about to be missing"


@pytest.mark.browser
def test_without_a_record_it_is_under_apply_id_router(shown: FrontEnd) -> None:
    set_setting(shown, ELEMENTS, False)
    set_setting(shown, SETTING, True)
    ids = put_together(shown)
    shown.page.evaluate(
        """([record, apply, sampler]) => {
            const [source, target] = [app.graph.getNodeById(apply), app.graph.getNodeById(sampler)];
            app.graph.remove(app.graph.getNodeById(record));
            source.connect(0, target, 0);
        }""",
        [ids["record"], ids["apply"], ids["sampler"]],
    )
    before = values(shown.workflow())
    steps = sampled_again(shown, seed=30)
    assert {step["node"] for step in steps} == {str(ids["apply"])}
    assert shown.page.evaluate(SEEN)["panels"] == 1
    assert values(shown.workflow()) == before
    save_picture(shown, "apply")
    assert not shown.errors
