"""ID attention and router as they are trained, against their twins at sampling and against the equations."""

import pytest
import torch
import torch.nn.functional as F

from uniportrait_core.attention.adapter import IDLayer, LoRAPair
from uniportrait_core.attention.projection import prepare
from uniportrait_core.attention.trained_attention import attend, attend_to_people, with_lora
from uniportrait_core.embedding.identity import Identity
from uniportrait_core.routing.router import RouterLayer
from uniportrait_core.routing.soft_router import (
    FINER,
    face_masks,
    gumbel,
    mask_of_layer,
    nearest_faces,
    routed_right,
    router_logits,
    routing_loss,
    soft_choice,
    straight_through,
    with_strangers,
)

CHANNELS, DIM, TOKENS, HEADS, SPOTS = 16, 12, 5, 4, 24


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + 31 * sum(shape)), dtype=dtype)


def layers(dtype: torch.dtype = torch.float32) -> tuple[IDLayer, RouterLayer]:
    make = lambda seed, *shape: 0.3 * noise(*shape, seed=seed, dtype=dtype)  # noqa: E731
    router = RouterLayer(
        query_in=(make(1, 2 * CHANNELS, CHANNELS), make(2, 2 * CHANNELS)),
        query_out=make(3, CHANNELS, 2 * CHANNELS),
        aggregate=(make(4, 1, TOKENS), make(5, 1)),
        key_in=(make(6, 2 * DIM, DIM), make(7, 2 * DIM)),
        key_out=make(8, CHANNELS, 2 * DIM),
    )
    return IDLayer(make(9, CHANNELS, DIM), make(10, CHANNELS, DIM)), router


@pytest.mark.parametrize("people", (1, 2, 3))
def test_trained_attention_is_that_of_sampling(people):
    layer, router = layers()
    tokens, x, query = noise(2, people, TOKENS, DIM), noise(2, SPOTS, CHANNELS), noise(2, SPOTS, CHANNELS, seed=1)
    shares = straight_through(soft_choice(router_logits(router, x, tokens, torch.ones(2, people, dtype=bool)), None, 1))
    found = attend_to_people(query, layer, tokens, shares, HEADS)
    for picture in range(2):
        face_id = tuple(Identity(cond, torch.zeros(TOKENS, DIM)) for cond in tokens[picture])
        attention = prepare(layer, router, face_id, 1.0, HEADS)
        own = slice(picture, picture + 1)
        wanted = attention(torch.zeros(1, SPOTS, CHANNELS), x[own], query[own], [0])
        torch.testing.assert_close(found[own], wanted, rtol=1e-5, atol=1e-6)


def test_people_who_are_not_there_change_nothing():
    layer, router = layers()
    tokens, x, query = noise(1, 2, TOKENS, DIM), noise(1, SPOTS, CHANNELS), noise(1, SPOTS, CHANNELS, seed=1)
    padded = torch.cat((tokens, noise(1, 1, TOKENS, DIM)), dim=1)

    def attended(tokens, present):
        logits = router_logits(router, x, tokens, torch.tensor([present]))
        masks = torch.zeros(1, len(present), SPOTS)
        masks[:, 0, :9] = 1
        score = routing_loss(logits, masks, torch.tensor([present]))
        return attend_to_people(query, layer, tokens, soft_choice(logits, None, 1.0), HEADS), score

    for found, wanted in zip(attended(padded, [True, True, False]), attended(tokens, [True, True]), strict=True):
        torch.testing.assert_close(found, wanted)


def test_shares_of_one_add_everybody():
    layer, _ = layers()
    tokens, query = noise(1, 3, TOKENS, DIM), noise(1, SPOTS, CHANNELS)
    found = attend_to_people(query, layer, tokens, torch.ones(1, 3, 1), HEADS)
    wanted = sum(attend_to_people(query, layer, tokens[:, n : n + 1], torch.ones(1, 1, 1), HEADS) for n in range(3))
    torch.testing.assert_close(found, wanted)


