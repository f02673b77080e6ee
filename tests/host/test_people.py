"""Working with people in the host: mixing, weights, region masks, and what is saved of them."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import recipe
import small
from graph import Graph, GraphError, run_node
from small import apply, sample

SAME = 1e-5


@pytest.fixture
def two(core):
    return small.people(core, 2, tag="two")


def adjust(face_id, weight=1.0, mask=None):
    inputs = {} if mask is None else {"mask": mask}
    return run_node("UniPortraitAdjustFaceID", face_id=face_id, weight=weight, **inputs)


def halves(height=64, width=32):
    """A mask for the upper and one for the lower half."""
    masks = torch.zeros(2, height, width)
    masks[0, : height // 2], masks[1, height // 2 :] = 1, 1
    return masks


# Mix


def mixed_list(a, b, **settings):
    graph = Graph()
    graph.take_list(graph.add("UniPortraitMixFaceID", face_id_a=graph.give(a), face_id_b=graph.give(b), **settings))
    return graph.run()["value"]


def test_a_series_goes_from_one_person_to_the_other(two):
    a, b = two[:1], two[1:]
    series = mixed_list(a, b, weight_b=1.0, series=5)
    assert len(series) == 5
    for step, (person,) in enumerate(series):
        assert recipe.relative_error(person.cond, torch.lerp(a[0].cond, b[0].cond, step / 4)) <= 1e-6
    assert torch.equal(series[0][0].cond, a[0].cond) and torch.equal(series[4][0].cond, b[0].cond)
    part = mixed_list(a, b, weight_b=0.5, series=3)
    assert torch.equal(part[2][0].cond, mixed_list(a, b, weight_b=0.5)[0][0].cond)


def test_a_series_samples_one_picture_for_each(unet, uniportrait, two):
    graph = Graph()
    mixed = graph.add(
        "UniPortraitMixFaceID", face_id_a=graph.give(two[:1]), face_id_b=graph.give(two[1:]), weight_b=1.0, series=3
    )
    model = graph.add(
        "IDRouterApply", model=graph.give(unet), uniportrait=graph.give(uniportrait), face_id=mixed, **small.APPLY
    )
    inputs = {name: graph.give(text) for name, text in small.prompts().items()}
    inputs["latent_image"] = graph.give({"samples": torch.zeros(1, 4, 16, 8)})
    graph.take_list(graph.add("KSampler", model=model, cfg=7.0, steps=2, **small.SAMPLER, **inputs))
    first, middle, last = (latent["samples"] for latent in graph.run()["value"])
    assert torch.equal(first, sample(apply(unet, uniportrait, two[:1])))
    assert torch.equal(last, sample(apply(unet, uniportrait, two[1:])))
    assert not torch.allclose(middle, first, atol=1e-3) and not torch.allclose(middle, last, atol=1e-3)


def test_three_people_are_mixed_by_chaining(core):
    a, b, c = ((person,) for person in small.people(core, 3))
    (pair,) = mixed_list(a, b, weight_b=0.5)
    ((mixed,),) = mixed_list(pair, c, weight_b=0.25)
    wanted = 0.375 * a[0].cond + 0.375 * b[0].cond + 0.25 * c[0].cond
    assert recipe.relative_error(mixed.cond, wanted) <= 1e-6


def test_groups_are_mixed_person_by_person(core):
    people = small.people(core, 4)
    (mixed,) = mixed_list(people[:2], people[2:], weight_b=0.5)
    assert len(mixed) == 2
    assert recipe.relative_error(mixed[1].cond, (people[1].cond + people[3].cond) / 2) <= 1e-6


def test_groups_of_different_size_cannot_be_mixed(core):
    with pytest.raises(GraphError, match="face_id_a holds 2 people and face_id_b 1.*before Combine Face IDs"):
        mixed_list(small.people(core, 2), small.people(core, 1), weight_b=0.5)


# Weights


def test_a_weight_multiplies_id_scale(unet, uniportrait, two):
    for people in (two[:1], two):
        strong = sample(apply(unet, uniportrait, people, id_scale=1.0))
        assert (
            recipe.relative_error(sample(apply(unet, uniportrait, adjust(people, 2.0), id_scale=0.5)), strong) <= SAME
        )


def test_the_weight_of_one_person_leaves_the_others(unet, uniportrait, two):
    weaker = run_node("MultiIDConditioning", face_id_1=adjust(two[:1], 0.2), face_id_2=two[1:])
    assert [person.weight for person in weaker] == [0.2, 1.0]
    assert not torch.allclose(
        sample(apply(unet, uniportrait, weaker)), sample(apply(unet, uniportrait, two)), atol=1e-3
    )
    assert [person.weight for person in two] == [1.0, 1.0]  # a node changes nothing that it is given


# Masks


def test_an_all_one_mask_of_the_only_person_equals_none(unet, uniportrait, two):
    masked = adjust(two[:1], mask=torch.ones(1, 64, 32))
    assert (
        recipe.relative_error(sample(apply(unet, uniportrait, masked)), sample(apply(unet, uniportrait, two[:1])))
        <= SAME
    )


def test_a_black_mask_takes_a_person_out(unet, uniportrait, two):
    gone = adjust(two[:1], mask=torch.zeros(1, 64, 32))
    absent = apply(unet, uniportrait, two[:1], id_scale=0.0)
    assert recipe.relative_error(sample(apply(unet, uniportrait, gone)), sample(absent)) <= SAME


def test_masks_of_any_size_and_order_give_the_same(unet, uniportrait, two):
    small_masks, large = adjust(two, mask=halves()), adjust(two, mask=halves(128, 64))
    wanted = sample(apply(unet, uniportrait, small_masks))
    assert recipe.relative_error(sample(apply(unet, uniportrait, large)), wanted) <= SAME
    assert recipe.relative_error(sample(apply(unet, uniportrait, small_masks[::-1])), wanted) <= SAME
    assert not torch.allclose(sample(apply(unet, uniportrait, two)), wanted, atol=1e-3)


def test_a_mask_for_one_person_leaves_the_rest_to_the_other(unet, uniportrait, two):
    """Of two people, whoever has no mask gets what remains: the complement."""
    one = (adjust(two[:1], mask=halves()[:1])[0], two[1])
    both = sample(apply(unet, uniportrait, adjust(two, mask=halves())))
    assert recipe.relative_error(sample(apply(unet, uniportrait, one)), both) <= SAME


def test_the_router_divides_what_the_masks_leave(unet, uniportrait, core):
    three = small.people(core, 3)
    empty = (adjust(three[:1], mask=torch.zeros(1, 8, 8))[0], *three[1:])
    routed = sample(apply(unet, uniportrait, three[1:]))
    assert recipe.relative_error(sample(apply(unet, uniportrait, empty)), routed) <= SAME


@pytest.mark.parametrize("shape", [(8, 8), (1, 1, 8, 8)])
def test_masks_as_other_packs_give_them(two, shape):
    (person,) = adjust(two[:1], mask=torch.full(shape, 2.0))
    assert torch.equal(person.mask, torch.ones(8, 8))


def test_a_mask_that_is_no_numbers(two):
    with pytest.raises(GraphError, match="mask at Adjust Face ID .* holds NaN or infinity; needed is a mask"):
        adjust(two[:1], mask=torch.full((1, 8, 8), torch.nan))


@pytest.mark.parametrize("mask", [torch.zeros(1, 0, 8), torch.zeros(1, 3, 8, 8), torch.zeros(8)])
def test_what_is_no_mask(two, mask):
    with pytest.raises(GraphError, match=r"mask at Adjust Face ID is of shape .* needed is \(masks, height, width\)"):
        adjust(two[:1], mask=mask)


def test_a_black_mask_is_mentioned_in_the_log(two, caplog):
    adjust(two, mask=halves())
    assert not caplog.records
    adjust(two, mask=halves() * torch.tensor([1, 0])[:, None, None])
    assert [record.message for record in caplog.records] == [
        "Mask 2 at Adjust Face ID is black: the person will be nowhere in the picture."
    ]


def test_adjusting_again_sets_the_weight_anew_and_keeps_the_mask(two):
    (person,) = adjust(adjust(two[:1], 0.5, halves()[:1]), 2.0)
    assert person.weight == 2.0 and torch.equal(person.mask, halves()[0])


@pytest.mark.parametrize("latent", [(9, 17), (24, 8)])
@pytest.mark.parametrize("batch", [1, 3])
def test_masks_with_latents_of_any_size(unet, uniportrait, two, latent, batch):
    result = sample(apply(unet, uniportrait, adjust(two, mask=halves())), latent=latent, batch=batch)
    assert result.isfinite().all()


def test_as_many_masks_as_people_are_needed(two):
    with pytest.raises(GraphError, match="There are 2 masks for 1 people"):
        adjust(two[:1], mask=halves())


# Files


def save_and_load(people, name, **settings):
    graph = Graph()
    prefix = f"people/{name}"
    saved = graph.add("UniPortraitSaveFaceID", face_id=graph.give(people), filename_prefix=prefix, **settings)
    graph.run()
    graph_2 = Graph()
    loaded = graph_2.add("UniPortraitLoadFaceID", face_id_file=os.path.join("people", f"{name}_00001_.safetensors"))
    graph_2.take(loaded)
    return graph_2.run()["value"], graph.shown[saved[0]], graph_2.shown.get(loaded[0])


def test_all_that_is_known_of_people_is_saved(two, base):
    thumbnail = torch.randint(0, 256, (112, 112, 3), dtype=torch.uint8)
    first = replace(two[0], embedding=recipe.noise("embedding", (512,)), thumbnail=thumbnail)
    given = (adjust((first,), 0.3, halves()[:1])[0], two[1])
    (known, plain), saved, loaded = save_and_load(given, "known")
    for part in ("cond", "uncond", "embedding", "thumbnail", "mask"):
        assert torch.equal(getattr(known, part), getattr(given[0], part)), part
    assert known.weight == 0.3
    assert plain.embedding is plain.thumbnail is plain.mask is None and plain.weight == 1.0
    for shown in (saved, loaded):
        (image,) = shown["images"]
        file = Image.open(base / "temp" / image["subfolder"] / image["filename"])
        assert np.array_equal(np.asarray(file), thumbnail.numpy())


def test_faces_can_be_kept_out_of_the_file(two):
    given = tuple(replace(person, thumbnail=torch.zeros(112, 112, 3, dtype=torch.uint8)) for person in two)
    loaded, saved, shown = save_and_load(given, "faceless", thumbnail=False)
    assert all(person.thumbnail is None for person in loaded)
    assert "images" not in saved and shown is None


def test_saved_people_draw_the_same_picture(unet, uniportrait, two):
    given = adjust(two, 0.8, halves())
    loaded, _, _ = save_and_load(given, "same")
    assert torch.equal(sample(apply(unet, uniportrait, loaded)), sample(apply(unet, uniportrait, given)))
