"""Packs that repeat rows of the cross-attention layers, a copy for each region of the picture with a prompt of its own.

Where all regions have the prompt's own text the picture is that without regions: who gets another row's people, mask or
record is found out. With texts of their own it is the written-out attention's, which knows each copy by its text.
"""

import dataclasses
import logging
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

import recipe
import small
from graph import run_node
from oracle import UNSEEN, blank, compiled, differ, published, record, sharing
from oracle import ksample as sampled
from pack_doubles import Couple, regions
from small import apply
from styles import load_ip_adapter, refer, with_style

ksample = partial(sampled, steps=1)
SAME = 1e-5
TEXTS = [None, *recipe.noise("regions", (3, 1, 77, 768))]


@pytest.fixture(scope="module")
def two(core):
    return small.people(core, 2)


def own_texts(count=2, **settings):
    """Regions that all have the prompt's own text."""
    return Couple([None] * count, regions(count), **settings)


def placed(people, *masks, weight=1.0):
    return run_node("UniPortraitAdjustFaceID", face_id=people, weight=weight, mask=torch.cat(masks))


def as_without(model, couple, **inputs):
    """How far the picture of a model with regions of the prompt's own text is from that without."""
    return recipe.relative_error(ksample(couple.on_model(model), **inputs), ksample(model, **inputs))


@pytest.mark.parametrize("people", [1, 2, 4])
@pytest.mark.parametrize(("order", "count", "batch"), [("regions", 2, 1), ("regions", 3, 2), ("rows", 2, 2)])
def test_copies_get_the_people_of_their_row(unet, uniportrait, core, people, order, count, batch):
    """Halves of guidance in one call. The third order is that of no known pack."""
    model = apply(unet, uniportrait, small.people(core, people))
    assert as_without(model, own_texts(count, order=order), latent_image=blank(batch)) <= SAME


def test_copies_in_any_order(unet, uniportrait, two):
    assert as_without(apply(unet, uniportrait, two), own_texts(3, order="behind"), latent_image=blank(2)) <= SAME


@pytest.mark.parametrize("shared_uncond", [True, False])
@pytest.mark.parametrize("people", [1, 2, 3])
def test_regions_with_texts_of_their_own(unet, uniportrait, core, people, shared_uncond):
    """Exact, and the same bits in both orders of nodes."""
    people, couple = small.people(core, people, shared_uncond), Couple(TEXTS[:3], regions(3))
    found = ksample(couple.on_model(apply(unet, uniportrait, people)))
    assert torch.equal(ksample(apply(couple.on_model(unet), uniportrait, people)), found)
    with published(unet, uniportrait, people):
        wanted = ksample(couple.on_model(apply(unet, uniportrait, people, id_scale=0.0)))
    assert recipe.relative_error(found, wanted) <= SAME
    assert recipe.relative_error(ksample(apply(unet, uniportrait, people)), found) > 0.01
    assert recipe.relative_error(ksample(couple.on_model(unet)), found) > 0.01


def test_a_prompt_that_brings_its_regions_along(unet, uniportrait, core):
    """Of the positive prompt alone, which makes calls of its own, and of both in one call."""
    people, couple = small.people(core, 2), Couple(TEXTS[:3], regions(3))
    prompts = small.prompts()
    alone = {**prompts, "positive": couple.on_prompts(prompts["positive"])[0]}
    both = dict(zip(prompts, couple.on_prompts(*prompts.values()), strict=True))
    model, bare = (apply(unet, uniportrait, people, id_scale=scale) for scale in (0.7, 0.0))
    for inputs in (alone, both):
        with published(unet, uniportrait, people):
            wanted = ksample(bare, **inputs)
        assert recipe.relative_error(ksample(model, **inputs), wanted) <= SAME
        assert differ(ksample(bare, **inputs), wanted)


