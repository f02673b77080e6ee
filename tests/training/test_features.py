"""Features in the shards are what the frozen networks make of the pictures on the spot."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import load, load_file, save_file
from shard_content import everything, pixels, samples

from training.data.index import load_index
from training.data.portraits import FEATURES, to_tensor
from training.frozen.faces import FaceEncoder
from training.frozen.fingerprint import fingerprints
from training.frozen.latents import load_vae, to_moments
from training.frozen.text import TextEncoder
from training.prepare.features import devices
from training.prepare.run import prepare
from uniportrait_core.errors import UniPortraitError

HALF = 2e-3  # half precision has 11 bits; batches of another size change float32 far less


@pytest.fixture
def copied(shards, tmp_path) -> Path:
    """Shards without features."""
    return Path(shutil.copytree(shards, tmp_path / "copied"))


def assert_close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.dtype == torch.float16 and found.shape == wanted.shape
    assert (found.float() - wanted).abs().max() <= HALF * wanted.abs().max()


def test_features_are_those_of_the_networks(cached_shards, caching):
    faces, text = FaceEncoder(caching.face_backbone, caching.clip_vision), TextEncoder(caching.base)
    for members in samples(cached_shards).values():
        found, facts = load(members["safetensors"]), json.loads(members["json"])
        assert found.keys() == {*FEATURES, "moments", "text"}
        crops = np.stack([pixels(members[f"face{number}.png"]) for number in range(len(facts["faces"]))])
        seen = faces(torch.from_numpy(crops))
        for name in FEATURES:
            assert_close(found[name], getattr(seen, name))
        assert_close(found["text"], text([facts["caption"]])[0][0])


@pytest.mark.parametrize(("buckets", "size"), [(False, (192, 280)), (True, (176, 256))])
def test_moments_are_of_the_whole_picture_at_the_size_of_training(settings, caching, copied, buckets, size):
    """A picture of 192×277: its shorter side is the square's, or it covers the bucket of 128×256."""
    prepare(settings, copied, caching=replace(caching, resolution=192, buckets=buckets))
    members = samples(copied)["place1/picture004"]
    whole = Image.fromarray(pixels(members["jpg"])).resize(size[::-1], Image.Resampling.LANCZOS)
    wanted = to_moments(load_vae(caching.base), to_tensor(np.asarray(whole))[None])[0]
    assert wanted.shape == (8, size[0] // 8, size[1] // 8)
    assert_close(load(members["safetensors"])["moments"], wanted)


def test_sdxl_has_pooled_text(settings, caching, copied, tmp_path):
    caching = replace(caching, base=tiny.base_folder(tmp_path / "base", "sdxl"))
    prepare(settings, copied, caching=caching)
    text = TextEncoder(caching.base)
    for members in samples(copied).values():
        found, facts = load(members["safetensors"]), json.loads(members["json"])
        wanted, pooled = text([facts["caption"]])
        assert_close(found["text"], wanted[0])
        assert_close(found["pooled"], pooled[0])


def test_features_may_come_later_and_leave_the_rest_as_it_was(settings, caching, cached_shards, copied):
    before = samples(copied)
    prepare(settings, copied, caching=caching)
    assert everything(copied) == everything(cached_shards)
    for key, members in samples(copied).items():
        assert {name: data for name, data in members.items() if name != "safetensors"} == before[key]
    prepare(settings, copied)  # without asking for them again
    assert everything(copied) == everything(cached_shards)


def test_features_of_other_networks_take_their_place(settings, caching, copied, tmp_path):
    prepare(settings, copied, caching=caching)
    first = load_index(copied).cache
    other = replace(caching, base=tiny.base_folder(tmp_path / "base", seed=1))
    prepare(settings, copied, caching=other)
    second = load_index(copied).cache
    assert second["networks"] == fingerprints(other.base, other.clip_vision, other.face_backbone)
    different = {name for name, mark in second["networks"].items() if mark != first["networks"][name]}
    assert different == {"vae", "text"}
    text = TextEncoder(other.base)(["picture 4 of 4"])[0][0]
    members = samples(copied)["place1/picture004"]
    assert_close(load(members["safetensors"])["text"], text)


def test_the_unet_does_not_matter_for_features(caching, tmp_path):
    base = tiny.base_folder(tmp_path / "base", block_out_channels=(32, 32, 32, 32))
    networks = caching.clip_vision, caching.face_backbone
    # Drawn with the same seed, the text encoder is the same; the VAE, drawn after another UNet, is not.
    first, second = (fingerprints(folder, *networks) for folder in (caching.base, base))
    assert [name for name in first if first[name] != second[name]] == ["vae"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"base": "nowhere"}, "No weights of vae were found in .*nowhere"),
        ({"clip_vision": "nowhere"}, "No weights of clip_vision were found in .*nowhere"),
        ({"face_backbone": "nowhere"}, "No weights of face_backbone were found in .*nowhere"),
    ],
)
def test_networks_that_are_missing(settings, caching, tmp_path, missing, message):
    missing = {name: tmp_path / path for name, path in missing.items()}
    with pytest.raises(UniPortraitError, match=message):
        prepare(settings, tmp_path / "shards", caching=replace(caching, **missing))
    assert not (tmp_path / "shards").exists()


def test_features_that_half_precision_does_not_hold(settings, caching, copied, tmp_path):
    weights = load_file(caching.face_backbone)
    weights["output_layer.3.weight"] *= 1e9
    save_file(weights, tmp_path / "wild.safetensors")
    with pytest.raises(UniPortraitError, match="The embedding of place0/picture000 reach .* half precision"):
        prepare(settings, copied, caching=replace(caching, face_backbone=tmp_path / "wild.safetensors"))
    assert not (copied / "index.json").exists()


def test_devices():
    assert devices("cuda:1,cuda:3") == ["cuda:1", "cuda:3"]
    assert devices("auto") == (["cpu"] if not torch.cuda.is_available() else devices("auto"))
