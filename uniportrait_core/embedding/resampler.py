"""The ID embedding module's resampler (Q-Former): face features to a fixed number of identity tokens.

Paper section 3.2; `resampler.py` of the published code, whose parameter names are kept.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from ..tensor_checks import check_shapes, layer_count

HEAD_DIM = 64  # the one size that the weights do not show
# Tensors that tell the sizes of all others.
AXES = {
    "latents": "1 tokens dim",
    "proj_id.0.weight": "wide intrinsic_dim",
    "proj_clip.0.weight": "wider structure_dim",
    "layers.0.0.to_q.weight": "inner_dim dim",
    "proj_out.weight": "output_dim dim",
}
DROPPED_LOGIT = -100.0  # what the published code adds to the logits of dropped tokens


class Features(NamedTuple):
    """Features of photos at the resampler's width, (batch, 49 · photos, dim) and (batch, 256 · photos, dim)."""

    intrinsic: Tensor
    structure: Tensor


def attend_in_parts(query: Tensor, parts: Iterable[tuple[Tensor, Tensor, Tensor | None]]) -> Tensor:
    """Softmax attention over keys that come in parts, exact, with one part at a time in memory.

    The softmax is kept up to date as parts arrive (Milakov and Gimelshein, arXiv 1805.02867).

    Args:
        query: (batch, heads, queries, head_dim).
        parts: per part key and value, (batch, heads, keys, head_dim), and what is added to its logits, of a shape that
            broadcasts to (batch, heads, queries, keys), or None.

    Returns:
        (batch, heads, queries, head_dim).
    """
    query = query * query.shape[-1] ** -0.5
    peak = query.new_full((*query.shape[:-1], 1), -torch.inf)
    total, weighted = torch.zeros_like(peak), torch.zeros_like(query)
    for key, value, bias in parts:
        logits = query @ key.mT if bias is None else query @ key.mT + bias
        higher = torch.maximum(peak, logits.amax(dim=-1, keepdim=True))
        decay, weights = (peak - higher).exp(), (logits - higher).exp()
        total = total * decay + weights.sum(dim=-1, keepdim=True)
        weighted = weighted * decay + weights @ value
        peak = higher
    return weighted / total


class PerceiverAttention(nn.Module):
    """Queries attend to features and to themselves; no biases."""

    def __init__(self, dim: int, inner_dim: int):
        super().__init__()
        self.heads = inner_dim // HEAD_DIM
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(dim, inner_dim * 2, bias=False)
        self.to_out = nn.Linear(inner_dim, dim, bias=False)

    def forward(self, features: Sequence[Tensor], queries: Tensor, biases: Sequence[Tensor | None]) -> Tensor:
        """
        Args:
            features: in parts, each (batch, features, dim); moved to the device of `queries` one by one.
            queries: (batch, tokens, dim).
            biases: per part, added to the logits of its features, (batch, features), or None; queries get none.

        Returns:
            (batch, tokens, dim).
        """
        queries = self.norm2(queries)
        read = (
            (*self._keys_values(self.norm1(part.to(queries.device))), None if bias is None else bias[:, None, None])
            for part, bias in zip(features, biases, strict=True)
            if part.shape[1]  # weights may have been trained without intrinsic features
        )
        parts = chain(read, [(*self._keys_values(queries), None)])
        attended = attend_in_parts(self._split_heads(self.to_q(queries)), parts)
        return self.to_out(rearrange(attended, "b h n d -> b n (h d)"))

    def _keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        key, value = self.to_kv(tokens).chunk(2, dim=-1)
        return self._split_heads(key), self._split_heads(value)

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, "b n (h d) -> b h n d", h=self.heads)


def _mlp(in_dim: int, inner_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_dim, inner_dim), nn.GELU(), nn.Linear(inner_dim, out_dim))


def _feed_forward(dim: int, inner_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, inner_dim, bias=False), nn.GELU(), nn.Linear(inner_dim, dim, bias=False)
    )


