"""Photos of drawn people, as training reads them."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from miniworld.data.photos import Album, save_album
from miniworld.world.picture import faces, picture
from miniworld.world.seeds import BASE
from training.config import read_config
from training.data.index import FILE, load_index
from training.data.portraits import Portraits, View
from training.frozen.fingerprint import fingerprints
from training.prepare.settings import Caching
from training.run.course import run_stage

CONFIGS = Path(__file__).parents[2] / "miniworld" / "configs"
ONE, SEVERAL = Album(24, (1, 1), photos=4, size=64), Album(16, (2, 4), photos=4, size=64)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, trained) -> dict[str, Path]:
    """Of photos of one person, with features, and of several people, without."""
    folder = tmp_path_factory.mktemp("photos")
    caching = Caching(trained.base, trained.clip_vision, trained.backbone, 64, device="cpu")
    save_album(ONE, folder / "one", 1, caching)
    save_album(SEVERAL, folder / "several", 1)
    return {"one": folder / "one", "several": folder / "several"}


def test_training_reads_what_was_drawn(folders):
    photos = Portraits([folders["several"]], View(resolution=64, people=(2, 4)))
    assert len(photos) == SEVERAL.count and not photos.cached
    for number in range(SEVERAL.count):
        sample, scene = photos[number, number], SEVERAL.scene(number)
        pixels = ((sample.pixels + 1) * 127.5).round().byte().movedim(0, -1)
        assert np.array_equal(pixels, picture(scene, 64))
        boxes = torch.tensor(np.stack([face.box for face in faces(scene, 1)])).clip(0, 1).float()
        assert torch.allclose(sample.boxes[sample.boxes[:, 0].argsort()], boxes, atol=1e-3)
        assert sample.faces.crops.shape == (len(boxes), 224, 224, 3)


@pytest.mark.parametrize("album", (ONE, SEVERAL))
def test_people_are_met_again_but_never_beside_themselves(album):
    met = [[look.person for look in album.scene(number).looks] for number in range(album.count)]
    assert all(len(set(people)) == len(people) and set(people) <= set(BASE) for people in met)
    assert {len(people) for people in met} == set(range(album.people[0], album.people[1] + 1))
    times = Counter(person for people in met for person in people)
    assert 0.5 * album.photos < np.mean(list(times.values())) < 2 * album.photos


def test_another_photo_is_of_the_same_person(folders, trained):
    networks = fingerprints(trained.base, trained.clip_vision, trained.backbone)
    photos = Portraits([folders["one"]], View(resolution=64, other_photo=1.0), networks)
    person = {number: ONE.scene(number).looks[0].person for number in range(ONE.count)}
    embeddings = [photos[number, 0].faces.embedding[0] for number in range(ONE.count)]
    found = 0
    for number in range(ONE.count):
        other = photos[number, 1].other
        if other is not None:
            (same,) = (i for i, e in enumerate(embeddings) if torch.equal(e, other.embedding[0]))
            assert same != number and person[same] == person[number]
            found += 1
    assert found > ONE.count / 2


def test_drawing_goes_on_where_it_was_stopped(folders, tmp_path):
    album = Album(6, (1, 2), photos=2, size=64)
    save_album(album, tmp_path, 1)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.tar")}
    (shard,) = tmp_path.glob("*.tar")
    shard.write_bytes(b"cut off")
    save_album(album, tmp_path, 1)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.tar")} == before
    assert len(load_index(tmp_path)) == 6 and (tmp_path / FILE).is_file()


def test_both_stages_run_on_them_with_the_settings_that_lie_beside(folders, trained, tmp_path):
    changes = {
        "miniworld-out/one": folders["one"],
        "miniworld-out/several": folders["several"],
        "miniworld-out/single": tmp_path / "single",
        "miniworld-out/multi": tmp_path / "multi",
        "miniworld-out": trained.root,
    }
    numbers = {"resolution": 64, "steps": 1, "batch": 2, "workers": 0, "every": 1, "warmup": 0}
    weights = {}
    for stage in ("single", "multi"):
        text = (CONFIGS / f"{stage}.toml").read_text()
        for old, new in changes.items():
            text = text.replace(f"../../{old}", str(new))
        for key, value in numbers.items():
            text = re.sub(rf"(?m)^{key} = .*", f"{key} = {value}", text)
        (tmp_path / f"{stage}.toml").write_text(text)
        AcceleratorState._reset_state(True)  # which otherwise keeps the precision of the first in a process
        weights[stage] = load_file(run_stage(tmp_path / f"{stage}.toml", stage))
    assert all(value.isfinite().all() for tensors in weights.values() for value in tensors.values())


def test_stage_two_starts_from_what_stage_one_exports():
    single, multi = (read_config(CONFIGS / f"{stage}.toml", stage) for stage in ("single", "multi"))
    assert single.features == multi.features and multi.run.stage_one.parent == single.run.output
