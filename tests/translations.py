"""What the pack says to a user in English, and in the languages of `locales/`.

`node_texts.json` holds the English texts of the nodes, which the translations are of, in the layout that ComfyUI wants
for `locales/<language>/nodeDefs.json`. `tests/host/test_languages.py` compares it with the nodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCALES, HELP, SCRIPTS = ROOT / "locales", ROOT / "web" / "docs", ROOT / "web" / "js"
ENGLISH = Path(__file__).with_name("node_texts.json")
# As ComfyUI's front end calls them. `de` is none of its languages yet, see docs/architecture.md.
LANGUAGES = ("de", "es", "fr", "ja", "ko", "pt-BR", "ru", "zh", "zh-TW")
HELP_LANGUAGES = ("ja", "zh", "zh-TW")

# A setting's id, its group, and its name and tooltip.
SETTING = re.compile(r'id: "(UniPortrait\.\w+)",\s+category: \["UniPortrait", "(.*?)".*\],((?:\n    .*)+)')

Texts = dict[str, Any]  # texts by key, to any depth


def read(path: Path) -> Texts:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, texts: Texts) -> None:
    path.write_text(json.dumps(texts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@cache
def node_texts(language: str) -> Texts:
    """The translated texts of all nodes, by node id."""
    return read(LOCALES / language / "nodeDefs.json")


def setting_texts() -> Texts:
    """What the settings of our scripts say in English, in the layout of ComfyUI's `settings.json` and `main.json`."""
    settings, groups = {}, {}
    for script in sorted(SCRIPTS.rglob("*.js")):
        for name, group, body in SETTING.findall(script.read_text("utf-8")):
            settings[name.replace(".", "_")] = {
                key: re.search(rf'{key}: "(.*)"', body)[1] for key in ("name", "tooltip")
            }
            groups[group] = group
    return {"settings.json": settings, "main.json": {"settingsCategories": groups}}


def flat(texts: Texts, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every text under its whole key, such as `FaceIDEncode.inputs.face.tooltip`."""
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def without(texts: Texts, keys: set[str], above: str = "") -> Texts:
    """A copy that lacks the texts under these whole keys, and what is left empty by it."""
    kept = {}
    for key, value in texts.items():
        if f"{above}{key}" in keys:
            continue
        inner = without(value, keys, f"{above}{key}.") if isinstance(value, dict) else value
        if inner != {}:
            kept[key] = inner
    return kept
