"""All that is left to chance in a step, picture by picture.

A picture's dice depend on its seed alone: neither the number of processes nor a resume changes what is thrown.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import Features, Guidance, Loss
from .chance import normal, uniform

STEP, NOISE, POSTERIOR, OFFSET, BRANCH, TOKENS, GUMBEL = range(7)  # streams of a picture's seed; GUMBEL one per layer


@dataclass(frozen=True)
class Throws:
    """What the dice say.

    Attributes:
        timesteps: noise levels, (pictures,), int64.
        noise: to be predicted, without offset, (pictures, channels, height, width).
        offset: one number per channel, for offset noise, (pictures, channels, 1, 1).
        posterior: where in the VAE's posterior the picture is, as `noise`.
        no_faces, no_text: which conditions are dropped, (pictures,), bool.
        scale: weight of the structure branch, 0 or 1, (pictures, people).
        kept: structure features that are not dropped, 0 or 1, (pictures, people, features).
        seeds: of the pictures, (pictures,), int64.
    """

    timesteps: Tensor
    noise: Tensor
    offset: Tensor
    posterior: Tensor
    no_faces: Tensor
    no_text: Tensor
    scale: Tensor
    kept: Tensor
    seeds: Tensor

    def uniform(self, layer: int, people: int, spots: int) -> Tensor:
        """Noise for the router of a layer, between 0 and 1, (pictures, people, spots); the same whenever asked."""
        return uniform(self.seeds, GUMBEL + layer, people, spots)


def throw(
    seeds: Tensor,
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
        seeds: of its pictures, (pictures,), int64, on the device where the dice are thrown.
        latent: channels, height and width.
        levels: noise levels of the schedule.
        people: of each picture, padding included.
        structure: structure features of a person.
        features, guidance: how often what is dropped.
        loss: which noise levels are drawn more often.
    """
    level, noisier, dropped = uniform(seeds, STEP, 3).unbind(1)
    first = int(levels * loss.noisy_from) * (noisier < loss.noisy_share)
    timesteps = first + (level * (levels - first)).long()
    both = guidance.drop_both
    text, faces = both + guidance.drop_text, both + guidance.drop_text + guidance.drop_faces
    # Of each person: the branch is left out, some of its features are, or nothing is (paper section 3.2). People who
    # are padding come last, so they change nobody's dice.
    branch = uniform(seeds, BRANCH, people)
    whole = branch >= features.drop_path
    share = features.token_share * (whole & (branch < features.drop_path + features.drop_token))
    return Throws(
        timesteps,
        normal(seeds, NOISE, *latent),
        normal(seeds, OFFSET, latent[0], 1, 1),
        normal(seeds, POSTERIOR, *latent),
        (dropped < both) | (text <= dropped) & (dropped < faces),
        dropped < text,
        whole.float(),
        (uniform(seeds, TOKENS, people, structure) >= share[..., None]).float(),
        seeds,
    )


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
    return Throws(gone.long(), none, none, none, gone, gone, scales, kept, gone.long())
