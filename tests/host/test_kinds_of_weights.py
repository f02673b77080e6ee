"""Weights of other kinds than the published: for which models they are, with which features, and what does not fit."""

import pytest
import torch
from comfy.model_patcher import ModelPatcher

import recipe
import small
from graph import GraphError, run_node
from other_models import sdxl_without_middle, write_faceid, write_router
from small import apply

LOCAL, GLOBAL, NONE = "local", "global", "none"
BOTH = ["shallow", "clip"]


@pytest.fixture(scope="module")
def folder(base, small_weights):
    return base / "models" / "uniportrait"


def features(intrinsic=LOCAL, structure=BOTH):
    return {"intrinsic": intrinsic, "structure": list(structure)}


def write(folder, unet, name="weights.safetensors", **said):
    write_faceid(folder / name, unet, **said)
    return small.load_uniportrait(name, "none")


# The model


def test_weights_for_another_kind_of_model(unet, uniportrait, core, sdxl, sdxl_weights):
    with pytest.raises(GraphError) as error:
        apply(unet, sdxl_weights, small.people(core, 1, shape=(10, 2048)))
    assert str(error.value) == (
        "The weights are for SDXL with 70 cross-attention layers of [64, 128] channels on a context of [2048]; the "
        "model at Apply ID Router is Stable Diffusion 1.5 with 16 cross-attention layers of [96] channels on a context "
        "of [768]. Use an SDXL checkpoint."
    )
    with pytest.raises(GraphError, match="for Stable Diffusion 1.5 .* is SDXL with 70.*Use a Stable Diffusion 1.5 ch"):
        apply(sdxl, uniportrait, small.people(core, 1))
    with pytest.raises(GraphError, match="at Apply ID Router is SDXL with 6 cross-attention layers .*Use an SDXL ch"):
        apply(sdxl_without_middle(), sdxl_weights, small.people(core, 1, shape=(10, 2048)))


def test_weights_for_a_model_with_a_name_of_its_own(unet, known_unet, core, folder):
    weights = write(folder, known_unet, base="Aquarelle")
    with pytest.raises(GraphError, match=r"for Aquarelle with 16 .*of \[320\] .*\[96\] .*Use an Aquarelle checkpoint"):
        apply(unet, weights, small.people(core, 1))
    apply(known_unet, weights, small.people(core, 1))


def test_a_router_of_another_model(folder, unet, sdxl):
    write_faceid(folder / "sd15.safetensors", unet)
    write_router(folder / "sdxl.safetensors", sdxl, base="SDXL")
    with pytest.raises(GraphError, match=r"sdxl.* is for SDXL and sd15.* for Stable Diffusion 1.5.*\(16, 2048, 64\)"):
        small.load_uniportrait("sd15.safetensors", "sdxl.safetensors")


def test_a_router_for_other_tokens(folder, unet):
    write_faceid(folder / "ten.safetensors", unet, count=10)
    write_router(folder / "sixteen.safetensors", unet)
    write_router(folder / "global.safetensors", unet, count=10, features=features(GLOBAL))
    write_router(folder / "pictures.safetensors", unet, count=10, tokens="ip-adapter")
    with pytest.raises(GraphError, match=r"different models: .* are \(16, 768, 96\) and \(10, 768, 96\)"):
        small.load_uniportrait("ten.safetensors", "sixteen.safetensors")
    with pytest.raises(GraphError, match="global.* with global intrinsic features .*, ten.* with local intrinsic"):
        small.load_uniportrait("ten.safetensors", "global.safetensors")
    with pytest.raises(GraphError, match="is a router for pictures .*, needed here is one for faces.*Encode Pictures"):
        small.load_uniportrait("ten.safetensors", "pictures.safetensors")


# The features


def encode(weights, image, **settings):
    inputs = {"structure_scale": 0.3, "clip_vision": small.clip_vision(recipe.clip_config()), **settings}
    return run_node("FaceIDEncode", uniportrait=weights, image=image, **inputs)[0]


