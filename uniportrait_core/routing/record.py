"""What the router decided while pictures were sampled: per noise level, the average over layers (paper figure 6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .regions import WHOLE, Window


def shares_of(decision: Tensor, people: int) -> Tensor:
    """Each person's share of every spot, (people, rows, spots), 0..1, of what a layer tells.

    Args:
        decision: the winner of each spot, (rows, spots), int64, or the shares themselves.
        people: how many there are.
    """
    return F.one_hot(decision, people).movedim(-1, 0) if decision.ndim == 2 else decision


class RoutingRecord:
    """Who had which spot, at every noise level of the last sampling.

    Attributes:
        incomplete: whether something was left out.
    """

    def __init__(self) -> None:
        # Sums over layers: of shares, (people, pictures, height, width), and of the layers that saw a spot, (1, …).
        self._levels: dict[float, tuple[Tensor, Tensor]] = {}
        self.incomplete = False

    def clear(self) -> None:
        """Forget what was recorded: another sampling begins."""
        self._levels.clear()
        self.incomplete = False

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

    def maps(self) -> list[Tensor]:
        """The average over layers at each noise level, in the order of sampling.

        Returns:
            Each (pictures, people, height, width), 0..1, of the latent's size; 0 for all where nobody has a part.
        """
        return [(total / seen.clamp(min=1)).movedim(1, 0) for total, seen in self._levels.values()]
