"""Wrong files by the hundred, and, each by itself, what such files have brought to light.

`python tests/wrong_files.py` is the long form.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

import wrong_files
from small_files import flat, published, write
from standins.yunet import write_yunet
from uniportrait_core.errors import UniPortraitError, named, reason
from uniportrait_core.faces import yunet_detector
from uniportrait_core.faces.trial import survives
from uniportrait_core.faces.yunet_detector import YuNetDetector
from uniportrait_core.files.checkpoint import load_backbone, load_faceid, load_ip_adapter, load_router
from uniportrait_core.files.identity_file import load_face_id, save_face_id
from uniportrait_core.files.identity_header import read_thumbnails
from uniportrait_core.tensor_checks import check_numbers, check_shapes, layer_count
from wrong.demands import faults, faults_of_text
from wrong.files import people
from wrong.traps import MARK, bomb

LOADERS = {"faceid": load_faceid, "router": load_router, "backbone": load_backbone, "ip_adapter": load_ip_adapter}


def test_wrong_files_of_all_kinds():
    """A few of the thousands; another seed than the long form's usual one, so that there are more of them in all."""
    outcomes = list(wrong_files.cases("files", seed=3, first=0, count=250))
    assert {outcome["result"] for outcome in outcomes} == {"read", "refused"}
    assert not [(outcome["about"], outcome["faults"]) for outcome in outcomes if outcome["faults"]]


def refused(name: str, path: Path) -> str:
    """The error that loading a file ends in, which is as it should be."""
    with pytest.raises(UniPortraitError) as caught:
        LOADERS[name](path)
    assert not faults(caught.value, path.name)
    return str(caught.value)


# What is no plain dictionary of plain tensors


def test_dictionaries_without_end(tmp_path):
    circle: dict = {"faceid_adapter": {}}
    circle["again"] = circle
    twice: dict = {"x": torch.ones(1)}
    for _ in range(60):
        twice = {"a": twice, "b": twice}
    for number, content in enumerate((circle, twice)):
        assert "one and the same dictionary twice" in refused(
            "faceid", write(tmp_path / f"{number}.bin", content, "zip")
        )


def test_dictionaries_in_many_dictionaries(tmp_path):
    deep: dict = dict(published("backbone"))
    for _ in range(200):
        deep = {"a": deep}
    refused("faceid", write(tmp_path / "deep.bin", deep, "zip"))


def test_a_packed_file_is_not_unpacked(tmp_path):
    path = tmp_path / "packed.bin"
    path.write_bytes(bomb("input_layer.0.weight"))
    assert "unpacks to 300," in refused("backbone", path)


@pytest.mark.parametrize(
    "odd",
    [
        torch.empty(4, device="meta"),
        torch.zeros(1).expand(10**9),
        torch.ones(3, 3).to_sparse(),
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    ],
    ids=["meta", "expanded", "sparse", "quantized", "nested"],
)
def test_tensors_that_are_not_plain(tmp_path, odd):
    path = write(tmp_path / "odd.bin", {**published("backbone"), "more": odd}, "zip")
    assert "more is no plain tensor" in refused("backbone", path) or "holds Python code" in refused("backbone", path)


def test_parameters_are_read_without_their_gradients(tmp_path):
    content = {part: {k: torch.nn.Parameter(v) for k, v in t.items()} for part, t in published("faceid").items()}
    weights = load_faceid(write(tmp_path / "parameters.bin", content, "zip"))
    assert not weights.lora[0]["q"].down.requires_grad and not weights.layers[0].to_k.requires_grad


@pytest.mark.skipif(os.name == "nt", reason="no pipes and devices among files")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.bin")
    (tmp_path / "zero.bin").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.bin", tmp_path / "zero.bin"):
        assert "no ordinary file" in refused("router", path)
        for read in (load_face_id, read_thumbnails, YuNetDetector):
            with pytest.raises(UniPortraitError, match=path.name):
                read(path)


