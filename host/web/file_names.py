"""Names that come from a browser: of files that are there, and of files to be.

A name is checked as text before any path is made of it, by the rules of all operating systems at once: a name that is
given on Linux has to be one on Windows, where the folder may be synchronised to.
"""

import re
import unicodedata

from .refusal import RequestRefusedError

EXTENSIONS = (".safetensors", ".sft")
LONGEST_NAME = 80  # characters
LONGEST_NAME_BYTES = 200  # as UTF-8; file systems allow 255, extension and a counter included
LONGEST_FILE = 1024  # characters, folders included
FORBIDDEN = '<>:"/\\|?*'
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
COUNTER = re.compile(r"(?P<name>.+?)_(?P<number>\d{5})_")
CURE = f"Give a name of 1 to {LONGEST_NAME} characters, such as Anna."


def parts_of(file: object) -> tuple[str, ...]:
    """Folders and name of a file as the list gives it, such as `friends/anna.safetensors`.

    Raises:
        RequestRefusedError: it leads elsewhere, is hidden, or is none of an identity file.
    """
    if not isinstance(file, str) or not 0 < len(file) <= LONGEST_FILE:
        raise _no_file(file)
    parts = tuple(re.split(r"[/\\]", file))
    if not all(_is_plain(part) for part in parts) or not parts[-1].lower().endswith(EXTENSIONS):
        raise _no_file(file)
    return parts


def new_name(name: object) -> str:
    """A name that was typed, as it is written to the disk: without space around it, in Unicode's composed form.

    Raises:
        RequestRefusedError: it is empty, too long, or not a name of a file everywhere.
    """
    if not isinstance(name, str) or len(name) > 4 * LONGEST_NAME:
        raise RequestRefusedError(400, "The new name is no text, or too long.", CURE)
    text = unicodedata.normalize("NFC", name).strip()
    if not text or len(text) > LONGEST_NAME or len(text.encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
        raise RequestRefusedError(400, f"The new name has {len(text)} characters.", CURE)
    if wrong := sorted({sign for sign in text if sign in FORBIDDEN or not _is_visible(sign)}):
        signs = " ".join(sign if sign in FORBIDDEN else f"U+{ord(sign):04X}" for sign in wrong)
        raise RequestRefusedError(400, f"A file name cannot have {signs} in it.", "Leave it out.")
    if text.startswith(".") or text.endswith("."):
        raise RequestRefusedError(400, "A name cannot begin or end with a dot.", CURE)
    if RESERVED.fullmatch(text):
        raise RequestRefusedError(400, f"{text} is a name that Windows keeps for devices.", "Choose another.")
    return text


def shown_name(stem: str) -> str:
    """The name of a person by the name of the file, without the counter that Save Face ID appends.

    `anna_00001_` is Anna's first file, shown as `anna`; `anna_00002_` is shown as `anna 2`.
    """
    match = COUNTER.fullmatch(stem)
    if not match:
        return stem
    number = int(match["number"])
    return match["name"] if number == 1 else f"{match['name']} {number}"


def folded(name: str) -> str:
    """The name as file systems compare it that do not tell capitals or forms of accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _is_plain(part: str) -> bool:
    """Whether a part of a path is neither empty, hidden nor `..`, and means nothing special to any system."""
    return bool(part) and not part.startswith(".") and ":" not in part and all(map(_is_readable, part))


def _is_readable(sign: str) -> bool:
    return unicodedata.category(sign) not in ("Cc", "Cs")


def _is_visible(sign: str) -> bool:
    """Whether a sign is seen: no control, no mark that turns the direction of text, no line break."""
    return unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _no_file(file: object) -> RequestRefusedError:
    found = ascii(file if isinstance(file, str) else type(file).__name__)[:100]
    return RequestRefusedError(
        400,
        f"{found} does not name a saved person.",
        f"Give a file as the list of people has it, below its folder and ending in {' or '.join(EXTENSIONS)}.",
    )
