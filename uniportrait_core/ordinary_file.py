"""What is read as a file has to be one."""

import os
import stat
from pathlib import Path


def check_ordinary(path: Path) -> None:
    """See that a path leads to a file: a pipe would be waited for, and a device read, without end.

    Raises:
        OSError: it leads to something else, or nowhere.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of folders the system says it better
        raise OSError(0, "it is no ordinary file")
