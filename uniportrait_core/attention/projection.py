"""People projected into a cross-attention layer: what is the same at every step, made once before sampling."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..embedding.identity import FaceID
from ..routing.router import RouterLayer, fold
from .adapter import IDLayer
from .id_attention import Half, IDAttention, PlainAttention, RegionAttention, RoutedAttention


def prepare(layer: IDLayer, router: RouterLayer | None, face_id: FaceID, id_scale: float, heads: int) -> IDAttention:
    """Project people into a cross-attention layer, in float32 on the CPU.

    Args:
        layer: ID keys and values of the layer.
        router: its router; may be None where there are not two people without a region mask.
        face_id: the people, tokens of (tokens, dim).
        id_scale: strength of ID attention, 0..2; 0.7 in the published app.
        heads: attention heads of the layer.
    """
    scales = torch.tensor([id_scale * person.weight for person in face_id])
    candidates = [i for i, person in enumerate(face_id) if person.mask is None]
    masked = len(candidates) < len(face_id)
    cond, uncond = (
        _project(layer, router, torch.stack([getattr(person, half) for person in face_id]), scales, candidates, heads)
        for half in ("cond", "uncond")
    )
    routed = cond.folded is not None or uncond.folded is not None
    query_in = router.query_in if routed else None
    if masked:
        return RegionAttention((cond, uncond), query_in)
    if routed:
        return RoutedAttention((cond, uncond), query_in)
    return PlainAttention(torch.cat((uncond.key, cond.key)), torch.cat((uncond.value, cond.value)))


def _project(
    layer: IDLayer, router: RouterLayer | None, tokens: Tensor, scales: Tensor, candidates: list[int], heads: int
) -> Half:
    # People encoded with one structure scale share their unconditional tokens. The router cannot tell them apart, and
    # with equal weights the result is the same whoever wins; with different ones each gets an equal share.
    alike = all(torch.equal(tokens[a], tokens[b]) for a, b in pairwise(candidates))
    masked = len(candidates) < len(tokens)
    if alike and not masked:
        tokens, scales = tokens[:1], scales.mean(dim=0, keepdim=True)
    elif alike and candidates:
        scales = scales.clone()
        scales[candidates] /= len(candidates)
    key = F.linear(tokens, layer.to_k).unflatten(-1, (heads, -1))
    value = (F.linear(tokens, layer.to_v) * scales[:, None, None]).unflatten(-1, (heads, -1))
    if not masked:
        key, value = (t.flatten(0, 1)[None] for t in (key, value))
    key, value = (t.transpose(1, 2).contiguous() for t in (key, value))
    if alike:
        return Half(key, value)
    return Half(key, value, fold(router, tokens[candidates]), _chosen(candidates, tokens, masked))


def _chosen(candidates: list[int], tokens: Tensor, masked: bool) -> Tensor:
    if not masked:
        others = torch.full((len(candidates),) * 2, -torch.inf).fill_diagonal_(0)
        return others.repeat_interleave(tokens.shape[1], dim=1)
    chosen = torch.ones(len(candidates), len(tokens))
    chosen[:, candidates] = torch.eye(len(candidates))
    return chosen
