"""ID attention and ID routing against N separate attentions and the router as the paper writes it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import recipe
from uniportrait_core.attention.adapter import IDLayer
from uniportrait_core.attention.id_attention import COND, UNCOND, IDAttention, PlainAttention
from uniportrait_core.attention.projection import prepare
from uniportrait_core.embedding.identity import FaceID, Identity
from uniportrait_core.routing.regions import region_shares
from uniportrait_core.routing.router import Linear, RouterLayer, first_layer, fold, person_keys, route

TOKENS, DIM, CHANNELS, HEADS, SPOTS = 5, 24, 32, 8, 48
CPU = torch.device("cpu")


def id_layer(tag: str = "first") -> IDLayer:
    return IDLayer(weight(tag, "to_k", CHANNELS, DIM), weight(tag, "to_v", CHANNELS, DIM))


def router_layer(tag: str = "first", channels: int = CHANNELS, dim: int = DIM, tokens: int = TOKENS) -> RouterLayer:
    return RouterLayer(
        query_in=(weight(tag, "query_in.weight", 2 * channels, channels), weight(tag, "query_in.bias", 2 * channels)),
        query_out=weight(tag, "query_out", channels, 2 * channels),
        aggregate=(weight(tag, "aggregate.weight", 1, tokens), weight(tag, "aggregate.bias", 1)),
        key_in=(weight(tag, "key_in.weight", 2 * dim, dim), weight(tag, "key_in.bias", 2 * dim)),
        key_out=weight(tag, "key_out", channels, 2 * dim),
    )


def weight(tag: str, key: str, *shape: int) -> Tensor:
    return recipe.weight(f"attention.{tag}", key, shape)


def people(count: int, shared_uncond: bool = False) -> FaceID:
    def tokens(half: str, person: int) -> Tensor:
        return recipe.noise(f"{half}{person}", (TOKENS, DIM))

    return tuple(Identity(tokens("cond", i), tokens("uncond", 0 if shared_uncond else i)) for i in range(count))


def inputs(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Attention output, layer input and queries."""
    return tuple(recipe.noise(f"{name}{rows}", (rows, SPOTS, CHANNELS)) for name in ("hidden", "x", "query"))


def prepared(face_id: FaceID, id_scale: float = 0.7, tag: str = "first", routed: bool = True) -> IDAttention:
    """The ID attention of one layer."""
    return prepare(id_layer(tag), router_layer(tag) if routed else None, face_id, id_scale, HEADS)


def attend(
    face_id: FaceID, rows: int, kinds: Sequence[int], id_scale: float = 0.7, shares: Tensor | None = None
) -> Tensor:
    return prepared(face_id, id_scale)(*inputs(rows), kinds, shares)


def reference_logits(x: Tensor, tokens: Tensor) -> Tensor:
    """θ(x)·φ in float64, (spots, people), of people's tokens (people, tokens, dim)."""
    router = router_layer()

    def mlp(x: Tensor, first: tuple[Tensor, Tensor], second: Tensor) -> Tensor:
        return F.linear(F.gelu(F.linear(x, *(t.double() for t in first))), second.double())

    weights, bias = (t.double() for t in router.aggregate)
    aggregated = torch.einsum("ntd,t->nd", tokens.double(), weights[0]) + bias
    return mlp(x.double(), router.query_in, router.query_out) @ mlp(aggregated, router.key_in, router.key_out).T


def margin(logits: Tensor) -> Tensor:
    """By how much the winner leads at each spot, as a share of the largest logit."""
    first, second = logits.topk(2).values.unbind(-1)
    return (first - second) / logits.abs().max()


def reference_routes(x: Tensor, tokens: Tensor) -> Tensor:
    """One-hot routes, (spots, people). Between people who are the same it does not matter who wins."""
    logits = reference_logits(x, tokens)
    same = bool((tokens == tokens[:1]).all())
    assert same or margin(logits).min() > 1e-4, "a tie: choose other inputs"
    return F.one_hot(logits.argmax(-1), len(tokens)).double()