# Tensors that do not fit


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("name", "part"), [("faceid", "faceid_proj"), ("router", "faceid_adapter"), ("backbone", "")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float8_e5m2])
def test_weights_that_are_no_numbers(tmp_path, name, part, value, dtype):
    content = published(name)
    tensors = content[part] if part else content
    key = list(tensors)[2]
    changed = tensors[key].clone()
    changed.view(-1)[1] = value
    tensors[key] = changed.to(dtype)
    found = refused(name, write(tmp_path / "nan.bin", content, "safetensors"))
    assert f"{key} holds NaN or infinity" in found


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_weights_of_another_type(tmp_path, dtype):
    content = published("ip_adapter")
    content["image_proj"]["norm.bias"] = content["image_proj"]["norm.bias"].to(dtype)
    assert "image_proj.norm.bias is of type" in refused("ip_adapter", write(tmp_path / "t.bin", content, "zip"))


@pytest.mark.parametrize(
    ("name", "part", "key"),
    [
        ("backbone", "", "body.{}.res_layer.1.weight"),
        ("faceid", "faceid_proj", "layers.{}.0.to_q.weight"),
        ("faceid", "faceid_adapter", "{}.to_q_lora.up.weight"),
        ("router", "faceid_adapter", "{}.to_q_lora.up.weight"),
    ],
)
def test_a_layer_of_a_number_that_no_network_has(tmp_path, name, part, key):
    """It ends: a billion layers are neither made for it nor looked for."""
    content = published(name)
    (content[part] if part else content)[key.format(999_999_999)] = torch.ones(1, 1, 3, 3)
    assert "is missing" in refused(name, write(tmp_path / "many.bin", content, "zip"))


@pytest.mark.parametrize(
    ("name", "part", "key", "shape"),
    [
        ("faceid", "faceid_adapter", "1.to_v_faceid.weight", (17, 24)),
        ("faceid", "faceid_adapter", "3.to_k_faceid.weight", (20, 23)),
        ("faceid", "faceid_adapter", "2.to_k_lora.up.weight", (20, 5)),
        ("router", "faceid_adapter", "3.to_q_router.2.weight", (20, 41)),
        ("router", "faceid_adapter", "3.aggr_router.weight", (1, 9)),
        ("router", "faceid_adapter", "5.to_k_router.0.bias", ()),
        ("backbone", "", "body.0.res_layer.4.weight", (4, 5, 3, 3)),
        ("backbone", "", "output_layer.3.weight", (6,)),
        ("ip_adapter", "image_proj", "norm.weight", (767,)),
        ("ip_adapter", "ip_adapter", "3.to_v_ip.weight", (20, 0)),
    ],
)
def test_tensors_that_do_not_fit_each_other(tmp_path, name, part, key, shape):
    content = published(name)
    (content[part] if part else content)[key] = torch.ones(shape)
    assert "needed is (" in refused(name, write(tmp_path / "misfit.bin", content, "safetensors"))


def test_tokens_that_are_not_as_wide_as_the_layers(tmp_path):
    content = published("faceid")
    parts = content["faceid_proj"]
    for key in ("proj_out.weight", "proj_out.bias", "norm_out.weight", "norm_out.bias"):
        parts[key] = torch.ones(23, *parts[key].shape[1:])
    assert "1.to_k_faceid.weight is of shape (16, 24), needed is (16, 23)" in refused(
        "faceid", write(tmp_path / "wide.bin", content, "zip")
    )


def test_heads_of_no_size(tmp_path):
    content = published("faceid")
    content["faceid_proj"]["layers.0.0.to_q.weight"] = torch.ones(33, 32)
    assert "needed are heads of 64" in refused("faceid", write(tmp_path / "heads.bin", content, "zip"))


