"""The mini world in the host, through the nodes: the models that ship, and what does not go with them."""

import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from graph import Graph, GraphError, run_node
from miniworld.files import SHIPPED, Files
from miniworld.nets.recognisers import load_measuring_net
from miniworld.recipes.faces import shrunk
from miniworld.world.picture import faces, picture
from miniworld.world.scene import compose
from miniworld.world.seeds import TEST

SIDE = 128
PROMPT = "a smiling person wearing a red jacket and a straw hat on a beach"
SEEDS = 4
PEOPLE = TEST[:2]
TWO = "two people in a studio, a calm person wearing a white shirt, a calm person wearing a black t-shirt"


def drawn(
    prompt: str = PROMPT, width: int = SIDE, height: int = SIDE, steps: int = 20, photos: Sequence[np.ndarray] = (),
    id_scale: float = 1.0, masked: bool = False,
) -> list[np.ndarray]:  # fmt: skip
    """Pictures of a prompt, perhaps with the people of some photos, RGB, (height, width, 3), uint8.

    Args:
        masked: everybody has an equal part of the width, from left to right, in the router's place.
    """
    graph = Graph()
    node, _ = graph.add("UniPortraitLoadMiniWorld")
    model, clip, vae, vision = ([node, slot] for slot in range(4))
    if photos:
        model = with_faces(graph, model, vision, photos, id_scale, masked)
    positive, negative = (graph.add("CLIPTextEncode", clip=clip, text=text) for text in (prompt, ""))
    latent = graph.add("EmptyLatentImage", width=width, height=height, batch_size=SEEDS)
    samples = graph.add(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=1, steps=steps,
        cfg=2.5 if photos else 4.0, sampler_name="ddim", scheduler="ddim_uniform", denoise=1.0,
    )  # fmt: skip
    graph.take(graph.add("VAEDecode", samples=samples, vae=vae))
    return list((graph.run()["value"].numpy() * 255).round().astype(np.uint8))