def reference(
    face_id: FaceID, rows: int, kinds: Sequence[int], id_scale: float, shares: Tensor | None = None
) -> Tensor:
    """`hidden + id_scale · Σ_n w_n · r_n · Attn(q, K_n, V_n)` row by row in float64.

    `shares` (people, 1, spots) are the r_n of people with a mask; the others divide theirs by the router's choice.
    """
    layer, total = id_layer(), []
    for row, (hidden, x, query) in enumerate(zip(*(t.double() for t in inputs(rows)), strict=True)):
        half = "cond" if kinds[row * len(kinds) // rows] == COND else "uncond"
        tokens = torch.stack([getattr(person, half) for person in face_id]).double()
        routes = reference_routes(x, tokens) if shares is None else divided(shares, x, tokens, face_id)
        for n, person in enumerate(tokens):
            q, k, v = (
                t.reshape(len(t), HEADS, -1).transpose(0, 1)
                for t in (query, person @ layer.to_k.double().T, person @ layer.to_v.double().T)
            )
            scores = (q @ k.transpose(1, 2)) / (CHANNELS / HEADS) ** 0.5
            attended = (scores.softmax(-1) @ v).transpose(0, 1).reshape(SPOTS, CHANNELS)
            hidden = hidden + id_scale * face_id[n].weight * routes[:, n, None] * attended
        total.append(hidden)
    return torch.stack(total)


def divided(shares: Tensor, x: Tensor, tokens: Tensor, face_id: FaceID) -> Tensor:
    """A row's shares, (spots, people); people without a mask have them where the router chooses them."""
    routes, free = shares[:, 0].double().T.clone(), [i for i, person in enumerate(face_id) if person.mask is None]
    if free and bool((tokens[free] == tokens[free[:1]]).all()):
        routes[:, free] /= len(free)  # nothing to choose by
    elif free:
        routes[:, free] *= reference_routes(x, tokens[free])
    return routes


@pytest.mark.parametrize("shared_uncond", [False, True], ids=["own uncond", "shared uncond"])
@pytest.mark.parametrize(
    ("rows", "kinds"),
    [(2, [UNCOND, COND]), (2, [COND, UNCOND]), (2, [COND]), (4, [COND, COND, UNCOND, UNCOND]), (4, [UNCOND, COND])],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_equals_separate_attentions_and_a_one_hot_sum(count, rows, kinds, shared_uncond):
    face_id = people(count, shared_uncond)
    wanted = reference(face_id, rows, kinds, 0.7)
    assert recipe.relative_error(attend(face_id, rows, kinds), wanted) <= 1e-5
    assert recipe.relative_error(inputs(rows)[0], wanted) > 0.1  # ID attention is a good part of the result


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_folded_router_is_the_router(count):
    router, x = router_layer(), recipe.noise("many spots", (1, 50_000, CHANNELS))
    tokens = torch.stack([person.cond for person in people(count)])
    logits = reference_logits(x, tokens)
    found, wanted = route(x, first_layer(router), fold(router, tokens))[None], logits.argmax(-1)
    clear = margin(logits) > 1e-5
    assert clear.double().mean() > 0.999
    assert torch.equal(found[clear], wanted[clear])
    assert wanted.unique(return_counts=True)[1].min() > 1000  # everybody wins somewhere


def test_order_of_people_only_permutes_the_routing():
    face_id, order = people(4), (2, 0, 3, 1)
    shuffled = tuple(face_id[i] for i in order)
    kinds = [UNCOND, COND]
    assert recipe.relative_error(attend(shuffled, 2, kinds), attend(face_id, 2, kinds)) <= 1e-5
    routes, shuffled_routes = (winners(group) for group in (face_id, shuffled))
    assert torch.equal(torch.tensor(order)[shuffled_routes], routes)
    assert not torch.equal(shuffled_routes, routes)


def winners(face_id: FaceID) -> Tensor:
    router = router_layer()
    tokens = torch.stack([person.cond for person in face_id])
    return route(inputs(2)[1], first_layer(router), fold(router, tokens))


def test_a_person_twice_is_that_person():
    (person,) = people(1)
    assert torch.equal(attend((person, person), 2, [UNCOND, COND]), attend((person,), 2, [UNCOND, COND]))


def test_a_person_twice_among_others_changes_nothing():
    one, other = people(2)
    twice = attend((one, other, one), 2, [UNCOND, COND])
    assert recipe.relative_error(twice, attend((one, other), 2, [UNCOND, COND])) <= 1e-5


def test_one_person_needs_no_router():
    face_id, given = people(1), inputs(2)
    with_router, without = (prepared(face_id, routed=routed) for routed in (True, False))
    assert torch.equal(with_router(*given, [UNCOND, COND]), without(*given, [UNCOND, COND]))
    assert isinstance(with_router, PlainAttention)  # nothing of the router is kept on the device


def test_shared_unconditional_tokens_are_not_routed():
    layer = prepared(people(3, shared_uncond=True))
    assert layer.key.shape == layer.value.shape == (2, HEADS, 3 * TOKENS, CHANNELS // HEADS)
    assert layer.folded[COND] is not None and layer.folded[UNCOND] is None


@pytest.mark.parametrize("kinds", [[COND, COND, UNCOND], [UNCOND, COND, UNCOND, COND], [UNCOND, UNCOND]], ids=str)
@pytest.mark.parametrize("shared_uncond", [False, True], ids=["own uncond", "shared uncond"])
def test_any_order_of_parts(kinds, shared_uncond):
    """Prompts for regions, and guidance packs, call with more parts than two."""
    face_id, rows = people(3, shared_uncond), 2 * len(kinds)
    assert recipe.relative_error(attend(face_id, rows, kinds), reference(face_id, rows, kinds, 0.7)) <= 1e-5


# Weights and masks of people


def with_weights(face_id: FaceID, *weights: float) -> FaceID:
    return tuple(replace(person, weight=weight) for person, weight in zip(face_id, weights, strict=True))


def with_masks(face_id: FaceID, masked: Sequence[int]) -> tuple[FaceID, Tensor]:
    """People some of whom have a mask, and shares as `region_shares` makes them."""
    masks = recipe.noise("masks", (len(face_id), 6, 8)).abs().clamp(0, 1)
    people = tuple(replace(person, mask=masks[i] if i in masked else None) for i, person in enumerate(face_id))
    return people, region_shares([person.mask for person in people], (6, 8))[:, None]


@pytest.mark.parametrize("shared_uncond", [False, True], ids=["own uncond", "shared uncond"])
@pytest.mark.parametrize("masked", [(0,), (0, 1), (1, 3), (0, 1, 2), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (0.5, 1.5, 1, 0)], ids=str)
def test_masks_and_weights_equal_separate_attentions(masked, weights, shared_uncond):
    face_id, shares = with_masks(with_weights(people(4, shared_uncond), *weights), masked)
    kinds = [UNCOND, COND]
    wanted = reference(face_id, 2, kinds, 0.7, shares)
    assert recipe.relative_error(attend(face_id, 2, kinds, shares=shares), wanted) <= 1e-5
    unmasked = tuple(replace(person, mask=None) for person in face_id)
    assert recipe.relative_error(attend(unmasked, 2, kinds), wanted) > 1e-3  # masks matter


@pytest.mark.parametrize("masked", [(0,), (0, 1, 2)], ids=str)
def test_rows_may_have_shares_of_their_own(masked):
    """Parts of a call may draw different parts of the picture."""
    face_id, shares = with_masks(people(3), masked)
    other = shares.roll(7, dims=-1)
    together = prepared(face_id)(*inputs(4), [UNCOND, COND], torch.cat([shares, other, other, shares], dim=1))
    for row, own in enumerate((shares, other, other, shares)):
        alone = prepared(face_id)(*(t[row : row + 1] for t in inputs(4)), [UNCOND if row < 2 else COND], own)
        assert recipe.relative_error(together[row : row + 1], alone) <= 1e-5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_weights_multiply_id_scale(count):
    face_id = people(count)
    one = with_weights(face_id, *[2.0] * count)
    assert recipe.relative_error(attend(one, 2, [UNCOND, COND], 0.35), attend(face_id, 2, [UNCOND, COND])) <= 1e-6
    own = with_weights(face_id, *(0.25 * (n + 1) for n in range(count)))
    wanted = reference(own, 2, [UNCOND, COND], 0.7)
    assert recipe.relative_error(attend(own, 2, [UNCOND, COND]), wanted) <= 1e-5


def test_where_nobody_can_be_told_apart_the_mean_weight_counts_whatever_the_order():
    """The router has nothing to choose by among people who share their unconditional tokens."""
    face_id = with_weights(people(3, shared_uncond=True), 0.0, 0.5, 1.0)
    mean = with_weights(face_id, 0.5, 0.5, 0.5)
    for order in (face_id, face_id[::-1]):
        assert recipe.relative_error(attend(order, 2, [UNCOND]), attend(mean, 2, [UNCOND])) <= 1e-6


@pytest.mark.parametrize("masked", [(0, 1), (0,)], ids=str)
def test_masks_for_all_but_one_need_no_router(masked):
    face_id, shares = with_masks(people(2), masked)
    layer = prepared(face_id, routed=False)
    assert layer.first is None
    wanted = reference(face_id, 2, [UNCOND, COND], 0.7, shares)
    assert recipe.relative_error(layer(*inputs(2), [UNCOND, COND], shares), wanted) <= 1e-5


def test_an_all_one_mask_of_the_only_person_equals_none():
    (person,) = people(1)
    face_id = (replace(person, mask=torch.ones(6, 8)),)
    shares = region_shares([face_id[0].mask], (6, 8))[:, None]
    found = attend(face_id, 2, [UNCOND, COND], shares=shares)
    assert recipe.relative_error(found, attend((person,), 2, [UNCOND, COND])) <= 1e-6


def test_id_scale_0_changes_nothing():
    assert torch.equal(attend(people(2), 2, [UNCOND, COND], id_scale=0.0), inputs(2)[0])


def test_id_scale_is_linear():
    hidden = inputs(2)[0]
    once, thrice = (attend(people(2), 2, [UNCOND, COND], id_scale) - hidden for id_scale in (0.5, 1.5))
    assert recipe.relative_error(thrice, 3 * once) <= 1e-5


def test_gradients_pass_to_what_is_given():
    given = [t.requires_grad_() for t in inputs(2)]
    layer = prepared(people(2))
    layer(*given, [UNCOND, COND]).square().sum().backward()
    hidden, _, query = given  # routes are chosen: the layer's input has no gradient
    assert hidden.grad.abs().min() > 0 and query.grad.abs().max() > 0


def test_given_tensors_stay_as_they_are():
    face_id, given = people(2), inputs(2)
    layer = prepared(face_id)
    total = layer(*given, [UNCOND, COND])
    assert all(torch.equal(now, before) for now, before in zip(given, inputs(2), strict=True))
    assert total.data_ptr() not in {t.data_ptr() for t in given}
    for now, before in zip(face_id, people(2), strict=True):
        assert torch.equal(now.cond, before.cond) and torch.equal(now.uncond, before.uncond)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_to_casts_everything(count, dtype):
    layer = prepared(people(count))
    cast = layer.to(CPU, dtype)
    found = [cast.key, cast.value]
    if count > 1:
        found += [cast.chosen, *cast.first, *cast.folded[COND], *cast.folded[UNCOND]]
    assert {t.dtype for t in found} == {dtype}
    assert layer.key.dtype == torch.float32


def test_a_win_hides_the_other_candidates():
    visible = prepared(people(3)).chosen.exp().unflatten(1, (3, TOKENS))
    assert (visible == visible[..., :1]).all()
    assert torch.equal(visible[..., 0], torch.eye(3))


def test_a_win_leaves_people_with_a_mask_their_part():
    face_id, _ = with_masks(people(4), masked=(1,))
    assert prepared(face_id).halves[COND].chosen.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)], ids=str)
