"""Somebody who looks at who is where while a sampler works: the host's server, as far as the pack asks it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

LOOKS = "uniportrait_live_routing"
BEGIN, STEP = "uniportrait.routing.begin", "uniportrait.routing.step"


class Server:
    """Keeps what is sent, and to whom. Two front ends look, one of which has queued the prompt."""

    def __init__(self, looks: bool = True):
        self.client_id: str | None = "mine"
        self.sockets_metadata: dict[str, dict[str, Any]] = {"mine": {LOOKS: looks}, "other": {LOOKS: True}}
        self.sent: list[tuple[str, dict[str, Any], str | None]] = []

    def send_sync(self, event: str, data: dict[str, Any], sid: str | None = None) -> None:
        if event.startswith("uniportrait."):
            self.sent.append((event, data, sid))

    def of(self, event: str, node: str | None = None) -> list[dict[str, Any]]:
        """What was sent of a kind, about one node or all."""
        return [data for kind, data, _ in self.sent if kind == event and node in (None, data["node"])]


def map_of(step: dict[str, Any]) -> np.ndarray:
    """The map in a message, (people, height, width), 0..1."""
    numbers = np.frombuffer(base64.b64decode(step["map"]), np.uint8)
    return numbers.reshape(-1, step["height"], step["width"]) / 255
