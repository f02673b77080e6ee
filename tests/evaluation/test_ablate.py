"""Ablations: the points of a grid, and their curves."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import benchmark
from evaluation.ablate import run as ablation
from evaluation.ablate.grid import points_of, read_grid
from evaluation.pictures.manifest import read_manifest
from fake_comfy import fake_comfy
from uniportrait_core.errors import UniPortraitError

CURVES = """
[[curve]]
name = "scale"
places = "3.scale"
values = [0.5, 1.0]
by = { name = "photos", places = "photos", values = [1, 2] }

[[curve]]
name = "window"
places = ["3.scale", "3.seed"]
values = [[0.0, 1], [0.25, 2]]
"""


def write_grid(folder: Path, curves: str = CURVES, people=None) -> Path:
    benchmark.write_protocol(folder, people or {"anna": 2, "bert": 2}, pictures=1)
    benchmark.write_models(folder)
    file = folder / "grid.toml"
    file.write_text(f'protocol = "protocol.toml"\nmodels = "models.toml"\noutput = "ablation"\n{curves}')
    return file


def test_points(tmp_path):
    scale, window = read_grid(write_grid(tmp_path)).curves
    assert [(p.line, p.label, p.folder, p.values, p.photos) for p in points_of(scale)] == [
        ("1", "0.5", "scale/1/0.5", {"3.scale": 0.5}, 1),
        ("1", "1", "scale/1/1", {"3.scale": 1.0}, 1),
        ("2", "0.5", "scale/2/0.5", {"3.scale": 0.5}, 2),
        ("2", "1", "scale/2/1", {"3.scale": 1.0}, 2),
    ]
    assert [(p.label, p.folder, p.values) for p in points_of(window)] == [
        ("0–1", "window/0_1", {"3.scale": 0.0, "3.seed": 1}),
        ("0.25–2", "window/0.25_2", {"3.scale": 0.25, "3.seed": 2}),
    ]


def test_an_ablation_makes_pictures_tables_and_curves(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "default_cache", lambda: tmp_path / "cache.sqlite")
    grid = write_grid(tmp_path)
    with fake_comfy() as server:
        figures = ablation.ablate(grid, [server.url])
        assert len(server.prompts) == 6 * 4
        ablation.ablate(grid, [server.url])
        assert len(server.prompts) == 24, "what is there is not made again"
    found = tmp_path / "ablation"
    assert [file.relative_to(found).as_posix() for file in figures] == [
        "scale.svg", "scale.png", "window.svg", "window.png",
    ]  # fmt: skip
    assert Image.open(figures[1]).size[0] > 900 and ElementTree.parse(figures[0]).getroot().tag.endswith("svg")
    made = json.loads(Image.open(found / "scale/2/0.5" / benchmark.name_of(1, 1, 0)).text["prompt"])
    assert made["3"]["inputs"]["scale"] == 0.5 and "1_photo2" in made
    assert len(read_manifest(found / "scale/1/1")[0].references[0]) == 1
    assert (found / "scale-report" / "index.html").exists()
    assert "| scale 1 0.5 |" in (found / "scale-report" / "scores.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('name = "window"', 'name = "scale"'), "has 2 curves called scale, scale"),
        (("values = [0.5, 1.0]", "values = []"), "has 1 places and the values"),
        (("[0.25, 2]", "[0.25]"), "has 2 places and the values"),
        (("values = [1, 2]", "values = [0, 2]"), r"wants \[0, 2\] photos"),
        (("values = [1, 2]", "values = [1, 3]"), "anna has fewer than 3 photos, which the point"),
        (("[0.25, 2]", "[0.0, 1]"), "several points .* one folder, window/0_1"),
        (('places = "photos"', 'places = "3.scale"'), "varies 3.scale along its lines and from line to line"),
        (('places = "3.scale"', 'places = "3.skale"'), "workflow.set is '3.skale'"),
        (('name = "window"', 'nam = "window"'), "`curve.1..nam` in .* is not known"),
    ],
)
def test_grids_that_are_wrong(tmp_path, change, said):
    file = write_grid(tmp_path, CURVES.replace(*change))
    with fake_comfy() as server, pytest.raises(UniPortraitError, match=said):
        ablation.ablate(file, [server.url])
    assert not server.prompts, "an error before the first picture"
