"""A small server that speaks the Hugging Face hub's protocol, as far as a download of files needs it.

Like the hub it answers a question for a file with its commit, hash and size and leads on to another host for the
content, and like any server of files it gives parts. What goes wrong on a way is wished for at each file.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Stored:
    """A file on the server.

    Attributes:
        size, digest: what the server says of the file, where that is not the truth.
        status: instead of an answer, an error.
        cuts: for each coming request of the content, after how many bytes the connection breaks.
        small: as the hub keeps small files, with git's hash and without another address.
    """

    body: bytes
    size: int | None = None
    digest: str | None = None
    status: int | None = None
    cuts: list[int] = field(default_factory=list)
    small: bool = False
    commit: str | None = COMMIT

    @property
    def sha256(self) -> str:
        return self.digest or hashlib.sha256(self.body).hexdigest()

    @property
    def git(self) -> str:
        return self.digest or hashlib.sha1(b"blob %d\0" % len(self.body) + self.body).hexdigest()


@dataclass
class FakeHub:
    """Files by `<repository>/<path>`, and those of no repository by their path; `asked` has every request so far."""

    url: str
    files: dict[str, Stored]
    asked: list[tuple[str, str, dict[str, str]]]

    def gets(self) -> list[str | None]:
        """The ranges of all requests of content so far."""
        return [headers.get("Range") for method, path, headers in self.asked if (method, path[:6]) == ("GET", "/cdn/m")]

    def stored(self, path: str) -> tuple[str, Stored | None]:
        """The file that a path means, and how: at the hub, as its content, or plainly."""
        kind, parts = "hub", path.strip("/").split("/")
        if parts[0] == "cdn":
            kind, key = "content", "/".join(parts[2:])
        elif parts[2:3] == ["resolve"]:
            key = "/".join([*parts[:2], *parts[4:]])
        else:
            kind, key = "content", "/".join(parts)
        return kind, self.files.get(key)


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Run a server for the time of a `with` block."""
    hub = FakeHub("", {}, [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:  # noqa: N802
            self._answer(with_body=False)

        def do_GET(self) -> None:  # noqa: N802
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            hub.asked.append((self.command, self.path, dict(self.headers)))
            kind, stored = hub.stored(self.path)
            if stored is None or stored.status:
                self._head(stored.status if stored else 404, {"Content-Length": "0"})
            elif kind == "content" or stored.small:
                self._content(stored, with_body)
            else:
                about = {"X-Linked-ETag": f'"{stored.sha256}"', "X-Linked-Size": str(stored.size or len(stored.body))}
                repository, _, file = self.path[1:].partition("/resolve/")
                # The same server under another name, which to a client is another one.
                there = f"http://localhost:{server.server_port}/cdn/main/{repository}/{file.partition('/')[2]}"
                self._head(302, {**about, **self._commit(stored), "Location": there, "Content-Length": "0"})

        def _commit(self, stored: Stored) -> dict[str, str]:
            return {"X-Repo-Commit": stored.commit} if stored.commit else {}

        def _content(self, stored: Stored, with_body: bool) -> None:
            body, status, headers = stored.body, 200, {"ETag": f'"{stored.git}"', **self._commit(stored)}
            if asked := self.headers.get("Range"):
                start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
                if not body:
                    self._head(416, {"Content-Length": "0"})
                    return
            self._head(status, {**headers, "Content-Length": str(len(body))})
            if with_body:
                cut = stored.cuts.pop(0) if stored.cuts else None
                self.wfile.write(body[:cut])
                self.close_connection = cut is not None or self.close_connection

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
