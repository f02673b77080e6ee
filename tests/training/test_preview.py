"""Pictures on the way: always the same for the same weights, and compared with the photos."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainers import batches, trainer
from training.config import Preview
from training.model.layout import load_schedule
from training.run.preview import draw
from uniportrait_core.embedding.face_features import CROP_SIZE, look_at_faces
from uniportrait_core.faces.alignment import align
from uniportrait_core.faces.detection import Face

SETTINGS = Preview(steps=2, count=2)
LANDMARKS = np.array([[20.0, 24], [40, 24], [30, 34], [22, 44], [38, 44]])


def previews(made, detector=None, seeds=None, **changes):
    batch = batches(made)[0][0]
    batch = dataclasses.replace(batch, seeds=batch.seeds if seeds is None else torch.tensor(seeds))
    settings = SETTINGS.model_copy(update=changes)
    schedule = load_schedule(made.config.base.model)
    return batch, draw(made.bare, made.frozen, schedule, batch, settings, made.config.router.choice, detector)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return trainer("multi", tmp_path_factory.mktemp("several"))


def test_pictures_and_routing(several):
    _, found = previews(several)
    assert found.pictures.shape == found.routing.shape == (4, 64, 64, 3)
    assert found.pictures.dtype == np.uint8 and found.pictures.std() > 0
    assert not np.array_equal(found.pictures, found.routing)
    assert np.isnan(found.likeness)
    _, again = previews(several)
    assert np.array_equal(found.pictures, again.pictures)


def test_every_sample_has_noise_of_its_own(several):
    first, second = (previews(several, seeds=(seed, 1, 2, 3))[1].pictures for seed in (1, 5))
    assert not np.array_equal(first[0], second[0]) and np.array_equal(first[1:], second[1:])


def test_faces_and_settings_count(several):
    _, found = previews(several)
    for change in ({"id_scale": 0.0}, {"structure_scale": 1.0}, {"guidance": 1.0}):
        assert not np.array_equal(previews(several, **change)[1].pictures, found.pictures), change


def test_one_person_has_no_routing(tmp_path):
    assert previews(trainer("single", tmp_path))[1].routing is None


def test_likeness_is_that_of_the_person_who_is_least_alike(several):
    """A detector that finds the same face in every picture: it can be one person's at most, the others have none."""
    face = Face(np.array([10.0, 10, 50, 55]), LANDMARKS, 0.9)
    batch, found = previews(several, detector=lambda photo, confidence: [face])
    assert found.likeness == 0  # two or three people, one face


def test_likeness_of_one_person(tmp_path):
    made = trainer("single", tmp_path)
    face = Face(np.array([10.0, 10, 50, 55]), LANDMARKS, 0.9)

    def detect(photo, confidence):  # shown at several sizes, on a canvas of its own
        scale = 640 / 64
        return [Face(face.box * scale, face.landmarks * scale, 0.9)]

    batch, found = previews(made, detector=detect)
    wanted = []
    for picture, embedding in zip(found.pictures, batch.faces.embedding[:, 0], strict=True):
        crop = torch.from_numpy(align(picture, face.landmarks, CROP_SIZE)).float()[None] / 255
        seen = look_at_faces(made.frozen.backbone, crop)[0][0]
        wanted.append(max(F.cosine_similarity(seen, embedding, dim=0).item(), 0))
    assert found.likeness == pytest.approx(np.mean(wanted), abs=1e-5)


def test_a_picture_without_a_face_is_like_nobody(tmp_path):
    assert previews(trainer("single", tmp_path), detector=lambda photo, confidence: [])[1].likeness == 0
