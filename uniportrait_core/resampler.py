"""The ID embedding module's resampler (Q-Former): face features to a fixed number of identity tokens.

Paper section 3.2; `resampler.py` of the published code, whose parameter names are kept.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

HEAD_DIM = 64  # the one size that the weights do not show
DROPPED_LOGIT = -100.0  # what the published code adds to the logits of dropped tokens


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

    def forward(self, features: Tensor, queries: Tensor, bias: Tensor | None = None) -> Tensor:
        """
        Args:
            features: (batch, features, dim).
            queries: (batch, tokens, dim).
            bias: added to the logits of the features, (batch, features); queries get none.

        Returns:
            (batch, tokens, dim).
        """
        queries = self.norm2(queries)
        keys_values = self.to_kv(torch.cat((self.norm1(features), queries), dim=1))
        q, k, v = (
            rearrange(t, "b n (h d) -> b h n d", h=self.heads)
            for t in (self.to_q(queries), *keys_values.chunk(2, dim=-1))
        )
        if bias is not None:
            bias = F.pad(bias, (0, queries.shape[1]))[:, None, None, :]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.to_out(rearrange(attended, "b h n d -> b n (h d)"))


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
            RuntimeError: keys or shapes that do not fit together.
        """
        with torch.device("meta"):
            model = cls(
                intrinsic_dim=tensors["proj_id.0.weight"].shape[1],
                structure_dim=tensors["proj_clip.0.weight"].shape[1],
                tokens=tensors["latents"].shape[1],
                dim=tensors["latents"].shape[2],
                inner_dim=tensors["layers.0.0.to_q.weight"].shape[0],
                depth=1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("layers.")),
                output_dim=tensors["proj_out.weight"].shape[0],
            )
        model.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
        return model.eval().requires_grad_(False)

    def forward(
        self, intrinsic: Tensor, structure: Tensor, structure_scale: float, structure_mask: Tensor | None = None
    ) -> Tensor:
        """
        Args:
            intrinsic: intrinsic ID features, (batch, 49 · photos, intrinsic_dim).
            structure: face structure features, (batch, 256 · photos, structure_dim).
            structure_scale: weight of the structure branch, 0 (none of it) to 1.
            structure_mask: 1 keeps a structure feature, 0 drops it, (batch, 256 · photos); None keeps all.

        Returns:
            Identity tokens, (batch, tokens, output_dim).
        """
        bias = None if structure_mask is None else (1 - structure_mask.to(structure.dtype)) * DROPPED_LOGIT
        intrinsic, structure = self.proj_id(intrinsic), self.proj_clip(structure)
        queries = self.latents.expand(len(intrinsic), -1, -1)
        for read_intrinsic, read_structure, feed_forward in self.layers:
            queries = read_intrinsic(intrinsic, queries) + queries
            queries = structure_scale * read_structure(structure, queries, bias) + queries
            queries = feed_forward(queries) + queries
        return self.norm_out(self.proj_out(queries))
