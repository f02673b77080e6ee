"""A trial of a model file in a process of its own: a damaged one can end the process of the library that reads it."""

import subprocess
import sys
from pathlib import Path

LONGEST = 300  # seconds


def survives(code: str, file: Path) -> bool:
    """Whether a Python program ends by itself, be it with an error, when it is given a file.

    True as well where no program can be started.

    Args:
        code: of the program; the file is its `sys.argv[1]`.
        file: to try.
    """
    command = [sys.executable, "-c", code, str(file)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run(command, timeout=LONGEST, check=False, **quiet).returncode in (0, 1)
    except subprocess.TimeoutExpired:
        return False
    except (OSError, ValueError):
        return True
