"""A real ComfyUI server for the tests and the demo, with this pack installed in it.

    with comfy_server(host=Path("ComfyUI"), models=Path("ComfyUI/models")) as server:
        photo = server.add_input("anna.jpg")
        for event in server.events(prompt):            # a prompt in API format
            print(event.kind, event.node, event.value, event.maximum)
        pictures = server.images(server.run(prompt))   # or all at once; a failing node raises

The server lives in its own process and in a temporary base directory (input, output, custom_nodes,
a link to the models), so that it changes nothing in the ComfyUI folder it is started from.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch

from comfy_client import ComfyClient, Event, ExecutionFailedError, PromptRejectedError, ServerError

__all__ = ["ComfyClient", "Event", "ExecutionFailedError", "PromptRejectedError", "ServerError", "comfy_server"]

PACK = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def comfy_server(
    host: Path,
    models: Path | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    start_timeout: float = 300,
    packs: Sequence[Path] = (),
) -> Iterator[ComfyClient]:
    """Run a ComfyUI server with this pack for the time of a `with` block.

    Args:
        host: the ComfyUI folder, with `main.py` in it.
        models: a folder laid out like ComfyUI's `models`, used in place; without it there are no models.
        arguments: more arguments for `main.py`.
        environment: variables to set beside those of this process.
        start_timeout: seconds that the server may take to answer.
        packs: folders of further node packs to install.
    """
    with tempfile.TemporaryDirectory(prefix="comfyui-", ignore_cleanup_errors=True) as folder:
        base = Path(folder).resolve()
        _make_templates_folder()
        _fill_base_directory(base, models, packs)
        port = _free_port()
        server = ComfyClient(base, f"http://127.0.0.1:{port}", base / "server.log")
        command = [*_command(Path(host).resolve(), base, port), *arguments]
        with server.log_file.open("wb") as log, _process(command, log, environment or {}) as process:
            _wait_until_ready(server, process, start_timeout)
            server.connect()
            yield server


def _make_templates_folder() -> None:
    """ComfyUI 0.3.64 refuses to start without this folder, which newer versions of that package no longer have."""
    package = importlib.util.find_spec("comfyui_workflow_templates")
    if package is not None and package.origin is not None:
        Path(package.origin).with_name("templates").mkdir(exist_ok=True)


def _fill_base_directory(base: Path, models: Path | None, packs: Sequence[Path]) -> None:
    for name in ("input", "output", "custom_nodes"):
        (base / name).mkdir()
    _link(PACK, base / "custom_nodes" / "ComfyUI-UniPortrait")
    for pack in packs:
        _link(pack, base / "custom_nodes" / pack.name)
    if models is None:
        (base / "models").mkdir()
    else:
        # The same place as in an ordinary installation, so that each of the pack's own model folders is found
        # exactly as it is at a user's.
        _link(Path(models).resolve(strict=True), base / "models")


def _link(target: Path, link: Path) -> None:
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if os.name != "nt":
            raise
        # Windows asks for a special right for symbolic links, but not for junctions.
        command = ["cmd", "/c", "mklink", "/J", str(link), str(target)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _command(host: Path, base: Path, port: int) -> list[str]:
    command = [sys.executable, str(host / "main.py"), "--listen", "127.0.0.1", "--port", str(port)]
    command += ["--base-directory", str(base), "--disable-auto-launch", "--use-pytorch-cross-attention"]
    # The default database is a file in the host's own folder, which two servers cannot share.
    command += ["--database-url", "sqlite:///:memory:"]
    if front_end := os.environ.get("UNIPORTRAIT_FRONT_END"):
        command += ["--front-end-root", front_end]
    return command if torch.cuda.is_available() else [*command, "--cpu"]


@contextlib.contextmanager
def _process(
    command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own, and end the whole group afterwards."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if os.name == "nt":
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
            process.wait()
        else:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        os.killpg(process.pid, signal.SIGKILL)  # whatever of the group is still there
    process.wait()


def _wait_until_ready(server: ComfyClient, process: subprocess.Popen[bytes], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):  # nobody listens on the port yet
            server.request("/system_stats")
            return
        if process.poll() is not None:
            raise ServerError(f"ComfyUI ended with code {process.returncode} while starting:\n{server.log(40)}")
        if time.monotonic() > deadline:
            raise ServerError(f"ComfyUI did not answer within {timeout:.0f} s:\n{server.log(40)}")
        time.sleep(0.2)
