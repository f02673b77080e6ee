"""The one error that users are meant to read, and foreign words in it."""

import re

LONGEST = 200  # characters of a library's own words in a message
LONGEST_NAME = 300  # of a name; file systems have 255


class UniPortraitError(Exception):
    """Bad input, in two sentences: what was found against what is needed, then what to do about it."""


def named(name: object, longest: int = LONGEST_NAME) -> str:
    """A name of a file or of a tensor for a message: signs that are not printed, such as line breaks, written out.

    Args:
        longest: number of characters; of a longer name the beginning is given.
    """
    text = str(name)[: longest + 1]
    return _cut("".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text), longest)


def reason(error: object) -> str:
    """The gist of a library's error for a message: one line of printed signs, neither long nor ending in a dot."""
    if isinstance(error, AttributeError | TypeError | AssertionError | IndexError):  # of no use to who is no programmer
        return "it does not keep to its format"
    text = re.sub(r"\[enforce fail at [^]]*\]\W*", "", str(error))
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    text = " ".join(re.sub(r"\x1b?\[[\d;]+m", " ", text).split()).rstrip(" .:")
    return _cut(text or type(error).__name__, LONGEST)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
