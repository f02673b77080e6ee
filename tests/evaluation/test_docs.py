"""What docs/evaluation.md shows is TOML that is read, and its grids vary inputs that are there."""

import re
from pathlib import Path

from evaluation.ablate.grid import points_of, read_grid
from evaluation.generate.workflow import read_workflow
from evaluation.models.registry import LOADERS
from evaluation.protocol.protocol import KEYS, TABLES
from evaluation.settings import Table, read_settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
BLOCKS = re.findall(r"^ *```toml\n(.*?)^ *```", TEXT, re.S | re.M)  # those of a list are indented
WORKFLOW = {
    "file": str(ROOT / "evaluation" / "workflows" / "uniportrait_one_person.json"),
    "photos": ["Photo of the person.image"],
    "prompt": "Prompt.text",
    "seed": "KSampler.seed",
}


def blocks_with(word: str) -> list[str]:
    return [block for block in BLOCKS if word in block]


def test_the_inputs_that_its_grids_vary_are_in_the_workflow(tmp_path):
    workflow = read_workflow(Table(tmp_path, "workflow", WORKFLOW), 1)
    first, second = blocks_with("[[curve]]")
    (tmp_path / "grid.toml").write_text(f"{first}\n{second}", "utf-8")
    counts = []
    for curve in read_grid(tmp_path / "grid.toml").curves:
        points = points_of(curve)
        for point in points:
            workflow.with_settings(point.values)
        counts.append(len(points))
    assert counts == [10, 5, 4, 4, 3]


def test_its_keys_are_known(tmp_path):
    (whole,) = blocks_with("people_per_picture")
    (models,) = blocks_with("recogniser")
    for block, known in ((whole, KEYS + TABLES), (models, LOADERS)):
        (tmp_path / "block.toml").write_text(block, "utf-8")
        settings = read_settings(tmp_path / "block.toml")
        settings.only(known)
        assert settings.values.keys() == set(known)
