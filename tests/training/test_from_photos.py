"""From a folder of photos to the weights of both stages, by the commands that users have."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tiny
from photos import SMALL, encoded, group, portrait, write_source, yunet
from training.prepare.run import prepare
from training.prepare.settings import Caching, Labels, Settings
from training.run.course import run_stage
from training.run.export import FILES
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.checkpoint import load_faceid, load_router

SIDE = 128


def write(path, **tables):
    lines = (
        f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
        for name, values in tables.items()
    )
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Frozen networks, a detector, and photos: of one person in folders of people, and of two or three."""
    folder = tmp_path_factory.mktemp("photos")
    tiny.base_folder(folder / "base", norm_num_groups=4)
    tiny.clip_folder(folder / "clip")
    tiny.backbone_file(folder / "backbone.safetensors")
    one = {f"person{n % 2}/{n}.jpg": encoded(portrait(160 + 8 * n)) for n in range(4)}
    one |= {f"person{n % 2}/{n}.txt": f"a photo of an astronaut, {n}" for n in range(4)}
    several = {f"{n}.png": encoded(group(2 + n % 2, 160 + 8 * n), "png") for n in range(4)}
    several |= {f"{n}.txt": f"a photo of people, {n}" for n in range(4)}
    write_source(folder / "one", one)
    write_source(folder / "several", several)
    return folder


def tables(world, source, **run):
    return {
        "base": {"model": "base", "clip_vision": "clip", "face_backbone": "backbone.safetensors"},
        "data": {"shards": [source], "resolution": SIDE, "workers": 0, "detector": yunet(world)},
        "optimizer": {"learning_rate": 1e-3, "warmup": 1},
        "run": {"steps": 2, "batch": 2, **run},
        "preview": {"every": 2, "steps": 2, "count": 2},
    }


@pytest.fixture(scope="module")
def stage_one(world):
    """Weights of stage I, as a path of the settings."""
    labels = Labels(identity="folders")
    prepare(Settings(world / "one", yunet(world), labels, SMALL, shard_size=3), world / "one-shards")
    settings = tables(world, "one-shards", output="run-one", lora_rank=4)
    settings["resampler"] = {"tokens": 4, "dim": 64, "depth": 1}
    settings["data"] |= {"workers": 1, "second_photo": 1.0}  # a process of its own reads, and sees no cached features
    run_stage(write(world / "one.toml", **settings), "single")
    return f"run-one/{FILES['single']}"


def test_both_stages(world, stage_one):
    assert load_faceid(world / stage_one).resampler.token_shape == (4, tiny.CONTEXT)
    caching = Caching(world / "base", world / "clip", world / "backbone.safetensors", SIDE, device="cpu")
    prepare(Settings(world / "several", yunet(world), Labels(), SMALL), world / "several-shards", caching=caching)
    settings = tables(world, "several-shards", output="run-two", stage_one=stage_one)
    router = run_stage(write(world / "two.toml", **settings), "multi")
    assert len(load_router(router).layers) == 16
    log = EventAccumulator(str(world / "run-two" / "log"))
    log.Reload()
    assert [event.step for event in log.Scalars("face_similarity")] == [2]


def test_pictures_that_are_not_prepared(world, stage_one):
    """They are prepared beside themselves, with the usual filters, for which these are too small."""
    settings = tables(world, "several", output="run-plain", stage_one=stage_one)
    with pytest.raises(UniPortraitError, match="None of the 4 pictures"):
        run_stage(write(world / "plain.toml", **settings), "multi")


def test_buckets(world):
    """Pictures of two shapes, in batches of one shape each, from cached features too."""
    wide = {f"{n}.png": encoded(portrait(160)[: 150 - 20 * (n % 2)], "png") for n in range(4)}
    write_source(world / "shapes", wide | {f"{n}.txt": "a photo" for n in range(4)})
    caching = Caching(world / "base", world / "clip", world / "backbone.safetensors", SIDE, True, "cpu")
    prepare(Settings(world / "shapes", yunet(world), Labels(), SMALL), world / "shapes-shards", caching=caching)
    for cached in (True, False):
        settings = tables(world, "shapes-shards", output=f"run-shapes-{cached}", lora_rank=4, steps=4)
        settings["data"] |= {"buckets": True, "cached": cached}
        settings["resampler"] = {"tokens": 4, "dim": 64, "depth": 1}
        assert run_stage(write(world / "shapes.toml", **settings), "single").is_file()


def test_sdxl(world):
    """Two text encoders, pooled text and sizes, from the pictures to a preview."""
    tiny.base_folder(world / "xl", "sdxl", norm_num_groups=4)
    prepare(Settings(world / "one", yunet(world), Labels(), SMALL), world / "xl-shards")
    settings = tables(world, "xl-shards", output="run-xl", lora_rank=2, steps=1)
    settings["base"]["model"], settings["preview"]["every"] = "xl", 1
    settings["resampler"] = {"tokens": 4, "dim": 64, "depth": 1}
    weights = load_faceid(run_stage(write(world / "xl.toml", **settings), "single"))
    assert len(weights.layers) == len(weights.lora) // 2 > 16


def test_an_unfinished_folder_is_not_taken_for_pictures(world):
    (world / "unfinished" / "journal").mkdir(parents=True)
    settings = tables(world, "unfinished", output="run-unfinished", lora_rank=2)
    with pytest.raises(UniPortraitError, match="has not finished"):
        run_stage(write(world / "unfinished.toml", **settings), "single")
    settings["data"]["shards"] = ["nowhere"]
    with pytest.raises(UniPortraitError, match=r"nowhere was not found\. Give folders .* data\.shards"):
        run_stage(write(world / "nowhere.toml", **settings), "single")
