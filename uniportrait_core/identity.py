"""What the pack knows about a person."""

from dataclasses import dataclass, replace

from torch import Tensor

from .errors import UniPortraitError


@dataclass(frozen=True)
class Identity:
    """One person as the diffusion model sees them.

    Attributes:
        cond: conditional tokens, (tokens, dim), float32 on the CPU.
        uncond: unconditional tokens of the same shape; they depend on the structure scale alone.
    """

    cond: Tensor
    uncond: Tensor


FaceID = tuple[Identity, ...]
"""People in order; one person is a tuple of one."""


def mix(master: Identity, other: Identity, weight: float) -> Identity:
    """Blend two people: `(1 − weight) · master + weight · other` on the conditional tokens.

    The master's unconditional tokens are kept, as in `generate` of the published `uniportrait_pipeline.py`.

    Args:
        master: the person at weight 0.
        other: the person at weight 1.
        weight: share of `other`, 0..1; values outside extrapolate.

    Raises:
        UniPortraitError: the two come from weights of different shape.
    """
    if master.cond.shape != other.cond.shape:
        raise UniPortraitError(
            f"The two people to mix have tokens of shape {tuple(master.cond.shape)} and {tuple(other.cond.shape)}, "
            "which come from different UniPortrait weights. Encode both with the same Load UniPortrait node."
        )
    return replace(master, cond=(1 - weight) * master.cond + weight * other.cond)