def test_layers_of_an_ip_adapter_come_without_gaps(tmp_path):
    content = published("ip_adapter")
    layers = content["ip_adapter"]
    for half in "kv":
        layers[f"77.to_{half}_ip.weight"] = layers.pop(f"3.to_{half}_ip.weight")
    assert "ip_adapter.3.to_k_ip.weight' is missing" in refused(
        "ip_adapter", write(tmp_path / "gap.bin", content, "zip")
    )


def test_checks_of_tensors():
    assert layer_count(["body.0.x", "body.1.x", "body.1.y", "other.7.x", "body.x"], "body.") == 2
    for keys in ([], ["body.1.x"], ["body.0.x", "body.2.x"]):
        with pytest.raises(ValueError, match=r"body\.[01] is missing"):
            layer_count(keys, "body.")
    tensors = {"a": torch.ones(2, 3), "b": torch.ones(3)}
    assert check_shapes(tensors, {"a": "out in", "b": "in"}, {"out": 2}) == {"out": 2, "in": 3}
    for axes in ({"a": "out out"}, {"a": "out"}, {"a": "2 4"}, {"a": "x y", "b": "x"}):
        with pytest.raises(ValueError, match=r"is of shape \(.*needed is \("):
            check_shapes(tensors, axes)
    check_numbers({"a": torch.ones(0), "b": torch.ones(2).half(), "x.num_batches_tracked": torch.tensor(3)})


# What errors show of what others have written


@pytest.mark.skipif(os.name == "nt", reason="names that this system refuses")
@pytest.mark.parametrize(("name", "shown"), [("a\nb.bin", r"a\nb.bin"), ("a\x1b[31m.bin", r"a\x1b[31m.bin")])
def test_names_of_files_are_one_line(tmp_path, name, shown):
    (tmp_path / name).write_bytes(b"\x00" * 20)
    for loader in (load_faceid, load_face_id, read_thumbnails):
        with pytest.raises(UniPortraitError) as caught:
            loader(tmp_path / name)
        assert not faults(caught.value, shown)


def test_names_of_tensors_are_cut(tmp_path):
    many = {**published("backbone"), **{f"body.unknown{i}": torch.ones(1) for i in range(2_000)}}
    assert len(refused("backbone", write(tmp_path / "many.bin", many, "zip"))) < 700
    assert len(refused("backbone", write(tmp_path / "long.bin", {"x" * 50_000: torch.ones(1)}, "zip"))) < 700


def test_words_of_others():
    assert named("a\nb\u202e") == r"a\nb\u202e" and named("x" * 9, 5) == "xxxx…"
    assert reason(ValueError("a\n\tb  c. ")) == "a b c"
    assert reason(ValueError("")) == "ValueError" and reason(IndexError("tuple")) == "it does not keep to its format"
    assert reason(RuntimeError("[enforce fail at x.cc:3] . gone")) == "gone" and len(reason("x" * 999)) == 200


@pytest.mark.parametrize(
    ("key", "value"),
    [("uniportrait.format", "9" * 5_000), ("uniportrait.base", "x" * 5_000), ("uniportrait.base", "a\nb"),
     ("uniportrait.base", " "), ("uniportrait.tokens", "y" * 5_000), ("uniportrait.features", "[" * 100_000)],
)  # fmt: skip
def test_metadata_that_says_too_much(tmp_path, key, value):
    path = tmp_path / "says.safetensors"
    save_file(flat(published("faceid")), path, {"uniportrait.format": "1", key: value})
    refused("faceid", path)


# Saved people


