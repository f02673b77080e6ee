"""The Fréchet distance of two normal distributions (FID: Heusel et al. 2017), in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Mean, (dim,), and covariance, (dim, dim)."""

    mean: Tensor
    covariance: Tensor


def fit(features: Tensor, weights: Tensor | None = None) -> Gaussian:
    """The normal distribution of features.

    Args:
        features: (samples, dim), of any number type.
        weights: how often each counts, (samples,); once if None.

    Returns:
        In float64, with the unbiased covariance (n − 1), as all published implementations have it.
    """
    features = features.double()
    weights = torch.ones(len(features), dtype=torch.float64) if weights is None else weights.double()
    weights = weights.to(features.device)
    count = weights.sum()
    mean = weights @ features / count
    centred = features - mean
    return Gaussian(mean, (centred.mT * weights) @ centred / (count - 1))


def root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


def distance(one: Gaussian, other: Gaussian, other_root: Tensor | None = None) -> float:
    """`|μ − μ'|² + tr(Σ + Σ' − 2 (Σ Σ')^½)`.

    The trace of the root is the sum of the roots of the eigenvalues of `Σ'^½ Σ Σ'^½`, which is symmetric: no complex
    numbers, and a covariance of fewer samples than dimensions does no harm.

    Args:
        one, other: in any order.
        other_root: `root(other.covariance)`, if it is known already.
    """
    other_root = root(other.covariance) if other_root is None else other_root
    values = torch.linalg.eigvalsh(other_root @ one.covariance @ other_root)
    overlap = values.clamp(min=0).sqrt().sum()
    apart = (one.mean - other.mean).square().sum()
    squared = apart + one.covariance.trace() + other.covariance.trace() - 2 * overlap
    return max(squared.item(), 0.0)  # rounding can bring it below
