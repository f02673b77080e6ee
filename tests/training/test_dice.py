"""What is left to chance: how often, with what effect, and the same for every picture wherever it is."""

import pytest
import torch

from training.config import Features, Guidance, Loss
from training.run import chance
from training.run.dice import no_dice, throw
from training.run.objective import Schedule, diffusion_loss, noised, weight_faces

LATENT, LEVELS, PEOPLE, STRUCTURE = (4, 2, 2), 1000, 2, 64
COUNT = 4000


def throws(seeds, features=None, guidance=None, loss=None):
    features, guidance, loss = features or Features(), guidance or Guidance(), loss or Loss()
    return throw(torch.tensor(seeds), LATENT, LEVELS, PEOPLE, STRUCTURE, features, guidance, loss)


@pytest.fixture(scope="module")
def many():
    return throws([*range(COUNT)])


def share(condition: torch.Tensor) -> pytest.approx:
    """A measured frequency, to be compared with the wanted one within four standard deviations."""
    return pytest.approx(condition.float().mean().item(), abs=4 * 0.5 / condition.numel() ** 0.5)


def test_how_often_conditions_are_dropped(many):
    assert share(many.no_faces & ~many.no_text) == 0.05
    assert share(many.no_text & ~many.no_faces) == 0.05
    assert share(many.no_text & many.no_faces) == 0.05


def test_how_often_the_structure_branch_is_dropped(many):
    left_out = many.scale == 0
    some = (many.kept == 0).any(dim=-1)
    assert share(left_out) == 0.33
    assert share(some) == 0.33
    assert not (left_out & some).any()
    assert share(many.kept[some]) == 0.5
    assert set(many.scale.unique().tolist()) == {0.0, 1.0}


def test_people_of_a_picture_have_dice_of_their_own(many):
    assert share(many.scale[:, 0] == many.scale[:, 1]) == 0.33**2 + 0.67**2


def test_noise_levels_are_all_alike(many):
    assert many.timesteps.min() >= 0 and many.timesteps.max() < LEVELS
    assert many.timesteps.float().mean().item() == pytest.approx(499.5, abs=4 * 289 / COUNT**0.5)
    for noise in (many.noise, many.posterior, many.offset):
        assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert not torch.equal(many.noise, many.posterior)


def test_noisier_levels_are_drawn_more_often_where_that_is_wanted(many):
    found = throws([*range(COUNT)], loss=Loss(noisy_share=0.6, noisy_from=0.8))
    assert share(found.timesteps >= 800) == 0.6 + 0.4 * 0.2
    assert found.timesteps.max() == LEVELS - 1 and found.timesteps.min() < 50
    assert torch.equal(found.noise, many.noise) and torch.equal(found.no_faces, many.no_faces)


def test_options_turn_each_off():
    none = throws([*range(200)], Features(drop_path=0, drop_token=0), Guidance(drop_faces=0, drop_text=0, drop_both=0))
    assert not (none.no_faces | none.no_text).any()
    assert none.scale.all() and none.kept.all()
    always = throws([*range(50)], Features(drop_path=1, drop_token=0), Guidance(drop_faces=0, drop_text=0, drop_both=1))
    assert (always.no_faces & always.no_text).all() and not always.scale.any()


def test_a_pictures_dice_do_not_depend_on_the_others():
    together, alone = throws([5, 6, 7]), throws([7])
    for name in ("timesteps", "noise", "offset", "posterior", "no_faces", "scale", "kept"):
        assert torch.equal(getattr(together, name)[2:], getattr(alone, name))
    assert torch.equal(together.uniform(3, 2, 9)[2:], alone.uniform(3, 2, 9))


def test_a_pictures_dice_do_not_depend_on_how_many_people_others_have():
    few = throw(torch.tensor([7]), LATENT, LEVELS, 2, STRUCTURE, Features(), Guidance(), Loss())
    many = throw(torch.tensor([7]), LATENT, LEVELS, 3, STRUCTURE, Features(), Guidance(), Loss())
    for name in ("timesteps", "noise", "no_faces"):
        assert torch.equal(getattr(few, name), getattr(many, name))
    assert torch.equal(few.scale, many.scale[:, :2]) and torch.equal(few.kept, many.kept[:, :2])
    assert torch.equal(few.uniform(0, 2, 9), many.uniform(0, 3, 9)[:, :2])


def test_every_layer_has_noise_of_its_own_and_keeps_it():
    found = throws([1, 2])
    assert torch.equal(found.uniform(0, 2, 500), found.uniform(0, 2, 500))
    assert not torch.equal(found.uniform(0, 2, 500), found.uniform(1, 2, 500))
    assert not torch.equal(found.uniform(0, 2, 500)[0], found.uniform(0, 2, 500)[1])
    assert found.uniform(0, 2, 500).mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("nobody", (False, True))
