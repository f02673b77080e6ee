"""Patches of other nodes before and behind Apply ID Router: order does not matter, and both do what they do alone."""

import pytest
import torch

import recipe
import small
from graph import run_node
from oracle import blank, differ, ksample, published
from slot_double import picture_adapter
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
