"""Stages I and II, and their ablations, as the mini world trains them."""

import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from jobs_of_miniworld import job
from miniworld.__main__ import main
from miniworld.config import FULL, PRESETS, TINY
from miniworld.data.shards import draw_all, shard_counts
from miniworld.files import ABLATIONS, ALBUMS, Files
from miniworld.nets.tokens import save_tokenizer
from miniworld.recipes import stages
from miniworld.recipes.lanes import PHASES, READS, RECIPES, SCENES, budget_of, preset_of
from miniworld.recipes.stages import STAGES, VARIANTS, WITHOUT, as_toml, encode_photos, settings_of
from training.config import read_config
from training.data.index import FILE, load_index
from training.run.export import FILES
from uniportrait_core.files.checkpoint import load_faceid

ORDER = [name for phase in PHASES for lane in phase for name in lane]


def written(folder, name: str, preset=FULL):
    """The settings of a variant, as `training` reads them."""
    variant = VARIANTS[name]
    path = folder / f"{name}.toml"
    path.write_text(
        as_toml(settings_of(job(folder, name=name, budget=budget_of(preset, name), preset=preset), variant))
    )
    return read_config(path, variant.stage)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("name", VARIANTS)
def test_settings_are_what_training_takes(tmp_path, name, preset):
    config, stage = written(tmp_path, name, preset), VARIANTS[name].stage
    albums = {"single": ["single"], "multi": ["multi", "single"]}[stage]  # stage II sees portraits, too
    assert config.data.shards == [str(tmp_path / ALBUMS[album]) for album in albums]
    assert config.data.resolution == preset.size
    assert (config.run.steps, config.run.batch) == (preset.budgets[stage].steps, preset.budgets[stage].batch)
    assert config.run.output == tmp_path / (name if name in STAGES else f"{ABLATIONS}/{name}")
    assert config.base.model == tmp_path / "base"
    if stage == "multi":  # of a stage I that reads the same features
        single = written(tmp_path, "single", preset)
        assert config.run.stage_one == single.run.output / FILES["single"]
        assert config.features == single.features


@pytest.mark.parametrize("name", WITHOUT)
def test_an_ablation_differs_in_one_thing(tmp_path, name):
    whole, without = written(tmp_path, VARIANTS[name].stage), written(tmp_path, name)
    (table,) = VARIANTS[name].changes
    for other in type(whole).model_fields:
        same = getattr(whole, other) == getattr(without, other)
        assert same == (other not in (table, "run")), other
    assert whole.run == without.run.model_copy(update={"output": whole.run.output})


@pytest.mark.parametrize(("name", "place"), [("single", "faceid"), ("multi", "router")])
def test_a_stage_goes_on_from_what_is_there_and_an_ablation_begins_anew(tmp_path, name, place):
    assert written(tmp_path, name).run.start_from == ""
    there = getattr(Files(tmp_path), place)
    there.parent.mkdir(parents=True, exist_ok=True)
    there.touch()
    assert written(tmp_path, name).run.start_from == there
    assert not any(written(tmp_path, other).run.start_from for other in WITHOUT)


def test_stage_two_goes_on_from_the_identity_that_ships_where_stage_one_is_not_trained(tmp_path):
    files = Files(tmp_path)
    for there in (files.router, files.faceid):
        there.parent.mkdir(parents=True, exist_ok=True)
        there.touch()
    assert written(tmp_path, "multi").run.stage_one == files.faceid
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / FILES["single"]).touch()
    assert written(tmp_path, "multi").run.stage_one == tmp_path / "single" / FILES["single"]


def test_every_recipe_has_its_turn():
    assert sorted(ORDER) == sorted(RECIPES)
    for before, after in (
        ("backbone", "vae"), ("clip", "unet"), ("vae", "unet"), ("unet", "features"), ("photos", "features"),
        ("features", "single"), ("single", "multi"), ("single", "no-routing-loss"), ("unet", "sketch"),
    ):  # fmt: skip
        assert ORDER.index(before) < ORDER.index(after), (before, after)


def test_only_what_is_read_is_drawn(tmp_path):
    save_tokenizer(tmp_path / "tokenizer")
    preset = replace(TINY, scenes=4, people=2, photos=1, checks=2)
    draw_all(preset, tmp_path, tmp_path / "tokenizer", 1, READS["backbone"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check_faces", "faces", "tokenizer"]
    assert {kind for name in RECIPES for kind in READS.get(name, SCENES)} == set(shard_counts(preset, tmp_path))


def test_stage_two_goes_on_from_stage_one(trained):
    faceid = load_faceid(trained.root / "single" / FILES["single"])
    router = trained.root / "multi" / FILES["multi"]
    assert faceid.metadata.features.intrinsic == "local"
    assert all(value.isfinite().all() for value in load_file(router).values())
    further = load_faceid(router.with_name(FILES["single"]))  # stage II trains identity, too
    assert not torch.equal(further.layers[0].to_k, faceid.layers[0].to_k)
    with safe_open(router, "pt") as file:
        assert file.metadata()["uniportrait.stage"] == "multi"


def test_features_are_made_once(trained, monkeypatch):
    """And again when they are to be of another size."""
    made = []
    monkeypatch.setattr(stages, "save_album", lambda album, folder, *_: made.append(folder.name))
    task = job(trained.root, preset=TINY)
    encode_photos(task)
    assert made == []
    encode_photos(replace(task, preset=replace(TINY, size=128)))
    assert made == list(ALBUMS.values())
    assert load_index(trained.root / "one").cache and (trained.root / "several" / FILE).is_file()


def test_budgets_of_single_networks():
    given = {"batch": {"unet": 16}, "rate": {"unet": 1e-4}, "seconds": {"single": 7}, "steps": {"single": 3}}
    budgets, before = preset_of("full", 0.5, given).budgets, FULL.budgets
    assert budgets["unet"] == replace(before["unet"], batch=16, rate=1e-4, seconds=0.5 * before["unet"].seconds)
    assert budgets["single"] == replace(before["single"], steps=3, seconds=7)
    assert budgets["vae"] == replace(before["vae"], seconds=0.5 * before["vae"].seconds)
    assert all(isinstance(budget.batch, int) and isinstance(budget.steps, int) for budget in budgets.values())


def test_a_budget_of_no_network(tmp_path, monkeypatch, capsys):
    words = ["miniworld", "train", "--out", str(tmp_path / "out"), "--rate", "unet=1e-3", "nobody=1"]
    monkeypatch.setattr(sys, "argv", words)
    assert main() == 2 and not (tmp_path / "out").exists()
    assert "nobody: no such network, needed is one of backbone" in capsys.readouterr().err
