"""The Fréchet distance against closed forms and an independent implementation, all in float64."""

import numpy as np
import pytest
import scipy.linalg
import torch

from evaluation.metrics.frechet import distance, fit

DIM = 6


def samples(mean: np.ndarray, covariance: np.ndarray, count: int = 50, seed: int = 0) -> torch.Tensor:
    """Samples whose own mean and covariance are exactly these."""
    drawn = np.random.default_rng(seed).standard_normal((count, len(mean)))
    drawn -= drawn.mean(axis=0)
    whitened = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn.T))).T
    return torch.from_numpy(whitened @ np.linalg.cholesky(covariance).T + mean)


def covariance(seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).standard_normal((DIM, DIM))
    return factor @ factor.T + 0.1 * np.eye(DIM)


def test_normal_distributions_along_the_axes():
    """Σ and Σ' commute: |μ − μ'|² + Σ (σ − σ')²."""
    one, other = np.arange(1.0, DIM + 1), np.linspace(0.3, 2, DIM)
    a, b = samples(np.zeros(DIM), np.diag(one**2)), samples(np.full(DIM, 2.0), np.diag(other**2), 40, 1)
    assert distance(fit(a), fit(b)) == pytest.approx(4 * DIM + ((one - other) ** 2).sum(), abs=1e-9)


def test_any_normal_distributions():
    s, t = covariance(1), covariance(2)
    wanted = DIM + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real)
    a, b = fit(samples(np.zeros(DIM), s)), fit(samples(np.ones(DIM), t))
    assert distance(a, b) == pytest.approx(wanted, abs=1e-8) and distance(b, a) == pytest.approx(wanted, abs=1e-8)


def test_the_same_pictures_have_no_distance():
    a = fit(samples(np.ones(DIM), covariance(3)))
    assert distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("count", [4, 100])
def test_against_torchmetrics(count):
    """Also with fewer pictures than features."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(torch.nn.Module):
        num_features = DIM

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features

    generator = torch.Generator().manual_seed(count)
    one, other = (torch.randn(count, DIM, dtype=torch.float64, generator=generator) * scale for scale in (1, 1.5))
    metric = FrechetInceptionDistance(Features()).set_dtype(torch.float64)
    metric.update(one, real=True)
    metric.update(other, real=False)
    assert distance(fit(one), fit(other)) == pytest.approx(metric.compute().item(), abs=1e-6)


def test_weights_are_repetitions():
    features = torch.randn(5, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([2, 0, 1, 3, 1])
    repeated, weighted = fit(features.repeat_interleave(weights, dim=0)), fit(features, weights)
    torch.testing.assert_close(weighted.mean, repeated.mean)
    torch.testing.assert_close(weighted.covariance, repeated.covariance)
    torch.testing.assert_close(repeated.covariance, torch.cov(features.repeat_interleave(weights, dim=0).mT))
