"""What the pack gives to the browser."""

import re

from translations import ROOT

TYPES = set(re.findall(r'io_type="(\w+)"', (ROOT / "nodes" / "sockets.py").read_text("utf-8")))
COLOURS = dict(re.findall(r'^ +(\w+): "(#[0-9a-f]{6})",$', (ROOT / "web/js/wires.js").read_text("utf-8"), re.MULTILINE))


def test_every_type_of_the_pack_has_a_colour_of_its_own():
    assert TYPES
    assert COLOURS.keys() == TYPES
    assert len(set(COLOURS.values())) == len(TYPES)


def test_what_the_browser_needs_is_in_the_published_archive():
    left_out = (ROOT / ".comfyignore").read_text("utf-8").splitlines()
    kept = [path for folder in ("web", "locales") for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert len(kept) > 80
    parts = {part for path in kept for part in path.relative_to(ROOT).parts}
    assert not {f"{part}/" for part in parts} & set(left_out) and not parts & set(left_out)
