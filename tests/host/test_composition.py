"""Patches of other nodes before and behind Apply ID Router: order does not matter, and both do what they do alone."""

from functools import cache

import pytest
import torch
from comfy.ldm.modules.attention import optimized_attention

import recipe
import small
from graph import run_node
from oracle import blank, differ, ksample, published
from small import apply

SAME = 1e-5

MILD = {"b1": 1.1, "b2": 1.1, "s1": 0.9, "s2": 0.9}  # made for some stages of the decoder, here they act on all
PATCHES = {
    "FreeU": MILD,
    "FreeU_V2": MILD,
    "HyperTile": {"tile_size": 32, "swap_size": 1, "max_depth": 0, "scale_depth": False},
    "HypernetworkLoader": {"hypernetwork_name": "narrow.pt", "strength": 1.0},
    "PerturbedAttentionGuidance": {"scale": 1.0},
    "RescaleCFG": {"multiplier": 0.7},
    "SelfAttentionGuidance": {"scale": 0.5, "blur_sigma": 2.0},
    "TomePatchModel": {"ratio": 0.5},
}


@pytest.fixture(scope="module")
def hypernetwork(base):
    """A hypernetwork as trainers write it: by width, a small network for keys and one for values."""

    def network(name, width):
        shapes = {"linear.0.weight": (8, width), "linear.0.bias": (8,), "linear.1.weight": (width, 8)}
        shapes["linear.1.bias"] = (width,)
        return {key: recipe.weight(name, key, shape) for key, shape in shapes.items()}

    path = base / "models" / "hypernetworks" / "narrow.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    widths = {width: tuple(network(f"{half}{width}", width) for half in "kv") for width in (small.WIDTH, 768)}
    torch.save({**widths, "activation_func": "relu"}, path)


