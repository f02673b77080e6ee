"""The stand-ins have the keys and shapes of the published files, and are the same wherever they are drawn."""

import json
from pathlib import Path

import pytest
import torch

from standins import published_shapes, weights

PUBLISHED = json.loads((Path(__file__).parents[1] / "golden" / "checkpoint_shapes.json").read_text())
SD15 = published_shapes.attention_channels((1, 2, 4, 4))


def as_tuples(table: dict) -> dict:
    return {key: as_tuples(value) if isinstance(value, dict) else tuple(value) for key, value in table.items()}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("uniportrait-faceid_sd15.bin", published_shapes.faceid(SD15)),
        ("uniportrait-router_sd15.bin", published_shapes.router(SD15)),
        ("glint360k_curricular_face_r101_backbone.bin", published_shapes.backbone()),
    ],
)
def test_tables_are_the_published_ones(name: str, table: dict):
    assert table == as_tuples(PUBLISHED[name])


def test_the_table_of_the_ip_adapter_is_the_published_one():
    table = published_shapes.ip_adapter(SD15)
    assert table["image_proj.proj.weight"] == (3072, 1024) and table["image_proj.norm.bias"] == (768,)
    keys = {key: shape for key, shape in table.items() if key.endswith("to_k_ip.weight")}
    # Counted as in the UniPortrait files: cross-attention has the odd numbers, the middle block is the last.
    assert [shape[0] for shape in keys.values()] == [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]
    assert list(keys) == [f"ip_adapter.{number}.to_k_ip.weight" for number in range(1, 32, 2)]
    assert len(table) == 4 + 2 * len(keys)


def test_a_narrow_unet_narrows_only_what_touches_it():
    narrow = published_shapes.faceid(published_shapes.attention_channels((1, 1, 1, 1)))
    full = published_shapes.faceid(SD15)
    assert narrow["faceid_proj"] == full["faceid_proj"]
    assert narrow["faceid_adapter"].keys() == full["faceid_adapter"].keys()
    assert {shape for key, shape in narrow["faceid_adapter"].items() if "_faceid" in key} == {(320, 768)}


def test_a_weight_depends_on_its_name_alone():
    shapes = {"a.weight": (8, 4), "b.weight": (8, 4), "b.running_var": (8,), "b.num_batches_tracked": ()}
    forward = weights.draw_all("model", shapes)
    backward = weights.draw_all("model", dict(reversed(shapes.items())))
    assert all(torch.equal(forward[key], backward[key]) for key in shapes)
    assert not torch.equal(forward["a.weight"], forward["b.weight"])
    assert not torch.equal(forward["a.weight"], weights.draw_all("other", shapes)["a.weight"])
    assert (forward["b.running_var"] >= 1).all() and forward["b.num_batches_tracked"].dtype == torch.int64


def test_the_first_gain_that_fits_counts():
    shapes = {"up.weight": (8, 4), "down.weight": (8, 4)}
    plain = weights.draw_all("model", shapes, dtype=torch.float32)
    scaled = weights.draw_all("model", shapes, {r"^up\.": 2.0, r"weight$": 0.0}, dtype=torch.float32)
    torch.testing.assert_close(scaled["up.weight"], 2 * plain["up.weight"])
    assert not scaled["down.weight"].any()
