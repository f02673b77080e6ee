"""Talking to a ComfyUI server: its HTTP requests, and the events of a running prompt from its websocket."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import queue
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

# Without this, an HTTP proxy set for the internet would also be asked for 127.0.0.1.
_http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerError(RuntimeError):
    """The server did not start, died, or answered a request with an error."""


class PromptRejectedError(ServerError):
    """The server found the prompt invalid; `response` is its JSON answer, `node_errors` included."""

    def __init__(self, response: dict[str, Any]) -> None:
        self.response = response
        super().__init__(_describe_rejection(response))


class ExecutionFailedError(ServerError):
    """A node raised an error, or the run was interrupted; `event` is the server's message about it."""

    def __init__(self, event: Event) -> None:
        self.event = event
        trace = "".join(event.data.get("traceback", []))
        super().__init__(f"Node {event.node} ({event.data.get('node_type')}): {event.message or event.kind}\n{trace}")


@dataclass(frozen=True)
class Event:
    """One message of the server about a running prompt.

    Attributes:
        kind: the server's name for it: `execution_start`, `execution_cached`, `executing`, `progress`,
            `progress_state`, `executed`, `execution_success`, `execution_error` or `execution_interrupted`.
        node: id of the node that it is about, if any.
        data: all that the server said.
    """

    kind: str
    node: str | None
    data: dict[str, Any]

    @property
    def value(self) -> int:
        """Steps done, in a `progress` event."""
        return self.data.get("value", 0)

    @property
    def maximum(self) -> int:
        """Steps in all, in a `progress` event."""
        return self.data.get("max", 0)

    @property
    def output(self) -> dict[str, Any]:
        """What an output node shows, in an `executed` event; pictures are under `images`."""
        return self.data.get("output") or {}

    @property
    def message(self) -> str:
        """What went wrong, in an `execution_error` event."""
        return self.data.get("exception_message", "").strip()


