"""What development needs, in the user's cache folder: versions of ComfyUI, an environment, stand-in weights.

Everything is made once and shared by all checkouts of this repository. What was interrupted is never trusted: a
folder gets its final name, or its mark `complete`, only when all of it is there. Standard library only, as this
runs before there is an environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMFYUI = "https://github.com/Comfy-Org/ComfyUI"
HOSTS = {
    "newest": ("0.33.0", "783545f689a0af730065994b46b382ae24844c99"),
    "oldest": ("0.3.64", "a125cd84b054a57729b5eecab930ca9408719832"),
}
FRONT_END = "comfyui-frontend-package"
# torchaudio lags behind torch: unpinned, pip may choose versions that do not fit each other.
TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")


class DevError(Exception):
    """Something that the user can put right; the message says what."""


# Running other programs


@contextlib.contextmanager
def child(command: Sequence[str | Path], **options: object) -> Iterator[subprocess.Popen]:
    """A running program that may clean up after Ctrl-C; `subprocess.run` would kill it after a quarter second."""
    try:
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, **options)
    except FileNotFoundError:
        raise DevError(f"{command[0]} was not found; please install it") from None
    try:
        yield process
    except KeyboardInterrupt:  # the program got the same Ctrl-C
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()
            process.wait()


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> int:
    """Run a program that shows its own output, and return its exit code."""
    with child(command, env={**os.environ, **(environment or {})}) as process:
        return process.wait()


def run_quietly(doing: str, *commands: Sequence[str | Path]) -> None:
    """Run programs behind one line that says what is done; the last words of one that fails are shown."""
    started = time.monotonic()
    print(f"{doing} ...", flush=True)
    for command in commands:
        last_lines: deque[str] = deque(maxlen=12)
        pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with child(command, text=True, errors="replace", **pipe) as process:
            for line in process.stdout:
                last_lines.append(line.rstrip())
                show_status(f"  {time.monotonic() - started:.0f} s  {line.strip()}")
            code = process.wait()
        show_status("")
        if code:
            print("\n".join(f"  | {line}" for line in last_lines if line))
            raise DevError(f"{doing}: failed, see above")
    print(f"  done in {time.monotonic() - started:.0f} s", flush=True)


def show_status(text: str) -> None:
    """Replace the terminal's last line; a log file gets no such lines."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print("\r" + text[:width].ljust(width), end="" if text else "\r", flush=True)


# The cache


def cache_folder() -> Path:
    """Where everything that is downloaded or built is kept, as is the custom of the operating system."""
    if sys.platform == "win32":
        user = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        user = Path.home() / "Library" / "Caches"
    else:
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return user / "comfyui-uniportrait"