def with_faces(
    graph: Graph, model: list, vision: list, photos: Sequence[np.ndarray], id_scale: float, masked: bool
) -> list:
    """A model with the people of photos, by the weights that ship."""
    weights = graph.add(
        "LoadUniPortrait", faceid="mini-world-faceid.safetensors", router="mini-world-router.safetensors",
        face_backbone="mini-world-face_backbone.safetensors",
    )  # fmt: skip
    finder, slots = detector(graph), {}
    for number, photo in enumerate(photos):
        face_id, _ = graph.add(
            "FaceIDEncode", uniportrait=weights, clip_vision=vision, detector=finder, face="largest",
            image=graph.give(torch.from_numpy(photo)[None].float() / 255), structure_scale=0.3,
        )  # fmt: skip
        slots[f"face_id_{number + 1}"] = [face_id, 0]
        if masked:
            mask = torch.zeros(1, SIDE, SIDE)
            mask[..., number * SIDE // len(photos) : (number + 1) * SIDE // len(photos)] = 1
            placed = graph.add("UniPortraitAdjustFaceID", face_id=[face_id, 0], weight=1.0, mask=graph.give(mask))
            slots[f"face_id_{number + 1}"] = placed
    return graph.add(
        "IDRouterApply", model=model, uniportrait=weights, face_id=graph.add("MultiIDConditioning", **slots),
        id_scale=id_scale, start_percent=0.0, end_percent=1.0, lora_scale=1.0,
    )  # fmt: skip


def loaded(slot: int):
    graph = Graph()
    node, _ = graph.add("UniPortraitLoadMiniWorld")
    graph.take([node, slot])
    return graph.run()["value"]


def test_the_loader_gives_what_was_trained(pack):
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPVisionModelWithProjection

    from training.frozen.folders import load_part
    from training.frozen.text import TextEncoder

    base = SHIPPED / "base"
    model, clip, vae, vision = (loaded(slot) for slot in range(4))
    unet = load_part(UNet2DConditionModel, base, "unet").float()
    autoencoder = load_part(AutoencoderKL, base, "vae").float()
    see = load_part(CLIPVisionModelWithProjection, SHIPPED / "clip_vision", "").float()
    torch.manual_seed(0)
    latents, pixels = torch.randn(2, unet.config.in_channels, 8, 8), torch.rand(1, SIDE, SIDE, 3)
    times, crop = torch.tensor([30, 800]), torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        text = TextEncoder(base)([PROMPT])[0]
        assert torch.allclose(clip.encode_from_tokens(clip.tokenize(PROMPT)), text, atol=1e-5)
        context = text.expand(2, -1, -1)
        wanted = unet(latents, times, context).sample
        assert torch.allclose(model.model.diffusion_model(latents, times, context), wanted, atol=1e-5)
        # The host goes through another order of sums, twenty layers deep.
        decoded = (autoencoder.decode(latents).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)
        assert torch.allclose(vae.decode(latents), decoded, atol=1e-4)
        mean = autoencoder.encode(pixels.movedim(-1, 1) * 2 - 1).latent_dist.mean
        assert torch.allclose(vae.encode(pixels), mean, rtol=1e-4, atol=1e-4)
        seen = see(pixel_values=crop, output_hidden_states=True).hidden_states[-2]
        assert torch.allclose(vision.model(pixel_values=crop, intermediate_output=-2)[1], seen, atol=1e-5)


def test_the_autoencoder_keeps_a_drawing():
    drawings = np.stack([picture(compose([seed], f"kept {seed}", "illustration"), SIDE) for seed in TEST[:8]])
    pixels, vae = torch.from_numpy(drawings).float() / 255, loaded(2)
    with torch.no_grad():
        off = (vae.decode(vae.encode(pixels)) - pixels).square().mean(dim=(1, 2, 3))
    assert -10 * off.log10().mean() > 21  # dB; 25 measured, 14 of its mean colour


def test_a_prompt_says_how_light_it_is():
    """The base model knows its places: snow is light, and a night with stars is dark."""
    light, dark = (
        np.mean([shown.mean() for shown in drawn(f"a calm person wearing a white shirt {place}")])
        for place in ("in the snow", "under the stars")
    )
    assert light > dark + 50  # of 255


@pytest.fixture(scope="module")
def judge():
    """Embeddings of aligned faces, by the recogniser that had no part in the weights."""
    net = load_measuring_net(Files(SHIPPED).measure)
    return lambda faces: F.normalize(net(shrunk(faces)))


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [picture(compose([seed], f"photo {seed}", "illustration"), 2 * SIDE) for seed in PEOPLE]


@pytest.fixture(scope="module")
def known(judge, photos):
    """Whom photos show."""
    return judge(torch.cat([faces_of(photo[None])[:1] for photo in photos]))


def test_a_face_goes_in_and_comes_out(judge, photos, known):
    """Nearer to their photo than to another's; without strength no nearer."""

    def nearer(id_scale: float) -> float:
        """By how much, cosine, averaged over pictures and people."""
        off = []
        for person, photo in enumerate(photos):
            seen = judge(faces_of(np.stack(drawn(id_scale=id_scale, photos=[photo]))))
            off.append((seen @ (known[person] - known[1 - person])).mean())
        return float(np.mean(off))

    assert nearer(1.0) > 0.12  # 0.30 measured
    assert nearer(0.0) == pytest.approx(0.0, abs=1e-3)  # whoever is on the photo


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_masks_put_people_where_they_say(judge, photos, known, order):
    """And people change places when their photos do."""
    left, right = known[list(order)]
    shown = drawn(TWO, photos=[photos[number] for number in order], masked=True)
    pairs = [seen for picture in shown if len(seen := judge(faces_of(picture[None]))) == 2]
    assert len(pairs) >= SEEDS // 2
    off = [(seen @ torch.stack((left - right, right - left)).T).diagonal().mean() for seen in pairs]
    assert float(np.mean(off)) > 0.15  # 0.38 and 0.33 measured
    assert float(np.mean([seen[0] @ seen[1] for seen in pairs])) < 0.3  # 0.00 measured; of one person twice 0.60


def faces_of(pictures: np.ndarray) -> torch.Tensor:
    """Aligned faces, by Face Detector and Detect Faces, (faces, 224, 224, 3), uint8."""
    graph = Graph()
    graph.take(found_in(graph, torch.from_numpy(pictures).float() / 255))
    return (graph.run()["value"] * 255).round().byte()


def found_in(graph: Graph, photos: torch.Tensor) -> list:
    node, _ = graph.add(
        "UniPortraitDetectFaces", detector=detector(graph), image=graph.give(photos), order="left to right",
        min_confidence=0.5, mask_grow=0.0,
    )  # fmt: skip
    return [node, 1]


def detector(graph: Graph) -> list:
    return graph.add("UniPortraitFaceDetector", backend="mini world", model="mini-world-face_detector", provider="auto")


def test_drawn_faces_are_found():
    """By Face Detector and Detect Faces, in photos of several sizes."""
    found, wanted = 0, 0
    for size, company in ((128, 1), (256, 2), (320, 3)):
        scene = compose(TEST[company : 2 * company], f"found {company}", "illustration")
        photo = torch.from_numpy(picture(scene, size))[None].float() / 255
        graph = Graph()
        node, _ = found_in(graph, photo)
        graph.take([node, 1], "crops")
        graph.take([node, 2], "masks")
        taken = graph.run()
        masks = taken["masks"] > 0.5
        assert taken["crops"].shape[1:] == (224, 224, 3)
        for face in faces(scene, size):
            x, y = face.landmarks[2].round().astype(int)  # the nose
            found, wanted = found + bool(masks[:, y, x].any()), wanted + 1
    assert found == wanted == 6


# Bad input


def test_weights_of_photos_do_not_go_with_the_mini_world(uniportrait, core):
    import small

    with pytest.raises(GraphError, match="The weights are for .*the model at Apply ID Router is the mini world"):
        run_node(
            "IDRouterApply", model=loaded(0), uniportrait=uniportrait, face_id=small.people(core, 1), **small.APPLY
        )


@pytest.mark.parametrize(
    ("backend", "model"), [("yunet", "mini-world-face_detector"), ("mini world", "face_detection_yunet_2023mar.onnx")]
)
def test_a_detector_of_another_kind_is_refused(backend, model):
    with pytest.raises(GraphError, match=f"backend {backend} does not go with model {model}"):
        run_node("UniPortraitFaceDetector", backend=backend, model=model, provider="auto")


def test_words_that_are_not_known_are_named_and_the_rest_is_used(caplog):
    wanted = drawn(steps=2)
    found = drawn(PROMPT.replace("red ", "velvet red zebra "), steps=2)
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert "does not know velvet, zebra" in caplog.text


def test_sizes_that_it_was_not_trained_for():
    assert all(shown.shape == (SIDE, 2 * SIDE, 3) for shown in drawn(width=2 * SIDE, steps=2))
    with pytest.raises(GraphError, match="for a picture of 512×512 pixels; the mini world was trained for 128×128"):
        drawn(width=512, height=512, steps=2)


@pytest.mark.parametrize("gone", ["base/unet/diffusion_pytorch_model.safetensors", "base/tokenizer/words.txt"])
def test_a_partial_clone_says_what_is_missing(pack, core, tmp_path, gone):
    shutil.copytree(SHIPPED, tmp_path / "weights")
    (tmp_path / "weights" / gone).unlink()
    with pytest.raises(core("errors").UniPortraitError, match=f"(?s){Path(gone).name}.*Install the pack again"):
        load_from(pack, tmp_path / "weights")


def test_weights_that_are_cut_short_say_so(pack, core, tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "weights")
    file = tmp_path / "weights" / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors.pop("conv_in.weight")
    save_file(tensors, file)
    with pytest.raises(core("errors").UniPortraitError, match="(?s)mini world cannot be read.*Install the pack again"):
        load_from(pack, tmp_path / "weights")


def load_from(pack, folder: Path) -> object:
    return import_module(f"{pack.__name__}.host.models.mini_world").load_mini_world(folder)
