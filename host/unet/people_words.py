"""The own words of a model's people, as its cross-attention layers see them."""

from collections.abc import Sequence

import torch
from comfy.model_base import BaseModel
from torch import Tensor

from ...uniportrait_core.attention.word_attention import Spoken
from ...uniportrait_core.embedding.identity import OwnWords
from .calls import Sigmas, within
from .sites import Site


class Words:
    """What is said of each person alone.

    The layers' keys and values of it are made once for a sampling; at every call where weights change between steps.
    """

    def __init__(self, said: Sequence[OwnWords | None], sigmas: Sequence[Sigmas | None]):
        """
        Args:
            said: of each person; None for who has no words.
            sigmas: when it counts, likewise; None for always.
        """
        self.said, self.sigmas = said, sigmas
        self._spoken: dict[tuple, dict[int, list[Spoken | None]]] = {}

    def __len__(self) -> int:
        """How much is kept of the sampling; nothing between two."""
        return len(self._spoken)

    def clear(self) -> None:
        self._spoken.clear()

    @torch.compiler.disable
    def now(
        self, base: BaseModel, sites: Sequence[Site], sigma: Tensor | None, device: torch.device, dtype: torch.dtype
    ) -> dict[int, list[Spoken | None]] | None:
        """What is said in a UNet call, by number of the layer; None where nothing is.

        Args:
            base: whose UNet it is.
            sites: its layers.
            sigma: noise level of the call, if it is known.
        """
        at_work = {span: within(span, sigma) for span in set(self.sigmas)}  # a look at the device for each
        counts = tuple(words is not None and at_work[span] for words, span in zip(self.said, self.sigmas, strict=True))
        if not any(counts):
            return None
        key = device, dtype, counts
        if (spoken := self._spoken.get(key)) is None:
            said = [words if count else None for words, count in zip(self.said, counts, strict=True)]
            spoken = {site.index: [_at(site, words, device, dtype) for words in said] for site in sites}
            if getattr(base.current_patcher, "current_hooks", None) is None:
                self._spoken[key] = spoken
        return spoken


def _at(site: Site, words: OwnWords | None, device: torch.device, dtype: torch.dtype) -> Spoken | None:
    if words is None:
        return None
    tokens = words.tokens.to(device, dtype)
    return Spoken(site.attention.to_k(tokens), site.attention.to_v(tokens), words.strength)
