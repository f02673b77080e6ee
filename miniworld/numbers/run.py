"""All numbers of the mini world, and their page."""

import json
import re
from pathlib import Path

from safetensors.torch import load_file

from ..files import ABLATIONS, Files
from ..weights import metadata, save_weights
from .measure import BASE, COMPANIES, Studio, base_model, measure_all, with_people
from .table import Results, likeness, likeness_table, prompt_table

PAGE = Path(__file__).parents[2] / "docs" / "miniworld.md"
ROUTED, WITHOUT = "with the router", "without: everybody everywhere"
MASKED = "by masks, side by side"


def run(files: Files, people: int, out: Path | None) -> Results:
    """Measure, at the size that the base model was trained for.

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
        MASKED: with_people(studio, masked=True),
    }
    for folder in sorted((out / ABLATIONS).iterdir()) if out and (out / ABLATIONS).is_dir() else ():
        weights = {path.stem.split("-")[1]: path for path in folder.rglob("uniportrait-*.safetensors")}
        ways[folder.name.replace("_", " ")] = with_people(studio, weights.get("faceid"), weights.get("router"))
    size = json.loads((files.vae.parent / "config.json").read_text("utf-8"))["sample_size"]
    return measure_all(studio, size, ways)


def tables(results: Results) -> str:
    return f"{likeness_table(results)}\n\n{prompt_table(results)}\n"


def note_quality(files: Files, results: Results) -> None:
    """Write into the weights of the stages, as their metadata, how much of a likeness they keep."""
    for file, way in ((files.faceid, WITHOUT), (files.router, ROUTED)):
        shares = {f"likeness_of_{company}": likeness(results, way, company).value for company in COMPANIES}
        quality = {name: round(share, 3) for name, share in shares.items()}
        save_weights(file, load_file(file), metadata(file) | {"quality": quality})


def write_page(tables: str, page: Path = PAGE) -> None:
    """Put the tables between the page's marks."""
    text = page.read_text("utf-8")
    begin, end = "<!-- numbers: begin -->\n", "<!-- numbers: end -->"
    page.write_text(re.sub(f"(?s){begin}.*{end}", lambda _: f"{begin}\n{tables}\n{end}", text), "utf-8")