def test_half_precision_is_near_float32(dtype, tolerance):
    face_id = people(1)
    layer = prepared(face_id, routed=False)
    total = layer.to(CPU, dtype)(*(t.to(dtype) for t in inputs(2)), [UNCOND, COND])
    assert total.dtype == dtype
    assert recipe.relative_error(total, reference(face_id, 2, [UNCOND, COND], 0.7)) <= tolerance


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [2, 4])
def test_half_precision_routes_as_float32_does(count, dtype):
    assert agreement(count, 0.0, dtype, mean_removed=True) >= 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [2, 4])
def test_people_who_are_much_alike_stay_apart_in_half_precision(count, dtype):
    """Without the mean over people taken off, their folded vectors are rounded to nearly the same ones."""
    assert agreement(count, 1000.0, dtype, mean_removed=True) >= 0.99
    assert agreement(count, 1000.0, dtype, mean_removed=False) <= 0.95


def agreement(count: int, common: float, dtype: torch.dtype, mean_removed: bool) -> float:
    """Share of spots that `dtype` routes as float64 does, for people who have `common` times a noise in common."""
    channels, dim, tokens = 320, 768, 16
    router = router_layer("published size", channels, dim, tokens)
    own, alike = recipe.noise("own", (count, tokens, dim)), recipe.noise("alike", (1, tokens, dim))
    x = recipe.noise("x", (1, 1024, channels))
    people_tokens = own + common * alike
    first, exact = first_layer(router), with_mean(router, people_tokens)
    winners = route(x.double(), cast(first, torch.double), cast(exact, torch.double))
    folded = fold(router, people_tokens) if mean_removed else exact
    found = route(x.to(dtype), cast(first, dtype), cast(folded, dtype))
    return (found == winners).double().mean().item()


