"""A host without the published model files: what the nodes and the front end say of it.

Environment: as in `test_workflows.py`.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import FrontEnd, front_end
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


@pytest.mark.parametrize("route", ["missing_files", "live_routing"])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"names": "one", "client_id": 5, "looks": 1}', "application/json", 400),
        (b"[1, 2]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\x00", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'"' + b"x" * 2_000_000 + b'"', "application/json", 413),
        (b'{"names": []}', "text/plain", 415),
        (b'{"client_id": "nobody", "looks": true, "names": 7}', "application/json", None),
    ],
)
def test_requests_that_are_wrong_are_answered_in_json(server: ComfyClient, route, body, kind, status) -> None:
    request = urllib.request.Request(
        f"{server.url}/uniportrait/{route}", data=body, method="POST", headers={"Content-Type": kind}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == (status or {"missing_files": 400, "live_routing": 404}[route])
    assert {"error", "cure"} == json.loads(refused.value.read()).keys()


@pytest.fixture(scope="module")
def shown(server: ComfyClient) -> Iterator[FrontEnd]:
    with front_end(server) as page:
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
