"""Saved people as the sidebar shows and changes them: functions on folders, which know no server.

`folders` are those that Load Face ID reads, in the host's order, where a name in an earlier one hides the same name in
a later one. Only what lies below `writable`, the one that Save Face ID writes to, is renamed or deleted. Links that
lead out of a folder are not followed, hidden files not seen.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.files.identity_header import read_thumbnails
from .file_names import EXTENSIONS, folded, new_name, parts_of, shown_name
from .refusal import RequestRefusedError

MOST_LISTED = 10_000


@dataclass(frozen=True)
class SavedPerson:
    """An identity file.

    Attributes:
        file: as Load Face ID names it.
        name: what to call the person, or the group.
        folder: below the folder of saved people, or empty.
        count: number of people in the file.
        faces: numbers, from 0, of those whose thumbnail the file keeps.
        version: changes with the file.
        saved: when it was written, in milliseconds since 1970.
        changeable: whether it can be renamed and deleted here.
        problem: why it cannot be read, or empty.
    """

    file: str
    name: str
    folder: str
    count: int
    faces: tuple[int, ...]
    version: str
    saved: int
    changeable: bool
    problem: str


def list_people(folders: Sequence[Path], writable: Path) -> list[dict]:
    """All saved people by name, each as `SavedPerson`, ready for JSON."""
    found: dict[str, SavedPerson] = {}
    for folder in folders:
        for path in _identity_files(folder):
            file = str(path.relative_to(folder))
            if file not in found and (person := _describe(path, file, folder == writable)):
                found[file] = person
            if len(found) == MOST_LISTED:
                break
    ordered = sorted(found.values(), key=lambda person: (folded(person.name), person.file))
    return [asdict(person) for person in ordered]


def find_file(folders: Sequence[Path], file: object) -> Path:
    """The path of a file that the list names.

    Raises:
        RequestRefusedError: the name is none, there is no such file, or a link leads it out of the folders.
    """
    parts = parts_of(file)
    for folder in folders:
        path = folder.joinpath(*parts)
        if _is_inside(path, folder):
            return path
    raise RequestRefusedError(404, f"There is no saved person {'/'.join(parts)}.", "Refresh the list.")


def version(status: os.stat_result) -> str:
    """What changes when a file changes."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def rename(folders: Sequence[Path], writable: Path, file: object, name: object) -> str:
    """Give a file another name in its folder; returns the file as the list will name it.

    Raises:
        RequestRefusedError: a name is wrong or taken, the file is not there or not to be changed.
    """
    path = _changeable(folders, writable, file)
    target = path.with_name(new_name(name) + path.suffix)
    if target.name == path.name:
        return str(path.relative_to(writable))
    relative = target.relative_to(writable)
    for other in (other for folder in folders for other in _same_names(folder / relative)):
        if other != path:
            raise _taken(other)
    try:
        _rename_to_free(path, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        raise _disk(path, "renamed", error) from error
    return str(relative)


def delete(folders: Sequence[Path], writable: Path, file: object) -> None:
    """Delete a file.

    Raises:
        RequestRefusedError: the name is wrong, the file is not there or not to be changed.
    """
    path = _changeable(folders, writable, file)
    try:
        path.unlink()
    except OSError as error:
        raise _disk(path, "deleted", error) from error


def _identity_files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):  # does not follow links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS) and _is_inside(path, folder):
                yield path


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether there is a file whose real place, links followed, is below the folder's real place."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a name that is too long, or links in a circle
        return False


def _describe(path: Path, file: str, changeable: bool) -> SavedPerson | None:
    problem, thumbnails = "", ()
    try:
        parts_of(file)
        thumbnails = read_thumbnails(path)
        status = path.stat()
    except RequestRefusedError:  # a name that no request can give back
        return None
    except UniPortraitError as error:
        problem = str(error)
        status = path.stat() if path.exists() else None
    except OSError:
        status = None
    if status is None:  # deleted in between
        return None
    return SavedPerson(
        file=file,
        name=shown_name(path.stem),
        folder=Path(file).parent.as_posix().removeprefix("."),
        count=len(thumbnails),
        faces=tuple(i for i, thumbnail in enumerate(thumbnails) if thumbnail),
        version=version(status),
        saved=status.st_mtime_ns // 1_000_000,
        changeable=changeable,
        problem=problem,
    )


def _changeable(folders: Sequence[Path], writable: Path, file: object) -> Path:
    path = find_file(folders, file)
    if not _is_inside(path, writable) or not path.is_relative_to(writable):
        raise RequestRefusedError(
            403,
            f"{path.name} lies in {path.parent}, where nothing is changed from the browser.",
            f"Rename or delete it there by hand; what Save Face ID wrote lies in {writable}.",
        )
    return path


def _same_names(path: Path) -> Iterator[Path]:
    """Files that a file system which does not tell capitals apart would take for `path`."""
    if path.parent.is_dir():
        yield from (other for other in path.parent.iterdir() if folded(other.name) == folded(path.name))


def _rename_to_free(path: Path, target: Path) -> None:
    """Rename; where the target exists, even since a moment ago, nothing happens but FileExistsError."""
    if os.name != "nt" and folded(path.name) != folded(target.name):
        try:
            os.link(path, target)  # unlike rename, it never takes the place of a file
        except FileExistsError:
            raise
        except OSError:
            pass  # a file system without hard links
        else:
            path.unlink()
            return
        if target.exists():
            raise FileExistsError(target)
    path.rename(target)


def _taken(other: Path) -> RequestRefusedError:
    return RequestRefusedError(409, f"There is a file {other.name} already.", "Choose another name.")


def _disk(path: Path, done: str, error: OSError) -> RequestRefusedError:
    return RequestRefusedError(
        500,
        f"{path.name} cannot be {done}: {error.strerror or error}.",
        "See whether ComfyUI may write in its output folder, and whether another program has the file open.",
    )
