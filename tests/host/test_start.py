"""What the pack adds to the host's start, and what it tells the host."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.heart

ROOT = Path(__file__).parents[2]
NODES = {
    "LoadUniPortrait",
    "FaceIDEncode",
    "MultiIDConditioning",
    "IDRouterApply",
    "UniPortraitFaceDetector",
    "UniPortraitDetectFaces",
    "UniPortraitMixFaceID",
    "UniPortraitAdjustFaceID",
    "UniPortraitOwnWords",
    "UniPortraitFaceSimilarity",
    "UniPortraitRecordRouting",
    "UniPortraitRoutingMap",
    "UniPortraitSaveFaceID",
    "UniPortraitLoadFaceID",
    "UniPortraitLoadIPAdapter",
    "UniPortraitStyleReference",
    "UniPortraitApplyStyle",
    "UniPortraitDropReference",
    "UniPortraitPromptList",
    "UniPortraitEncodePictures",
    "UniPortraitLoadMiniWorld",
}
INPUTS = Path(__file__).with_name("node_inputs.json")
FILES = {"faceid", "router", "face_backbone", "ip_adapter", "face_id_file", "model", "provider", "backend"}
# Processor time and not wall time: it does not depend on what else the machine is doing.
START = """
import asyncio, sys, time
sys.path.insert(0, sys.argv.pop(1)); pack = sys.argv.pop(1)
import comfy.options, utils.install_util
comfy.options.enable_args_parsing()
import nodes
asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
before, started = set(sys.modules), time.process_time()
assert asyncio.run(nodes.load_custom_node(pack))
print(time.process_time() - started, *sorted(set(sys.modules) - before))
"""


def test_start_is_light(tmp_path):
    for folder in ("input", "output", "temp"):
        (tmp_path / folder).mkdir()
    command = [sys.executable, "-c", START, os.environ["COMFYUI_PATH"], str(ROOT), "--cpu"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    seconds, *modules = output.splitlines()[-1].split()
    packages = {name.split(".")[0] for name in modules}
    assert any(name.endswith("uniportrait_core.embedding.backbone") for name in modules)
    assert not packages & {"insightface", "onnxruntime", "onnx", "cv2", "skimage"}
    assert float(seconds) <= 0.3


@pytest.mark.parametrize("found", ["0.3.64", "0.3.100", "0.4", "0.33.0", "1.0.0-dev", "0.3.64rc1"])
def test_hosts_that_will_do(pack, monkeypatch, found):
    version = version_module(pack, monkeypatch, found)
    version.check_host()


@pytest.mark.parametrize("found", ["0.3.63", "0.3", "0.2.99", "0.3.9.1"])
def test_a_host_that_is_too_old_is_told_so_when_it_starts(pack, monkeypatch, found):
    version = version_module(pack, monkeypatch, found)
    with pytest.raises(ImportError, match=f"needs ComfyUI 0.3.64 or later; this is {found}. Update ComfyUI"):
        version.check_host()
    with pytest.raises(ImportError, match="needs ComfyUI 0.3.64"):
        spec = importlib.util.spec_from_file_location(
            pack.__name__, ROOT / "__init__.py", submodule_search_locations=[]
        )
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_a_host_that_does_not_tell_its_version_is_judged_by_what_it_has(pack, monkeypatch):
    version = version_module(pack, monkeypatch, None)
    version.check_host()
    monkeypatch.setattr(version, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="this is an older one"):
        version.check_host()


def test_the_oldest_version_is_said_alike_everywhere(pack):
    oldest = ".".join(map(str, import_module(f"{pack.__name__}.host.version").OLDEST))
    assert f'requires-comfyui = ">={oldest}"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert f"ComfyUI {oldest} or later" in (ROOT / "README.md").read_text("utf-8")


def version_module(pack, monkeypatch, found: str | None):
    """`host.version`, in a ComfyUI of some version; None for one that does not tell."""
    told = types.SimpleNamespace(__version__=found) if found else None
    monkeypatch.setitem(sys.modules, "comfyui_version", told)
    return import_module(f"{pack.__name__}.host.version")


def test_the_host_knows_all_nodes(pack):
    import nodes

    mine = {
        node_id: node
        for node_id, node in nodes.NODE_CLASS_MAPPINGS.items()
        if node.__module__.startswith(f"{pack.__name__}.")
    }
    assert set(mine) == NODES
    for node in mine.values():
        assert node.GET_SCHEMA().category == "UniPortrait"
        inputs = node.INPUT_TYPES()
        every = {**inputs["required"], **inputs.get("optional", {})}
        assert all(len(options) > 1 and options[1].get("tooltip") for options in every.values())


def test_inputs_keep_their_order_and_defaults(pack):
    """Saved workflows hold widgets by position: inputs are appended, to the file of this test as well."""
    import nodes

    kept = json.loads(INPUTS.read_text("utf-8"))
    assert set(kept) == NODES
    for node_id, wanted in kept.items():
        assert [described(*about) for about in declared(nodes.NODE_CLASS_MAPPINGS[node_id])] == wanted, node_id


def declared(node):
    """Kind, name, type and settings of a node's inputs, in order."""
    groups = node.INPUT_TYPES()
    for kind in ("required", "optional"):
        for name, (type_, settings) in groups.get(kind, {}).items():
            yield kind, name, type_, settings


def described(kind, name, type_, settings):
    """What saved workflows and prompts rely on, but for what depends on the files that are there."""
    choices = type_ if isinstance(type_, list) else settings.get("options")
    kept = {} if name in FILES else {key: settings[key] for key in ("default", "min", "max", "step") if key in settings}
    options = {"options": choices} if choices and name not in FILES else {}
    return {"name": name, "kind": kind, "type": "COMBO" if isinstance(type_, list) else type_, **options, **kept}


def test_folders_join_those_of_the_user(pack, base):
    import folder_paths

    faces = folder_paths.folder_names_and_paths["uniportrait_faces"]
    assert faces[0] == [str(base / "models" / "uniportrait_faces"), str(base / "output" / "uniportrait_faces")]
    assert faces[1] == {".safetensors", ".sft"}
    (base / "models" / "uniportrait").mkdir(exist_ok=True)
    (base / "models" / "uniportrait" / "notes.txt").write_text("not weights")
    assert "notes.txt" not in folder_paths.get_filename_list("uniportrait")
