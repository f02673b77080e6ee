"""Prepared pictures as samples: what is shown, what is chosen, and what is refused."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from safetensors.torch import load

import photos
from shard_content import facts, pixels, samples
from training.data.index import load_index
from training.data.portraits import FEATURES, Portraits, View
from training.data.sample import Sample
from training.frozen.fingerprint import fingerprints
from training.frozen.latents import load_vae, to_moments
from training.prepare.run import prepare
from training.prepare.settings import Labels, Settings
from uniportrait_core.errors import UniPortraitError

VIEW = View(resolution=128, people=(1, 6), other_photo=0.0, cached=False)
SEEDS = range(20)


@pytest.fixture(scope="module")
def portraits(shards) -> Portraits:
    return Portraits([shards], VIEW)


def same(first: object, second: object) -> bool:
    """Equal to the bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if hasattr(first, "__dict__"):
        return all(same(value, vars(second)[name]) for name, value in vars(first).items())
    return first == second


def by_key(portraits: Portraits, seed: int = 0) -> dict[str, Sample]:
    return {sample.key: sample for sample in (portraits[number, seed] for number in range(len(portraits)))}


@pytest.fixture(scope="module")
def face_of(shards):
    """Tells which face of which picture a crop is."""
    faces = {
        pixels(members[f"face{number}.png"]).tobytes(): (key, number)
        for key, members in samples(shards).items()
        for number in range(len(members) - 2)
    }
    assert len(faces) == 33
    return lambda crop: faces[crop.numpy().tobytes()]


# What is shown


def test_captions_and_sizes_are_those_of_the_picture(portraits, shards):
    wanted = facts(shards)
    found = by_key(portraits)
    assert found.keys() == wanted.keys()
    for key, sample in found.items():
        assert sample.caption == wanted[key]["caption"] and list(sample.original) == wanted[key]["original_size"]


def test_every_face_is_whole_and_where_its_box_says(portraits, shards):
    described = facts(shards)
    corners = {key: set() for key in described}
    for seed in SEEDS:
        for key, sample in by_key(portraits, seed).items():
            corners[key].add(sample.corner)
            assert sample.pixels.shape == (3, 128, 128) and sample.pixels.abs().max() <= 1
            wanted = boxes_in_cut(described[key], sample.corner)
            assert -1e-6 <= wanted.min() and wanted.max() <= 1 + 1e-6
            order = [np.abs(wanted - box.numpy()).max(axis=1).argmin() for box in sample.boxes]
            np.testing.assert_allclose(sample.boxes, wanted[order], atol=1e-6)
    for key, found in described.items():  # every crop that holds all faces comes up
        places = [(0, left) for left in range(0, resized_width(found) - 127, 8)]
        possible = [boxes_in_cut(found, corner) for corner in places]
        whole = [boxes.min() >= -1e-6 and boxes.max() <= 1 + 1e-6 for boxes in possible]
        assert corners[key] == {corner for corner, fits in zip(places, whole, strict=True) if fits}
    assert max(map(len, corners.values())) >= 2


def resized_width(found: dict) -> int:
    """Of a picture whose height became 128."""
    height, width = found["size"]
    return round(width * 128 / height / 8) * 8


def boxes_in_cut(found: dict, corner: tuple[int, int]) -> np.ndarray:
    """Boxes of all faces as shares of a cut of 128×128."""
    boxes = np.array([face["box"] for face in found["faces"]])
    height, width = found["size"]
    scale = np.array([resized_width(found) / width, 128 / height])
    return (boxes * np.tile(scale, 2) - np.tile(corner[::-1], 2)) / 128


def test_boxes_show_the_faces(portraits):
    """What is in the box of the cut picture looks like the middle of the aligned crop."""
    for sample in by_key(portraits, 3).values():
        for box, crop in zip(sample.boxes, sample.faces.crops, strict=True):
            left, top, right, bottom = (box * 128).round().int().tolist()
            inside = sample.pixels[:, top:bottom, left:right].mean(dim=(1, 2))
            aligned = crop[40:190, 50:174].float().mean(dim=(0, 1)) / 127.5 - 1
            assert (inside - aligned).abs().max() < 0.2