@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_halves_in_calls_of_their_own(unet, uniportrait, two, monkeypatch, cfg):
    """As the host makes them where memory is short; with a cfg of 1 there is one half."""
    monkeypatch.setattr(unet.model, "memory_required", lambda *_args, **_kwargs: 1e15)
    assert as_without(apply(unet, uniportrait, two), own_texts(3), cfg=cfg, latent_image=blank(2)) <= SAME


UPPER = torch.zeros(1, 16, 8)
UPPER[:, :10] = 1


@pytest.mark.parametrize("masks", [(UPPER, 1 - UPPER), (UPPER,)])
@pytest.mark.parametrize("batch", [1, 2])
def test_region_masks(unet, uniportrait, core, masks, batch):
    """For everybody, and for one of three people, of whom the router has to choose among the others."""
    three = small.people(core, 3)
    people = placed(three[: len(masks)], *masks, weight=0.8) + three[2:] + (three[1:2] if len(masks) == 1 else ())
    model = apply(unet, uniportrait, people)
    assert as_without(model, own_texts(2), latent_image=blank(batch)) <= SAME
    shown = [dataclasses.replace(person, mask=None) for person in people]
    assert differ(ksample(model), ksample(apply(unet, uniportrait, tuple(shown))))


@pytest.mark.parametrize("order", ["regions", "behind"])
def test_areas_with_region_masks(unet, uniportrait, two, order):
    """Three parts of a call, two of them positive and in places of their own, each with its part of the masks."""
    texts, prompts = recipe.noise("areas", (2, 1, 77, 768)), []
    for text, y in zip(texts, (0, 64), strict=True):
        area = {"width": 64, "height": 64, "x": 0, "y": y, "strength": 1.0}
        prompts += run_node("ConditioningSetArea", conditioning=[[text, {}]], **area)
    model = apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER))
    assert as_without(model, own_texts(2, order=order), positive=prompts, latent_image=blank(2)) <= SAME


