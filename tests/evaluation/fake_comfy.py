"""A server with ComfyUI's API that draws at once, and misbehaves as it is told: real ones do so too seldom.

Its pictures carry what they were made from in their metadata, as ComfyUI's do.
"""

from __future__ import annotations

import io
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

from PIL import Image, PngImagePlugin


class FakeComfy(ThreadingHTTPServer):
    """
    Attributes:
        manner: how it answers /prompt: "well", "500", "nothing", "nonsense", "reject", "partly" (one output is valid,
            another is not), "fail" (the run ends in an error), "forget" (the prompt is lost), "cut" (the picture is cut
            off) or "emptied" (as "nothing", and all photos are lost). Prompts with photos that were not uploaded are
            always rejected.
        well_after: prompts after which it is well again; None for never.
        die_after: prompts after which it answers no more.
    """

    daemon_threads = True

    def __init__(self, manner: str = "well", well_after: int | None = None, die_after: int | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner, self.well_after, self.die_after = manner, well_after, die_after
        self.prompts: list[dict[str, Any]] = []
        self.cancelled: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.history: dict[str, dict] = {}
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def draw(self, nodes: dict[str, Any], manner: str) -> str:
        number = str(uuid.uuid4())
        seed = nodes["3"]["inputs"]["seed"]
        about = PngImagePlugin.PngInfo()
        about.add_text("prompt", json.dumps(nodes))
        stream = io.BytesIO()
        Image.new("RGB", (64, 64), tuple(seed.to_bytes(4, "big")[1:])).save(stream, "PNG", pnginfo=about)
        content = stream.getvalue()
        name = f"{nodes['4']['inputs']['filename_prefix'].replace('/', '_')}_{len(self.files):05}_.png"
        self.files[name] = content[: len(content) // 2] if manner == "cut" else content
        entry = {"filename": name, "subfolder": "", "type": "output"}
        outputs = {"3": {"images": [{"filename": "preview.png"}]}, "4": {"images": [entry]}}
        if manner == "fail":
            error = {"node_id": "3", "node_type": "Draw", "exception_message": "No face found."}
            self.history[number] = {"status": {"status_str": "error", "messages": [["execution_error", error]]}}
        elif manner != "forget":
            self.history[number] = {"status": {"status_str": "success"}, "outputs": outputs}
        return number


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: FakeComfy

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, content: object, code: int = 200) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def is_dead(self) -> bool:
        after = self.server.die_after
        return after is not None and len(self.server.prompts) >= after

    def do_GET(self) -> None:
        url = urlparse(self.path)
        if self.is_dead():
            self.close_connection = True
        elif url.path == "/system_stats":
            self.answer({"system": {}})
        elif url.path == "/queue":
            self.answer({"queue_running": [], "queue_pending": []})
        elif url.path.startswith("/history/"):
            number = url.path.rpartition("/")[2]
            history = self.server.history
            self.answer({number: history[number]} if number in history else {})
        elif url.path == "/view":
            self.answer(self.server.files[parse_qs(url.query)["filename"][0]])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.is_dead():
            self.close_connection = True
        elif self.path == "/upload/image":
            name = re.search(rb'filename="([^"]+)"', body)[1].decode()
            self.server.uploads[name] = body
            self.answer({"name": name, "subfolder": "", "type": "input"})
        elif self.path in ("/queue", "/interrupt"):
            self.server.cancelled.append(json.loads(body))
            self.answer({})
        elif self.path == "/prompt":
            self.prompt(json.loads(body)["prompt"])
        else:
            self.answer({})

    def prompt(self, nodes: dict[str, Any]) -> None:
        with self.server.lock:
            self.server.prompts.append(nodes)
            after = self.server.well_after
            manner = "well" if after is not None and len(self.server.prompts) > after else self.server.manner
            if manner == "500":
                self.answer(b"broken", 500)
            elif manner in ("nothing", "emptied"):
                self.close_connection = True
                if manner == "emptied":
                    self.server.uploads.clear()
            elif manner == "nonsense":
                self.answer(b"<html>hello</html>")
            elif manner == "reject" or not self.has_photos(nodes):
                errors = [{"message": "Value not in list", "details": "ckpt_name: 'x' not in []"}]
                problem = {"3": {"class_type": "Draw", "errors": errors}}
                self.answer({"error": {"message": "Prompt outputs failed validation"}, "node_errors": problem}, 400)
            elif manner == "partly":
                errors = {"9": {"class_type": "Draw", "errors": [{"message": "No", "details": "such node"}]}}
                self.answer({"prompt_id": "half", "node_errors": errors})
            else:
                self.answer({"prompt_id": self.server.draw(nodes, manner), "node_errors": {}})

    def has_photos(self, nodes: dict[str, Any]) -> bool:
        loaders = [node for node in nodes.values() if node["class_type"] == "LoadImage"]
        return all(node["inputs"]["image"] in self.server.uploads for node in loaders)


@contextmanager
def fake_comfy(*arguments: Any, **options: Any) -> Iterator[FakeComfy]:
    """A server for the time of a `with` block."""
    with FakeComfy(*arguments, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