class FaceIDResampler(nn.Module):
    """Learned queries read intrinsic features, then structure features, in every layer."""

    def __init__(
        self,
        intrinsic_dim: int = 512,
        structure_dim: int = 1728,
        tokens: int = 16,
        dim: int = 768,
        inner_dim: int = 768,
        depth: int = 6,
        output_dim: int = 768,
    ):
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, tokens, dim))
        self.proj_id = _mlp(intrinsic_dim, intrinsic_dim * 2, dim)
        self.proj_clip = _mlp(structure_dim, structure_dim * 2, dim)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [PerceiverAttention(dim, inner_dim), PerceiverAttention(dim, inner_dim), _feed_forward(dim, dim * 4)]
            )
            for _ in range(depth)
        )
        self.proj_out = nn.Linear(dim, output_dim)
        self.norm_out = nn.LayerNorm(output_dim)

    @property
    def intrinsic_dim(self) -> int:
        """Length of one intrinsic feature vector (512: the backbone's last stage)."""
        return self.proj_id[0].in_features

    @property
    def structure_dim(self) -> int:
        """Length of one structure feature vector (1728: the backbone's first stages and CLIP)."""
        return self.proj_clip[0].in_features

    @property
    def token_shape(self) -> tuple[int, int]:
        """Shape of one identity: (tokens, dim), (16, 768) for the published weights."""
        return self.latents.shape[1], self.proj_out.out_features

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "FaceIDResampler":
        """Build the resampler that `tensors` (the published `faceid_proj`) describe, and load them.

        Returns:
            The resampler in evaluation mode, float32, on the CPU.

        Raises:
            KeyError, ValueError, RuntimeError: keys or shapes that do not fit together.
        """
        sizes = check_shapes(tensors, AXES)
        if sizes["inner_dim"] % HEAD_DIM:
            raise ValueError(
                f"layers.0.0.to_q.weight is for {sizes['inner_dim']} numbers, needed are heads of {HEAD_DIM}"
            )
        names = ("intrinsic_dim", "structure_dim", "tokens", "dim", "inner_dim", "output_dim")
        with torch.device("meta"):
            model = cls(depth=layer_count(tensors, "layers."), **{name: sizes[name] for name in names})
        model.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
        return model.eval().requires_grad_(False)

    def project(self, intrinsic: Tensor, structure: Tensor) -> Features:
        """Bring features to the resampler's width, photo by photo or all at once.

        Args:
            intrinsic: intrinsic ID features, (batch, 49 · photos, intrinsic_dim).
            structure: face structure features, (batch, 256 · photos, structure_dim).
        """
        return Features(self.proj_id(intrinsic), self.proj_clip(structure))

    def forward(
        self,
        features: Sequence[Features],
        structure_scale: float | Tensor,
        structure_masks: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Identity tokens from the features of all photos of a person.

        Args:
            features: in parts, of one photo or several each, on any device: one part at a time is brought to the
                resampler's.
            structure_scale: weight of the structure branch, 0 (none of it) to 1; in training one for each person of a
                batch, (batch, 1, 1).
            structure_masks: per part, 1 keeps a structure feature, 0 drops it, (batch, 256 · photos); None keeps all.

        Returns:
            Identity tokens, (batch, tokens, output_dim).
        """
        intrinsic, structure = zip(*features, strict=True)
        none = [None] * len(features)
        biases = none if structure_masks is None else [(1 - mask) * DROPPED_LOGIT for mask in structure_masks]
        queries = self.latents.expand(len(intrinsic[0]), -1, -1)
        for read_intrinsic, read_structure, feed_forward in self.layers:
            queries = read_intrinsic(intrinsic, queries, none) + queries
            queries = structure_scale * read_structure(structure, queries, biases) + queries
            queries = feed_forward(queries) + queries
        return self.norm_out(self.proj_out(queries))
