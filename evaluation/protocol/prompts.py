"""Prompt lists: text files with one prompt per line, under headings that name their kind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

NO_KIND = "all"
PERSON, PEOPLE = "{person}", "{people}"


@dataclass(frozen=True)
class Prompt:
    """A line of a prompt list.

    Attributes:
        text: with `{person}` where the noun of the one person belongs, or `{people}` for "a man and a woman".
        kind: the heading that it stands under, such as accessory, style, action or context.
    """

    text: str
    kind: str

    def of(self, nouns: Sequence[str]) -> str:
        """The prompt for people of these nouns."""
        people = [f"a {noun}" for noun in nouns]
        joined = " and ".join(filter(None, (", ".join(people[:-1]), people[-1])))
        return self.text.replace(PERSON, nouns[0]).replace(PEOPLE, joined)


def read_prompts(file: Path, people: int) -> tuple[Prompt, ...]:
    """Read a prompt list: `# kind` begins a kind, every other line that is not empty is a prompt.

    Args:
        file: the list.
        people: how many people are in a picture.

    Raises:
        UniPortraitError: it cannot be read, is empty, has a prompt twice, or a place that nothing fills.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UniPortraitError(f"{file} cannot be read as a prompt list ({error}). Give a UTF-8 text file.") from error
    prompts, kind = [], NO_KIND
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line.startswith("#"):
            kind = line.lstrip("# ") or NO_KIND
        elif line:
            _check_places(f"line {number} of {file}", line, people)
            if line in (prompt.text for prompt in prompts):
                raise UniPortraitError(
                    f"line {number} of {file} is a prompt that was there before, {line!r}: it would make the same "
                    "pictures again. Delete it, or raise pictures_per_prompt."
                )
            prompts.append(Prompt(line, kind))
    if not prompts:
        raise UniPortraitError(f"{file} has no prompt. Write one per line, under headings such as `# style`.")
    return tuple(prompts)


def _check_places(where: str, line: str, people: int) -> None:
    known = (PERSON, PEOPLE) if people == 1 else (PEOPLE,)
    for place in re.findall(r"\{[^}]*\}", line):
        if place not in known:
            raise UniPortraitError(
                f"{where} has {place}, which nothing fills in pictures of {people}. Use {' or '.join(known)}, or "
                "plain words."
            )
