"""The translated help pages: complete, and of the same things as the English page."""

from __future__ import annotations

import re

import pytest

from translations import ENGLISH, HELP, HELP_LANGUAGES, node_texts, read

TEXTS = read(ENGLISH)
NODES = sorted(TEXTS)
CODE = re.compile(r"`([^`]+)`")
# A closing ** after punctuation is one only before a space or punctuation (CommonMark).
BROKEN_EMPHASIS = re.compile(r"\*\*[^*\n]*[^\w\s*`]\*\*(?=\w)")


def page(node: str, language: str | None = None) -> str:
    """The help page of a node where the front end looks for it, in English by default."""
    path = HELP / node / f"{language}.md" if language else HELP / f"{node}.md"
    return path.read_text(encoding="utf-8")


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, row by row."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()] for block in blocks]


def test_there_is_a_page_for_every_node_and_language_and_no_other():
    found = {path.relative_to(HELP).as_posix() for path in HELP.rglob("*.md")}
    wanted = {f"{node}/{language}.md" for node in NODES for language in HELP_LANGUAGES}
    wanted |= {f"{node}.md" for node in NODES}
    assert not wanted - found, f"web/docs lacks {', '.join(sorted(wanted - found))}"
    assert not found - wanted, f"web/docs has pages of no node: {', '.join(sorted(found - wanted))}"


@pytest.mark.parametrize("language", HELP_LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_a_page_has_all_of_the_english_one(node, language):
    english, translated = page(node), page(node, language)
    assert translated.splitlines()[0] == f"# {node_texts(language)[node]['display_name']}"

    shapes = [[[len(row) for row in table] for table in tables(text)] for text in (english, translated)]
    assert shapes[0] == shapes[1], "rows and columns of the tables differ"
    for before, after in zip(tables(english), tables(translated), strict=True):
        for row, other in zip(before, after, strict=True):
            assert CODE.findall(row[0]) == CODE.findall(other[0]), "rows have another order"

    for pattern in (CODE, re.compile(r"\]\((http[^)]+)\)")):
        lost = set(pattern.findall(english)) - set(pattern.findall(translated))
        assert not lost, f"web/docs/{node}/{language}.md lacks {', '.join(sorted(lost))}"
    for mark in (r"^- ", r"^\d+\. ", r"^$", r"^\*\*"):
        counts = [len(re.findall(mark, text, re.MULTILINE)) for text in (english, translated)]
        assert counts[0] == counts[1], f"{counts[0]} lines of {mark} became {counts[1]}"
    assert not BROKEN_EMPHASIS.search(translated), BROKEN_EMPHASIS.search(translated)


@pytest.mark.parametrize("language", HELP_LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_rows_name_inputs_and_outputs_as_the_node_does(node, language):
    texts, english = node_texts(language)[node], TEXTS[node]
    outputs = {output["name"]: texts["outputs"][slot]["name"] for slot, output in english.get("outputs", {}).items()}
    inputs = {name: about["name"] for name, about in texts.get("inputs", {}).items()}
    for head, *rows in (table for table in tables(page(node)) if table[0][0] in ("input", "output")):
        names = inputs if head[0] == "input" else outputs
        translated = page(node, language)
        for name in [name for row in rows for name in CODE.findall(row[0])]:
            label = names[name]
            same = label.lower().replace(" ", "_") == name
            assert same or f"`{name}` {label}" in translated, f"{node}/{language}.md: {name} is {label} on the node"
