"""UNet calls that other packs make or change: tiles, blocks run past the host's call, a reference pass, channels."""

import logging
from functools import partial

import pytest
import torch

import recipe
import small
from graph import GraphError, run_node
from oracle import blank, differ, published, record
from oracle import ksample as sampled
from pack_doubles import (
    Couple,
    attention_of_its_own,
    ic_light,
    in_tiles,
    past_the_call,
    regions,
    with_reference_pass,
    without_numbers,
)
from small import apply
from styles import refer, with_style

ksample = partial(sampled, steps=1)
SAME = 1e-5
UPPER = torch.zeros(1, 16, 8)
UPPER[:, :8] = 1
BOXES = [(0, 0, 8, 8), (4, 0, 8, 8), (8, 0, 8, 8)]  # with half a tile in common


@pytest.fixture(scope="module")
def two(core):
    return small.people(core, 2)


def placed(people, *masks):
    return run_node("UniPortraitAdjustFaceID", face_id=people, weight=1.0, mask=torch.cat(masks))


# Tiles


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("people", [1, 2])
def test_tiles_in_batches(unet, uniportrait, core, people, batch):
    """Exact: the rows of a tile's two prompts follow one another, then come those of the next tile."""
    people = small.people(core, people)
    latent = blank(2)
    with published(unet, uniportrait, people):
        wanted = ksample(in_tiles(apply(unet, uniportrait, people, id_scale=0.0), BOXES, batch), latent_image=latent)
    found = ksample(in_tiles(apply(unet, uniportrait, people), BOXES, batch), latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME
    assert torch.equal(ksample(apply(in_tiles(unet, BOXES, batch), uniportrait, people), latent_image=latent), found)


@pytest.mark.parametrize("batch", [1, 2])
def test_masks_follow_the_picture(unet, uniportrait, two, batch, caplog):
    """In a tile of the lower half there is only the person whose mask is the lower half; nothing is in the log."""
    halves, everywhere, nowhere = BOXES[::2], torch.ones(1, 16, 8), torch.zeros(1, 16, 8)

    def drawn(*masks):
        return ksample(in_tiles(apply(unet, uniportrait, placed(two, *masks)), halves, batch), latent_image=blank(2))

    with caplog.at_level(logging.WARNING, "uniportrait"):
        found = drawn(UPPER, 1 - UPPER)
    assert not caplog.records
    first, second = drawn(everywhere, nowhere), drawn(nowhere, everywhere)
    assert recipe.relative_error(found[..., :8, :], first[..., :8, :]) <= SAME
    assert recipe.relative_error(found[..., 8:, :], second[..., 8:, :]) <= SAME
    assert differ(first, second)


def test_one_tile_is_no_tile(unet, uniportrait, two):
    """To the bit, masks and several pictures included."""
    model = apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER))
    whole = in_tiles(model, [(0, 0, 16, 8)], 1)
    assert torch.equal(ksample(whole, latent_image=blank(2)), ksample(model, latent_image=blank(2)))


def test_one_tile_of_an_area(unet, uniportrait, two):
    """The area's own part of the masks."""
    model = apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER))
    area = {"width": 64, "height": 64, "x": 0, "y": 64, "strength": 1.0}
    inputs = {
        name: run_node("ConditioningSetArea", conditioning=prompt, **area) for name, prompt in small.prompts().items()
    }

    def lower_half(model, boxes):
        return ksample(in_tiles(model, boxes, len(boxes)), **inputs)[..., 8:, :]

    assert torch.equal(lower_half(model, [(0, 0, 8, 8)]), ksample(model, **inputs)[..., 8:, :])
    halves, alone = [(0, 0, 4, 8), (4, 0, 4, 8)], placed(two, torch.zeros(1, 16, 8), torch.ones(1, 16, 8))
    wanted = lower_half(apply(unet, uniportrait, alone), halves)
    assert recipe.relative_error(lower_half(model, halves), wanted) <= SAME


def test_tiles_of_regional_prompts(unet, uniportrait, two):
    """Rows in the pack's order, repeated by another. Its own regions are those of each tile."""
    model = apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER))
    couple = Couple([None] * 2, regions(2))
    found = ksample(in_tiles(couple.on_model(model), BOXES, 1))
    assert recipe.relative_error(found, ksample(in_tiles(model, BOXES, 1))) <= SAME


def test_a_tile_beyond_the_edge(unet, uniportrait, two, caplog):
    """It goes on at the other side. Masks are fitted into it, and the log says so once; people are the right ones."""
    boxes = [(0, 0, 8, 8), (8, 0, 8, 8)]
    with caplog.at_level(logging.WARNING, "uniportrait"):
        ksample(in_tiles(apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER)), boxes, 2, shift=4), steps=2)
    assert ["in tiles and does not say where they are" in line.message for line in caplog.records] == [True]
    with published(unet, uniportrait, two):
        wanted = ksample(in_tiles(apply(unet, uniportrait, two, id_scale=0.0), boxes, 2, shift=4))
    assert recipe.relative_error(ksample(in_tiles(apply(unet, uniportrait, two), boxes, 2, shift=4)), wanted) <= SAME


def test_a_record_of_tiles(unet, uniportrait, two, caplog):
    """Every spot is in it, where it belongs: with masks the record is the masks."""
    model, routing = record(apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER)))
    with caplog.at_level(logging.WARNING, "uniportrait"):
        ksample(in_tiles(model, BOXES[::2], 2))
    assert not caplog.records
    (level,) = routing.maps()
    assert torch.allclose(level[0], torch.cat((UPPER, 1 - UPPER)))


