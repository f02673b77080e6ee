"""A ComfyUI server's HTTP API, as much of it as generating needs, and the four ways in which it can let one down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from .photos import Photo
from .workflow import Nodes

TIMEOUT = (10, 60)  # seconds to connect, and to answer


class GoneError(Exception):
    """The server does not answer, or not as ComfyUI does."""


class LostError(Exception):
    """The server answers, but knows nothing of the prompt: it was started anew, or its queue was cleared."""


class RejectedError(Exception):
    """The server finds the workflow invalid, as where it lacks a model or a node."""


class FailedError(Exception):
    """A node raised an error."""


@dataclass(frozen=True)
class Made:
    """A picture as the server has it: its name there, and the file's content."""

    name: str
    content: bytes


class Comfy:
    """One server. Used by one thread at a time."""

    def __init__(self, url: str):
        """
        Args:
            url: its address; without a scheme http is meant.
        """
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy set for the internet would also be asked for 127.0.0.1
        self._uploaded: set[str] = set()

    def check(self) -> None:
        """Raises GoneError unless a ComfyUI answers."""
        if "system" not in self._json("GET", "/system_stats"):
            raise GoneError("answers, but not as ComfyUI does")

    def forget(self) -> None:
        """Upload photos anew from now on: the server may have been started with another input folder."""
        self._uploaded.clear()

    def upload(self, photo: Photo) -> str:
        """Send a photo unless it was sent before; returns the name that Load Image takes."""
        if photo.name not in self._uploaded:
            data = {"overwrite": "true", "type": "input"}
            answer = self._json("POST", "/upload/image", data=data, files={"image": (photo.name, photo.content)})
            if answer.get("name") != photo.name:
                raise GoneError(f"took the photo {photo.name} under another name ({answer})")
            self._uploaded.add(photo.name)
        return photo.name

    def submit(self, nodes: Nodes) -> str:
        """Queue a workflow; returns the prompt's id. Raises RejectedError where it is not valid in whole."""
        answer = self._json("POST", "/prompt", json={"prompt": nodes})
        if answer.get("error") or answer.get("node_errors"):
            if "prompt_id" in answer:  # one output is valid, and would be made
                self.cancel(answer["prompt_id"])
            raise RejectedError(_describe(answer))
        if "prompt_id" not in answer:
            raise GoneError(f"queued nothing ({answer})")
        return answer["prompt_id"]

    def result(self, prompt_id: str) -> Mapping[str, Any] | None:
        """What the output nodes of a prompt show, by node id; None while it waits or runs.

        Raises:
            FailedError: a node raised an error, or somebody stopped the prompt.
            LostError: the server does not know the prompt.
        """
        # The queue before the history, as prompts go from the one to the other.
        queue = self._json("GET", "/queue")
        waiting = {item[1] for part in ("queue_running", "queue_pending") for item in queue.get(part, [])}
        entry = self._json("GET", f"/history/{prompt_id}").get(prompt_id)
        if entry is None:
            if prompt_id not in waiting:
                raise LostError("the prompt is in no queue any more")
            return None
        status = entry.get("status") or {}
        if status.get("status_str") == "error":
            raise FailedError(_reason(status.get("messages") or []))
        return entry.get("outputs") or {}

    def download(self, outputs: Mapping[str, Any], node: str) -> Made:
        """The one picture that a node has made. Raises FailedError where there are none or several."""
        images = (outputs.get(node) or {}).get("images") or []
        if len(images) != 1:
            raise FailedError(f"{len(images)} pictures came from node {node}, needed is one")
        return Made(images[0]["filename"], self._request("GET", "/view", params=images[0]).content)

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or stop it."""
        self._request("POST", "/queue", json={"delete": [prompt_id]})
        self._request("POST", "/interrupt", json={"prompt_id": prompt_id})

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._request(method, path, **options)
        try:
            answer = response.json()
        except ValueError as error:
            raise GoneError(f"answers {path} with something else than JSON") from error
        if not isinstance(answer, dict):
            raise GoneError(f"answers {path} with {answer!r}")
        return answer

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            response = self._session.request(method, self.url + path, timeout=TIMEOUT, **options)
        except (requests.RequestException, OSError) as error:
            raise GoneError(f"does not answer ({type(error).__name__})") from error
        # A prompt that is not valid comes with 400 and says what is wrong in JSON.
        if not response.ok and not (response.status_code == 400 and path == "/prompt"):
            raise GoneError(f"answers {path} with {response.status_code}")
        return response


def _describe(answer: Mapping[str, Any]) -> str:
    """A rejection in a line: the prompt's error, then each node's."""
    error = answer.get("error") or {}
    parts = [str(error.get("message", error)) if isinstance(error, Mapping) else str(error)] if error else []
    for number, problem in (answer.get("node_errors") or {}).items():
        for found in problem.get("errors", []):
            parts.append(f"node {number} ({problem.get('class_type')}): {found['message']} {found['details']}")
    return "; ".join(" ".join(part.split()) for part in parts)


def _reason(messages: list[Any]) -> str:
    for kind, data in messages:
        if kind == "execution_error":
            return f"node {data.get('node_id')} ({data.get('node_type')}): {data.get('exception_message', '').strip()}"
        if kind == "execution_interrupted":
            return "somebody stopped it"
    return "the server says no reason"
