"""The cache of unconditional tokens, which depend on nothing but the CLIP vision model and the structure scale."""

from weakref import WeakKeyDictionary

from comfy.clip_vision import ClipVisionModel
from torch import Tensor

MOST_SCALES = 32  # whose tokens are kept; a slider has 21


class UnconditionalTokens:
    """Of one set of weights; those of a CLIP vision model go when it goes."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[ClipVisionModel, dict[float, Tensor]] = WeakKeyDictionary()

    def get(self, clip: ClipVisionModel, structure_scale: float) -> Tensor | None:
        return self._kept.get(clip, {}).get(structure_scale)

    def keep(self, clip: ClipVisionModel, structure_scale: float, tokens: Tensor) -> None:
        """Keep tokens, (tokens, dim), and let the oldest go where there are too many."""
        scales = self._kept.setdefault(clip, {})
        scales[structure_scale] = tokens
        if len(scales) > MOST_SCALES:
            scales.pop(next(iter(scales)))
