"""The published implementation's outputs, through the nodes, in the host."""

import pytest
import torch

import recipe
import small
from graph import Graph, run_node

pytestmark = pytest.mark.heart

CASES = recipe.cases()


def load_uniportrait(graph, router=small.ROUTER):
    return graph.add("LoadUniPortrait", faceid=small.FACEID, router=router, face_backbone=small.BACKBONE)


@pytest.mark.parametrize("name", ["base", "single", "multi2", "multi3", "masked"])
def test_unet(small_weights, known_unet, base, core, name):
    case = CASES[f"unet.{name}"]
    people, rows = case["ids"], case["rows"]
    x = recipe.noise(f"{name}.x", (rows, 4, *case["latent"]))
    text = recipe.noise(f"{name}.text", (rows, 77, 768))
    model = known_unet
    if people:
        save_people(core, base / "models" / "uniportrait_faces" / f"{name}.safetensors", name, rows, people)
        graph = Graph()
        face_id = graph.add("UniPortraitLoadFaceID", face_id_file=f"{name}.safetensors")
        if case["mask"]:
            mask = graph.give(recipe.golden("unet_small")[f"{name}.mask"][0])
            face_id = graph.add("UniPortraitAdjustFaceID", face_id=face_id, weight=1.0, mask=mask)
        graph.take(
            graph.add(
                "IDRouterApply",
                model=graph.give(known_unet),
                uniportrait=load_uniportrait(graph, small.ROUTER if people > 1 else "none"),
                face_id=face_id,
                id_scale=case["faceid_scale"],
                lora_scale=1.0,
                start_percent=0.0,
                end_percent=1.0,
            )
        )
        model = graph.run()["value"]
    found = small.call_unet(model, x, case["timestep"], text, kinds=[1, 0])
    assert recipe.relative_error(found, recipe.golden("unet_small")[name]) <= 1e-5


def save_people(core, path, name, rows, people):
    """The case's tokens as an identity file: first row unconditional, second conditional."""
    uncond, cond = recipe.noise(f"{name}.ids", (rows, 16 * people, 768)).unflatten(1, (people, 16))
    identity = core("embedding.identity").Identity
    core("files.identity_file").save_face_id(path, tuple(identity(cond[i], uncond[i]) for i in range(people)))


@pytest.mark.parametrize("name", ["one", "two_refs"])
def test_encode(small_weights, name):
    case = CASES[f"encode.{name}"]
    (person,) = encode(case["crops"], case["structure_scale"])
    wanted = recipe.golden("encode_small")
    assert recipe.relative_error(person.cond, wanted[f"{name}.cond"][0]) <= 1e-5
    assert recipe.relative_error(person.uncond, wanted[f"{name}.uncond"][0]) <= 1e-5


def test_mix(small_weights):
    master, other = encode([0], 0.1), encode([1], 0.1)
    (mixed,) = run_node("UniPortraitMixFaceID", face_id_a=master, face_id_b=other, weight_b=0.3)
    assert recipe.relative_error(mixed.cond, recipe.golden("encode_small")["mix0.3"][0]) <= 1e-5
    assert torch.equal(mixed.uncond, master[0].uncond)


def encode(crops, structure_scale):
    graph = Graph()
    graph.take(
        graph.add(
            "FaceIDEncode",
            uniportrait=load_uniportrait(graph),
            clip_vision=graph.give(small.clip_vision(recipe.clip_config())),
            image=graph.give(recipe.golden("encode_small")["crops"][crops].float() / 255),
            structure_scale=structure_scale,
        )
    )
    return graph.run()["value"]
