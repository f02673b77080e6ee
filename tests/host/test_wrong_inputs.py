"""Wrong inputs and prompts by the hundred, and, each by itself, what such inputs have brought to light.

`python tests/wrong_files.py` is the long form.
"""

import itertools
import logging
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import recipe
import small
import styles
from graph import Graph, GraphError
from wrong.demands import faults_of_text
from wrong.guard import Guard

INPUTS, PROMPTS = 80, 150  # cases


@pytest.fixture(scope="module")
def guard():
    return Guard()


@pytest.fixture
def unlogged():
    """The host logs inputs that are no texts in any encoding, which tests that run side by side cannot pass on."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def wrong(pack, base):
    from wrong.input_cases import Nodes

    nodes = Nodes(base)
    yield nodes
    nodes.close()


def test_wrong_inputs_of_all_nodes(wrong, guard, unlogged):
    outcomes = [wrong.run_case(3, number, guard) for number in range(INPUTS)]
    assert {outcome.result for outcome in outcomes} == {"read", "refused"}
    assert not [ascii((outcome.about, outcome.faults)) for outcome in outcomes if outcome.faults]


def test_wrong_prompts(pack, guard, base, unlogged):
    from wrong.prompt_cases import run_case

    outcomes = [run_case(3, number, base, guard) for number in range(PROMPTS)]
    assert {outcome.result for outcome in outcomes} == {"read", "refused"}
    assert not [ascii((outcome.about, outcome.faults)) for outcome in outcomes if outcome.faults]


@pytest.mark.parametrize("node", range(21))
def test_sound_inputs_are_taken(wrong, node):
    """Otherwise what is refused would say nothing."""
    import random

    import nodes as host_nodes

    name, dice = wrong.ids[node], random.Random(1)
    sockets = {socket.id: socket for socket in host_nodes.NODE_CLASS_MAPPINGS[name].define_schema().inputs or ()}
    wrong._in_graph(name, wrong.sound_inputs(name, sockets, dice), set(), dice)


def wired(node: str, **inputs: object) -> object:
    """A node whose inputs, numbers and texts too, all come by wires."""
    graph = Graph()
    graph.take(graph.add(node, **{name: graph.give(value) for name, value in inputs.items()}))
    return graph.run()["value"]


def refused(node: str, match: str, **inputs: object) -> None:
    with pytest.raises(GraphError, match=match) as caught:
        wired(node, **inputs)
    assert not faults_of_text(caught.value.kinds[0], str(caught.value))


# Numbers, texts and choices by wires


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"weight_b": 1.5}, "weight_b at Mix Face IDs is 1.5; needed is a number from 0.0 to 1.0"),
        ({"weight_b": math.nan}, "weight_b at Mix Face IDs is nan"),
        ({"weight_b": 10**400}, "weight_b at Mix Face IDs is a number of more than 20 digits"),
        ({"weight_b": "half"}, "weight_b at Mix Face IDs is the text 'half'"),
        ({"series": 10**9}, "series at Mix Face IDs is 1000000000; needed is a whole number from 1 to 64"),
        ({"series": 2.5}, "series at Mix Face IDs is 2.5"),
        ({"weight_b": torch.rand(2)}, r"weight_b at Mix Face IDs is a tensor of shape \(2,\)"),
        ({"weight_b": None}, "weight_b at Mix Face IDs is nothing"),
    ],
)
def test_numbers_beyond_their_range(core, changes, found):
    person = small.people(core, 1)
    refused("UniPortraitMixFaceID", found, **{"face_id_a": person, "face_id_b": person, "weight_b": 0.5, **changes})


def test_numbers_of_other_types_are_taken(core):
    one, other = small.people(core, 2)
    for half in (0.5, torch.tensor(0.5), np.float32(0.5)):
        (mixed,) = wired("UniPortraitMixFaceID", face_id_a=(one,), face_id_b=(other,), weight_b=half, series=1.0)
        assert torch.equal(mixed.cond, 0.5 * one.cond + 0.5 * other.cond)


@pytest.mark.parametrize("value", ["sideways", "a\nb", 3, ["largest"], "x" * 10_000])
def test_choices_that_there_are_not(wrong, value):
    """An unknown method was taken for the inversion, an unknown batch for one person per photo."""
    pool = wrong.pool
    detector, image = pool["UNIPORTRAIT_DETECTOR"], pool["IMAGE"]
    refused("UniPortraitDetectFaces", "order at Detect Faces is", detector=detector, image=image, order=value,
            min_confidence=0.5)  # fmt: skip


def test_an_input_that_the_node_does_not_have(core):
    """As a workflow of a newer version may have."""
    person = small.people(core, 1)
    refused("UniPortraitAdjustFaceID", "Adjust Face ID has no input 'colour'", face_id=person, weight=1.0, colour=3)


def test_optional_inputs_that_are_nothing_are_as_good_as_not_connected(core):
    person = small.people(core, 1)
    assert wired("UniPortraitMixFaceID", face_id_a=person, face_id_b=person, weight_b=0.5, series=None)
    assert wired("UniPortraitAdjustFaceID", face_id=person, weight=1.0, mask=None)[0].mask is None


# Pictures, latents, prompts, people


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (torch.rand(1, 64, 64, 3, device="meta"), "without content"),
        ((torch.rand(1, 64, 64, 3) * 255).byte(), "of type uint8"),
        (torch.full((1, 64, 64, 3), math.nan), "holds NaN or infinity"),
        (torch.rand(1, 64, 64, 3).numpy(), "of type ndarray"),
        (None, "nothing"),
        (torch.rand(64, 64, 3), "0 pictures"),
    ],
)
def test_pictures_that_are_none(wrong, image, found):
    pool = wrong.pool
    refused("FaceIDEncode", f"image.* is .*{found}", uniportrait=pool["UNIPORTRAIT"], clip_vision=pool["CLIP_VISION"],
            image=image, structure_scale=0.1)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_other_precision_are_taken(wrong, dtype):
    pool = wrong.pool
    image = recipe.noise("precision", (1, 64, 64, 3)).sigmoid().to(dtype)
    weights = {"uniportrait": pool["UNIPORTRAIT"], "clip_vision": pool["CLIP_VISION"], "structure_scale": 0.1}
    found, wanted = (wired("FaceIDEncode", image=picture, **weights)[0].cond for picture in (image, image.float()))
    assert torch.equal(found, wanted)


def test_nodes_work_outside_of_inference_mode(wrong):
    """As a script calls them, with a picture that has gradients."""
    import nodes as host_nodes

    pool = wrong.pool
    node = host_nodes.NODE_CLASS_MAPPINGS["FaceIDEncode"].PREPARE_CLASS_CLONE(None)
    image = pool["IMAGE"].detach().clone().requires_grad_()
    output = node.EXECUTE_NORMALIZED(
        uniportrait=pool["UNIPORTRAIT"], clip_vision=pool["CLIP_VISION"], image=image, structure_scale=0.1
    )
    (person,) = output.args[0] if hasattr(output, "args") else output.result[0]
    assert not person.cond.requires_grad and person.cond.isfinite().all()


@pytest.mark.parametrize(
    ("latent", "found"),
    [
        ({}, "empty; needed is a latent"),
        ({"samples": None}, "needed is a latent"),
        ({"samples": torch.zeros(2, 4, 8, 8, device="meta")}, "needed is a latent"),
        ({"samples": torch.zeros(2, 4, 8, 8), "batch_index": None}, "a batch_index that is none"),
        ({"samples": torch.zeros(2, 4, 8, 8), "batch_index": [0, 1, 2]}, "3 numbers in batch_index for 2 pictures"),
        ({"samples": torch.zeros(2, 4, 8, 8), "noise_mask": "x"}, "with a noise mask that is the text 'x'"),
    ],
)
def test_latents_that_are_none(pack, latent, found):
    refused("UniPortraitDropReference", f"latent at Drop Reference is .*{found}", latent=latent)


@pytest.mark.parametrize(
    ("positive", "found"),
    [
        ([], "positive at Style Reference is empty"),
        ([[torch.rand(1, 77, 768), None]], "positive at Style Reference is of type list"),
        (
            [[torch.rand(1, 77, 2048), {}]],
            "positive at Style Reference is text of 2048 numbers a word, the model .* 768",
        ),
        (
            [[torch.rand(1, 77, 768), {"mask": torch.rand(1, 3, 64, 64)}]],
            "positive at Style Reference is with a mask that is a tensor of shape",
        ),
    ],
)
def test_prompts_that_do_not_fit(wrong, positive, found):
    pool = wrong.pool
    settings = {"method": "inversion", "steps": 1, "guidance": 1.0, "fixed_noise": 0}
    refused("UniPortraitStyleReference", found, model=pool["MODEL"], vae=pool["VAE"], image=pool["IMAGE"],
            latent=pool["LATENT"], positive=positive, **settings)  # fmt: skip


def test_people_that_are_none(core):
    (person,) = small.people(core, 1)
    broken = replace(person, cond=torch.full((16, 768), math.nan))
    muttering = replace(person, words=core("embedding.identity").OwnWords(torch.full((77, 768), math.nan)))
    flat = replace(person, cond=torch.rand(3))
    elsewhere = replace(person, mask=torch.rand(2, 8, 8))
    faceless = replace(person, thumbnail=torch.zeros(112, 112, dtype=torch.uint8))
    heavy, weightless = replace(person, weight=10**400), replace(person, weight=math.nan)
    odd = [(one,) for one in (broken, flat, muttering, elsewhere, faceless, heavy, weightless)]
    for people in ((), None, "Anna", person, (person, None), *odd):
        refused("UniPortraitAdjustFaceID", "face_id at Adjust Face ID is", face_id=people, weight=1.0)


@pytest.mark.parametrize(("name", "kind"), list(itertools.product(["model", "style"], [3, "x", torch.rand(1)])))
def test_objects_of_another_kind(wrong, name, kind):
    pool = wrong.pool
    inputs = {"model": pool["MODEL"], "style": pool["UNIPORTRAIT_STYLE"], "strength": 1.0, "ip_scale": 0.7}
    refused("UniPortraitApplyStyle", f"{name} at Apply Style is", **{**inputs, name: kind})


# Names of files


@pytest.mark.parametrize("prefix", ["a\x00b", "a\nb", "a\ud800", "a" * 201, "é" * 101, "x/" + "b" * 300, "link/x"])
def test_names_that_no_file_should_have(wrong, base, prefix):
    before = sorted(base.rglob("*"))
    refused("UniPortraitSaveFaceID", "filename_prefix .* does not name a file inside",
            face_id=wrong.pool["UNIPORTRAIT_FACE_ID"], filename_prefix=prefix)  # fmt: skip
    assert sorted(base.rglob("*")) == before


@pytest.mark.parametrize("value", [[], {}, ["a"], {"a": 1}, 3, 1.5, True, "x" * 100_000, "a\nb"])
@pytest.mark.parametrize("name", ["faceid", "router", "face_backbone"])
def test_names_that_are_no_texts(small_weights, name, value):
    """The host calls it an exception where a node fails over it."""
    files = {"faceid": small.NARROW_FACEID, "router": "none", "face_backbone": small.BACKBONE}
    graph = Graph()
    graph.take(graph.add("LoadUniPortrait", **{**files, name: value}))
    with pytest.raises(GraphError, match=name) as caught:
        graph.run()
    assert not [kind for kind in caught.value.kinds if "exception" in kind] and len(str(caught.value)) < 3_000


@pytest.mark.parametrize("name", ["faceid", "face_backbone", "router"])
def test_a_file_that_is_not_chosen_at_all(small_weights, name):
    files = {"faceid": small.NARROW_FACEID, "router": "none", "face_backbone": small.BACKBONE}
    graph = Graph()
    graph.take(graph.add("LoadUniPortrait", **{key: file for key, file in files.items() if key != name}))
    with pytest.raises(GraphError) as caught:
        graph.run()
    assert "required_input_missing" in caught.value.kinds
    assert not [kind for kind in caught.value.kinds if "exception" in kind]


def test_a_damaged_mini_world(pack, tmp_path, base):
    """Whatever is wrong in whichever of its files, it is one error."""
    import importlib
    import random

    from wrong.damage import damaged

    module = importlib.import_module(f"{pack.__name__}.host.models.mini_world")
    whole = tmp_path / "whole"
    shutil.copytree(module.MINI_WORLD, whole)
    files = [path for path in sorted(whole.rglob("*")) if path.suffix in (".json", ".safetensors")]
    refusals = 0
    for seed in range(12):
        dice = random.Random(seed)
        file = dice.choice([path for path in files if "base" in path.parts or "clip_vision" in path.parts])
        content = file.read_bytes()
        file.write_bytes(damaged(content, dice)[0])
        try:
            module.load_mini_world(whole)
        except Exception as error:
            assert not faults_of_text(type(error).__name__, str(error), "whole")
            refusals += 1
        file.write_bytes(content)
    assert refusals > 3


def test_an_autoencoder_is_needed(wrong):
    assert styles.autoencoder()
    pool = wrong.pool
    settings = {"method": "fixed noise", "steps": 1, "guidance": 1.0, "fixed_noise": 0}
    for odd in (None, 3, "x", torch.rand(1)):
        refused("UniPortraitStyleReference", "vae at Style Reference is", model=pool["MODEL"], vae=odd,
                image=pool["IMAGE"], latent=pool["LATENT"], **settings)  # fmt: skip
