"""What is demanded of an error: that it is one of the pack's own, names the file, says what is wrong and what to do."""

import re

LONGEST = 700  # characters; the longest of the pack's own that quotes a command has about 600

# The verbs that the pack's advice begins with. One that is missing here is added, if it tells a user to do something.
CURES = (
    "Adjust", "Change", "Choose", "Combine", "Connect", "Convert", "Copy", "Delete", "Download", "Draw", "Empty",
    "Encode", "Export", "Free", "Get", "Give", "In Load CLIP Vision load", "Install", "Join", "Leave", "Load", "Lower",
    "Mix", "Put", "Refresh", "Remove", "Rename", "Run", "Save", "See", "Set", "Take", "Unpack", "Update", "Use",
    "Write",
)  # fmt: skip
CURE = re.compile(rf"[.)?] (Mask it, or |First )?({'|'.join(CURES)})\b.*\.$")
# What Python says, where words should be.
LEFTOVERS = re.compile(
    r"<class |<built-in| object at 0x|Traceback|(?<!\w)(?<!shape )\(\)|\bmax\(\)|arg is an|has no attribute|"
    r"not subscriptable|must be \w+, not|\(None\)|: None\.|: \.(?![./])|\bNoneType\b"
)


def faults(error: BaseException, named: str = "") -> list[str]:
    """What is wrong with an error; nothing where it is as it should be.

    Args:
        error: whatever was raised.
        named: what its text has to name: a file, or an input of a node.
    """
    return faults_of_text(type(error).__name__, str(error), named)


def faults_of_text(kind: str, text: str, named: str = "") -> list[str]:
    """The same of an error of which a program has only the name and the text."""
    found = []
    if kind.split(".")[-1] not in ("UniPortraitError", "RequestRefusedError"):
        return [f"it is {kind}: {text[:200]}"]
    if named and named not in text:
        found.append(f"it does not name {named!r}")
    if not text.isprintable():
        found.append("it holds signs that are not printed")
    if len(text) > LONGEST:
        found.append(f"it is {len(text)} characters long")
    if leftover := LEFTOVERS.search(text):
        found.append(f"it holds {leftover[0]!r}")
    if not CURE.search(text):
        found.append("it says nothing to do")
    return [f"{fault}: {text[:300]}" for fault in found]
