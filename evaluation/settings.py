"""Settings in TOML files: read, merged with what they extend, and checked key by key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniportrait_core.errors import UniPortraitError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

EXTENDS = "extends"  # the key that names a file whose settings are the defaults
WORDS = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a table", Path: "a path"}


@dataclass(frozen=True)
class Table:
    """A table of a settings file.

    Attributes:
        file: where it stands, for messages.
        name: of the table, dotted; "" for the file itself.
        values: what it holds.
    """

    file: Path
    name: str
    values: Mapping[str, Any]

    def get(self, key: str, kind: type, default: Any = ...) -> Any:
        """The value of a key. Raises UniPortraitError where it is of another kind, or missing without a default."""
        if key not in self.values:
            if default is ...:
                raise UniPortraitError(
                    f"{self.file} has no `{self._full(key)}`, needed is {WORDS[kind]}. Add it; docs/evaluation.md "
                    "shows a whole file."
                )
            return default
        value = self.values[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UniPortraitError(
                f"`{self._full(key)}` in {self.file} is {value!r}, needed is {WORDS[kind]}. Change it there."
            )
        return value

    def table(self, key: str) -> Table:
        """A table inside this one, empty where it is missing."""
        return Table(self.file, self._full(key), self.get(key, dict, {}))

    def tables(self, key: str) -> list[Table]:
        """An array of tables, empty where it is missing."""
        entries = self.get(key, list, [])
        for entry in entries:
            if not isinstance(entry, dict):
                raise UniPortraitError(
                    f"`{self._full(key)}` in {self.file} holds {entry!r}, needed are tables. Write each with its keys."
                )
        return [Table(self.file, f"{self._full(key)}[{number}]", entry) for number, entry in enumerate(entries)]

    def texts(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """A list of texts; one text is a list of one."""
        value = self.values.get(key)
        values = [value] if isinstance(value, str) else self.get(key, list, default)
        if not all(isinstance(entry, str) for entry in values):
            raise UniPortraitError(f"`{self._full(key)}` in {self.file} is {values!r}, needed are texts. Quote them.")
        return tuple(values)

    def only(self, known: Collection[str]) -> None:
        """Raises UniPortraitError for a key that has no meaning, as misspelt ones would do nothing."""
        if unknown := sorted(self.values.keys() - set(known)):
            raise UniPortraitError(
                f"`{self._full(unknown[0])}` in {self.file} is not known here; known are {', '.join(sorted(known))}. "
                "Correct or delete it."
            )

    def _full(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def read_settings(file: Path, paths: Collection[str] = ()) -> Table:
    """Read a TOML file, its values over those of the file that it extends.

    Args:
        file: the file.
        paths: dotted keys whose values are paths; they are relative to the file in which they stand.

    Raises:
        UniPortraitError: it cannot be read, is not TOML, or extends itself.
    """
    return Table(file, "", _read(file, paths, ()))


def _read(file: Path, paths: Collection[str], extending: tuple[Path, ...]) -> dict[str, Any]:
    if file.resolve() in extending:
        raise UniPortraitError(f"{file} extends itself by way of others. Take out one `{EXTENDS}`.")
    try:
        values = tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise UniPortraitError(f"{file} cannot be read ({error.strerror}). Give the path of a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UniPortraitError(f"{file} is not TOML: {error}. Correct it there.") from error
    for key in paths:
        _resolve(values, key.split("."), file.parent)
    base = values.pop(EXTENDS, None)
    if base is None:
        return values
    return _merged(_read(file.parent / str(base), paths, (*extending, file.resolve())), values)


def _resolve(values: Any, keys: list[str], folder: Path) -> None:
    """Make the path at a dotted key absolute, if there is one."""
    for key in keys[:-1]:
        values = values.get(key) if isinstance(values, dict) else None
    if isinstance(values, dict) and isinstance(values.get(keys[-1]), str):
        values[keys[-1]] = str((folder / Path(values[keys[-1]]).expanduser()).resolve())


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], value) for key, value in over.items() if _tables(base.get(key), value)}
    return {**base, **over, **both}


def _tables(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)