@pytest.mark.parametrize("people", [1, 2])
def test_a_style_picture(unet, uniportrait, core, base, people):
    """All of its copies get neither faces nor tokens."""
    style, latent = refer(unet, **load_ip_adapter(base / "models" / "ipadapter"))
    people, couple = small.people(core, people), Couple(TEXTS[:3], regions(3))
    model = apply(with_style(unet, style), uniportrait, people)
    assert as_without(model, own_texts(2), latent_image=latent) <= SAME
    found = ksample(couple.on_model(model), latent_image=latent)
    before = apply(with_style(couple.on_model(unet), style), uniportrait, people)
    assert torch.equal(ksample(before, latent_image=latent), found)
    tokens = with_style(unet, style, strength=0.0)
    with sharing(unet, pictures=3), published(unet, uniportrait, people, pictures=3):
        wanted = ksample(couple.on_model(apply(tokens, uniportrait, people, id_scale=0.0)), latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME


@pytest.mark.parametrize("masks", [(), (UPPER, 1 - UPPER)])
@pytest.mark.parametrize("alone", [False, True])
def test_a_record_has_each_spot_once(unet, uniportrait, two, masks, alone):
    people = placed(two, *masks) if masks else two
    couple, prompts = own_texts(2), small.prompts()
    if alone:
        prompts["positive"] = couple.on_prompts(prompts["positive"])[0]
    model, routing = record(apply(unet, uniportrait, people))
    ksample(model if alone else couple.on_model(model), latent_image=blank(2), **prompts)
    ((_, seen),) = routing._levels.values()
    assert (seen == 16).all()
    plain, wanted = record(apply(unet, uniportrait, people))
    ksample(plain, latent_image=blank(2))
    (found,), (expected,) = routing.maps(), wanted.maps()
    assert (found - expected).abs().mean() <= 0.01  # a tie or two may fall the other way


# What it costs others


def test_patches_of_others_are_run_as_ever(unet, uniportrait, two):
    """One that leaves the number of rows alone once a layer, one that repeats them once more in the first step."""
    calls = []

    def same(query, key, value, options):
        calls.append(options["block"])
        return query, key, value

    model = apply(unet, uniportrait, two)
    model.set_model_attn2_patch(same)
    couple = own_texts(2)
    ksample(model, steps=3)
    assert len(calls) == 3 * 16
    both = couple.on_model(model)
    ksample(both, steps=3)
    assert len(calls) == 6 * 16 and couple.calls == (3 + 1) * 16
    assert both.model_options["transformer_options"]["patches"]["attn2_patch"] == [same, couple.repeat]


def test_two_packs_repeat_rows(unet, uniportrait, two):
    """One behind the other: copies of copies, joined in the reverse order."""
    first, second = own_texts(2), own_texts(2)

    def again(query, key, value, options):
        inner = {"cond_or_uncond": [0] * 3}
        given = second.repeat(query, key, value, inner)
        options["second"] = inner
        return given

    def join(hidden, options):
        return first.join(second.join(hidden, {**options, **options["second"]}), options)

    model = apply(unet, uniportrait, two)
    both = model.clone()
    both.set_model_attn2_patch(first.repeat)
    both.set_model_attn2_patch(again)
    both.set_model_attn2_output_patch(join)
    assert recipe.relative_error(ksample(both), ksample(model)) <= SAME


def mixed(model):
    """A model with a pack that makes a third row of both others and leaves it out again."""
    model = model.clone()

    def mix(query, key, value, _options):
        return tuple(torch.cat((t, t.mean(dim=0, keepdim=True))) for t in (query, key, value))

    model.set_model_attn2_patch(mix)
    model.set_model_attn2_output_patch(lambda hidden, _options: hidden[:-1])
    return model


def test_rows_that_are_nobodys(unet, uniportrait, two, caplog):
    """Nothing is added to them, in the log is one line per sampling, and the others are what they are without."""
    model = apply(unet, uniportrait, two)
    with caplog.at_level(logging.WARNING, "uniportrait"):
        for count in (1, 2):
            found = ksample(mixed(model))
            assert len(caplog.records) == count
    assert caplog.records[0].message.startswith("Apply ID Router adds nothing to some rows")
    assert recipe.relative_error(found, ksample(model)) <= SAME


def test_rows_that_change_unseen(unet, uniportrait, two, caplog):
    """By a patch that comes within the call: people are left out instead of mixed up, and the log says so."""
    couple = own_texts(3)

    def within(executor, *args, **kwargs):
        args = list(args)
        patches = {"attn2_patch": [couple.repeat], "attn2_output_patch": [couple.join]}
        args[5] = {**args[5], "patches": patches}
        return executor(*args, **kwargs)

    model = apply(unet, uniportrait, two)
    model.add_wrapper_with_key("diffusion_model", "within", within)
    with caplog.at_level(logging.WARNING, "uniportrait"):
        found = ksample(model)
    assert [line.message.split(":")[0] for line in caplog.records] == ["Apply ID Router adds nothing to some rows"]
    assert recipe.relative_error(found, ksample(apply(unet, uniportrait, two, id_scale=0.0))) <= SAME


@pytest.fixture
def from_scratch():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def test_a_compiled_model(unet, uniportrait, two, from_scratch):
    """Finding out who is whose is kept out of what is compiled: graphs break there, and bits stay."""
    model = own_texts(2).on_model(apply(unet, uniportrait, two))
    assert torch.equal(ksample(compiled(model), steps=3), ksample(model, steps=3))


def test_a_compiled_model_with_a_patch_that_repeats_nothing(unet, uniportrait, two, from_scratch):
    """One graph for all steps and people, as without the patch."""
    for people in (two, two[::-1]):
        model = apply(unet, uniportrait, people, lora_scale=0.0)
        model.set_model_attn2_patch(lambda query, key, value, _options: (query, key * 1.01, value))
        assert torch.equal(ksample(compiled(model), steps=3), ksample(model, steps=3))
    if UNSEEN:
        assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
