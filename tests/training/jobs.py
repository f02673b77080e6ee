"""Tasks for worker processes, in a module that loads quickly."""

import os
import signal
from collections.abc import Callable

from uniportrait_core.errors import UniPortraitError


def square(number: int, advance: Callable[[], None]) -> int:
    advance()
    if number < 0:
        raise UniPortraitError(f"{number} is negative. Give another.")
    return number**2


def fail(_number: int, _advance: Callable[[], None]) -> int:
    raise KeyError("no such thing")


def die(_number: int, _advance: Callable[[], None]) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
