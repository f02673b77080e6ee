"""Reading weight files: the published layouts at small sizes, and every kind of wrong or broken file."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import recipe
from small_files import CHANNELS, DIM, FORMS, TOKENS, ip_adapter_shapes, published, write
from uniportrait_core.attention.adapter import PROJECTIONS
from uniportrait_core.embedding.identity import Identity
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.checkpoint import (
    FaceIDWeights,
    RouterWeights,
    load_backbone,
    load_faceid,
    load_ip_adapter,
    load_router,
)
from uniportrait_core.files.identity_file import save_face_id

LOADERS: dict[str, Callable] = {
    "faceid": load_faceid,
    "router": load_router,
    "backbone": load_backbone,
    "ip_adapter": load_ip_adapter,
}
NEEDED = {
    "faceid": ("UniPortrait face-ID weights", "uniportrait-faceid_sd15.bin"),
    "router": ("UniPortrait router weights", "uniportrait-router_sd15.bin"),
    "backbone": ("an IR face recognition backbone", "glint360k_curricular_face_r101_backbone.bin"),
    "ip_adapter": ("a plain IP-Adapter", "ip-adapter_sd15.safetensors"),
}


def assert_refused(name: str, path: Path, found: str) -> None:
    """Loading `path` in the place of `name` fails with the file, what was `found`, what is needed, and a remedy."""
    needed, published_file = NEEDED[name]
    with pytest.raises(UniPortraitError) as caught:
        LOADERS[name](path)
    message = str(caught.value)
    assert re.fullmatch(
        rf"{re.escape(path.name)} {found}; needed here: {needed}\. (Choose|Download) {re.escape(published_file)}\b.*\.",
        message,
    ), message


@pytest.mark.parametrize("form", FORMS)
def test_faceid_weights_and_their_sizes(tmp_path, form):
    content = published("faceid")
    weights = load_faceid(write(tmp_path / "any name.bin", content, form))
    assert isinstance(weights, FaceIDWeights)
    assert_state(weights.resampler, content["faceid_proj"])
    assert weights.resampler.token_shape == (TOKENS, DIM)
    assert (weights.resampler.intrinsic_dim, weights.resampler.structure_dim) == (20, 28)
    assert len(weights.resampler.layers) == 3
    adapter = content["faceid_adapter"]
    assert tuple(layer.channels for layer in weights.layers) == CHANNELS
    for i, layer in enumerate(weights.layers):
        assert torch.equal(layer.to_k, adapter[f"{2 * i + 1}.to_k_faceid.weight"])
        assert torch.equal(layer.to_v, adapter[f"{2 * i + 1}.to_v_faceid.weight"])
    assert_lora(weights.lora, adapter)


@pytest.mark.parametrize("form", FORMS)
def test_router_weights(tmp_path, form):
    content = published("router")
    weights = load_router(write(tmp_path / "any name", content, form))
    assert isinstance(weights, RouterWeights)
    adapter = content["faceid_adapter"]
    assert len(weights.layers) == len(CHANNELS)
    for i, layer in enumerate(weights.layers):
        prefix = f"{2 * i + 1}."
        found = (*layer.query_in, layer.query_out, *layer.key_in, layer.key_out, *layer.aggregate)
        keys = [f"to_{n}_router.{leaf}" for n in "qk" for leaf in ("0.weight", "0.bias", "2.weight")]
        for tensor, key in zip(found, [*keys, "aggr_router.weight", "aggr_router.bias"], strict=True):
            assert torch.equal(tensor, adapter[prefix + key])
    assert_lora(weights.lora, adapter)


@pytest.mark.parametrize("form", FORMS)
def test_backbone_weights(tmp_path, form):
    content = published("backbone")
    assert_state(load_backbone(write(tmp_path / "any name.pth", content, form)), content)


@pytest.mark.parametrize("form", FORMS)
def test_ip_adapter(tmp_path, form):
    content = published("ip_adapter")
    adapter = load_ip_adapter(write(tmp_path / "any name", content, form))
    assert (adapter.embedding_dim, adapter.token_shape) == (20, (4, 768))
    assert tuple(layer.channels for layer in adapter.layers) == CHANNELS
    for i, layer in enumerate(adapter.layers):
        assert torch.equal(layer.to_k, content["ip_adapter"][f"{2 * i + 1}.to_k_ip.weight"])
        assert torch.equal(layer.to_v, content["ip_adapter"][f"{2 * i + 1}.to_v_ip.weight"])
    embedding, parts = recipe.noise("ip.embedding", (3, 20)), content["image_proj"]
    rows = (embedding @ parts["proj.weight"].T + parts["proj.bias"]).reshape(3, 4, 768)
    spread = rows - rows.mean(-1, keepdim=True)
    wanted = spread / (spread.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    wanted = wanted * parts["norm.weight"] + parts["norm.bias"]
    assert recipe.relative_error(adapter.tokens(embedding), wanted) <= 1e-6


@pytest.mark.parametrize("dim", [1024, 2048, 640])
def test_ip_adapters_for_other_models(tmp_path, dim):
    content = {part: recipe.weights(part, shapes) for part, shapes in ip_adapter_shapes(dim).items()}
    adapter = load_ip_adapter(write(tmp_path / "ip-adapter_sdxl.safetensors", content, "safetensors"))
    assert adapter.token_shape == (4, dim) and {layer.to_k.shape[1] for layer in adapter.layers} == {dim}


def assert_state(module: torch.nn.Module, wanted: dict[str, Tensor]) -> None:
    state = module.state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[key], wanted[key]) for key in wanted)


def assert_lora(found: tuple, adapter: dict[str, Tensor]) -> None:
    assert len(found) == 2 * len(CHANNELS)
    for i, layer in enumerate(found):
        assert tuple(layer) == PROJECTIONS
        for name, pair in layer.items():
            assert torch.equal(pair.down, adapter[f"{i}.to_{name}_lora.down.weight"])
            assert torch.equal(pair.up, adapter[f"{i}.to_{name}_lora.up.weight"])


def test_half_precision_files_keep_the_lora_and_widen_the_rest(tmp_path):
    halves = {part: {k: v.half() for k, v in tensors.items()} for part, tensors in published("faceid").items()}
    weights = load_faceid(write(tmp_path / "half.safetensors", halves, "safetensors"))
    assert weights.lora[0]["q"].down.dtype == torch.float16
    assert weights.layers[0].to_k.dtype == weights.resampler.latents.dtype == torch.float32


@pytest.mark.parametrize("form", FORMS)
def test_file_names_mean_nothing(tmp_path, form):
    swapped = {"faceid": NEEDED["backbone"][1], "router": NEEDED["faceid"][1], "backbone": "lora.safetensors"}
    for name, file in swapped.items():
        LOADERS[name](write(tmp_path / file, published(name), form))


def test_superfluous_tensors_of_a_router_file_are_ignored(tmp_path):
    content = published("router")
    further = {"1.to_k_faceid.weight": torch.ones(3, 3), "1.to_v_faceid.weight": torch.ones(2), "0.x": torch.ones(1)}
    more = {"faceid_adapter": content["faceid_adapter"] | further, "step": torch.tensor(150_000)}
    weights = load_router(write(tmp_path / "router.bin", more, "zip"))
    assert len(weights.layers) == len(CHANNELS)
    assert_lora(weights.lora, content["faceid_adapter"])


@pytest.mark.parametrize(
    ("name", "part", "key"),
    [
        ("faceid", "faceid_proj", "latents"),
        ("faceid", "faceid_proj", "layers.2.1.norm1.bias"),
        ("faceid", "faceid_adapter", "3.to_v_faceid.weight"),
        ("faceid", "faceid_adapter", "0.to_out_lora.down.weight"),
        ("router", "faceid_adapter", "5.aggr_router.bias"),
        ("router", "faceid_adapter", "1.to_k_router.2.weight"),
        ("router", "faceid_adapter", "5.to_q_lora.up.weight"),
        ("backbone", None, "input_layer.1.running_mean"),
        ("backbone", None, "body.0.res_layer.4.weight"),
        ("ip_adapter", "image_proj", "norm.bias"),
        ("ip_adapter", "ip_adapter", "5.to_v_ip.weight"),
    ],
)
def test_a_missing_tensor_is_named(tmp_path, name, part, key):
    content = published(name)
    del (content[part] if part else content)[key]
    needed, published_file = NEEDED[name]
    message = (
        rf"^part\.bin looks like {needed} but is not complete: .*{re.escape(key)}.*Download {published_file} again"
    )
    with pytest.raises(UniPortraitError, match=message):
        LOADERS[name](write(tmp_path / "part.bin", content, "zip"))


def test_a_misshapen_tensor_is_named(tmp_path):
    content = published("faceid")
    content["faceid_proj"]["proj_out.bias"] = torch.zeros(DIM + 1)
    with pytest.raises(UniPortraitError, match=r"^odd\.bin looks like .*proj_out\.bias"):
        load_faceid(write(tmp_path / "odd.bin", content, "zip"))


def fake(*keys: str) -> dict[str, Tensor]:
    return {key: torch.ones(2, 2) for key in keys}


UNET = ("input_blocks.0.0.weight", "middle_block.0.weight", "time_embed.0.weight")
VAE = ("encoder.conv_in.weight", "decoder.conv_in.weight")
OTHER_FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "checkpoint": (
        "a Stable Diffusion checkpoint",
        fake(
            *(f"model.diffusion_model.{key}" for key in UNET),
            *(f"first_stage_model.{key}" for key in VAE),
            "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
        ),
    ),
    "checkpoint in state_dict": (
        "a Stable Diffusion checkpoint",
        {"state_dict": fake(*(f"model.diffusion_model.{key}" for key in UNET))},
    ),
    "kohya LoRA": ("a LoRA", fake(*(f"lora_unet_down_blocks_0.lora_{end}.weight" for end in ("down", "up")))),
    "diffusers LoRA": ("a LoRA", fake(*(f"unet.down_blocks.0.attn1.to_q.lora_{end}.weight" for end in "AB"))),
    "old diffusers LoRA": ("a LoRA", fake("mid_block.attn1.processor.to_q_lora.up.weight")),
    "LoRA of a transformer": ("a LoRA", fake(*(f"double_blocks.0.img_attn.qkv.lora_{end}.weight" for end in "AB"))),
    "IP-Adapter FaceID": (
        "an IP-Adapter FaceID",
        {"image_proj": fake("proj.0.weight"), "ip_adapter": fake("0.to_q_lora.up.weight", "1.to_k_ip.weight")},
    ),
    "IP-Adapter FaceID Plus": (
        "an IP-Adapter FaceID",
        {
            "image_proj": fake("perceiver_resampler.proj_in.weight", "proj.0.weight"),
            "ip_adapter": fake("0.to_q_lora.up.weight", "1.to_k_ip.weight"),
        },
    ),
    "IP-Adapter Plus": (
        "an IP-Adapter Plus",
        {"image_proj": fake("latents", "proj_in.weight"), "ip_adapter": fake("1.to_k_ip.weight")},
    ),
    "IP-Adapter for full faces": (
        "a full-face IP-Adapter",
        {"image_proj": fake("proj.0.weight", "proj.2.weight"), "ip_adapter": fake("1.to_k_ip.weight")},
    ),
    "IP-Adapter of a kind to come": (
        "another IP-Adapter",
        {"image_proj": fake("queries"), "ip_adapter": fake("1.to_k_ip.weight")},
    ),
    "ControlNet": (
        "a ControlNet",
        fake("control_model.zero_convs.0.0.weight", *(f"control_model.{key}" for key in UNET)),
    ),
    "diffusers ControlNet": (
        "a ControlNet",
        fake("controlnet_cond_embedding.conv_in.weight", "down_blocks.0.x.weight", "time_embedding.linear_1.weight"),
    ),
    "CLIP vision": ("a CLIP vision model", fake("vision_model.encoder.layers.0.mlp.fc1.weight")),
    "CLIP text": ("a CLIP text encoder", fake("text_model.encoder.layers.0.mlp.fc1.weight")),
    "VAE": ("a VAE", fake(*VAE)),
    "UNet": ("a diffusion model without text encoder and VAE", fake(*UNET)),
    "diffusers UNet": (
        "a diffusion model without text encoder and VAE",
        fake("down_blocks.0.x.weight", "time_embedding.linear_1.weight"),
    ),
    "Flux": ("a diffusion transformer", fake("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight")),
    "Flux checkpoint": ("a diffusion transformer", fake("model.diffusion_model.double_blocks.0.img_attn.qkv.weight")),
    "something": (r"a file of 2 tensors that is not recognised \(the first is 'x\.y'\)", fake("x.y", "x.z")),
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("other", OTHER_FILES)
def test_other_models_are_told_by_their_tensors(tmp_path, name, other):
    found, content = OTHER_FILES[other]
    for form in FORMS:
        assert_refused(name, write(tmp_path / f"model-{form}.bin", content, form), f"is {found}")


@pytest.mark.parametrize("given", LOADERS)
@pytest.mark.parametrize("name", LOADERS)
def test_each_published_file_in_each_place(tmp_path, name, given):
    path = write(tmp_path / "weights.bin", published(given), "zip")
    if given == name:
        LOADERS[name](path)
    else:
        assert_refused(name, path, f"is {NEEDED[given][0]}")


@pytest.mark.parametrize("name", LOADERS)
def test_a_saved_face_identity(tmp_path, name):
    path = tmp_path / "anna.safetensors"
    save_face_id(path, (Identity(torch.ones(4, 6), torch.zeros(4, 6)),))
    assert_refused(name, path, "is a saved face identity")


@pytest.mark.parametrize("content", [{}, {"faceid_proj": {}}, [torch.ones(2)], "text"], ids=str)
def test_a_file_without_tensors(tmp_path, content):
    torch.save(content, tmp_path / "void.bin")
    assert_refused("faceid", tmp_path / "void.bin", "is a file without tensors")


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("form", FORMS)
def test_files_that_were_cut_off(tmp_path, name, form):
    content = write(tmp_path / "whole", published(name), form).read_bytes()
    path = tmp_path / "cut.bin"
    found = r"(is damaged or was cut off \(.+\)|holds Python code or objects instead .* or is damaged; nothing of .*)"
    for length in (9, 10, 12, 30, 64, 100, 300, len(content) // 2, len(content) - 100, len(content) - 1):
        path.write_bytes(content[:length])
        assert_refused(name, path, found)


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_pickles_never_raise_anything_else(tmp_path, form):
    """Readers of damaged pickles raise IndexError, KeyError, struct.error and others; users get the one error."""
    content = write(tmp_path / "whole", {"faceid_adapter": fake("0.x")}, form).read_bytes()
    for seed in range(150):
        damaged = bytearray(content)
        for place in torch.randint(9, len(content), (3,), generator=torch.Generator().manual_seed(seed)):
            damaged[place] = seed
        (tmp_path / "damaged.bin").write_bytes(damaged)
        with pytest.raises(UniPortraitError, match=r"^damaged\.bin "):
            load_faceid(tmp_path / "damaged.bin")


GIT_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1000\n"


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        pytest.param(b"<!DOCTYPE html><html><body>Sign in</body></html>", "<!DOCTYPE", id="web page"),
        pytest.param(b'{"error": "not found"}', '{"error":', id="JSON"),
        pytest.param(b"Not found", "Not found", id="text"),
        pytest.param(GIT_LFS, "version h", id="Git LFS pointer"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(64), "", id="picture"),
        pytest.param(bytes(range(7, 250)), "", id="bytes"),
        pytest.param(b"PK", "PK", id="two bytes"),
        pytest.param(save({"x": torch.ones(2)})[:8], "", id="cut safetensors"),
    ],
)
@pytest.mark.parametrize("name", LOADERS)
def test_files_of_another_format(tmp_path, name, content, begins):
    (tmp_path / "download.bin").write_bytes(content)
    found = rf"is neither a safetensors file nor a PyTorch file \(it begins with b['\"]{re.escape(begins)}.*\)"
    assert_refused(name, tmp_path / "download.bin", found)


@pytest.mark.parametrize("name", LOADERS)
def test_an_empty_file_a_folder_and_no_file(tmp_path, name):
    (tmp_path / "empty.bin").touch()
    (tmp_path / "folder.bin").mkdir()
    assert_refused(name, tmp_path / "empty.bin", r"is empty \(0 bytes\)")
    assert_refused(name, tmp_path / "folder.bin", r"cannot be read \(.+\)")
    assert_refused(name, tmp_path / "missing.bin", r"cannot be read \(No such file or directory\)")


class Attack:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f'echo attacked > "{self.marker}"',)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle", "plain pickle of protocol 2"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_file_is_not_run(tmp_path, form):
    path, marker = tmp_path / "evil.bin", tmp_path / "code has run"
    content = published("faceid") | {"extra": Attack(marker)}
    if form.startswith("plain"):
        path.write_bytes(pickle.dumps(content, protocol=2 if form.endswith("2") else None))
    else:
        write(path, content, form)
    assert_refused("faceid", path, "holds Python code or objects .*; nothing of it was run")
    assert not marker.exists()
    # Elsewhere the attack works.
    with open(path, "rb") as file:
        _ = pickle.load(file) if form.startswith("plain") else torch.load(file, weights_only=False)
    assert marker.exists()
