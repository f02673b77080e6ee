"""All that is left to chance in a step, picture by picture.

A picture's dice depend on its seed alone: neither the number of processes nor a resume changes what is thrown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from ..config import Features, Guidance, Loss

NEITHER, FACES, TEXT, BOTH = range(4)  # which conditions are dropped
STEP, GUMBEL, BRANCH, TOKENS = range(4)  # streams of a picture's seed


@dataclass(frozen=True)
class Throws:
    """What the dice say, on the CPU.

    Attributes:
        timesteps: noise levels, (pictures,), int64.
        noise: to be predicted, without offset, (pictures, channels, height, width).
        offset: one number per channel, for offset noise, (pictures, channels, 1, 1).
        posterior: where in the VAE's posterior the picture is, as `noise`.
        no_faces, no_text: which conditions are dropped, (pictures,), bool.
        scale: weight of the structure branch, 0 or 1, (pictures, people).
        kept: structure features that are not dropped, 0 or 1, (pictures, people, features).
        seeds: of the pictures.
    """

    timesteps: Tensor
    noise: Tensor
    offset: Tensor
    posterior: Tensor
    no_faces: Tensor
    no_text: Tensor
    scale: Tensor
    kept: Tensor
    seeds: tuple[int, ...]

    def to(self, device: torch.device) -> "Throws":
        tensors = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "seeds"}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})

    def uniform(self, layer: int, people: int, spots: int) -> Tensor:
        """Noise for the router of a layer, 0..1, (pictures, people, spots), on the CPU; the same whenever asked."""
        each = [np.random.default_rng((seed, GUMBEL, layer)).random((people, spots), np.float32) for seed in self.seeds]
        return torch.from_numpy(np.stack(each))


def throw(
    seeds: Sequence[int],
    latent: tuple[int, int, int],
    levels: int,
    people: int,
    structure: int,
    features: Features,
    guidance: Guidance,
    loss: Loss,
) -> Throws:
    """Throw the dice of a batch.

    Args:
        seeds: of its pictures.
        latent: channels, height and width.
        levels: noise levels of the schedule.
        people: of each picture, padding included.
        structure: structure features of a person.
        features, guidance: how often what is dropped.
        loss: which noise levels are drawn more often.
    """
    rows = [_one(seed, latent, levels, people, structure, features, guidance, loss) for seed in seeds]
    timesteps, noise, offset, posterior, dropped, scale, kept = (
        torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)
    )
    no_faces, no_text = ((dropped == kind) | (dropped == BOTH) for kind in (FACES, TEXT))
    return Throws(timesteps, noise, offset, posterior, no_faces, no_text, scale, kept, tuple(seeds))


def no_dice(rows: int, people: int, structure: int, scale: float, nobody: bool, device: torch.device) -> Throws:
    """For pictures that are drawn and not trained on: all conditions are there, or none.

    Args:
        rows: pictures.
        people, structure: as for `throw`.
        scale: weight of the structure branch.
        nobody: whether this is the unconditional half.
    """
    none = torch.zeros(rows, 1, 1, 1, device=device)
    gone = torch.full((rows,), nobody, device=device)
    scales, kept = torch.full((rows, people), scale, device=device), none.new_ones(rows, people, structure)
    return Throws(gone.long(), none, none, none, gone, gone, scales, kept, ())


def _one(
    seed: int,
    latent: tuple[int, int, int],
    levels: int,
    people: int,
    structure: int,
    features: Features,
    guidance: Guidance,
    loss: Loss,
) -> tuple[np.ndarray, ...]:
    dice = np.random.default_rng((seed, STEP))
    timestep = dice.integers(levels)
    noise, posterior = dice.standard_normal((2, *latent), np.float32)
    offset = dice.standard_normal((latent[0], 1, 1), np.float32)
    odds = np.cumsum([guidance.drop_both, guidance.drop_text, guidance.drop_faces])
    dropped = BOTH - np.searchsorted(odds, dice.random(), side="right")
    if dice.random() < loss.noisy_share:
        timestep = dice.integers(int(levels * loss.noisy_from), levels)
    # Of each person: the branch is left out, some of its features are, or nothing is (paper section 3.2). People who
    # are padding come last, so they change nobody's dice.
    branch = np.random.default_rng((seed, BRANCH)).random(people)
    scale = (branch >= features.drop_path).astype(np.float32)
    some = (branch >= features.drop_path) & (branch < features.drop_path + features.drop_token)
    tokens = np.random.default_rng((seed, TOKENS)).random((people, structure))
    kept = (tokens >= features.token_share * some[:, None]).astype(np.float32)
    return timestep, noise, offset, posterior, dropped, scale, kept
