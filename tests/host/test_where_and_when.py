"""Where and when people are drawn: the layers, and the part of the sampling, that Apply ID Router is told."""

import pytest
import torch

import recipe
import small
from graph import Graph, GraphError
from oracle import attn2_modules, differ, ksample, published
from small import apply

SAME = 1e-5
LAYERS = {  # numbers in the published order: input blocks, output blocks, middle block
    "all": range(16),
    "decoder only": range(6, 15),
    "middle and decoder": range(6, 16),
    "encoder and middle": [*range(6), 15],
    "encoder only": range(6),
}


@pytest.fixture
def two(core):
    return small.people(core, 2)


@pytest.mark.parametrize("preset", LAYERS)
def test_layers(unet, uniportrait, two, preset):
    patched = apply(unet, uniportrait, two, layers=preset)
    with published(unet, uniportrait, two, layers=LAYERS[preset]):
        wanted = ksample(apply(unet, uniportrait, two, id_scale=0.0))
    found = ksample(patched)
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found, ksample(apply(unet, uniportrait, two))) == (preset != "all")


def test_only_the_chosen_layers_are_taken(unet, uniportrait, two):
    plain = [attention.to_q for attention in attn2_modules(unet)]
    for preset, layers in LAYERS.items():
        taken = []

        def look(*_args, taken=taken):
            queries = (attention.to_q for attention in attn2_modules(unet))
            taken.append([i for i, query in enumerate(queries) if query is not plain[i]])

        hook = unet.model.diffusion_model.out.register_forward_hook(look)
        ksample(apply(unet, uniportrait, two, layers=preset), steps=1)
        hook.remove()
        assert taken == [sorted(layers)]


def test_a_prompt_of_before_there_was_a_choice(unet, uniportrait, two):
    graph = Graph()
    given = {"model": unet, "uniportrait": uniportrait, "face_id": two}
    links = {name: graph.give(value) for name, value in given.items()}
    graph.take(graph.add("IDRouterApply", **links, **small.APPLY))
    assert torch.equal(ksample(graph.run()["value"]), ksample(apply(unet, uniportrait, two, layers="all")))


def test_a_choice_that_there_is_not(unet, uniportrait, two):
    with pytest.raises(GraphError, match="layers"):  # newer hosts refuse it themselves
        apply(unet, uniportrait, two, layers="some")


def test_windows_one_after_the_other(unet, uniportrait, two):
    """Two nodes in a row give people another strength in another part of the sampling."""
    first = apply(unet, uniportrait, two, id_scale=0.4, end_percent=0.4)
    model = apply(first, uniportrait, two, id_scale=1.2, start_percent=0.4, lora_scale=0.0)
    at_work, taps = [], model.wrappers["apply_model"]["uniportrait"]

    def look(*_args):
        sites = ([site for sites in tap.sites.values() for site in sites] for tap in taps)
        at_work.append([any(site.addition for site in those) for those in sites])

    hook = unet.model.diffusion_model.out.register_forward_hook(look)
    found = ksample(model, steps=4)
    hook.remove()
    assert at_work == 2 * [[True, False]] + 2 * [[False, True]]
    for id_scale in (0.4, 1.2):
        assert differ(found, ksample(apply(unet, uniportrait, two, id_scale=id_scale), steps=4))


def test_two_at_the_same_time_add_up(unet, uniportrait, core):
    one = small.people(core, 1)
    weak = apply(unet, uniportrait, one, id_scale=0.3)
    both = apply(weak, uniportrait, one, id_scale=0.5, lora_scale=0.0)
    assert recipe.relative_error(ksample(both), ksample(apply(unet, uniportrait, one, id_scale=0.8))) <= SAME
