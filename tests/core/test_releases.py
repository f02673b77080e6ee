"""What `tests/releases.py` reads off git and pytest."""

from __future__ import annotations

import subprocess

import pytest

import releases
from provision import DevError
from releases import BEGIN, END, Outcome, Release, read_outcome, table, write


def test_what_pytest_says():
    assert read_outcome("....\n24 passed in 12.30s\n") == Outcome("24 passed")
    failed = (
        "/x/test_start.py:9: AssertionError: assert 1 == 2\n"
        "=========== short test summary info ===========\n1 failed, 23 passed, 2 warnings in 9.99s\n"
    )
    assert read_outcome(failed) == Outcome("1 failed, 23 passed, 2 warnings", "AssertionError: assert 1 == 2")
    broken = "E   ModuleNotFoundError: No module named 'av'\n"
    assert read_outcome(broken) == Outcome("did not start", "ModuleNotFoundError: No module named 'av'")


def test_releases_are_read_off_the_history(tmp_path):
    """Those before the oldest are passed over, and a version is the commit that made it one."""
    origin = tmp_path / "origin"
    origin.mkdir()

    def git(*arguments: str) -> None:
        subprocess.run(("git", "-C", origin, *arguments), check=True, capture_output=True)

    git("init", "-b", "master")
    git("config", "user.email", "a@b.c")
    git("config", "user.name", "a")
    for version in ("0.3.63", "0.3.64", "0.10.0", "0.4.0"):
        for comment in ("first", "second"):
            (origin / releases.VERSION_FILE).write_text(f'# {comment}\n__version__ = "{version}"\n')
            git("add", ".")
            git("commit", "-m", f"{version} {comment}")
    clone = tmp_path / "clone"
    subprocess.run(("git", "clone", "-q", origin, clone), check=True)
    found = releases.releases(clone)
    assert [release.version for release in found] == ["0.3.64", "0.4.0", "0.10.0"]
    said = [releases.git(clone, "log", "-1", "--format=%s", release.commit).strip() for release in found]
    assert said == ["0.3.64 first", "0.4.0 first", "0.10.0 first"]
    with pytest.raises(DevError, match="git show failed"):
        releases.git(clone, "show", "nothing")


def test_the_table_takes_its_place_in_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n| 0.10.0 | a day | 3 passed |\n{END}\nafter\n")
    outcomes = [(Release("0.4.0", "abc", "2025-12-01"), Outcome("1 failed, 2 passed", "KeyError: 'x'"))]
    write(table(outcomes), page)
    lines = page.read_text().splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
    assert lines[4] == "| 0.4.0 | 2025-12-01 | 1 failed, 2 passed: `KeyError: 'x'` |"
    assert lines[5] == "| 0.10.0 | a day | 3 passed |"  # of a release that was not run again
    page.write_text("no place")
    with pytest.raises(DevError, match="lacks the lines"):
        write("table", page)
