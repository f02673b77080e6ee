"""Who comes to the server: a program by its API, and people in browsers, each with a connection of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from comfy_client import ComfyClient

from .graphs import Prompt

LOOK = "/uniportrait/live_routing"
# What the server says is kept from before the page's own scripts hear of it.
LISTEN = """() => {
    window.crowd = [];
    const kinds = ["execution_error", "execution_success", "execution_interrupted", "executed",
        "uniportrait.routing.begin", "uniportrait.routing.step"];
    for (const kind of kinds)
        app.api.addEventListener(kind, ({ detail }) => window.crowd.push([kind, detail]));
}"""
TOLD = "() => window.crowd.splice(0)"
QUEUE = """async (prompt) => {
    await app.loadApiJson(prompt, "crowd");
    const send = app.api.queuePrompt;
    let sent;
    app.api.queuePrompt = async function (...given) { return (sent = await send.apply(this, given)); };
    try { await app.queuePrompt(0); } finally { app.api.queuePrompt = send; }
    return sent?.prompt_id ?? null;
}"""

Told = list[tuple[str, dict[str, Any]]]


class Visitor(Protocol):
    name: str

    def queue(self, prompt: Prompt) -> str:
        """Queue a prompt and return its id."""

    def told(self) -> Told:
        """What the server has said since the last time, kind and content."""

    def problems(self) -> list[str]:
        """What went wrong on their own side."""


class Program:
    """A client of the API, which looks at who is where as a front end does."""

    name = "program"

    def __init__(self, client: ComfyClient) -> None:
        self.client = client
        client.request(LOOK, {"client_id": client.client_id, "looks": True})

    def queue(self, prompt: Prompt) -> str:
        return self.client.submit(prompt)

    def told(self) -> Told:
        return [(message["type"], message.get("data") or {}) for message in self.client.messages()]

    def problems(self) -> list[str]:
        return []


class Person:
    """Somebody in a browser, who loads a graph on the canvas and presses Run."""

    def __init__(self, name: str, shown: Any) -> None:
        self.name, self.shown = name, shown
        shown.page.evaluate(LISTEN)

    def queue(self, prompt: Prompt) -> str:
        prompt_id = self.shown.page.evaluate(QUEUE, prompt)
        assert prompt_id, f"{self.name}: the front end queued nothing"
        return prompt_id

    def told(self) -> Told:
        return [(kind, detail or {}) for kind, detail in self.shown.page.evaluate(TOLD)]

    def problems(self) -> list[str]:
        return list(self.shown.errors)


@contextmanager
def visitors(server: ComfyClient, browsers: int) -> Iterator[list[Visitor]]:
    """A program, and people in as many browsers."""
    with ExitStack() as stack:
        people = []
        if browsers:
            from browser import front_ends  # not everybody has one

            settings = {"UniPortrait.LiveRouting": True}
            pages = stack.enter_context(front_ends(server, browsers, "IDRouterApply", settings))
            people = [Person(f"browser {number}", page) for number, page in enumerate(pages, start=1)]
        yield [Program(server), *people]


def queue_of(server: ComfyClient) -> tuple[list[str], list[str]]:
    """Ids of the prompts that run and that wait, the next one first."""
    found = json.loads(server.request("/queue"))
    waiting = sorted(found["queue_pending"], key=lambda entry: entry[0])
    return [entry[1] for entry in found["queue_running"]], [entry[1] for entry in waiting]
