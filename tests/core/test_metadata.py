"""What weight files say of themselves."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from uniportrait_core.embedding.feature_choice import FeatureChoice
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.metadata import Metadata, base_name, read_metadata


def write(path, **said):
    save_file({"x": torch.ones(1)}, path, {f"uniportrait.{key}": value for key, value in said.items()})
    return path


def choice(intrinsic: Any, structure: Any) -> str:
    return json.dumps({"intrinsic": intrinsic, "structure": structure})


def test_what_is_said(tmp_path):
    said = {"base": "SDXL", "features": choice("global", ["clip"]), "stage": "multi", "tokens": "ip-adapter"}
    found = read_metadata(write(tmp_path / "weights.safetensors", format="1", **said, training="{}"))
    assert found == Metadata("SDXL", FeatureChoice("global", ("clip",)), "ip-adapter")


def test_what_says_nothing_is_as_published(tmp_path):
    torch.save({"x": torch.ones(1)}, tmp_path / "zip.bin")
    torch.save({"x": torch.ones(1)}, tmp_path / "legacy.bin", _use_new_zipfile_serialization=False)
    write(tmp_path / "silent.safetensors")
    write(tmp_path / "brief.safetensors", format="1")
    for name in ("zip.bin", "legacy.bin", "silent.safetensors", "brief.safetensors"):
        assert read_metadata(tmp_path / name) == Metadata(None, FeatureChoice("local", ("shallow", "clip")), "face")


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"format": "2"}, "is of weight format '2', this pack reads format '1'"),
        ({"format": "1", "tokens": "hands"}, "uniportrait.tokens is 'hands', needed is one of face, ip-adapter"),
        ({"format": "1", "features": "{"}, "Expecting property name"),
        ({"format": "1", "features": "{}"}, "'intrinsic' is missing"),
        ({"format": "1", "features": choice("deep", ["clip"])}, "intrinsic is 'deep', needed is local, global or none"),
        ({"format": "1", "features": choice("local", [])}, r"structure is \[\], needed is shallow, then clip"),
        ({"format": "1", "features": choice("local", None)}, "does not keep to its format"),
    ],
)
def test_what_this_pack_does_not_know(tmp_path, said, detail):
    with pytest.raises(UniPortraitError, match=rf"^odd\.safetensors .*{detail}.*\. .*[Uu]pdate UniPortrait\.$"):
        read_metadata(write(tmp_path / "odd.safetensors", **said))


def test_bases_are_known_by_their_context():
    assert [base_name(width) for width in (768, 1024, 2048)] == ["Stable Diffusion 1.5", "Stable Diffusion 2", "SDXL"]
    assert base_name(640) == "640-wide text"