@pytest.fixture
def by(hypernetwork, unet, monkeypatch):
    """`by(node, model)`: the model behind that node."""

    def patch(node, model):
        with monkeypatch.context() as patched:
            # FreeU tells the decoder's stages by their width, 2 or 4 times the first; here all are equally wide.
            patched.setitem(unet.model.model_config.unet_config, "model_channels", small.WIDTH // 2)
            return run_node(node, model=model, **PATCHES[node])

    return patch


def picture(model, node):
    """SelfAttentionGuidance needs a latent that leaves the middle block four spots; the others make do with less."""
    return ksample(model, latent_image=blank(1, 16, 16 if node == "SelfAttentionGuidance" else 8))


# With one person those that change the text, or call the UNet with one half only.
ONE = ["HypernetworkLoader", "PerturbedAttentionGuidance"]


@pytest.mark.parametrize(("node", "people"), [*((node, 2) for node in PATCHES), *((node, 1) for node in ONE)])
def test_patches_of_the_host(unet, uniportrait, core, by, node, people):
    """TomePatchModel draws random numbers; the sampler's seed fixes them."""
    people = small.people(core, people)
    lora_only = by(node, apply(unet, uniportrait, people, id_scale=0.0))
    with published(unet, uniportrait, people):
        wanted = picture(lora_only, node)
    found = picture(by(node, apply(unet, uniportrait, people)), node)
    assert recipe.relative_error(found, wanted) <= SAME
    if len(people) > 1:
        assert differ(found, picture(apply(unet, uniportrait, people), node))
        assert torch.equal(picture(apply(by(node, unet), uniportrait, people), node), found)


def test_all_patches_of_the_host_at_once(unet, uniportrait, core, by):
    two = small.people(core, 2)
    model, lora_only = apply(unet, uniportrait, two), apply(unet, uniportrait, two, id_scale=0.0)
    for node in sorted(PATCHES.keys() - {"FreeU"}):  # the other FreeU is there
        model, lora_only = by(node, model), by(node, lora_only)
    with published(unet, uniportrait, two):
        wanted = picture(lora_only, "SelfAttentionGuidance")
    assert recipe.relative_error(picture(model, "SelfAttentionGuidance"), wanted) <= SAME


# A pack that shares its slot


class Shared:
    """What IPAdapter_plus and its kin put into a block's slot: attention, to which others may add theirs."""

    def __init__(self, callback, **kwargs):
        self.added = [(callback, kwargs)]

    def add(self, callback, **kwargs):
        self.added.append((callback, kwargs))

    def __call__(self, q, k, v, extra_options):
        out = optimized_attention(q, k, v, extra_options["n_heads"])
        sigma = extra_options["sigmas"][0].item()
        for callback, kwargs in self.added:
            if kwargs["sigma_end"] <= sigma <= kwargs["sigma_start"]:
                out = out + callback(out, q, k, v, extra_options, **kwargs)
        return out


def picture_attention(out, q, k, v, extra_options, module_key, cond, uncond, weight, **_):
    """Cross-attention to a picture's tokens; the projections are made from the module's name."""
    kinds = extra_options["cond_or_uncond"]
    tokens = torch.cat([(cond, uncond)[kind].expand(len(q) // len(kinds), -1, -1) for kind in kinds])
    key, value = (tokens @ projection(f"{module_key}.{half}", q.shape[-1]) for half in "kv")
    return weight * optimized_attention(q, key, value, extra_options["n_heads"])


@cache
def projection(name, channels):
    return recipe.weight("picture", name, (768, channels))


def picture_adapter(model, name, weight=1.0):
    """The pack's node: a copy of the model in which every block's slot is taken or shared."""
    model = model.clone()
    cond, uncond = recipe.noise(name, (2, 1, 4, 768))
    # Like IPAdapter_plus it takes ("middle", 1), which the host never asks for.
    blocks = [("input", i) for i in (1, 2, 4, 5, 7, 8)] + [("output", i) for i in range(3, 12)] + [("middle", 1)]
    for number, block in enumerate(blocks):
        settings = {"module_key": f"{name}.{number}", "weight": weight, "sigma_start": 999999999.9, "sigma_end": 0.0}
        options = model.model_options["transformer_options"].copy()
        options["patches_replace"] = replaced = options.get("patches_replace", {}).copy()
        replaced["attn2"] = slots = replaced.get("attn2", {}).copy()
        if block in slots:
            slots[block].add(picture_attention, cond=cond, uncond=uncond, **settings)
        else:
            slots[block] = Shared(picture_attention, cond=cond, uncond=uncond, **settings)
            model.model_options["transformer_options"] = options
    return model


def test_a_pack_that_shares_its_slot(unet, uniportrait, core):
    """Either order gives the same to the bit, and the models that were patched further are what they were."""
    two = small.people(core, 2)
    people = apply(unet, uniportrait, two)
    plain, people_alone = ksample(unet), ksample(people)
    both = ksample(picture_adapter(people, "picture"))
    pictured = picture_adapter(unet, "picture")
    picture_alone = ksample(pictured)
    assert torch.equal(ksample(apply(pictured, uniportrait, two)), both)
    for before, after in ((plain, unet), (people_alone, people), (picture_alone, pictured)):
        assert torch.equal(ksample(after), before) and differ(before, both)


def test_two_packs_that_share_a_slot(unet, uniportrait, core):
    """Apply ID Router may stand before, between or behind them."""
    two = small.people(core, 2)

    def graph(place):
        model = unet
        for step, name in enumerate(["first", "second", None]):
            model = apply(model, uniportrait, two) if step == place else model
            model = picture_adapter(model, name) if name else model
        return model

    before, between, behind = (ksample(graph(place)) for place in range(3))
    assert torch.equal(before, between) and torch.equal(between, behind)
    assert differ(before, ksample(picture_adapter(apply(unet, uniportrait, two), "first")))


def test_what_a_pack_adds_beside_people(unet, uniportrait, core):
    """The slot is no way round ID attention: a pack that adds nothing leaves the people as they are."""
    two = small.people(core, 2)
    people = apply(unet, uniportrait, two)
    assert recipe.relative_error(ksample(picture_adapter(people, "picture", weight=0.0)), ksample(people)) <= SAME
