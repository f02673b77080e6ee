"""Starts every release of ComfyUI with the pack, and runs the known answers in it.

    python tests/releases.py                     a table of all releases that the pack supports, in half an hour
    python tests/releases.py --only 0.3.70 …     of some
    python tests/releases.py --write             the table goes into docs/compatibility.md, too

By hand: `python dev.py test` does the same, and all else, in the oldest release and in the newest that is pinned.
All run in the Python environment of the newest, so an error of a release can be one of its requirements.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import provision
from provision import DevError

TESTS = ("tests/host/test_start.py", "tests/host/test_known_answers.py")
FLOORS = ("uniportrait_core", "host", "nodes")
VERSION_FILE = "comfyui_version.py"
OLDEST = provision.HOSTS["oldest"][0]
PAGE = provision.ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- releases: begin -->", "<!-- releases: end -->"
MINUTES = 10  # that a release may take


@dataclass(frozen=True)
class Release:
    """A version of ComfyUI, the commit that made it one, and its day."""

    version: str
    commit: str
    day: str


@dataclass(frozen=True)
class Outcome:
    """What pytest said of a release: its counts in words, and the first thing that went wrong."""

    counts: str
    error: str = ""


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(("git", "-C", clone, *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def releases(clone: Path) -> list[Release]:
    """All since the oldest that is supported, which the file with the version tells by its changes."""
    found: dict[str, Release] = {}
    for line in git(clone, "log", "--reverse", "--format=%H %as", "origin/HEAD", "--", VERSION_FILE).splitlines():
        commit, day = line.split()
        told = re.search(r'__version__ = "([\d.]+)"', git(clone, "show", f"{commit}:{VERSION_FILE}"))
        if told and numbers(told[1]) >= numbers(OLDEST):
            found.setdefault(told[1], Release(told[1], commit, day))
    return sorted(found.values(), key=lambda release: numbers(release.version))


def try_release(clone: Path, python: Path, release: Release) -> Outcome:
    git(clone, "checkout", "--quiet", "--force", release.commit)
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *TESTS)
    environment = {**os.environ, "COMFYUI_PATH": str(clone), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=provision.ROOT, env=environment, capture_output=True, text=True, timeout=60 * MINUTES
        )
    except subprocess.TimeoutExpired:
        return Outcome(f"not done after {MINUTES} min")
    return read_outcome(done.stdout + done.stderr)


def read_outcome(output: str) -> Outcome:
    """
    Args:
        output: of pytest with `-q --tb=line`.
    """
    counts = re.findall(r"(?m)^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s", output)
    errors = re.findall(r"(?m)^(?:E\s+|\S+:\d+: )(\w*(?:Error|Exception)\b.*)", output)
    return Outcome(counts[-1] if counts else "did not start", errors[0][:160] if errors else "")


def table(outcomes: Sequence[tuple[Release, Outcome]]) -> str:
    rows = [
        f"| {release.version} | {release.day} | {outcome.counts}{f': `{outcome.error}`' if outcome.error else ''} |"
        for release, outcome in outcomes
    ]
    return "\n".join(("| ComfyUI | of | known answers and start |", "|---|---|---|", *rows))


def write(text: str, page: Path = PAGE) -> None:
    """Put the table between the page's marks; rows of releases that it lacks stay there."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    kept, mark, after = rest.partition(END)
    if not mark:
        raise DevError(f"{page} lacks the lines {BEGIN} and {END}, between which the table goes.")
    head, rule, *_ = text.splitlines()
    rows = {found[1]: line for line in (kept + text).splitlines() if (found := re.match(r"\| ([\d.]+) \|", line))}
    lines = (head, rule, *(rows[version] for version in sorted(rows, key=numbers)))
    page.write_text("\n".join((f"{before}{BEGIN}", *lines, f"{END}{after}")), "utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="VERSION", help="these releases")
    parser.add_argument("--write", action="store_true", help="the table goes into docs/compatibility.md")
    return parser.parse_args()


def main() -> int:
    options = parse()
    with provision.alone_in_cache() as cache:
        hosts = {name: provision.get_host(name, cache) for name in provision.HOSTS}
        python = provision.get_environment(hosts["newest"], cache)
        clone = provision.clone_into(cache / "releases", "Getting the history of ComfyUI (once)")
    # How long the pack takes to start is measured, and a release's files are not compiled to stay.
    subprocess.run((python, "-m", "compileall", "-q", *(provision.ROOT / floor for floor in FLOORS)), check=True)
    outcomes = []
    for release in releases(clone):
        if options.only and release.version not in options.only:
            continue
        started = time.monotonic()
        outcome = try_release(clone, python, release)
        outcomes.append((release, outcome))
        print(f"{release.version:10} {outcome.counts}  {time.monotonic() - started:.0f} s  {outcome.error}", flush=True)
    if options.write:
        write(table(outcomes))
    return int(any(outcome.error or "failed" in outcome.counts for _, outcome in outcomes))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DevError as problem:
        sys.exit(f"error: {problem}")
