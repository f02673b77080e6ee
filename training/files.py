"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from uniportrait_core.errors import UniPortraitError

PARTIAL = ".part"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when the block ends without an error; what was there before stays until then.

    Raises:
        UniPortraitError: it cannot be written, as on a full disk; nothing is left behind.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise UniPortraitError(
            f"{path} cannot be written ({error.strerror or error}); what was finished before is kept. Free some space "
            "or choose another folder, and run the same command again."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def remove_partial(folder: Path) -> None:
    """Remove what killed runs have left in a folder."""
    for partial in folder.glob(f"*{PARTIAL}"):
        partial.unlink(missing_ok=True)
