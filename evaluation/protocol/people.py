"""The people of a protocol: their photos, the noun that prompts have for them, and who is drawn with whom."""

from collections.abc import Sequence
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
    entries = table.tables("people") or [Table(table.file, "", {"name": name}) for name in _names(folder)]
    people = sorted((_person(entry, folder, most_photos) for entry in entries), key=lambda person: person.name)
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


def _names(folder: Path) -> list[str]:
    return sorted(
        {path.name if path.is_dir() else path.stem for path in folder.iterdir() if path.is_dir() or _is_photo(path)}
    )


def _person(entry: Table, folder: Path, most_photos: int | None) -> Person:
    entry.only(("name", "noun", "photos"))
    name = entry.get("name", str)
    stated = entry.texts("photos", [])
    photos = [folder / photo for photo in stated] or _photos_of(name, folder)
    missing = [photo for photo in photos if not photo.is_file()]
    if missing or not photos:
        raise UniPortraitError(
            f"{missing[0] if missing else folder / name} was not found, a photo of {name}. Put it there as a picture "
            f"({', '.join(ENDINGS)}), or state other `photos` in references.people."
        )
    return Person(name, tuple(photos[:most_photos]), entry.get("noun", str, NOUN))


def _photos_of(name: str, folder: Path) -> list[Path]:
    inside = sorted(filter(_is_photo, (folder / name).glob("*")))
    named = sorted((path for path in folder.glob("*") if path.stem == name and _is_photo(path)), key=_preference)
    return inside or named[:1]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()


def _preference(path: Path) -> int:
    return ENDINGS.index(path.suffix.lower())
