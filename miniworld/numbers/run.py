"""All numbers of the mini world, and their page."""

import re
from pathlib import Path

from ..config import Preset
from ..files import Files
from .measure import BASE, Studio, base_model, measure_all, with_people
from .table import likeness_table, prompt_table

PAGE = Path(__file__).parents[2] / "docs" / "miniworld.md"
ROUTED, WITHOUT = "with the router", "without: everybody everywhere"
ABLATIONS = "ablations"  # folder of further weights, in the training's output


def run(files: Files, preset: Preset, people: int, out: Path | None) -> str:
    """Measure, and return the tables.

    Args:
        files: the weights.
        people: on how many.
        out: a training's output whose `ablations/NAME/` hold weights of stage I, and of stage II where there are any.
    """
    studio = Studio(files, people)
    ways = {
        BASE: base_model(files),
        ROUTED: with_people(studio, router=files.router),
        WITHOUT: with_people(studio),
    }
    for folder in sorted((out / ABLATIONS).iterdir()) if out and (out / ABLATIONS).is_dir() else ():
        weights = {path.stem.split("-")[1]: path for path in folder.rglob("uniportrait-*.safetensors")}
        ways[folder.name.replace("_", " ")] = with_people(studio, weights.get("faceid"), weights.get("router"))
    results = measure_all(studio, preset.size, ways)
    return f"{likeness_table(results)}\n\n{prompt_table(results)}\n"


def write_page(tables: str, page: Path = PAGE) -> None:
    """Put the tables between the page's marks."""
    text = page.read_text("utf-8")
    begin, end = "<!-- numbers: begin -->\n", "<!-- numbers: end -->"
    page.write_text(re.sub(f"(?s){begin}.*{end}", lambda _: f"{begin}\n{tables}\n{end}", text), "utf-8")
