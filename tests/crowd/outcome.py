"""What came of an order: how it ended, what it made, in bits, and what was seen of it meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open

SUCCESS, ERROR, INTERRUPTED = "success", "error", "interrupted"
BEGIN, STEP = "uniportrait.routing.begin", "uniportrait.routing.step"  # messages about who is where
SAVED = "saved_people"


@dataclass(frozen=True)
class Outcome:
    """
    Attributes:
        ended: SUCCESS, ERROR or INTERRUPTED.
        error: node and first line of the message, where it ended so.
        shown: by node the hashes of what it made.
        seen: by node and step the hashes of the maps that were sent, or of the people whom they are of.
        files: of people who were saved.
    """

    ended: str
    error: str = ""
    shown: dict[str, list[str]] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        messages: Iterable[Sequence[Any]],
        outputs: Mapping[str, Mapping[str, Any]],
        told: Iterable[tuple[str, Mapping[str, Any]]],
    ) -> Outcome:
        """
        Args:
            messages: of the host about the prompt, kind and content.
            outputs: what nodes show, by node.
            told: messages about who is where, kind and content.
        """
        ended, error = SUCCESS, ""
        for kind, about in messages:
            if kind == "execution_error":
                lines = about["exception_message"].strip().splitlines() or [""]
                ended, error = ERROR, f"{about['node_id']}: {lines[0]}"
            elif kind == "execution_interrupted":
                ended = INTERRUPTED
        shown = {node: list(output["bits"]) for node, output in outputs.items() if "bits" in output}
        files = [file for output in outputs.values() for file in output.get(SAVED, ())]
        return cls(ended, error, shown, seen_in(told), files)

    def with_files(self, folder: Path) -> Outcome:
        """With the content of the saved people among what it made."""
        contents = {f"file {number}": [hash_of(content_of(folder / file))] for number, file in enumerate(self.files)}
        return replace(self, shown=self.shown | contents, files=[])


def seen_in(told: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """The `seen` of an outcome, from messages."""
    seen: dict[str, set[str]] = {}
    for kind, about in told:
        if kind == BEGIN:
            place, content = "people", about["people"]
        else:
            place, content = f"step {about['step']}", [about["height"], about["width"], about["map"]]
        seen.setdefault(f"{about['node']} {place}", set()).add(hash_of(repr(content).encode()))
    return {place: sorted(hashes) for place, hashes in seen.items()}


def content_of(path: Path) -> bytes:
    """All that is in a file of saved people, in order, which safetensors itself does not keep."""
    with safe_open(path, "pt") as file:
        tensors = [(name, file.get_tensor(name).numpy()) for name in sorted(file.keys())]
        metadata = sorted(file.metadata().items())
    return repr((metadata, [(name, array.shape, array.tobytes()) for name, array in tensors])).encode()


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def difference(found: Outcome, alone: Outcome) -> str:
    """What is not as it is alone, in words, or nothing. Maps may be left out, as a fast sampler does."""
    if (found.ended, found.error) != (alone.ended, alone.error):
        return f"ended with {found.ended} {found.error!r}, alone with {alone.ended} {alone.error!r}"
    nodes = found.shown.keys() | alone.shown.keys()
    if changed := sorted(node for node in nodes if found.shown.get(node) != alone.shown.get(node)):
        return f"other bits at {', '.join(changed)}"
    if strange := sorted(place for place, hashes in found.seen.items() if set(hashes) - set(alone.seen.get(place, ()))):
        return f"was shown what is not of it: {', '.join(strange)}"
    return ""