def test_people_come_in_any_order_with_their_boxes(portraits, shards, face_of):
    described, orders = facts(shards)["place1/picture004"], Counter()
    number = next(number for number in range(len(portraits)) if portraits[number, 0].key == "place1/picture004")
    lefts = sorted(face["box"][0] for face in described["faces"])
    for seed in SEEDS:
        sample = portraits[number, seed]
        order = tuple(np.argsort(np.argsort(sample.boxes[:, 0].numpy())).tolist())
        orders[order] += 1
        for place, crop in zip(order, sample.faces.crops, strict=True):
            assert face_of(crop) == ("place1/picture004", place)
        if len(orders) > 3:
            break
    assert len(orders) > 3 and len(lefts) == 4


def test_a_seed_decides_everything(shards, cached_shards):
    view = replace(VIEW, other_photo=0.5, absent=0.5)
    for folder, cached in ((shards, False), (cached_shards, True)):
        first, second = (Portraits([folder], replace(view, cached=cached)) for _ in range(2))
        assert all(same(first[number, 7], second[number, 7]) for number in range(len(first)))
        assert not all(same(first[number, 7], second[number, 8]) for number in range(len(first)))


# With cached features


def test_cached_samples_are_the_same_samples(shards, cached_shards):
    view = replace(VIEW, other_photo=0.5, absent=0.5)
    plain = Portraits([shards], view)
    cached = Portraits([cached_shards], replace(view, cached=True))
    for number in range(len(plain)):
        one, other = plain[number, 5], cached[number, 5]
        for name in ("key", "caption", "original", "corner"):
            assert getattr(one, name) == getattr(other, name)
        assert torch.equal(one.boxes, other.boxes)
        assert [one.other is None, one.absent is None] == [other.other is None, other.absent is None]
        assert one.moments is None and one.text is None and other.pixels is None and other.faces.crops is None


