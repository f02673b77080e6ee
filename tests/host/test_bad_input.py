"""Bad input ends in an error that says what was found, what is needed and what to do; no file is harmed."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

import recipe
import small
from graph import Graph, GraphError, run_node
from other_models import flux, sdxl


@pytest.fixture(scope="module")
def folder(base, small_weights):
    return base / "models" / "uniportrait"


def load(**slots):
    files = {"faceid": small.FACEID, "router": small.ROUTER, "face_backbone": small.BACKBONE}
    return run_node("LoadUniPortrait", **{**files, **slots})


@pytest.mark.parametrize(
    ("slot", "file", "found"),
    [
        ("faceid", small.ROUTER, "UniPortrait router weights"),
        ("faceid", small.BACKBONE, "face recognition backbone"),
        ("router", small.FACEID, "UniPortrait face-ID weights"),
        ("router", small.BACKBONE, "face recognition backbone"),
        ("face_backbone", small.FACEID, "UniPortrait face-ID weights"),
        ("face_backbone", small.ROUTER, "UniPortrait router weights"),
    ],
)
def test_weights_in_the_wrong_slot(folder, slot, file, found):
    with pytest.raises(GraphError, match=f"{file} is .*{found}; needed here: ") as error:
        load(**{slot: file})
    assert "Load UniPortrait" in str(error.value)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight"], "a Stable Diffusion checkpoint"),
        (["lora_unet_down_blocks_0.lora_up.weight"], "a LoRA"),
    ],
)
def test_other_models(folder, keys, found):
    save_file({key: torch.zeros(4, 4) for key in keys}, folder / "other.safetensors")
    with pytest.raises(GraphError, match=f"other.safetensors is {found}; needed here: "):
        load(faceid="other.safetensors")


@pytest.mark.parametrize("source", [small.FACEID, small.BACKBONE])
def test_truncated_file(folder, source):
    name = "cut" + os.path.splitext(source)[1]
    (folder / name).write_bytes((folder / source).read_bytes()[:100_000])
    with pytest.raises(GraphError, match=f"{name} is damaged or was cut off"):
        load(faceid=name)


def test_empty_file(folder):
    (folder / "empty.bin").write_bytes(b"")
    with pytest.raises(GraphError, match="empty.bin is empty"):
        load(faceid="empty.bin")


def test_pickled_code_is_not_run(folder, tmp_path):
    marker = tmp_path / "marker"

    class Attack:
        def __reduce__(self):
            return open, (str(marker), "w")

    (folder / "attack.bin").write_bytes(pickle.dumps({"faceid_proj": Attack()}))
    torch.save({"faceid_proj": Attack()}, folder / "attack-zip.bin")
    for name in ("attack.bin", "attack-zip.bin"):
        with pytest.raises(GraphError, match=f"{name} holds Python code or objects"):
            load(faceid=name)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["../uniportrait/" + small.FACEID, "/etc/hostname", "missing.bin"])
def test_names_outside_the_folder(folder, name):
    with pytest.raises(GraphError, match="was not found in|not in list|not in \\["):
        load(faceid=name)
    with pytest.raises(GraphError, match="was not found in|not in list|not in \\["):
        run_node("UniPortraitLoadFaceID", face_id_file=name)


def test_two_people_without_a_router(unet, core, small_weights):
    with pytest.raises(GraphError, match="face_id holds 2 people, and no router is loaded"):
        small.apply(unet, small.load_uniportrait(router="none"), small.people(core, 2))


def test_clip_that_is_not_vit_h(uniportrait):
    clip = small.clip_vision(recipe.clip_config())
    needs_another = small.clip_vision({**recipe.clip_config(), "hidden_size": 32}, load=False)
    image = torch.rand(1, 224, 224, 3)
    run_node("FaceIDEncode", uniportrait=uniportrait, clip_vision=clip, image=image, structure_scale=0.1)
    with pytest.raises(GraphError, match="has 32 channels .*needed are 48 .*CLIP-ViT-H-14-laion2B-s32B-b79K"):
        run_node("FaceIDEncode", uniportrait=uniportrait, clip_vision=needs_another, image=image, structure_scale=0.1)


def test_vision_model_that_is_not_clip(uniportrait):
    import comfy.clip_vision

    folder = os.path.dirname(comfy.clip_vision.__file__)
    with torch.device("meta"):
        dino = comfy.clip_vision.ClipVisionModel(os.path.join(folder, "image_encoders", "dino2_large.json"))
    with pytest.raises(GraphError, match="which is not CLIP.*CLIP-ViT-H-14"):
        run_node(
            "FaceIDEncode",
            uniportrait=uniportrait,
            clip_vision=dino,
            image=torch.rand(1, 224, 224, 3),
            structure_scale=0.1,
        )


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (sdxl, r"is SDXL with 70 cross-attention layers of .* on a context of \[2048\]"),
        (flux, "is Flux with no U-Net cross-attention layers"),
    ],
)
def test_other_diffusion_models(uniportrait, core, make, found):
    with pytest.raises(GraphError, match=found) as error:
        small.apply(make(), uniportrait, small.people(core, 1))
    assert "Use a Stable Diffusion 1.5 checkpoint" in str(error.value)


@pytest.mark.parametrize(
    ("shape", "found"),
    [((1, 224, 224, 4), "with 4 channels"), ((1, 8, 8, 3), "of 8×8 pixels"), ((0, 224, 224, 3), "0 pictures")],
)
def test_images(uniportrait, shape, found):
    with pytest.raises(GraphError, match=f"{found}.*needed are RGB pictures"):
        run_node(
            "FaceIDEncode",
            uniportrait=uniportrait,
            clip_vision=small.clip_vision(recipe.clip_config()),
            image=torch.rand(shape),
            structure_scale=0.1,
        )


def test_five_people_in_four_slots(core):
    people = [small.people(core, 1, tag=str(i)) for i in range(5)]
    slots = {f"face_id_{i}": person for i, person in enumerate(people, start=1)}
    with pytest.raises(GraphError, match="has 4 inputs and was given face_id_5 as well.*second Combine Face IDs"):
        run_node("MultiIDConditioning", **slots)
    slots.pop("face_id_5")
    four = run_node("MultiIDConditioning", **slots)
    five = run_node("MultiIDConditioning", face_id_1=four, face_id_3=people[4])
    assert [person.cond.tolist() for person in five] == [person[0].cond.tolist() for person in people]


def test_identity_from_other_weights(unet, uniportrait, core):
    identity = core("embedding.identity").Identity
    stranger = identity(torch.zeros(8, 512), torch.zeros(8, 512))
    with pytest.raises(GraphError, match=r"Person 1 of 1 has tokens of shape \(8, 512\).* need \(16, 768\)"):
        small.apply(unet, uniportrait, (stranger,))


def test_window_that_ends_before_it_begins(unet, uniportrait, core):
    with pytest.raises(GraphError, match="start_percent 0.8 is after end_percent 0.2"):
        small.apply(unet, uniportrait, small.people(core, 1), start_percent=0.8, end_percent=0.2)


@pytest.mark.parametrize("prefix", ["../outside", "a/../../outside", "/tmp/outside", "", "..", "a/.."])
def test_saving_outside_the_folder(base, core, prefix):
    before = sorted(base.rglob("*"))
    with pytest.raises(GraphError, match="does not name a file inside"):
        save(small.people(core, 1), prefix)
    assert sorted(base.rglob("*")) == before


def test_saved_people_come_back_and_nothing_is_overwritten(base, core):
    people = small.people(core, 2, shared_uncond=False)
    save(people, "friends/pair")
    save(people[:1], "friends/pair")
    names = sorted(path.name for path in (base / "output" / "uniportrait_faces" / "friends").iterdir())
    assert names == ["pair_00001_.safetensors", "pair_00002_.safetensors"]
    loaded = run_node("UniPortraitLoadFaceID", face_id_file=os.path.join("friends", names[0]))
    for found, wanted in zip(loaded, people, strict=True):
        assert torch.equal(found.cond, wanted.cond) and torch.equal(found.uncond, wanted.uncond)


def test_saving_that_fails_leaves_nothing_behind(base, core, monkeypatch):
    save(small.people(core, 1), "kept")
    files = {path: path.read_bytes() for path in (base / "output").rglob("*") if path.is_file()}

    def disk_full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(core("files.identity_file").os, "replace", disk_full)
    with pytest.raises(GraphError, match="cannot be written: No space left on device"):
        save(small.people(core, 1), "kept")
    assert {path: path.read_bytes() for path in (base / "output").rglob("*") if path.is_file()} == files


def save(people, prefix):
    graph = Graph()
    graph.add("UniPortraitSaveFaceID", face_id=graph.give(people), filename_prefix=prefix)
    graph.run()