def test_no_dice(nobody):
    found = no_dice(3, PEOPLE, STRUCTURE, 0.3, nobody, torch.device("cpu"))
    assert found.no_faces.tolist() == found.no_text.tolist() == [nobody] * 3
    assert found.kept.all() and (found.scale == 0.3).all()


# Noise and loss


def schedule(velocity: bool = False) -> Schedule:
    return Schedule(torch.linspace(0.99, 0.01, LEVELS), velocity)


def test_noised_latents():
    found, clean = throws([1, 2]), torch.ones(2, *LATENT)
    kept = schedule().kept[found.timesteps].view(-1, 1, 1, 1)
    noisy, target = noised(schedule(), clean, found, Loss())
    assert torch.equal(target, found.noise)
    torch.testing.assert_close(noisy, kept.sqrt() * clean + (1 - kept).sqrt() * found.noise)
    noisy_too, velocity = noised(schedule(velocity=True), clean, found, Loss())
    torch.testing.assert_close(noisy_too, noisy)
    torch.testing.assert_close(velocity, kept.sqrt() * found.noise - (1 - kept).sqrt() * clean)


def test_offset_noise_is_the_same_for_all_spots_of_a_channel():
    found, clean = throws([1]), torch.zeros(1, *LATENT)
    _, target = noised(schedule(), clean, found, Loss(offset_noise=0.1))
    torch.testing.assert_close(target - found.noise, (0.1 * found.offset).expand_as(target))


def test_min_snr_holds_back_levels_of_little_noise():
    timesteps = torch.tensor([0, 500, 999])
    predicted, target = torch.zeros(3, *LATENT), torch.ones(3, *LATENT)
    ratio = (schedule().kept / (1 - schedule().kept))[timesteps]
    for velocity in (False, True):
        found = diffusion_loss(predicted, target, schedule(velocity), timesteps, 5.0)
        torch.testing.assert_close(found, ratio.clamp(max=5) / (ratio + velocity))
    assert diffusion_loss(predicted, target, schedule(), timesteps, 0).tolist() == [1, 1, 1]


def test_errors_in_faces_count_more():
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])
    in_picture = torch.tensor([[True, False]])
    weights = weight_faces(boxes, in_picture, (4, 4), more=3.0)
    assert weights.shape == (1, 1, 4, 4) and weights.mean().item() == pytest.approx(1)
    assert (weights[..., :2, :2] / weights[..., 2:, 2:]).tolist() == [[[[4, 4], [4, 4]]]]
    nowhere = weight_faces(boxes, torch.zeros(1, 2, dtype=torch.bool), (4, 4), more=3.0)
    assert torch.equal(nowhere, torch.ones(1, 1, 4, 4))
    assert weight_faces(boxes, in_picture, (4, 4), more=0.0) is None


def test_a_weighted_loss_is_the_mean_of_weighted_squares():
    error, weights = torch.randn(2, *LATENT), torch.rand(2, 1, *LATENT[1:])
    found = diffusion_loss(error, torch.zeros_like(error), schedule(), torch.tensor([10, 900]), 0.0, weights)
    torch.testing.assert_close(
        found, torch.stack([(each**2 * own).mean() for each, own in zip(error, weights, strict=True)])
    )


# The numbers themselves


def test_numbers_are_those_of_splitmix64():
    """Known answer: the reference implementation's first five of the state 1234567."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    state = torch.tensor([1234567])
    steps = state + chance.GAMMA * torch.arange(1, 6)
    assert [number % 2**64 for number in chance._mixed(steps).tolist()] == known
    keys = torch.tensor([3, 4])
    wanted = chance._mixed(chance._mixed(keys[1:] + chance.GAMMA) + chance.GAMMA * torch.arange(1, 4))
    assert torch.equal(chance.numbers(keys, 3)[1], wanted)


def test_numbers_are_spread_as_they_should_be():
    seeds = torch.arange(300)
    even, bell = chance.uniform(seeds, 1, 20, 50), chance.normal(seeds, 1, 1001)
    assert 0 < even.min() < 1e-4 and 1 - 1e-4 < even.max() < 1
    assert torch.histc(even, 10, 0, 1).sub(30_000).abs().max() < 5 * 30_000**0.5
    assert bell.mean().abs() < 0.01 and abs(bell.std() - 1) < 0.01 and abs(bell.pow(4).mean() - 3) < 0.1
    apart = torch.corrcoef(torch.stack([chance.normal(seeds, stream, 1001).flatten() for stream in range(3)]))
    assert (apart - torch.eye(3)).abs().max() < 5 / bell.numel() ** 0.5
    neighbours = torch.corrcoef(bell)[torch.arange(299), torch.arange(1, 300)]
    assert neighbours.abs().max() < 5 / 1001**0.5
