"""A host without the published model files: what the nodes and the front end say of it.

Environment: as in `test_workflows.py`.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import FrontEnd, find_chromium, front_end
from comfy_server import PACK, ComfyClient, PromptRejectedError, comfy_server
from workflow_prompts import add_photos, load_prompt

NOTICE = "#uniportrait-missing-files"
FILES = [
    "uniportrait-faceid_sd15.bin", "glint360k_curricular_face_r101_backbone.bin",
    "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "buffalo_l", "Realistic_Vision_V5.1_fp16-no-ema.safetensors",
    "vae-ft-mse-840000-ema-pruned.safetensors",
]  # fmt: skip
ROUTER = "uniportrait-router_sd15.bin"


@pytest.fixture(scope="module")
def server() -> Iterator[ComfyClient]:
    with comfy_server(Path(os.environ["COMFYUI_PATH"])) as running:
        add_photos(running)
        yield running


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    chromium = find_chromium()
    if chromium is None:
        missing = "no Chromium was found; install it, or set CHROMIUM to its path"
        pytest.fail(missing) if os.environ.get("UNIPORTRAIT_REQUIRE_BROWSER") == "1" else pytest.skip(missing)
    with front_end(server, chromium, pack="UniPortrait", node="LoadUniPortrait") as page:
        page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        # The front end asks there for sizes, and a console error without a network would name the pack.
        page.page.route("https://huggingface.co/**", lambda route: route.fulfill(status=200))
        yield page


def load(name: str) -> dict:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text("utf-8"))


def command(server: ComfyClient, *names: str) -> str:
    pack = server.base / "custom_nodes" / "ComfyUI-UniPortrait"
    words = [sys.executable, str(pack.resolve() / "get_models.py"), "--comfyui", str(server.base)]
    return shlex.join(words + [word for name in names for word in ("--only", name)])


def test_the_loader_says_how_to_get_what_is_missing(server: ComfyClient) -> None:
    """Before anything runs."""
    with pytest.raises(PromptRejectedError) as error:
        server.run(load_prompt("multi_id"))
    names = ("uniportrait-faceid_sd15.bin", ROUTER, "glint360k_curricular_face_r101_backbone.bin")
    said = str(error.value)
    assert f"'{ROUTER}' at router" in said
    assert command(server, *names) in said


@pytest.mark.browser
def test_a_notice_has_the_command(shown: FrontEnd, server: ComfyClient, tmp_path: Path) -> None:
    page, notice = shown.page, shown.page.locator(NOTICE)
    shown.load(load("single_id"))
    notice.wait_for()
    for name in FILES:
        assert name in notice.inner_text()
    page.screenshot(path=Path(os.environ.get("UNIPORTRAIT_SCREENSHOTS") or tmp_path) / "missing_files.png")
    notice.get_by_role("button", name="Copy command").click()
    notice.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command(server, *FILES)
    assert not shown.errors


@pytest.mark.browser
def test_the_notice_can_be_closed(shown: FrontEnd) -> None:
    """It stays closed for this workflow, comes with the next one, and not with one that has nothing to do with it."""
    notice = shown.page.locator(NOTICE)
    shown.load(load("single_id"))
    notice.get_by_role("button", name="Close").click()
    notice.wait_for(state="detached")
    shown.load(load("multi_id"))
    notice.wait_for()
    assert ROUTER in notice.inner_text()
    go_to(shown, "Previous")
    notice.wait_for(state="detached")
    go_to(shown, "Next")
    notice.wait_for()
    shown.load({"nodes": [], "links": [], "version": 0.4})
    notice.wait_for(state="detached")
    assert not shown.errors


def go_to(shown: FrontEnd, which: str) -> None:
    """The workflow in the next tab or the one before."""
    shown.page.evaluate(f"app.extensionManager.command.execute('Workspace.{which}OpenedWorkflow')")


@pytest.mark.browser
def test_files_that_have_come_are_no_longer_missing(shown: FrontEnd, server: ComfyClient) -> None:
    notice = shown.page.locator(NOTICE)
    workflow = load("multi_id")
    for node in workflow["nodes"]:
        if node["type"] not in ("LoadUniPortrait", "UniPortraitFaceDetector"):
            node["mode"] = 4  # bypassed: nobody misses their files
    shown.load(workflow)
    notice.wait_for()
    assert ROUTER in notice.inner_text() and "safetensors" not in notice.inner_text()
    file = server.base / "models" / "uniportrait" / ROUTER
    file.parent.mkdir(exist_ok=True)
    file.touch()
    try:
        shown.page.keyboard.press("r")
        notice.filter(has_not_text=ROUTER).wait_for()
    finally:
        file.unlink()
    assert "uniportrait-faceid_sd15.bin" in notice.inner_text()
    assert not shown.errors


@pytest.mark.browser
def test_a_server_that_does_not_answer_changes_nothing(shown: FrontEnd) -> None:
    shown.page.route("**/uniportrait/missing_files", lambda route: route.abort())
    try:
        shown.load(load("single_id"))
        assert shown.page.locator(NOTICE).count() == 0
        assert len(shown.workflow()["nodes"]) == len(load("single_id")["nodes"])
    finally:
        shown.page.unroute("**/uniportrait/missing_files")