def test_cached_features_are_float32_and_in_the_order_of_the_people(cached_shards):
    cached = Portraits([cached_shards], replace(VIEW, cached=True, absent=1.0))
    found = by_key(cached, 1)
    for key, members in samples(cached_shards).items():
        sample, features, described = found[key], load(members["safetensors"]), json.loads(members["json"])
        places = np.argsort(np.argsort(sample.boxes[:, 0].numpy()))
        assert len(places) == len(described["faces"])
        for name in FEATURES:
            value = getattr(sample.faces, name)
            assert value.dtype == torch.float32 and torch.equal(value, features[name][places].float())
        top, left = (side // 8 for side in sample.corner)
        assert torch.equal(sample.moments, features["moments"][:, top : top + 16, left : left + 16].float())
        assert torch.equal(sample.text, features["text"].float()) and sample.pooled is None
        assert sample.absent.clip.shape == (1, 256, 32)


def test_moments_of_a_square_are_those_of_its_pixels(shards, cached_shards, caching):
    plain, cached = (
        by_key(Portraits([folder], replace(VIEW, cached=folder is cached_shards)))["place0/picture000"]
        for folder in (shards, cached_shards)
    )
    wanted = to_moments(load_vae(caching.base), plain.pixels[None])[0]
    assert (cached.moments - wanted).abs().max() <= 2e-3 * wanted.abs().max()


def test_features_of_another_size_or_network_are_refused(cached_shards, caching):
    networks = fingerprints(caching.base, caching.clip_vision, caching.face_backbone)
    Portraits([cached_shards], replace(VIEW, cached=True), networks)
    for view, given, message in (
        (replace(VIEW, cached=True, resolution=64), networks, "other resolution: resolution 128, here 64.*--cache"),
        (replace(VIEW, cached=True, buckets=True), networks, "other buckets: buckets False, here True"),
        (replace(VIEW, cached=True), networks | {"vae": "x"}, "other vae: vae .*, here x"),
    ):
        with pytest.raises(UniPortraitError, match=message):
            Portraits([cached_shards], view, given)
    Portraits([cached_shards], replace(VIEW, resolution=64), networks | {"vae": "x"})  # does not look at them


# Other people


def test_another_photo_is_of_the_same_person_and_not_the_same_photo(shards, face_of):
    described = facts(shards)
    portraits = Portraits([shards], replace(VIEW, people=(1, 1), other_photo=1.0))
    for seed in range(5):
        for key, sample in by_key(portraits, seed).items():
            other, _ = face_of(sample.other.crops[0])
            assert other != key and other.split("/")[0] == key.split("/")[0]
            assert described[other]["identity"] == [key.split("/")[0]]


def test_another_photo_needs_a_name_and_a_single_person(shards, tmp_path, source, detector):
    portraits = Portraits([shards], replace(VIEW, people=(2, 6), other_photo=1.0))
    assert all(sample.other is None for sample in by_key(portraits).values())
    prepare(Settings(source, detector, Labels(), photos.SMALL), tmp_path)
    portraits = Portraits([tmp_path], replace(VIEW, people=(1, 1), other_photo=1.0))
    assert all(sample.other is None for sample in by_key(portraits).values())


def test_absent_people_are_not_in_the_picture(shards, face_of):
    portraits = Portraits([shards], replace(VIEW, absent=1.0))
    described = facts(shards)
    names = {key: {*found["identity"]} - {None} for key, found in described.items()}
    strangers = set()
    for seed in range(5):
        for key, sample in by_key(portraits, seed).items():
            assert sample.absent.crops.shape == (1, 224, 224, 3)
            stranger, number = face_of(sample.absent.crops[0])
            assert stranger != key and described[stranger]["identity"][number] not in names[key]
            strangers.add((stranger, number))
    assert len(strangers) > 10


@pytest.mark.parametrize(("other_photo", "absent"), [(0.1, 0.1), (0.5, 0.25), (0.0, 0.0), (1.0, 1.0)])
def test_how_often_they_are_chosen(cached_shards, other_photo, absent):
    portraits = Portraits([cached_shards], View(128, other_photo=other_photo, absent=absent))
    draws = 600
    chosen = [portraits[seed % len(portraits), seed] for seed in range(draws)]
    for share, wanted in (
        (sum(sample.other is not None for sample in chosen) / draws, other_photo),
        (sum(sample.absent is not None for sample in chosen) / draws, absent),
    ):
        assert abs(share - wanted) <= 4 * (wanted * (1 - wanted) / draws) ** 0.5


def test_the_only_picture_has_no_strangers(tmp_path, detector):
    source = photos.write_source(tmp_path / "source", {"a.jpg": photos.encoded(photos.portrait()), "a.txt": "a"})
    prepare(Settings(source, detector, Labels(), photos.SMALL), tmp_path / "shards")
    assert Portraits([tmp_path / "shards"], replace(VIEW, absent=1.0))[0, 0].absent is None


# Which pictures


@pytest.mark.parametrize(("people", "count"), [((1, 1), 6), ((2, 6), 9), ((2, 3), 6), ((4, 4), 3)])
def test_pictures_are_selected_by_their_people(shards, people, count):
    portraits = Portraits([shards], replace(VIEW, people=people))
    assert len(portraits) == count
    assert all(people[0] <= len(sample.boxes) <= people[1] for sample in by_key(portraits).values())
    assert sum(portraits.left_out.values()) == 15 - count


def test_nobody_to_tell_apart(shards, tmp_path, source, detector):
    with pytest.raises(UniPortraitError, match=r"None of the 15 .*15 have fewer than 5 people; .* 5 to 6 people"):
        Portraits([shards], replace(VIEW, people=(5, 6)))


def test_faces_too_far_apart_are_left_to_buckets(tmp_path, detector):
    files = {"a.jpg": photos.encoded(photos.group(6)), "a.txt": "a", "b.jpg": photos.encoded(photos.portrait())}
    source = photos.write_source(tmp_path / "source", files | {"b.txt": "b"})
    prepare(Settings(source, detector, Labels(), replace(photos.SMALL, max_people=6)), tmp_path / "shards")
    view = replace(VIEW, resolution=192)
    square = Portraits([tmp_path / "shards"], view)
    assert len(square) == 1 and square.left_out["faces too far apart for the crop"] == 1
    buckets = Portraits([tmp_path / "shards"], replace(view, buckets=True))
    assert len(buckets) == 2 and len(set(buckets.bucket)) == 2
    found = by_key(buckets)
    assert found["a"].pixels.shape == (3, 128, 256) and len(found["a"].boxes) == 6
    assert found["b"].pixels.shape == (3, 192, 192)
    with pytest.raises(UniPortraitError, match="1 have faces too far apart.*turn buckets on"):
        Portraits([tmp_path / "shards"], replace(view, people=(2, 6)))


def test_several_folders_are_one(shards, cached_shards, tmp_path, settings):
    prepare(replace(settings, shard_size=6), tmp_path / "again")
    portraits = Portraits([shards, tmp_path / "again"], replace(VIEW, people=(1, 1), other_photo=1.0, absent=1.0))
    assert len(portraits) == 12 and len(set(portraits.shard)) > 4
    first, second = (portraits[number, 3] for number in (0, 6))
    assert first.key == second.key and torch.equal(first.pixels, second.pixels)
    people = portraits.index.identity
    of_first = len(load_index(shards).identity)
    assert not set(people[:of_first][people[:of_first] >= 0]) & set(people[of_first:][people[of_first:] >= 0])
    with pytest.raises(UniPortraitError, match="have different cached features: None and .*--cache"):
        Portraits([shards, cached_shards], replace(VIEW, cached=True))
    assert len(Portraits([shards, cached_shards], VIEW)) == 30


def test_shards_may_be_anywhere(portraits, shards):
    memory = fsspec.filesystem("memory")
    for path in (*shards.glob("*.tar"), shards / "index.json"):
        memory.pipe_file(f"/shards/{path.name}", path.read_bytes())
    remote = Portraits(["memory://shards"], VIEW)
    assert all(same(remote[number, 2], portraits[number, 2]) for number in range(len(portraits)))


# Refused


@pytest.fixture
def copied(shards, tmp_path) -> Path:
    for path in (*shards.glob("*.tar"), shards / "index.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_shard_that_was_cut_off_is_named_before_training(copied):
    shard = copied / "shard-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-2000])
    with pytest.raises(UniPortraitError, match=r"shard-000001\.tar is [\d,]+ bytes long, written were .*run `python"):
        Portraits([copied], VIEW)
    shard.unlink()
    with pytest.raises(UniPortraitError, match=r"shard-000001\.tar is 0 bytes long"):
        Portraits([copied], VIEW)


def test_a_shard_that_is_damaged_during_training_is_named(copied):
    portraits = Portraits([copied], VIEW)
    shard = copied / "shard-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    number = int(np.flatnonzero(portraits.shard == 0)[-1])
    with pytest.raises(UniPortraitError, match=r"shard-000000\.tar is not readable at byte .* instead of"):
        portraits[number, 0]
    shard.write_bytes(bytes(len(content)))
    with pytest.raises(UniPortraitError, match=r"shard-000000\.tar is not readable at byte"):
        portraits[number, 0]


def test_a_folder_that_was_not_finished(tmp_path):
    with pytest.raises(UniPortraitError, match=r"holds no index\.json; .* again if it was stopped"):
        Portraits([tmp_path], VIEW)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ("[]", "cannot be read"), ('{"format": "x", "version": 1}', "is of format .'x', 1.")],
)
def test_an_index_that_is_none(tmp_path, content, message):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(UniPortraitError, match=message):
        Portraits([tmp_path], VIEW)


def test_a_resolution_that_the_vae_does_not_divide(shards):
    with pytest.raises(UniPortraitError, match="A resolution of 500 is no multiple of 8.*Choose 504 or 496"):
        Portraits([shards], replace(VIEW, resolution=500))


def test_the_index_is_small(shards):
    content = (shards / "index.json").read_bytes()
    assert len(json.loads(content)["shards"]) == 4 and len(content) < 15 * 100