def cast(layer: Linear, dtype: torch.dtype) -> Linear:
    return tuple(t.to(dtype) for t in layer)


def with_mean(router: RouterLayer, tokens: Tensor) -> Linear:
    """As `fold`, with what people have in common."""
    rows = person_keys(router, tokens) @ router.query_out
    return rows.mT, torch.zeros(len(rows))


@pytest.mark.parametrize("count", range(1, 10))
def test_folded_vectors_come_in_eights(count):
    weight, bias = fold(router_layer(), torch.stack([person.cond for person in people(count)]))
    assert weight.shape == (2 * CHANNELS, 8 if count <= 8 else 16) and not weight[:, count:].any()
    assert bias.tolist() == [0.0] * count + [-torch.inf] * (weight.shape[1] - count)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_columns_that_fill_up_never_win(dtype):
    """Also where everybody's logits are negative, as rounding may make them."""
    _, bias = fold(router_layer(), torch.stack([person.cond for person in people(3)]))
    negative = F.pad(-torch.ones(2 * CHANNELS, 3), (0, 5)), bias
    positive = torch.eye(CHANNELS, 2 * CHANNELS), torch.full((2 * CHANNELS,), 3.0)
    x = recipe.noise("x", (1, 100, CHANNELS)).abs()
    assert route(x.to(dtype), cast(positive, dtype), cast(negative, dtype)).max() < 3


def test_prepared_layers_cannot_be_changed():
    layer = prepared(people(1), routed=False)
    assert isinstance(layer, IDAttention)
    with pytest.raises(AttributeError):
        layer.key = None
