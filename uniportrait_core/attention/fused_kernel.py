"""ID attention in one kernel of Triton: choose each spot's person, attend to their tokens, add.

It does what is left of `id_attention.py` behind θ's first layer, which is one matrix product. Queries and attention
output are read once, the sum is written once; PyTorch's own kernels make the router's logits, its choice, a mask and an
attention output beside. A person who has no spot in a block of spots costs nothing there.

Importing this module imports Triton (`fused.py` says where there is one).
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..routing.router import Choice

SPOTS = 64  # of a program
STEP = 64  # channels of θ that a program takes at a time
LEAST = 16  # sides of a matrix in Triton's products


def launch(
    hidden: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    indices: Sequence[int],
    choice: Choice | None,
    shares: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """As `fused.add_attention`."""
    _, people, heads, tokens, width = key.shape
    hidden, query = hidden.contiguous(), query.contiguous()
    total, winners = torch.empty_like(hidden), None
    all_spots = hidden.shape[0] * hidden.shape[1]
    spots = all_spots // len(indices)
    nothing = hidden  # a pointer that is not followed
    theta = weight = bias = table = won = nothing
    if choice:
        theta, (weight, bias) = choice.theta, choice.folded
        won = winners = torch.empty(len(theta), dtype=torch.int64, device=hidden.device)
        table = nothing if choice.chosen is None else choice.chosen
    columns = len(bias) if choice else 0
    grid = triton.cdiv(spots, SPOTS), len(indices)
    with torch.cuda.device_of(hidden):  # Triton starts kernels on the current one
        _add[grid](
            *(total, hidden, query, key, value, theta, weight, bias, table),
            *(nothing if shares is None else shares.contiguous(), won),
            *(spots, all_spots, *(choice.parts if choice else (0, 0))),
            *(*key.stride()[:4], width**-0.5),
            indices=sum(index << part for part, index in enumerate(indices)),
            people=people,
            heads=heads,
            tokens=tokens,
            width=width,
            theta_width=theta.shape[1] if choice else 0,
            columns=columns,
            by_table=table is not nothing,
            by_shares=shares is not None,
            as_float=not hidden.is_cuda,
            block=SPOTS,
            step=STEP,
            token_side=_side(tokens),
            width_side=_side(width),
            column_side=_side(columns),
        )
    return total, winners


def _side(length: int) -> int:
    return max(triton.next_power_of_2(length), LEAST)


@triton.jit
def _add(
    total, hidden, query, key, value, theta, folded, folded_bias, table, shares, winners,
    spots, all_spots, first, behind, of_index, of_person, of_head, of_token, scale,
    indices: tl.constexpr, people: tl.constexpr, heads: tl.constexpr, tokens: tl.constexpr, width: tl.constexpr,
    theta_width: tl.constexpr, columns: tl.constexpr, by_table: tl.constexpr, by_shares: tl.constexpr,
    as_float: tl.constexpr,
    block: tl.constexpr, step: tl.constexpr, token_side: tl.constexpr, width_side: tl.constexpr,
    column_side: tl.constexpr,
):  # fmt: skip
    """A block of spots of one part of the call."""
    part = tl.program_id(1)
    spot = tl.program_id(0) * block + tl.arange(0, block)
    there = spot < spots
    row = (part * spots + spot).to(tl.int64)
    winner = tl.zeros([block], tl.int32)
    chosen = False
    if theta_width > 0:
        chosen = (part >= first) & (part < behind)
        if chosen:
            column = tl.arange(0, column_side)
            logits = tl.zeros([block, column_side], tl.float32)
            mine = row - first * spots
            for start in range(0, theta_width, step):
                channel = start + tl.arange(0, step)
                inside = channel < theta_width
                at = mine[:, None] * theta_width + channel[None, :]
                x = tl.load(theta + at, mask=there[:, None] & inside[None, :], other=0.0).to(tl.float32)
                x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
                at = channel[:, None] * columns + column[None, :]
                w = tl.load(folded + at, mask=inside[:, None] & (column < columns)[None, :], other=0.0)
                logits += _product(x.to(w.dtype), w, as_float)
            bias = tl.load(folded_bias + column, mask=column < columns, other=float("-inf")).to(tl.float32)
            winner = tl.argmax(logits + bias[None, :], axis=1)
            tl.store(winners + mine, winner.to(tl.int64), mask=there)
    index = (indices >> part) & 1
    channel = tl.arange(0, width_side)
    token = tl.arange(0, token_side)
    seen = there[:, None] & (channel < width)[None, :]
    told = (token < tokens)[:, None] & (channel < width)[None, :]
    for head in range(heads):
        at = row[:, None] * (heads * width) + head * width + channel[None, :]
        q = tl.load(query + at, mask=seen, other=0.0)
        result = tl.load(hidden + at, mask=seen, other=0.0).to(tl.float32)
        for person in range(people):
            share = (winner == person).to(tl.float32)
            if by_shares:
                share = tl.load(shares + person * all_spots + row, mask=there, other=0.0).to(tl.float32)
                if by_table:
                    if chosen:
                        share *= tl.load(table + winner * people + person, mask=there, other=0.0).to(tl.float32)
            share = tl.where(there, share, 0.0)
            if tl.max(share, axis=0) > 0:
                where = index * of_index + person * of_person + head * of_head
                at_token = where + token[:, None] * of_token + channel[None, :]
                k = tl.load(key + at_token, mask=told, other=0.0)
                logit = _product(q, tl.trans(k), as_float) * scale
                logit = tl.where((token < tokens)[None, :], logit, float("-inf"))
                weight = tl.exp(logit - tl.max(logit, axis=1)[:, None])
                weight = weight / tl.sum(weight, axis=1)[:, None]
                v = tl.load(value + at_token, mask=told, other=0.0)
                result += share[:, None] * _product(weight.to(v.dtype), v, as_float)
        tl.store(total + at, result.to(total.dtype.element_ty), mask=seen)


@triton.jit
def _product(a, b, as_float: tl.constexpr):
    if as_float:  # the interpreter cannot multiply bfloat16; rounded numbers have the same product in float32
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")