def test_a_crop_that_is_sampled_by_itself(unet, uniportrait, two):
    """As nodes for faces and large pictures do it: to the pack it is a picture, and the masks are laid over it."""
    lower_left, over_it = blank(1, 8, 4), torch.zeros(1, 8, 4)
    over_it[:, :4] = 1
    found = ksample(apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER)), latent_image=lower_left)
    wanted = ksample(apply(unet, uniportrait, placed(two, over_it, 1 - over_it)), latent_image=lower_left)
    assert recipe.relative_error(found, wanted) <= SAME
    nowhere, everywhere = torch.zeros(1, 8, 4), torch.ones(1, 8, 4)
    followed = ksample(apply(unet, uniportrait, placed(two, nowhere, everywhere)), latent_image=lower_left)
    assert differ(found, followed)


# Calls that say nothing


def lines(caplog, *models, **inputs):
    with caplog.at_level(logging.WARNING, "uniportrait"):
        pictures = [ksample(model, **inputs) for model in models]
    return pictures, [line.message for line in caplog.records]


@pytest.mark.parametrize("people", [1, 2])
def test_blocks_that_a_pack_runs_by_itself(unet, uniportrait, core, people, caplog):
    """People have no effect there: one line in the log of each sampling says so."""
    people = small.people(core, people)
    model = apply(unet, uniportrait, people)
    pictures, said = lines(caplog, past_the_call(model), apply(past_the_call(unet), uniportrait, people))
    assert len(said) == 2 and all("had no effect: a node runs the U-Net's blocks by itself" in line for line in said)
    for picture in pictures:
        assert torch.equal(picture, ksample(apply(unet, uniportrait, people, id_scale=0.0)))


def test_blocks_that_a_pack_runs_by_itself_share_nothing(unet, caplog):
    style, latent = refer(unet)
    _, said = lines(caplog, past_the_call(with_style(unet, style)), latent_image=latent)
    (line,) = said
    assert line.startswith("Apply Style shares nothing: a node runs the U-Net's blocks by itself")


def test_self_attention_that_a_pack_leaves_replaced(unet, caplog):
    """The log's advice is true also where a node's attention stays in the model when the node is gone."""
    style, latent = refer(unet)
    with attention_of_its_own(unet):
        (found,), said = lines(caplog, with_style(unet, style), latent_image=latent)
        wanted = ksample(with_style(unet, style, strength=0.0), latent_image=latent)
    (line,) = said
    assert line.startswith("Apply Style shares nothing: no self-attention layer asked for ComfyUI's attention")
    assert line.endswith("and restart ComfyUI if that does not help, as some nodes leave theirs in the model.")
    assert torch.equal(found, wanted)


def test_a_sampling_that_fails_says_nothing_of_effects(unet, uniportrait, two, caplog):
    def fail(*_args):
        raise ValueError("elsewhere")

    model = apply(unet, uniportrait, two)
    model.set_model_unet_function_wrapper(fail)
    with pytest.raises(GraphError, match="elsewhere"):
        lines(caplog, model)
    assert not [line for line in caplog.records if line.name == "uniportrait"]


def test_calls_without_numbers(unet, uniportrait, two):
    """Whose rows are whose is known from the condition that goes along with the rows."""
    model = apply(unet, uniportrait, two)
    assert recipe.relative_error(ksample(without_numbers(model)), ksample(model)) <= SAME


def test_calls_without_numbers_or_conditions(unet, uniportrait, two, caplog):
    """Nothing is added rather than the wrong people, and one line in the log says so."""

    def wrapper(apply_model, call):
        options = {**call["c"]["transformer_options"], "cond_or_uncond": None}
        return apply_model(
            call["input"], call["timestep"], c_crossattn=call["c"]["c_crossattn"], transformer_options=options
        )

    model = apply(unet, uniportrait, two)
    model.set_model_unet_function_wrapper(wrapper)
    (picture,), said = lines(caplog, model)
    assert [line.split(":")[0] for line in said] == ["Apply ID Router adds nothing to some rows"]
    assert torch.equal(picture, ksample(apply(unet, uniportrait, two, id_scale=0.0)))


# A reference pass, more channels


@pytest.mark.parametrize("masks", [(), (UPPER, 1 - UPPER)])
def test_a_reference_pass_is_not_in_the_record(unet, uniportrait, two, masks):
    """The layers run twice in a call, and the last time they draw the picture."""
    model, routing = record(apply(unet, uniportrait, placed(two, *masks) if masks else two))
    ksample(with_reference_pass(model, recipe.noise("hint", (1, 4, 16, 8))))
    ((_, seen),) = routing._levels.values()
    assert (seen == 16).all()
    found = routing.maps()
    ksample(model)
    assert torch.equal(found[0], routing.maps()[0])


def test_a_model_with_more_channels_by_a_patch(unet):
    """IC-Light before Apply Style and Style Reference is refused, as other models of further channels are."""
    style, _ = refer(unet)
    model = ic_light(unet, recipe.noise("light", (1, 4, 16, 8)))
    for refused in (lambda: with_style(model, style), lambda: refer(model)):
        with pytest.raises(GraphError, match="takes 8 channels, as inpainting models do"):
            refused()
    assert differ(ksample(model), ksample(unet))
