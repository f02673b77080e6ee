"""A picture at every noise level, and DDIM inversion against the published recurrence."""

import pytest
import torch

import recipe
from uniportrait_core.style.trajectory import Trajectory, invert, noised

LEVELS = torch.tensor([9.0, 3.0, 0.5, 0.0])
TRAJECTORY = Trajectory(LEVELS, recipe.noise("trajectory", (4, 4, 6, 5)))


@pytest.mark.parametrize("number", range(4))
def test_levels_are_met_exactly(number):
    assert torch.equal(TRAJECTORY.at(LEVELS[number : number + 1])[0], TRAJECTORY.latents[number])
    assert torch.equal(TRAJECTORY.clean[0], TRAJECTORY.latents[-1])


@pytest.mark.parametrize(("sigma", "share", "numbers"), [(6.0, 0.5, (1, 0)), (1.0, 0.2, (2, 1)), (0.1, 0.2, (3, 2))])
def test_straight_between_levels(sigma, share, numbers):
    low, high = (TRAJECTORY.latents[number] for number in numbers)
    found = TRAJECTORY.at(torch.tensor([sigma]))
    assert found.shape == (1, 4, 6, 5)
    assert recipe.relative_error(found[0], low + share * (high - low)) <= 1e-6


def test_straight_beyond_the_noisiest_level():
    slope = (TRAJECTORY.latents[0] - TRAJECTORY.latents[1]) / 6
    assert recipe.relative_error(TRAJECTORY.at(torch.tensor([14.6]))[0], TRAJECTORY.latents[0] + 5.6 * slope) <= 1e-6


@pytest.mark.parametrize("sigma", [0.0, 0.03, 1.0, 7.0, 14.6, 4000.0])
def test_fixed_noise(sigma):
    latent, noise = recipe.noise("latent", (1, 4, 6, 5)), recipe.noise("fixed", (1, 4, 6, 5))
    found = noised(latent, noise).at(torch.tensor([sigma]))
    assert recipe.relative_error(found, latent + sigma * noise) <= 1e-6


def test_inversion_is_the_published_recurrence():
    """`z ← √ᾱ'·(z − √(1−ᾱ)·ε)/√ᾱ + √(1−ᾱ')·ε`, the noise predicted for the level of a step's end."""
    alphas = torch.tensor([0.999, 0.9, 0.5, 0.1, 0.01], dtype=torch.float64)
    sigmas = ((1 - alphas) / alphas).sqrt()

    def predict(z, sigma):
        return (z * 0.7 + sigma).sin()

    latent = recipe.noise("latent", (1, 4, 6, 5)).double()
    z, wanted = latent, [latent]
    for alpha, following, sigma in zip(alphas[:-1], alphas[1:], sigmas[1:], strict=True):
        noise = predict(z, sigma)
        z = following.sqrt() * (z - (1 - alpha).sqrt() * noise) / alpha.sqrt() + (1 - following).sqrt() * noise
        wanted.insert(0, z / following.sqrt())
    found = invert(predict, latent, sigmas)
    assert torch.equal(found.sigmas, torch.cat((sigmas[1:].flip(0), torch.zeros(1))))
    assert recipe.relative_error(found.latents, torch.cat(wanted)) <= 1e-12


def test_inversion_of_what_is_already_noise():
    """A model that always sees the same noise: the trajectory is straight, as fixed noise is."""
    latent, noise = recipe.noise("latent", (1, 4, 6, 5)), recipe.noise("fixed", (1, 4, 6, 5))
    sigmas = torch.tensor([1e-4, 0.3, 2.0, 14.6])
    found = invert(lambda z, sigma: noise, latent, sigmas)
    for sigma in (0.3, 1.0, 14.6):
        at = torch.tensor([sigma])
        assert recipe.relative_error(found.at(at), noised(latent, noise).at(at)) <= 1e-3