def test_attention_written_out():
    query, key, value = noise(2, SPOTS, CHANNELS), noise(2, 7, CHANNELS), noise(2, 7, CHANNELS, seed=1)
    heads = []
    for q, k, v in zip(*(t.chunk(HEADS, dim=-1) for t in (query, key, value)), strict=True):
        heads.append((q @ k.mT / (CHANNELS // HEADS) ** 0.5).softmax(dim=-1) @ v)
    torch.testing.assert_close(attend(query, key, value, HEADS), torch.cat(heads, dim=-1))


def test_a_lora_is_a_change_of_the_weight():
    weight, down, up, x = noise(6, 8), noise(3, 8), noise(6, 3), noise(2, 5, 8)
    found = with_lora(x, F.linear(x, weight), LoRAPair(down, up))
    torch.testing.assert_close(found, F.linear(x, weight + up @ down), rtol=1e-5, atol=1e-5)


# The router


def written_out_loss(logits, masks, present):
    """Equation 4, spot by spot."""
    losses = []
    for picture in range(len(logits)):
        total = weight = 0.0
        for spot in range(logits.shape[-1]):
            exponents = logits[picture, :, spot].exp() * present[picture]
            union = masks[picture, :, spot].sum().item()
            if union == 0:
                continue
            for person in range(logits.shape[1]):
                difference = exponents[person] / exponents.sum() - masks[picture, person, spot] / union
                total += union * difference.item() ** 2
            weight += union
        losses.append(total / max(weight, 1e-6) / present[picture].sum().item())
    return torch.tensor(losses)


def test_the_routing_loss_is_equation_4():
    logits = noise(3, 3, SPOTS)
    masks = torch.rand(3, 3, SPOTS, generator=torch.Generator().manual_seed(1)) / 3
    masks[:, :, :7] = 0
    masks[2] = 0  # nobody's face is in this picture
    present = torch.tensor([[True, True, True], [True, True, False], [True, True, True]])
    masks[1, 2] = 0
    found = routing_loss(logits.masked_fill(~present[..., None], -torch.inf), masks, present)
    torch.testing.assert_close(found, written_out_loss(logits, masks, present), rtol=1e-5, atol=1e-6)
    assert found[2] == 0 < found[0]


def test_the_routing_loss_is_zero_where_all_is_right_and_pulls_there():
    masks = F.one_hot(torch.arange(SPOTS) % 3, 3).T[None].float()
    present = torch.ones(1, 3, dtype=bool)
    assert routing_loss(60 * masks, masks, present) < 1e-6
    assert routed_right(60 * masks, masks) == 1
    logits = torch.zeros(1, 3, SPOTS, requires_grad=True)
    routing_loss(logits, masks, present).sum().backward()
    assert ((logits.grad < 0) == masks.bool()).all()


def test_spots_that_are_routed_right_are_counted_among_faces_only():
    masks = torch.zeros(1, 2, 4)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 1, 2] = 1
    masks[0, 0, 3] = 0.4  # less than half of it is face
    logits = torch.tensor([[[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]])
    assert routed_right(logits, masks).item() == pytest.approx(2 / 3)


def test_gradients_of_the_router_and_its_loss():
    _, router = layers(torch.float64)
    present = torch.tensor([[True, True, False], [True, True, True]])
    masks = torch.rand(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) / 3
    masks[0, 2] = 0
    uniform = torch.rand(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def losses(x, tokens, query_in, query_out, aggregate, key_in, key_out):
        trained = RouterLayer(
            (query_in, router.query_in[1]),
            query_out,
            (aggregate, router.aggregate[1]),
            (key_in, router.key_in[1]),
            key_out,
        )
        logits = router_logits(trained, x, tokens, present)
        return soft_choice(logits, gumbel(uniform), 0.7), routing_loss(logits, masks, present)

    given = [noise(2, 6, CHANNELS), noise(2, 3, TOKENS, DIM), router.query_in[0], router.query_out]
    given += [router.aggregate[0], router.key_in[0], router.key_out]
    assert torch.autograd.gradcheck(losses, [t.double().requires_grad_(True) for t in given])


def test_straight_through_is_one_hot_with_the_gradient_of_the_shares():
    logits = noise(2, 3, SPOTS, dtype=torch.float64).requires_grad_(True)
    uniform = torch.rand(2, 3, SPOTS, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    weights = noise(2, 3, SPOTS, seed=1, dtype=torch.float64)

    def shares(logits):
        return soft_choice(logits, gumbel(uniform), 0.8)

    hard = straight_through(shares(logits))
    assert set(hard.detach().unique().tolist()) == {0.0, 1.0}
    assert (hard.sum(dim=1) == 1).all()
    assert (hard.argmax(dim=1) == (logits + gumbel(uniform)).argmax(dim=1)).all()
    # The gradient of anything linear in the choice is that of the same in the shares, which is checked by differences.
    (found,) = torch.autograd.grad((hard * weights).sum(), logits)
    (wanted,) = torch.autograd.grad((shares(logits) * weights).sum(), logits)
    assert torch.equal(found, wanted)
    assert torch.autograd.gradcheck(lambda logits: (shares(logits) * weights).sum(), logits)


def test_gumbel_noise_makes_the_softmax_a_chance():
    """The Gumbel-max trick: a person wins with the softmax's probability."""
    logits = torch.tensor([0.5, -0.5, 1.5]).view(1, 3, 1).expand(1, 3, 200_000)
    uniform = torch.rand(logits.shape, generator=torch.Generator().manual_seed(5))
    won = soft_choice(logits, gumbel(uniform), 1.0).argmax(dim=1)
    found = torch.bincount(won.flatten(), minlength=3) / won.numel()
    # Three standard deviations of the share are 0.0034.
    torch.testing.assert_close(found, logits[0, :, 0].softmax(dim=0), atol=4e-3, rtol=0)


# Masks


def test_masks_of_faces():
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]])
    there = torch.tensor([[True, True, False]])
    masks = face_masks(boxes, there, (2, 4))
    assert masks.shape == (1, 3, 2 * FINER, 4 * FINER)
    assert not masks[0, 2].any()
    assert (masks.sum(dim=1) == 1).all()  # the two cover the picture, and nobody has a spot twice
    # Centres at 0.25 and 0.625: in the overlap the border is half-way, at 0.4375, which is 7 of 16.
    assert masks[0, 0, 0].tolist() == 7 * [1] + 9 * [0]
    assert mask_of_layer(masks, (1, 2)).tolist()[0][0] == [7 / 8, 0]


def test_the_nearest_face_has_every_spot():
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.4, 0.4, 0.6, 0.6]]]).repeat(2, 1, 1)
    there = torch.tensor([[True, True, False], [False, False, False]])
    nearest = nearest_faces(boxes, there, (4, 8))
    assert nearest.shape == (2, 3, 4 * FINER, 8 * FINER)
    assert nearest[0, 0].tolist() == 4 * FINER * [4 * FINER * [1] + 4 * FINER * [0]]
    assert torch.equal(nearest[0, 1], 1 - nearest[0, 0])
    assert not nearest[0, 2].any() and not nearest[1].any()


def test_everybody_is_a_candidate_and_own_people_come_first():
    tokens = torch.arange(6.0).view(3, 2, 1, 1)
    present = torch.tensor([[True, True], [True, False], [True, True]])
    everybody, there = with_strangers(tokens, present)
    assert everybody[..., 0, 0].tolist() == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 0, 1], [4, 5, 0, 1, 2, 3]]
    assert torch.equal(there, everybody[..., 0, 0] != 3)


def test_distances_are_in_pixels():
    """Two boxes one above the other in a tall picture: the border between them is half-way in pixels."""
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 0.6], [0.0, 0.4, 0.2, 1.0]]])
    (masks,) = face_masks(boxes, torch.ones(1, 2, dtype=bool), (8, 2))
    y, x = 14, 1  # centre of the spot: 14.5 of 32 rows, 1.5 of 8 columns
    nearest = [(14.5 - 9.6) ** 2 + (1.5 - 4) ** 2, (14.5 - 22.4) ** 2 + (1.5 - 0.8) ** 2]
    assert masks[:, y, x].argmax() == nearest.index(min(nearest))
