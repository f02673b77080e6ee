"""What may know of the mini world."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACK = [file for floor in ("uniportrait_core", "host", "nodes") for file in (ROOT / floor).rglob("*.py")]


@pytest.mark.parametrize("file", PACK, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_pack_does_not_import_it(file):
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert not names & {"miniworld", "training", "thorvg_python", "diffusers"}


def test_drawing_imports_nothing_slow():
    """Every process that draws starts anew."""
    code = "import sys, miniworld.data.drawing; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in run.stdout.split()} & {"torch", "transformers", "diffusers"}
