"""torch.compile around the UNet: people are never lost, and new ones need no new compilation.

With the backend `eager`, as what could go wrong happens before code is generated: PyTorch decides by what it has seen
before whether a compiled UNet still fits. The host tells it not to look at `transformer_options` there.
"""

import pytest
import server
import torch
from torch._dynamo.utils import counters

import small
from oracle import UNSEEN, compiled
from small import apply, sample
from viewers import STEP, Server


@pytest.fixture(autouse=True)
def from_scratch():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def test_people_in_compiled_models(unet, uniportrait, core):
    """One after the other in one process, which has compiled the UNet without people before."""
    two, others = small.people(core, 2), small.people(core, 2, tag="others")

    def people(model, face_id, **settings):
        return apply(model, uniportrait, face_id, lora_scale=0.0, **settings)

    cases = {  # compiled, not compiled, and how many UNets are compiled by then: one without people, one with two
        "nobody": (compiled(unet), unet, 1),
        "two": (compiled(people(unet, two)), people(unet, two), 2),
        "others": (compiled(people(unet, others)), people(unet, others), 2),
        "stronger": (compiled(people(unet, two, id_scale=1.0)), people(unet, two, id_scale=1.0), 2),
        "applied last": (people(compiled(unet), others), people(unet, others), 2),
        "for half the steps": (compiled(people(unet, two, start_percent=0.5)), people(unet, two, start_percent=0.5), 2),
        "nobody again": (compiled(unet), unet, 2),
    }
    pictures = {}
    for name, (model, plain, graphs) in cases.items():
        pictures[name] = sample(plain, steps=3)
        assert torch.equal(sample(model, steps=3), pictures[name]), name
        if UNSEEN:
            assert counters["stats"]["unique_graphs"] == graphs, name
    assert not counters["graph_break"]
    for name in ("two", "others", "stronger", "for half the steps"):
        assert not torch.allclose(pictures[name], pictures["nobody"], atol=1e-3)


def test_regions_in_a_compiled_model(unet, uniportrait, core):
    two, upper = small.people(core, 2), torch.zeros(8, 8)
    upper[:4] = 1
    first, second = two
    placed = (core("embedding.identity").Identity(first.cond, first.uncond, mask=upper), second)
    model = apply(unet, uniportrait, placed, lora_scale=0.0)
    assert torch.equal(sample(compiled(model)), sample(model))
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


def test_who_is_where_is_shown_of_a_compiled_model(unet, uniportrait, core, monkeypatch):
    """One more compilation where somebody looks, none where nobody does, and in both the graph stays whole."""
    model = apply(unet, uniportrait, small.people(core, 2), lora_scale=0.0)
    wanted = sample(model)
    assert torch.equal(sample(compiled(model)), wanted)
    assert counters["stats"]["unique_graphs"] == 1
    viewer = Server()
    monkeypatch.setattr(server.PromptServer, "instance", viewer, raising=False)
    assert torch.equal(sample(compiled(model)), wanted)
    assert viewer.of(STEP) and not counters["graph_break"]
    if UNSEEN:
        assert counters["stats"]["unique_graphs"] == 2
