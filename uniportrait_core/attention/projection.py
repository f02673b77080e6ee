"""People projected into a cross-attention layer: what is the same at every step, made once before sampling."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..embedding.identity import FaceID
from ..routing.router import Linear, RouterLayer, first_layer, fold
from .adapter import IDLayer
from .id_attention import COND, Half, IDAttention, PlainAttention, RegionAttention, RoutedAttention


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
    people = [torch.stack([getattr(person, half) for person in face_id]) for half in ("cond", "uncond")]
    # People encoded with one structure scale share their unconditional tokens. The router cannot tell them apart, and
    # with equal weights the result is the same whoever wins; with different ones each gets an equal share.
    alike = [all(torch.equal(tokens[a], tokens[b]) for a, b in pairwise(candidates)) for tokens in people]
    folded = tuple(
        None if same else fold(router, tokens[candidates]) for same, tokens in zip(alike, people, strict=True)
    )
    first = None if all(alike) else first_layer(router)
    if len(candidates) < len(face_id):
        halves = (_half(layer, *each, scales, candidates, heads) for each in zip(people, folded, strict=True))
        return RegionAttention(tuple(halves), first)
    if all(alike):
        people = [tokens[:1] for tokens in people]
    own = [scales.mean().expand(len(tokens)) if same else scales for same, tokens in zip(alike, people, strict=True)]
    cond, uncond = (_in_a_row(layer, *each, heads) for each in zip(people, own, strict=True))
    key, value = (torch.cat(pair) for pair in zip(uncond, cond, strict=True))
    if all(alike):
        return PlainAttention(key, value)
    hidden = torch.full((len(face_id),) * 2, -torch.inf).fill_diagonal_(0)
    return RoutedAttention(key, value, hidden.repeat_interleave(people[COND].shape[1], dim=1), first, folded)


def _half(
    layer: IDLayer, tokens: Tensor, folded: Linear | None, scales: Tensor, candidates: list[int], heads: int
) -> Half:
    """People some of whom have a mask."""
    if folded is None and candidates:
        scales = scales.clone()
        scales[candidates] /= len(candidates)
    key, value = _projected(layer, tokens, scales, heads)
    if folded is None:
        return Half(key, value)
    chosen = torch.ones(len(candidates), len(tokens))
    chosen[:, candidates] = torch.eye(len(candidates))
    return Half(key, value, folded, chosen)


def _in_a_row(layer: IDLayer, tokens: Tensor, scales: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values as if all were one person's, (1, heads, people · tokens, channels per head)."""
    return tuple(t.transpose(0, 1).flatten(1, 2)[None] for t in _projected(layer, tokens, scales, heads))


def _projected(layer: IDLayer, tokens: Tensor, scales: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values, the latter times `scales`, (people, heads, tokens, channels per head)."""
    key, value = F.linear(tokens, layer.to_k), F.linear(tokens, layer.to_v) * scales[:, None, None]
    return tuple(t.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous() for t in (key, value))
