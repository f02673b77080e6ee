"""The identity loss: where it looks, what it sees, and when it counts."""

import numpy as np
import pytest
import torch

import trainers
from toy import Toy, landmarks
from training.config import Features, Guidance, Loss
from training.data import portraits
from training.data.batch import collate
from training.frozen.latents import to_pixels
from training.run.course import run_stage
from training.run.dice import throw
from training.run.inputs import Frozen
from training.run.likeness import likeness, window_around
from training.run.objective import Schedule, cleaned, noised
from uniportrait_core.embedding.face_features import look_at_faces
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.alignment import align

ALL = {"likeness": 0.1, "likeness_levels": (0.0, 1.0), "likeness_window": 8}
BOXES = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.5, 0.4, 0.95, 0.9]])


@pytest.fixture(scope="module")
def frozen(tmp_path_factory) -> Frozen:
    return trainers.trainer("single", tmp_path_factory.mktemp("frozen")).frozen


def latents(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def batch(stage: str):
    data = Toy(trainers.COUNTS[stage])
    return collate([data[number, number] for number in range(8)])


def test_a_window_holds_the_face_and_stays_inside():
    points = landmarks(BOXES)
    places = torch.arange(16.0)
    grid = torch.stack(torch.meshgrid(places, places, indexing="ij"))[None].expand(2, -1, -1, -1)  # row and column
    cut, inside = window_around(grid, points, 10)
    assert cut.shape == (2, 2, 10, 10) and inside.min() > 0 and inside.max() < 1
    corner = cut[:, :, 0, 0].flip(1)
    assert corner.min() >= 0 and (corner + 10).max() <= 16
    assert torch.allclose(inside * 10 + corner[:, None], points * 16, atol=1e-5)
    assert torch.equal(cut - cut[:, :, :1, :1], (grid - grid[:, :, :1, :1])[:, :, :10, :10])


def test_it_sees_what_the_pack_sees(frozen):
    """Against the decoded picture, aligned by the core and seen by the backbone."""
    drawn, points = latents(), landmarks(BOXES)
    pictures = (to_pixels(frozen.vae, drawn) * 255).round().byte().numpy()
    side = pictures.shape[1]
    crops = np.stack([align(one, place.numpy() * side - 0.5, 224) for one, place in zip(pictures, points, strict=True)])
    wanted, _ = look_at_faces(frozen.backbone, torch.from_numpy(crops) / 255)
    found = likeness(frozen.vae, frozen.backbone, drawn, points, wanted, window=16)
    others = likeness(frozen.vae, frozen.backbone, drawn, points, wanted.roll(1, 0), window=16)
    # Random networks find everybody much alike.
    assert (1 - found).max() < 0.1 * (1 - others).min()


def test_gradients_reach_the_window_and_nothing_else(frozen):
    drawn = latents().requires_grad_()
    embedding = torch.randn(2, frozen.nobody.embedding.shape[-1])
    likeness(frozen.vae, frozen.backbone, drawn, landmarks(BOXES), embedding, window=8).sum().backward()
    touched = drawn.grad.abs().sum(dim=1).flatten(1).gt(0).sum(dim=1)
    assert touched.tolist() == [64, 64]


@pytest.mark.parametrize("velocity", (False, True))
def test_the_right_prediction_gives_the_picture_back(velocity):
    kept = torch.linspace(0.99, 0.01, 10)
    dice = throw(torch.arange(6), (4, 8, 8), 10, 1, 5, Features(), Guidance(), Loss())
    clean, schedule = torch.randn(6, 4, 8, 8), Schedule(kept, velocity)
    noisy, target = noised(schedule, clean, dice, Loss())
    assert torch.allclose(cleaned(schedule, noisy, target, dice.timesteps), clean, atol=1e-4)


@pytest.mark.parametrize("stage", ("single", "multi"))
def test_recorded_steps_count_the_same(tmp_path, stage):
    """Recorded, faces that do not count are looked at all the same, as the work has to be of one size."""
    loss = {**ALL, "likeness_levels": (0.3, 0.7)}
    found, gradients = [], []
    for recorded in (False, True):
        made = trainers.trainer(stage, tmp_path / str(recorded), loss=loss, run={"ema": 0, "cuda_graphs": recorded})
        trainers.move(made)
        passed = made.look(batch(stage))
        passed.loss(made.config).backward()
        found.append(passed.unlikeness.detach())
        gradients.append({name: value.grad for name, value in made.trained.items()})
    assert 0 < found[0].isnan().sum() < 8
    torch.testing.assert_close(*found, equal_nan=True, atol=1e-5, rtol=0)
    for name, value in gradients[0].items():
        torch.testing.assert_close(value, gradients[1][name], atol=1e-6, rtol=1e-3, msg=name)


def test_levels_without_any_picture(tmp_path):
    made = trainers.trainer("single", tmp_path, loss={**ALL, "likeness_levels": (0.0, 0.0)})
    passed = made.look(batch("single"))
    assert passed.unlikeness.isnan().all() and passed.loss(made.config) == passed.diffusion.mean()
    assert "loss/unlikeness" in made.take_step(trainers.batches(made)[0])


def test_it_is_part_of_the_loss_and_of_nobody_without_a_face(tmp_path):
    made = trainers.trainer("multi", tmp_path, loss=ALL, guidance={"drop_faces": 0.5})
    passed = made.look(batch("multi"))
    dropped = passed.routing.loss == 0  # which is so where faces are dropped
    assert torch.equal(passed.unlikeness.isnan(), dropped) and 0 < dropped.sum() < 8
    rest = passed.diffusion.mean() + made.config.router.loss_weight * passed.routing.loss.mean()
    assert torch.isclose(passed.loss(made.config), rest + 0.1 * passed.unlikeness.nansum() / 8)


def test_faces_without_landmarks_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(portraits, "_landmarks", lambda *_: None)
    settings = trainers.write_settings(tmp_path, "single", loss={"likeness": 0.1})
    with pytest.raises(UniPortraitError, match="loss.likeness is 0.1, .* has faces without landmarks"):
        run_stage(settings, "single")
