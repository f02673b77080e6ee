"""Weights on their way: into the pack, and back into a training that goes on from them."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from miniworld import ship as shipping
from miniworld.data.photos import Album, save_album
from miniworld.files import ALBUMS, SHIPPED, Files
from miniworld.ship import LARGEST, put, ship
from miniworld.weights import begin_with, history, metadata, save_weights

STAGES = {"single": "uniportrait-faceid.safetensors", "multi": "uniportrait-router.safetensors"}


@pytest.fixture
def out(tmp_path):
    """A training's output, but for the drawings and for what the networks are."""
    files = Files(tmp_path / "out")
    for file in (files.backbone, files.detector, files.base / "unet" / "diffusion_pytorch_model.safetensors"):
        save_weights(file, {"weight": torch.randn(4)}, {"command": "train"})
    for stage, name in STAGES.items():
        save_album(Album(2, size=64), files.root / ALBUMS[stage], 1)
        (files.root / stage).mkdir()
        save_file({"weight": torch.randn(4)}, files.root / stage / name, {"uniportrait.stage": stage})
    (files.root / "data").mkdir()
    (files.root / "data" / "drawings.bin").write_bytes(b"many")
    return files


def test_what_is_shipped(out, tmp_path):
    target = Files(tmp_path / "shipped")
    size = ship(out.root, target.root)
    assert size == sum(file.stat().st_size for file in target.root.rglob("*.safetensors"))
    assert not (target.root / "data").exists()
    assert load_file(target.backbone)["weight"].equal(load_file(out.backbone)["weight"])
    for stage, place in (("single", target.faceid), ("multi", target.router)):
        with safe_open(place, "pt") as file:
            assert file.metadata()["uniportrait.stage"] == stage
            assert file.metadata()["command"] == f"python -m miniworld train --only {stage}"
            albums = 1 if stage == "single" else 2
            assert file.metadata()["data"] == " and ".join(["2 photos of 1 drawn people"] * albums)
            assert file.get_tensor("weight").dtype == torch.float16


def test_identity_ships_as_stage_two_left_it(out, tmp_path):
    tensors, settings = {"weight": torch.randn(4)}, {"uniportrait.stage": "single", "uniportrait.training": '"II"'}
    single = out.root / "single" / STAGES["single"]
    save_file(load_file(single), single, {"uniportrait.training": '"I"'})
    save_file(tensors, out.root / "multi" / STAGES["single"], settings)
    target = Files(tmp_path / "shipped")
    for _ in range(2):  # shipped again it tells of no more trainings than there were
        ship(out.root, target.root)
        assert torch.allclose(load_file(target.faceid)["weight"].float(), tensors["weight"], atol=1e-3)
        made = metadata(target.faceid)
        assert made["command"] == "python -m miniworld train --only multi"
        assert made["data"] == "2 photos of 1 drawn people and 2 photos of 1 drawn people"
        (before,) = json.loads(made["before"])
        assert before == {"data": "2 photos of 1 drawn people", "uniportrait.training": '"I"'}


def test_too_much_is_refused(out, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "LARGEST", 100)
    with pytest.raises(ValueError, match="at most 0 MB may ship"):
        ship(out.root, tmp_path / "shipped")


def test_a_training_goes_on_from_what_is_there(tmp_path):
    net, again = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = again.weight.clone()
    assert begin_with(again, tmp_path / "none.safetensors").weight.equal(before)
    save_weights(tmp_path / "net.safetensors", net.state_dict(), {})
    assert torch.allclose(begin_with(again, tmp_path / "net.safetensors").weight, net.weight, atol=1e-3)
    with pytest.raises(RuntimeError):  # of another size: nothing is left at random without a word
        begin_with(torch.nn.Linear(3, 2), tmp_path / "net.safetensors")


def test_weights_are_put_beside_others(out, tmp_path):
    target = Files(tmp_path / "there")
    save_weights(target.measure, {"weight": torch.zeros(1)}, {})
    put(out.root, target.root)
    assert target.measure.is_file() and target.detector.is_file()
    assert not target.faceid.exists()  # which a stage's own output is not, before it ships


def test_a_stage_that_went_on_tells_of_its_trainings(out, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    ship(out.root, first)
    put(first, out.root)
    ship(out.root, again)
    (before,) = json.loads(metadata(Files(again).faceid)["before"])
    assert before == {"data": "2 photos of 1 drawn people"}
    assert "before" not in metadata(Files(first).faceid)


def test_what_ships_is_small_and_says_how_it_was_made():
    files = sorted(SHIPPED.rglob("*.safetensors"))
    assert files and sum(file.stat().st_size for file in files) <= LARGEST
    for file in files:
        with safe_open(file, "pt") as opened:
            made = opened.metadata()
            kinds = {opened.get_slice(key).get_dtype() for key in opened.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, file.name
        assert made["command"].startswith("python -m miniworld train"), file.name
        if "uniportrait.stage" in made:
            assert json.loads(made["uniportrait.training"])["step"] > 100, file.name
        else:
            trainings = [made, *json.loads(made.get("before", "[]"))]
            assert all(int(training["steps"]) > 100 for training in trainings) and made["data"], file.name
            assert sum(float(training["seconds"]) for training in trainings) > 100, file.name
        assert json.loads(made["quality"]), file.name


def test_weights_tell_of_all_their_trainings(tmp_path):
    file = tmp_path / "net.safetensors"
    assert history(file) == {}
    for steps in ("10", "20", "30"):
        save_weights(file, {"weight": torch.zeros(1)}, history(file) | {"steps": steps, "batch": "4"})
    with safe_open(file, "pt") as opened:
        made = opened.metadata()
    assert made["steps"] == "30"
    assert [one["steps"] for one in json.loads(made["before"])] == ["10", "20"]
