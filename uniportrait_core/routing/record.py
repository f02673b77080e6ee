"""What the router decided while pictures were sampled: per noise level, the average over layers (paper figure 6)."""

from collections.abc import Hashable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from .regions import WHOLE, Window

MOST_SAMPLINGS = 8  # whose records are kept


def shares_of(decision: Tensor, people: int) -> Tensor:
    """Each person's share of every spot, (people, rows, spots), 0..1, of what a layer tells.

    Args:
        decision: the winner of each spot, (rows, spots), int64, or the shares themselves.
        people: how many there are.
    """
    return F.one_hot(decision, people).movedim(-1, 0) if decision.ndim == 2 else decision


class RoutingRecord:
    """Who had which spot, at every noise level of a sampling: of the last one, and of some before it.

    Samplings are told apart by names that whoever records gives them. A host that keeps pictures of an earlier sampling
    may ask for theirs again.

    Attributes:
        incomplete: whether something was left out of the last sampling.
    """

    def __init__(self) -> None:
        # By name the sums over layers at each noise level: of shares, (people, pictures, height, width), and of the
        # layers that saw a spot, (1, …).
        self._samplings: dict[Hashable, dict[float, tuple[Tensor, Tensor]]] = {}
        self._levels: dict[float, tuple[Tensor, Tensor]] = {}  # of the last sampling
        self._gone: set[Hashable] = set()
        self.incomplete = False

    def begin(self, sampling: Hashable = None) -> None:
        """A sampling of this name begins. Where there are too many, the oldest goes."""
        self.forget(sampling)
        self._levels = self._samplings[sampling] = {}
        self._gone.discard(sampling)
        self.incomplete = False
        if len(self._samplings) > MOST_SAMPLINGS:
            oldest = next(iter(self._samplings))
            self.forget(oldest)
            self._gone.add(oldest)

    def forget(self, sampling: Hashable = None) -> None:
        """A sampling of this name came to nothing, or begins anew."""
        self._samplings.pop(sampling, None)
        self._levels = next(reversed(self._samplings.values()), {})

    def add(
        self, sigma: float, shares: Tensor, grid: tuple[int, int], latent: tuple[int, int], window: Window = WHOLE
    ) -> None:
        """Add what one layer saw.

        Args:
            sigma: noise level.
            shares: of each spot for each person, (people, pictures, spots), 0..1, on any device.
            grid: height and width of the layer's grid.
            latent: those of the whole latent.
            window: the part of the picture that the layer saw.
        """
        people, pictures, _ = shares.shape
        if sigma not in self._levels:
            zeros = torch.zeros(people + 1, pictures, *latent, device=shares.device)
            self._levels[sigma] = zeros[:-1], zeros[-1:]
        total, seen = self._levels[sigma]
        top, left, bottom, right = (
            round(edge * length) for edge, length in zip(window, (*latent, *latent), strict=True)
        )
        place = (..., slice(top, bottom), slice(left, right))
        # People whom the router cannot tell apart have a spot together.
        shares = shares.to(total) / shares.sum(dim=0, keepdim=True).clamp(min=1).to(total)
        size = (bottom - top, right - left)
        total[place] += F.interpolate(shares.unflatten(-1, grid), size=size, mode="nearest-exact")
        seen[place] += 1

    def finish(self) -> None:
        """Move everything to the CPU: the sampling is over."""
        for sigma, (total, seen) in self._levels.items():
            self._levels[sigma] = total.cpu(), seen.cpu()

    def is_gone(self, samplings: Iterable[Hashable]) -> bool:
        """Whether the first of these samplings that was ever recorded had to make room for later ones."""
        known = self._samplings.keys() | self._gone
        return next((name for name in samplings if name in known), None) in self._gone

    def maps(self, samplings: Iterable[Hashable] = ()) -> list[Tensor]:
        """The average over layers at each noise level, in the order of sampling.

        Args:
            samplings: names; the first that is known counts, or the last sampling where none is.

        Returns:
            Each (pictures, people, height, width), 0..1, of the latent's size; 0 for all where nobody has a part.
        """
        found = (self._samplings[name] for name in samplings if name in self._samplings)
        levels = next(found, self._levels)
        return [(total / seen.clamp(min=1)).movedim(1, 0) for total, seen in levels.values()]
