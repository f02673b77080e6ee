"""People in models of SDXL's and Stable Diffusion 2's layout, and what goes around them there."""

import dataclasses

import comfy.model_management
import pytest
import torch

import other_models
import recipe
import small
from graph import run_node
from oracle import attentions, attn2_modules, both_ways, compiled, differ, ksample, published, record
from pack_doubles import Couple, regions
from slot_double import picture_adapter
from small import apply

SAME = 1e-5
UPPER = (torch.arange(16)[:, None] < 8).float().expand(1, 16, 8)


@pytest.fixture
def two(core, sdxl_weights):
    return small.people(core, 2, shape=sdxl_weights.token_shape)


@pytest.fixture(scope="module")
def sd2(pack):
    return other_models.drawn(other_models.sd2())


@pytest.fixture(scope="module")
def sd2_weights(small_weights, sd2, base):
    """They say nothing of themselves but what their sizes say."""
    folder = base / "models" / "uniportrait"
    other_models.write_faceid(folder / "sd2-faceid.safetensors", sd2)
    other_models.write_router(folder / "sd2-router.safetensors", sd2)
    return small.load_uniportrait("sd2-faceid.safetensors", "sd2-router.safetensors")


@pytest.mark.parametrize("people", [1, 3])
@pytest.mark.parametrize(("names", "heads"), [(("sdxl", "sdxl_weights"), {1, 2}), (("sd2", "sd2_weights"), {1, 2})])
def test_the_published_equation(core, request, names, heads, people):
    model, weights = map(request.getfixturevalue, names)
    assert {attention.heads for attention in attn2_modules(model)} == heads
    people = small.people(core, people, shared_uncond=False, shape=weights.token_shape)
    found, wanted = both_ways(model, weights, people)
    assert recipe.relative_error(found, wanted) <= SAME
    for scales in ({"id_scale": 0.0}, {"lora_scale": 0.0}):
        assert differ(found, ksample(apply(model, weights, people, **scales)))


def test_what_weights_are_for(sdxl_weights, sd2_weights, uniportrait):
    bases = [weights.base for weights in (sdxl_weights, sd2_weights, uniportrait)]
    assert bases == ["SDXL", "Stable Diffusion 2", "Stable Diffusion 1.5"]
    assert sdxl_weights.token_shape == (10, 2048) and len(sdxl_weights.layers) == 70


@pytest.mark.parametrize("people", [1, 2])
def test_the_lora_finds_its_places(sdxl, sdxl_weights, two, people):
    before = {key: weight.clone() for key, weight in sdxl.model.diffusion_model.state_dict().items()}
    lora = (sdxl_weights.router if people > 1 else sdxl_weights).lora
    comfy.model_management.load_models_gpu([apply(sdxl, sdxl_weights, two[:people])])
    names = {module: name for name, module in sdxl.model.diffusion_model.named_modules()}
    for attention, pairs in zip((part for pair in attentions(sdxl) for part in pair), lora, strict=True):
        for name, pair in pairs.items():
            layer = attention.to_out[0] if name == "out" else getattr(attention, f"to_{name}")
            wanted = before[f"{names[layer]}.weight"] + pair.up @ pair.down
            assert recipe.relative_error(layer.weight, wanted) <= SAME
    comfy.model_management.unload_all_models()
    assert all(torch.equal(weight, before[key]) for key, weight in sdxl.model.diffusion_model.state_dict().items())


# 4 and 20 of the encoder, 30 and 6 of the decoder, 10 of the middle block
LAYERS = {"encoder only": range(24), "decoder only": range(24, 60), "middle and decoder": range(24, 70)}


@pytest.mark.parametrize("preset", LAYERS)
def test_layers(sdxl, sdxl_weights, two, preset):
    with published(sdxl, sdxl_weights, two, layers=LAYERS[preset]):
        wanted = ksample(apply(sdxl, sdxl_weights, two, id_scale=0.0))
    assert recipe.relative_error(ksample(apply(sdxl, sdxl_weights, two, layers=preset)), wanted) <= SAME


# What goes around people


def area(prompt, y):
    settings = {"width": 64, "height": 64, "x": 0, "y": y, "strength": 1.0}
    return run_node("ConditioningSetArea", conditioning=prompt, **settings)


def placed(people, *masks):
    return run_node("UniPortraitAdjustFaceID", face_id=people, weight=1.0, mask=torch.cat(masks))


def test_areas_and_halves_in_calls_of_their_own(sdxl, sdxl_weights, two, monkeypatch):
    prompts = small.prompts(2048)
    ((text, options),) = prompts["positive"]
    positive = prompts["positive"] + area([[-text, options]], 64)
    found, wanted = both_ways(sdxl, sdxl_weights, two, positive=positive)
    assert recipe.relative_error(found, wanted) <= SAME
    monkeypatch.setattr(sdxl.model, "memory_required", lambda *_args, **_kwargs: 1e15)
    assert recipe.relative_error(ksample(apply(sdxl, sdxl_weights, two), positive=positive), found) <= SAME


def test_region_masks(sdxl, sdxl_weights, two):
    """Whose mask is the whole picture has all of it; a record has everybody where their mask is, in all layers."""
    multi_lora = apply(sdxl, sdxl_weights, two, id_scale=0.0)
    with published(sdxl, dataclasses.replace(sdxl_weights, router=None), two[:1]):
        wanted = ksample(multi_lora)
    whole = placed(two, torch.ones(1, 16, 8), torch.zeros(1, 16, 8))
    assert recipe.relative_error(ksample(apply(sdxl, sdxl_weights, whole)), wanted) <= SAME
    model, routing = record(apply(sdxl, sdxl_weights, placed(two, UPPER, 1 - UPPER)))
    found = ksample(model)
    assert all(torch.equal(level[0], torch.cat((UPPER, 1 - UPPER))) for level in routing.maps())
    assert differ(found, wanted)


def test_a_pack_that_shares_its_slot(sdxl, sdxl_weights, two):
    people = apply(sdxl, sdxl_weights, two)
    both = ksample(picture_adapter(people, "picture"))
    assert torch.equal(ksample(apply(picture_adapter(sdxl, "picture"), sdxl_weights, two)), both)
    assert recipe.relative_error(ksample(picture_adapter(people, "nothing", weight=0.0)), ksample(people)) <= SAME
    assert differ(both, ksample(people)) and differ(both, ksample(picture_adapter(sdxl, "picture")))


def test_regions_with_texts_of_their_own(sdxl, sdxl_weights, two):
    couple = Couple([None, recipe.noise("couple.text", (1, 77, 2048))], regions(2))
    found = ksample(couple.on_model(apply(sdxl, sdxl_weights, two)))
    assert torch.equal(ksample(apply(couple.on_model(sdxl), sdxl_weights, two)), found)
    with published(sdxl, sdxl_weights, two):
        wanted = ksample(couple.on_model(apply(sdxl, sdxl_weights, two, id_scale=0.0)))
    assert recipe.relative_error(found, wanted) <= SAME


def test_in_a_compiled_model(sdxl, sdxl_weights, two):
    """The host compiles SDXL's blocks as one graph."""
    torch._dynamo.reset()
    model = apply(sdxl, sdxl_weights, two)
    assert torch.equal(ksample(compiled(model), steps=1), ksample(model, steps=1))
    torch._dynamo.reset()
