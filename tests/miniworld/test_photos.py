"""Photos of drawn people, as training reads them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from miniworld.data.photos import Album, save_album
from miniworld.world.picture import faces, picture
from miniworld.world.seeds import BASE
from training.data.index import FILE, load_index
from training.data.portraits import Portraits, View
from training.frozen.fingerprint import fingerprints
from training.prepare.settings import Caching

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