def identity(path: Path, **changes: Tensor) -> Path:
    save_face_id(path, people())
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensors, metadata = {key: file.get_tensor(key).clone() for key in file.keys()}, file.metadata()  # noqa: SIM118
    path.write_bytes(save({**tensors, **{key.replace("_", "."): value for key, value in changes.items()}}, metadata))
    return path


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"id1_weight": torch.tensor(float("nan"))}, "id1.weight holds NaN"),
        ({"id0_cond": torch.ones(4, 6).to(torch.complex64)}, "id0.cond is of type complex64, needed is float32"),
        ({"id1_mask": torch.ones(5, 7).long()}, "id1.mask is of type int64"),
        ({"id1_thumbnail": torch.ones(9, 8, 3)}, "id1.thumbnail is of type float32, needed is uint8"),
    ],
)
def test_parts_of_a_person_that_are_something_else(tmp_path, changes, found):
    with pytest.raises(UniPortraitError, match=found) as caught:
        load_face_id(identity(tmp_path / "anna.safetensors", **changes))
    assert not faults(caught.value, "anna.safetensors")


@pytest.mark.parametrize("header", ["x", 7, [], {"id0.thumbnail": 3}])
def test_headers_of_people_of_another_kind(tmp_path, header):
    import json
    import struct

    metadata = {"__metadata__": header} if not isinstance(header, dict) else header
    text = json.dumps({"id0.cond": {}, **metadata}).encode()
    (tmp_path / "anna.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(UniPortraitError, match="it is no face identity") as caught:
        read_thumbnails(tmp_path / "anna.safetensors")
    assert not faults(caught.value, "anna.safetensors")


# Detectors


def test_a_detector_that_would_end_the_process(tmp_path, monkeypatch):
    path = tmp_path / "face_detection_yunet_2023mar.onnx"
    write_yunet(path)
    assert YuNetDetector(path)(np.zeros((640, 640, 3), np.uint8), 0.5) == []
    monkeypatch.setattr(yunet_detector, "TRIAL", "import os; os.abort()")
    with pytest.raises(UniPortraitError, match="so damaged that it ends the program") as caught:
        YuNetDetector(path)
    assert not faults(caught.value, path.name)


def test_the_trial_of_a_file(tmp_path):
    path = tmp_path / "a b.txt"
    path.write_text("x")
    assert survives("import sys; assert open(sys.argv[1]).read() == 'x'; raise SystemExit(0)", path)
    assert survives("raise ValueError", path)
    assert not survives("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", path)


def test_the_trial_does_what_the_detector_does(tmp_path):
    """Otherwise it would be none: a file that is none ends with an error in both."""
    write_yunet(tmp_path / "good.onnx")
    import subprocess
    import sys

    codes = {}
    for name, content in (("good", None), ("bad", b"\x00" * 50)):
        if content:
            (tmp_path / "bad.onnx").write_bytes(content)
        command = [sys.executable, "-c", yunet_detector.TRIAL, str(tmp_path / f"{name}.onnx")]
        codes[name] = subprocess.run(command, capture_output=True).returncode
    assert codes == {"good": 0, "bad": 1}


# The rule itself


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x.bin is empty (0 bytes); needed here: weights. Download x.bin again.", ""),
        ("x.bin is empty (0 bytes); needed here: weights.", "nothing to do"),
        ("It is empty. Download it again.", "does not name"),
        ("x.bin is\nempty. Download it again.", "not printed"),
        (f"x.bin is {'very ' * 200}empty. Download it again.", "characters long"),
        ("x.bin is no file ('NoneType' object). Download it again.", "NoneType"),
    ],
)
def test_what_is_demanded_of_an_error(text, wrong):
    found = faults_of_text("UniPortraitError", text, "x.bin")
    assert (wrong in found[0]) if wrong else not found
    assert faults_of_text("RuntimeError", text, "x.bin")


def test_traps_are_traps(tmp_path):
    """What is called a trap does call something, where it is read trustfully."""
    import random

    from wrong.traps import calling

    ran = 0
    for seed in range(12):
        path, mark = tmp_path / "trap.bin", tmp_path / MARK
        path.write_bytes(calling({"x": torch.ones(1)}, random.Random(seed), mark))
        try:
            torch.load(path, weights_only=False)
        except Exception:
            pass
        ran += mark.exists()
        if mark.is_dir():
            mark.rmdir()
        mark.unlink(missing_ok=True)
    assert ran > 6