@contextlib.contextmanager
def alone_in_cache() -> Iterator[Path]:
    """The cache folder, for one process at a time; the system frees the lock when a process ends, however it ends."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "a") as file:
        while not try_lock(file.fileno()):
            print("Another dev.py is setting up; waiting for it ...", flush=True)
            time.sleep(5)
        yield cache


def try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill, which becomes `folder` only if everything went well."""
    for left_over in folder.parent.glob(f"{folder.name}.part-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    part.parent.mkdir(parents=True, exist_ok=True)
    yield part
    part.rename(folder)


def fingerprint(*parts: str | bytes) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


# What is kept there


def own_host() -> Path | None:
    """The ComfyUI that the user points at, or in whose `custom_nodes` this folder is."""
    chosen = os.environ.get("COMFYUI_PATH")
    folder = Path(chosen).expanduser().resolve() if chosen else ROOT.parent.parent
    if (folder / "main.py").is_file() and (folder / "comfy").is_dir():
        return folder
    if chosen:
        raise DevError(f"COMFYUI_PATH={chosen} is no ComfyUI folder: it lacks main.py and comfy/")
    return None


def get_host(name: str, cache: Path) -> Path:
    """A clone of the pinned version of ComfyUI, made unless it is there."""
    version, commit = HOSTS[name]
    folder = cache / "hosts" / commit[:12]
    return clone_into(folder, f"Getting ComfyUI {version} (once)", commit)


def clone_into(folder: Path, saying: str, commit: str | None = None) -> Path:
    """A clone of ComfyUI, made unless it is there, with the files of a commit; with None there are none yet."""
    if not folder.exists():
        # The tokenizers of large language models are most of the repository, and not needed.
        files = ("/*", "!/comfy/text_encoders/*_tokenizer/*.json")
        with whole(folder) as part:
            run_quietly(
                saying,
                ("git", "clone", "--no-checkout", "--filter=blob:none", "--progress", COMFYUI, part),
                ("git", "-C", part, "sparse-checkout", "set", "--no-cone", *files),
                *([("git", "-C", part, "checkout", "--progress", commit)] if commit else []),
            )
    return folder


def get_hosts(cache: Path) -> dict[str, Path]:
    """The ComfyUI folders that can be had, by name; the first is the one whose requirements are installed."""
    own = own_host()
    if own is not None:
        return {"yours": own}
    hosts: dict[str, Path] = {}
    try:
        for name in HOSTS:
            hosts[name] = get_host(name, cache)
    except DevError as problem:
        print(problem)
    return hosts


def get_environment(host: Path | None, cache: Path) -> Path:
    """The Python of an environment that fits the host, or only the core's tests; made unless it is there."""
    files = [ROOT / "requirements.txt", ROOT / "training" / "requirements.txt", ROOT / "tests" / "requirements.txt"]
    files += [ROOT / package / "requirements.txt" for package in ("evaluation", "miniworld")]
    files += [host / "requirements.txt"] if host else []
    lines = [line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    needed = [line for line in lines if line and not line.startswith("#")]
    folder = cache / f"env-{fingerprint(platform.python_version(), platform.machine(), *TORCH, *needed)}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    complete = folder / "complete"
    if not (complete.exists() and python.exists()):
        # Starting anew is the only way to be sure of what an interrupted pip left; it keeps its downloads itself.
        arguments = [*TORCH, *(part for file in files for part in ("-r", file))]
        run_quietly(
            "Making a Python environment with PyTorch and all that the tests need (about 5 GB, once)",
            (sys.executable, "-m", "venv", "--clear", folder),
            (python, "-m", "pip", "install", "--progress-bar=off", "--disable-pip-version-check", *arguments),
        )
        complete.touch()
        if others := [other.name for other in cache.glob("env-*") if other != folder]:
            print(f"  Delete these if no other checkout needs them: {', '.join(others)} in {cache}")
    return python


def get_front_end(host: Path, installed: Path, python: Path, cache: Path) -> Path | None:
    """The front end that a host asks for; None where it is that of the host whose requirements are installed."""
    version = front_end_of(host)
    if version in (None, front_end_of(installed)):
        return None
    folder = cache / f"front-end-{version}"
    if not folder.exists():
        with whole(folder) as part:
            install = (python, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--target", part)
            run_quietly(f"Getting ComfyUI's front end {version} (once)", (*install, f"{FRONT_END}=={version}"))
    return folder / FRONT_END.replace("-", "_") / "static"


def front_end_of(host: Path) -> str | None:
    """The version that a host names."""
    pinned = re.search(rf"(?m)^{FRONT_END}==(\S+)", (host / "requirements.txt").read_text(encoding="utf-8"))
    return pinned and pinned[1]


def get_script_tools(cache: Path) -> Path | None:
    """A folder with the type checker and the linter of the scripts for the browser; None where there is no Node.js."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    files = [ROOT / "tests" / "web" / name for name in ("package.json", "package-lock.json")]
    contents = [file.read_bytes() for file in files]
    folder = cache / f"scripts-{fingerprint(platform.machine(), sys.platform, *contents)}"
    if not folder.exists():
        with whole(folder) as part:
            part.mkdir()
            for file in files:
                shutil.copyfile(file, part / file.name)
            install = (npm, "ci", "--prefix", part, "--ignore-scripts", "--no-audit", "--no-fund")
            run_quietly("Getting what checks the scripts for the browser (120 MB, once)", install)
    return folder


def get_standins(python: Path, host: Path, cache: Path) -> Path:
    """A `models` folder of stand-in weights, built anew when the code that builds them changes."""
    source = ROOT / "tests" / "standins"
    files = sorted(file for file in source.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    contents = [part for file in files for part in (file.relative_to(source).as_posix(), file.read_bytes())]
    folder = cache / f"standins-{fingerprint(*contents)}"
    if not folder.exists():
        with whole(folder) as part:
            build = (python, source / "build.py", "--host", host, "--output", part)
            run_quietly("Building stand-in weights", build)
    return folder
