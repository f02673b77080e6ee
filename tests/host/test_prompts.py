"""Which prompt is whose: guiders and guidance that number prompts in their own way, and areas with region masks."""

import logging

import pytest
import torch

import recipe
import small
from graph import GraphError, run_node
from oracle import attn2_modules, blank, differ, ksample
from small import apply

SAME = 1e-5


@pytest.fixture
def patched(unet, uniportrait, core):
    return apply(unet, uniportrait, small.people(core, 2))


def guided(guider):
    """A latent from the host's sampler with a guider."""
    return run_node(
        "SamplerCustomAdvanced",
        noise=run_node("RandomNoise", noise_seed=7),
        guider=guider,
        sampler=run_node("KSamplerSelect", sampler_name="euler"),
        sigmas=torch.tensor([14.6, 3.0, 0.0]),
        latent_image=blank(),
    )["samples"]


def ordinary(model, cfg, **prompts):
    return guided(run_node("CFGGuider", model=model, cfg=cfg, **{**small.prompts(), **prompts}))


@pytest.mark.parametrize("style", ["regular", "nested"])
@pytest.mark.parametrize("areas", [False, True])
def test_a_guider_of_three_prompts(patched, style, areas):
    """With the same text as both positive prompts it is ordinary guidance, whatever their weight against each other.

    The host copies areas of the positive prompts to the negative one.
    """
    prompts = small.prompts()
    if areas:
        prompts["positive"] = prompts["positive"] + area(recipe.noise("area", (1, 77, 768)), 64)
    guider = run_node(
        "DualCFGGuider",
        model=patched,
        cond1=prompts["positive"],
        cond2=prompts["positive"],
        negative=prompts["negative"],
        cfg_conds=3.0,
        cfg_cond2_negative=2.0,
        style=style,
    )
    assert recipe.relative_error(guided(guider), ordinary(patched, 2.0, **prompts)) <= SAME


def test_a_guider_with_an_empty_prompt(patched):
    """Without weight on the negative prompt it is ordinary guidance away from the empty one."""
    prompts = small.prompts()
    empty = [[recipe.noise("empty", (1, 77, 768)), {}]]
    guider = run_node("PerpNegGuider", model=patched, empty_conditioning=empty, cfg=2.0, neg_scale=0.0, **prompts)
    assert recipe.relative_error(guided(guider), ordinary(patched, 2.0, negative=empty)) <= SAME


# Region masks


UPPER = torch.zeros(1, 16, 8)
UPPER[:, :8] = 1


def placed(people, *masks):
    return run_node("UniPortraitAdjustFaceID", face_id=people, weight=1.0, mask=torch.cat(masks))


def area(text, y):
    settings = {"width": 64, "height": 64, "x": 0, "y": y, "strength": 1.0}
    return run_node("ConditioningSetArea", conditioning=[[text, {}]], **settings)


@pytest.mark.parametrize(("y", "there"), [(0, 0), (64, 1)])
def test_a_mask_is_of_the_picture_and_not_of_the_area(unet, uniportrait, core, y, there):
    """In the area of the lower half there is only the person whose mask is the lower half."""
    two = small.people(core, 2)
    prompt = area(small.prompts()["positive"][0][0], y)
    everywhere, nowhere = torch.ones(1, 16, 8), torch.zeros(1, 16, 8)
    alone = [everywhere, nowhere] if there == 0 else [nowhere, everywhere]
    found = ksample(apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER)), positive=prompt)
    wanted = ksample(apply(unet, uniportrait, placed(two, *alone)), positive=prompt)
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found, ksample(apply(unet, uniportrait, placed(two, *alone[::-1])), positive=prompt))


def test_areas_in_one_call_have_the_masks_of_their_own_places(unet, uniportrait, core):
    two, texts = small.people(core, 2), recipe.noise("areas", (2, 1, 77, 768))
    prompt = area(texts[0], 0) + area(texts[1], 64)
    everywhere, nowhere = torch.ones(1, 16, 8), torch.zeros(1, 16, 8)

    def once(*masks):
        return ksample(apply(unet, uniportrait, placed(two, *masks)), positive=prompt, steps=1)

    found = once(UPPER, 1 - UPPER)
    assert recipe.relative_error(found[..., :8, :], once(everywhere, nowhere)[..., :8, :]) <= SAME
    assert recipe.relative_error(found[..., 8:, :], once(nowhere, everywhere)[..., 8:, :]) <= SAME


def in_tiles(model):
    """A model whose sampler draws the picture in two tiles, as packs for large pictures do it."""

    def wrapper(apply_model, call):
        tiles = call["input"].chunk(2, dim=2)
        return torch.cat([apply_model(tile, call["timestep"], **call["c"]) for tile in tiles], dim=2)

    model = model.clone()
    model.set_model_unet_function_wrapper(wrapper)
    return model


def test_masks_in_tiles_are_mentioned_once_per_sampling(unet, uniportrait, core, caplog):
    two = small.people(core, 2)
    with caplog.at_level(logging.WARNING, "uniportrait"):
        ksample(in_tiles(apply(unet, uniportrait, two)))
        ksample(apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER)))
        assert not caplog.records
        model = in_tiles(apply(unet, uniportrait, placed(two, UPPER, 1 - UPPER)))
        for count in (1, 2):
            ksample(model)
            assert len(caplog.records) == count
    assert "in tiles and does not say where they are" in caplog.records[0].message


# Where there is nothing to take


def test_attention_that_is_replaced_as_a_whole_is_mentioned(unet, uniportrait, core, caplog, monkeypatch):
    people = small.people(core, 1)
    for attention in attn2_modules(unet):
        monkeypatch.setattr(attention, "forward", lambda x, *_args, **_kwargs: x)
    with caplog.at_level(logging.WARNING, "uniportrait"):
        ksample(unet)
        ksample(apply(unet, uniportrait, people, end_percent=0.01), denoise=0.5)  # not wanted at any step
        assert not caplog.records
        ksample(apply(unet, uniportrait, people))
    (record,) = caplog.records
    assert record.message.startswith("Apply ID Router had no effect: the U-Net's cross-attention layers were never run")


def test_a_unet_that_is_replaced_is_an_error(unet, uniportrait, core):
    class Engine(torch.nn.Module):
        dtype = torch.float32

    model = apply(unet, uniportrait, small.people(core, 1))
    model.add_object_patch("diffusion_model", Engine())
    with pytest.raises(GraphError, match="The U-Net is of type Engine while it is sampled.*Take away the node"):
        ksample(model)
    model.unpatch_model()
