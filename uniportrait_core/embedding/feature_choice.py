"""Which features of a face the resampler reads: the published ones, or those of an ablation (paper table 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

LOCAL, GLOBAL, NONE = "local", "global", "none"
SHALLOW, CLIP = "shallow", "clip"
STRUCTURES = ((SHALLOW, CLIP), (SHALLOW,), (CLIP,))


@dataclass(frozen=True)
class FeatureChoice:
    """
    Attributes:
        intrinsic: what says who it is: "local", the backbone's last map; "global", its embedding as one feature;
            "none", nothing.
        structure: what says how the face is seen: "shallow", the backbone's other maps, and "clip", in this order, or
            one of them.

    Raises ValueError for anything else.
    """

    intrinsic: str = LOCAL
    structure: tuple[str, ...] = (SHALLOW, CLIP)

    def __post_init__(self) -> None:
        if self.intrinsic not in (LOCAL, GLOBAL, NONE):
            raise ValueError(f"intrinsic is {self.intrinsic!r}, needed is {LOCAL}, {GLOBAL} or {NONE}")
        if self.structure not in STRUCTURES:
            raise ValueError(f"structure is {list(self.structure)}, needed is {SHALLOW}, then {CLIP}, or one of them")

    @property
    def sees_with_clip(self) -> bool:
        return CLIP in self.structure

    def intrinsic_dim(self, stage_channels: tuple[int, ...], embedding_dim: int) -> int:
        """Length of an intrinsic feature, of a backbone with these channels after each stage."""
        return embedding_dim if self.intrinsic == GLOBAL else stage_channels[-1]

    def shallow_dim(self, stage_channels: tuple[int, ...]) -> int:
        """How much of a structure feature is the backbone's; what remains is CLIP's."""
        return sum(stage_channels[:-1]) if SHALLOW in self.structure else 0

    def __str__(self) -> str:
        return f"{self.intrinsic} intrinsic features and {' and '.join(self.structure)} structure features"

    def arrange(self, embedding: Tensor, local: Tensor, shallow: Tensor, clip: Tensor | None) -> tuple[Tensor, Tensor]:
        """The chosen features, photo by photo.

        Args:
            embedding: the backbone's embedding, (photos, 512), not normalised.
            local: its last map, (photos, 49, 512).
            shallow: its other maps on CLIP's grid, (photos, 256, 448).
            clip: CLIP's second-to-last hidden state without class token, (photos, 256, clip_dim); None where it is not
                chosen.

        Returns:
            Intrinsic features, (photos, n, dim), n = 49, 1 or 0; structure features, (photos, 256, dim).
        """
        intrinsic = {LOCAL: local, GLOBAL: embedding[:, None], NONE: local[:, :0]}[self.intrinsic]
        parts = {SHALLOW: shallow, CLIP: clip}
        return intrinsic, torch.cat([parts[name] for name in self.structure], dim=-1)