def crops(*numbers):
    return recipe.golden("encode_small")["crops"][list(numbers)].float() / 255


def by_clip(image):
    clip = small.clip_vision(recipe.clip_config())
    mean, std = torch.tensor(clip.image_mean), torch.tensor(clip.image_std)
    pixels = torch.zeros(1, 3, 224, 224) if image is None else ((image - mean) / std).movedim(-1, 1)
    return clip.model(pixel_values=pixels, intermediate_output=-2)[1][:, 1:]


@pytest.mark.parametrize("structure", [BOTH, ["shallow"], ["clip"]], ids="+".join)
@pytest.mark.parametrize("intrinsic", [LOCAL, GLOBAL, NONE])
@torch.inference_mode()
def test_what_the_resampler_is_given(folder, unet, intrinsic, structure):
    """By hand, of two photos, and of nobody."""
    weights = write(folder, unet, structure=structure, features=features(intrinsic, structure))
    image, encoder = crops(0, 1), weights.encoder
    person = encode(weights, image)
    pixels = torch.nn.functional.interpolate(image.movedim(-1, 1) * 2 - 1, size=112, mode="bilinear")
    embedding, stages = encoder.backbone.model(pixels)
    nothing = [torch.zeros(1, *stage.shape[1:]) for stage in stages]
    for tokens, seen, maps, of_clip in (
        (person.cond, embedding, stages, by_clip(image)),
        (person.uncond, torch.zeros(1, 512), nothing, by_clip(None)),
    ):
        local = maps[-1].flatten(2).mT
        first = {LOCAL: local, GLOBAL: seen[:, None], NONE: local[:, :0]}[intrinsic]
        grids = [torch.nn.functional.interpolate(stage, size=(16, 16), mode="bilinear") for stage in maps[:-1]]
        parts = {"shallow": torch.cat(grids, dim=1).flatten(2).mT, "clip": of_clip}
        second = torch.cat([parts[name] for name in structure], dim=-1)
        resampler = encoder.resampler.model
        given = resampler.project(first.flatten(0, 1)[None], second.flatten(0, 1)[None])
        assert recipe.relative_error(tokens, resampler([given], 0.3)[0]) <= 1e-5


def test_without_clip_nobody_looks_at_it(folder, unet, monkeypatch):
    """It may stay connected, of any width, and is not loaded."""
    weights = write(folder, unet, structure=["shallow"], features=features(structure=["shallow"]))
    clip = small.clip_vision({**recipe.clip_config(), "hidden_size": 32}, load=False)
    monkeypatch.setattr(clip.model, "forward", None)
    monkeypatch.setattr(ModelPatcher, "partially_load", refuse(clip.patcher, ModelPatcher.partially_load))
    assert encode(weights, crops(0), clip_vision=clip).cond.shape == (16, 768)


def refuse(patcher, plainly):
    def load(self, *args, **kwargs):
        assert self is not patcher
        return plainly(self, *args, **kwargs)

    return load


@pytest.mark.parametrize(
    ("said", "structure", "detail"),
    [
        (features(structure=["shallow"]), BOTH, "reads structure features of 496 numbers, but .* shallow structure"),
        (features(), ["shallow"], "reads structure features of 448 numbers, but .* shallow and clip structure"),
    ],
)
def test_features_that_the_sizes_contradict(folder, unet, said, structure, detail):
    with pytest.raises(GraphError, match=rf"odd\.safetensors {detail}.* to which small-backbone.bin gives 448 numbers"):
        write(folder, unet, "odd.safetensors", structure=structure, features=said)


def test_features_of_another_width(folder, unet):
    with pytest.raises(GraphError, match=r"small-backbone.bin gives features of 512 numbers where odd.* needs 300"):
        write(folder, unet, "odd.safetensors", intrinsic_dim=300, features=features(GLOBAL))


def test_features_that_there_are_not(folder, unet):
    with pytest.raises(GraphError, match="odd.safetensors says of itself what .* intrinsic is 'colour'"):
        write(folder, unet, "odd.safetensors", features=features("colour"))
