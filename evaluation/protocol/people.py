"""The people of a protocol: their photos, the noun that prompts have for them, and who is drawn with whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

from ..settings import Table

NOUN = "person"
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
ALL = "all"


@dataclass(frozen=True)
class Person:
    """Somebody to be drawn.

    Attributes:
        name: told apart by.
        photos: references, one or more.
        noun: in prompts, such as man or woman.
    """

    name: str
    photos: tuple[Path, ...]
    noun: str = NOUN


def read_people(table: Table, most_photos: int | None) -> tuple[Person, ...]:
    """The people of `[references]`, sorted by name as FastComposer's are.

    Photos that are not stated are those of the folder that are called like the person, or all in the person's
    subfolder.

    Args:
        table: with `folder` and `people`, each of `name`, and `noun` and `photos` if wanted; without `people` every
            picture of the folder is somebody.
        most_photos: of each person the first so many; None for all.

    Raises:
        UniPortraitError: nobody, two of one name, or somebody without photos.
    """
    table.only(("folder", "people"))
    folder = Path(table.get("folder", str))
    if not folder.is_dir():
        raise UniPortraitError(f"{folder} is not a folder. Give the folder of the photos at references.folder.")
    there = _photos_by_name(folder)
    entries = table.tables("people") or [Table(table.file, "", {"name": name}) for name in there]
    people = sorted((_person(entry, folder, there, most_photos) for entry in entries), key=lambda person: person.name)
    names = [person.name for person in people]
    if not people or len(set(names)) < len(names):
        found = f"two people called {next(n for n in names if names.count(n) > 1)}" if people else "nobody"
        raise UniPortraitError(f"{folder} gives {found}. Name every person once in references.people.")
    return tuple(people)


def read_groups(people: Sequence[Person], size: int, wanted: str | Sequence[Sequence[str]]) -> list[tuple[Person, ...]]:
    """Who is drawn together.

    Args:
        people: everybody, sorted.
        size: how many are in a picture.
        wanted: "all" for all combinations in sorted order, as in FastComposer, or lists of names.

    Raises:
        UniPortraitError: a name that is not there, or a group of another size.
    """
    if wanted == ALL:
        groups = list(combinations(people, size))
        if not groups:
            raise UniPortraitError(
                f"There are {len(people)} people for pictures of {size}. Add people, or lower people_per_picture."
            )
        return groups
    named = {person.name: person for person in people}
    if not wanted:
        raise UniPortraitError('`groups` is empty, needed are lists of names. Write some, or "all".')
    for group in wanted:
        if not _are_names(group) or not len(group) == len(set(group) & named.keys()) == size:
            raise UniPortraitError(
                f"The group {group!r} is not {size} of the people {', '.join(named)}. Correct `groups`."
            )
    return [tuple(named[name] for name in group) for group in wanted]


def _are_names(group: object) -> bool:
    return isinstance(group, list) and all(isinstance(name, str) for name in group)


def _person(entry: Table, folder: Path, there: Mapping[str, list[Path]], most_photos: int | None) -> Person:
    entry.only(("name", "noun", "photos"))
    name = entry.get("name", str)
    stated = entry.texts("photos", [])
    photos = [folder / photo for photo in stated] or there.get(name, [])
    missing = [photo for photo in photos if not photo.is_file()]
    if missing or not photos:
        raise UniPortraitError(
            f"{missing[0] if missing else folder / name} was not found, a photo of {name}. Put it there as a picture "
            f"({', '.join(ENDINGS)}), or state other `photos` in references.people."
        )
    return Person(name, tuple(photos[:most_photos]), entry.get("noun", str, NOUN))


def _photos_by_name(folder: Path) -> dict[str, list[Path]]:
    """Whom a folder has photos of: one in the folder that is called so, or, before it, all in a subfolder."""
    paths = sorted(folder.iterdir(), key=lambda path: (path.stem, _preference(path)))  # once: there may be 200,000
    found: dict[str, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() in ENDINGS and path.stem not in found:
            found[path.stem] = [path]
    for path in paths:
        if path.suffix.lower() not in ENDINGS and path.is_dir():
            inside = sorted(photo for photo in path.iterdir() if photo.suffix.lower() in ENDINGS)
            found[path.name] = inside or found.get(path.name, [])
    return found


def _preference(path: Path) -> int:
    ending = path.suffix.lower()
    return ENDINGS.index(ending) if ending in ENDINGS else len(ENDINGS)