class ComfyClient:
    """Talks to a running server; made by `comfy_server`. Follow one prompt at a time."""

    def __init__(self, base: Path, url: str, log_file: Path) -> None:
        self.base = base
        self.url = url
        self.client_id = uuid.uuid4().hex
        self.log_file = log_file
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._connected = threading.Event()

    def log(self, lines: int | None = None) -> str:
        """What the server has printed so far, or the last `lines` of it."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        return text if lines is None else "\n".join(text.splitlines()[-lines:])

    def request(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """GET `path`, or POST `body` as JSON to it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with _http.open(request, timeout=60) as response:
            return response.read()

    def object_info(self, node: str = "") -> dict[str, Any]:
        """The server's description of one node class, or of all, by node id."""
        return json.loads(self.request(f"/object_info/{node}" if node else "/object_info"))

    def add_input(self, picture: Path | str, name: str | None = None) -> str:
        """Copy a picture into the server's input folder; returns the name that Load Image takes."""
        target = self.base / "input" / (name or Path(picture).name)
        shutil.copyfile(picture, target)
        return target.name

    def submit(self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None) -> str:
        """Queue a prompt in API format and return its id.

        Args:
            prompt: nodes by id.
            workflow: the same graph in UI format, for the server to embed in the pictures that it saves.

        Raises:
            PromptRejectedError: the server found an error in any part of the prompt.
        """
        body: dict[str, Any] = {"prompt": prompt, "client_id": self.client_id}
        if workflow is not None:
            body["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        try:
            answer = json.loads(self.request("/prompt", body))
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            if error.code != 400:
                raise ServerError(f"/prompt answered {error.code}: {text}\n{self.log(40)}") from error
            raise PromptRejectedError(json.loads(text)) from None
        if answer["node_errors"]:  # some outputs are valid and will run, the others are silently left out
            raise PromptRejectedError(answer)
        return answer["prompt_id"]

    def events(
        self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None, timeout: float = 600
    ) -> Iterator[Event]:
        """Submit a prompt and follow it to its end, successful or not; `timeout` is in seconds without any word."""
        return self._follow(self.submit(prompt, workflow), timeout)

    def run(
        self, prompt: dict[str, Any], workflow: dict[str, Any] | None = None, timeout: float = 600
    ) -> dict[str, dict[str, Any]]:
        """Submit a prompt, wait for its end and return what its output nodes show, by node id.

        Raises:
            ExecutionFailedError: a node failed, or the run was interrupted.
        """
        outputs: dict[str, dict[str, Any]] = {}
        failure = None
        for event in self.events(prompt, workflow, timeout):
            if event.kind == "executed":
                outputs[str(event.node)] = event.output
            elif event.kind in ("execution_error", "execution_interrupted"):
                failure = event
        if failure is not None:
            raise ExecutionFailedError(failure)
        return outputs

    def messages(self) -> list[dict[str, Any]]:
        """All that the server has said since the last time, whatever the prompt, for who follows many at once.

        Each has its `type`, an event's kind, and its `data`. Raises ServerError where the connection is closed.
        """
        found = []
        with contextlib.suppress(queue.Empty):
            while (message := self._messages.get_nowait()) is not None:
                found.append(message)
            raise ServerError(f"The server closed the connection.\n{self.log(40)}")
        return found

    def interrupt(self) -> None:
        """Stop the prompt that is running now; its last event is then `execution_interrupted`."""
        self.request("/interrupt", {})

    def view(self, image: Mapping[str, str]) -> bytes:
        """The file behind one entry of an output's `images`."""
        return self.request("/view?" + urllib.parse.urlencode(image))

    def images(self, outputs: Mapping[str, Mapping[str, Any]]) -> list[Image.Image]:
        """All pictures in what `run` returned, in the order in which the nodes finished."""
        entries = [image for output in outputs.values() for image in output.get("images", [])]
        return [Image.open(io.BytesIO(self.view(entry))) for entry in entries]

    def _follow(self, prompt_id: str, timeout: float) -> Iterator[Event]:
        while True:
            try:
                message = self._messages.get(timeout=timeout)
            except queue.Empty:
                raise ServerError(f"No word from the server for {timeout:.0f} s.\n{self.log(40)}") from None
            if message is None:
                self._messages.put(None)  # so that the next call fails at once, too
                raise ServerError(f"The server closed the connection.\n{self.log(40)}")
            kind, data = message["type"], message.get("data") or {}
            if data.get("prompt_id") != prompt_id:
                continue
            if kind == "executing" and data["node"] is None:  # the server's last word on every prompt
                return
            yield Event(kind, data.get("node", data.get("node_id")), data)

    def connect(self) -> None:
        """Start receiving the server's messages, and return once it knows of us.

        The event loop gets a thread of its own: a browser driven by Playwright in the calling thread
        already occupies the one loop that a thread can have.
        """
        threading.Thread(target=lambda: asyncio.run(self._receive()), daemon=True).start()
        if not self._connected.wait(timeout=60):
            raise ServerError(f"The server's websocket did not answer.\n{self.log(40)}")

    async def _receive(self) -> None:
        import aiohttp  # comes with ComfyUI; what is to do without a server does without

        # A connection that breaks is reported by the None below, to whoever follows a prompt.
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session:
                url = f"{self.url}/ws?clientId={self.client_id}"
                async with session.ws_connect(url, max_msg_size=0) as websocket:
                    async for message in websocket:
                        self._connected.set()
                        if message.type is aiohttp.WSMsgType.TEXT:  # previews come as binary
                            self._messages.put(json.loads(message.data))
        self._messages.put(None)


def _describe_rejection(response: dict[str, Any]) -> str:
    """Put the server's error JSON into lines to read: the prompt's error first, then each node's."""
    error = response.get("error") or {"message": "Some outputs are invalid", "details": ""}
    lines = [f"{error['message']}: {error['details']}".rstrip(": ")]
    for node, problem in (response.get("node_errors") or {}).items():
        lines += [f"node {node} ({problem['class_type']}): {e['message']}: {e['details']}" for e in problem["errors"]]
    return "\n".join(lines)
