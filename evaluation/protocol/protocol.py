"""A protocol: who is drawn with which prompts how often, and the list of pictures that follows from it.

The order and the names of the pictures are FastComposer's: case by case (a person, or a group in sorted order), in each
prompt by prompt, `subject_{case:04d}_prompt_{prompt:04d}_instance_{instance:04d}`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

from ..settings import Table, read_settings
from .people import ALL, Person, read_groups, read_people
from .prompts import Prompt, read_prompts

PATHS = ("prompts", "references.folder", "workflow.file", "output")
KEYS = ("name", "people_per_picture", "pictures_per_prompt", "photos_per_person", "first_seed", "groups", "prompts")
TABLES = ("references", "workflow", "servers", "output")


@dataclass(frozen=True)
class Task:
    """A picture to make.

    Attributes:
        case, prompt_number, instance: its place in the protocol, each from 0.
        people: who is in it.
        prompt: in full.
        kind: of the prompt.
        seed: of the noise.
    """

    case: int
    prompt_number: int
    instance: int
    people: tuple[Person, ...]
    prompt: str
    kind: str
    seed: int

    @property
    def stem(self) -> str:
        """Its file name without ending."""
        return f"subject_{self.case:04d}_prompt_{self.prompt_number:04d}_instance_{self.instance:04d}"


@dataclass(frozen=True)
class Protocol:
    """What is drawn."""

    name: str
    groups: tuple[tuple[Person, ...], ...]
    prompts: tuple[Prompt, ...]
    pictures_per_prompt: int
    first_seed: int

    def tasks(self) -> list[Task]:
        """All pictures, in their order."""
        return [
            self._task(case, people, number, prompt, instance)
            for case, people in enumerate(self.groups)
            for number, prompt in enumerate(self.prompts)
            for instance in range(self.pictures_per_prompt)
        ]

    def _task(self, case: int, people: tuple[Person, ...], number: int, prompt: Prompt, instance: int) -> Task:
        # A seed of its own, which stays when people, prompts or pictures are added, and is the same for all methods.
        place = "|".join([*(person.name for person in people), prompt.text, str(instance)])
        seed = self.first_seed + zlib.crc32(place.encode())
        return Task(case, number, instance, people, prompt.of([person.noun for person in people]), prompt.kind, seed)


def read_protocol(file: Path) -> tuple[Protocol, Table]:
    """Read a protocol file.

    Returns:
        The protocol, and the whole file, whose `workflow`, `servers` and `output` are for `generate`.

    Raises:
        UniPortraitError: something in it, or in what it names, is missing or wrong.
    """
    settings = read_settings(file, PATHS)
    settings.only(KEYS + TABLES)
    return to_protocol(settings), settings


def to_protocol(settings: Table) -> Protocol:
    """The protocol of settings that are read already."""
    size = _at_least_one(settings, "people_per_picture", 1)
    most = _at_least_one(settings, "photos_per_person", None)
    people = read_people(settings.table("references"), most)
    groups = ALL if settings.values.get("groups", ALL) == ALL else settings.get("groups", list)
    return Protocol(
        name=settings.get("name", str, settings.file.stem),
        groups=tuple(read_groups(people, size, groups)),
        prompts=read_prompts(Path(settings.get("prompts", str)), size),
        pictures_per_prompt=_at_least_one(settings, "pictures_per_prompt", 4),
        first_seed=settings.get("first_seed", int, 0),
    )


def _at_least_one(settings: Table, key: str, default: int | None) -> int | None:
    value = settings.get(key, int, default)
    if value is not None and value < 1:
        raise UniPortraitError(f"`{key}` in {settings.file} is {value}, needed is 1 or more. Change it there.")
    return value
