"""Runs of `prepare` that end in the middle, and several processes: always the same shards, to the byte."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from jobs import die, fail, square
from shard_content import everything, samples
from test_prepare_bad_input import arguments

from training.files import PARTIAL, whole_file
from training.prepare.run import prepare
from training.prepare.workers import work
from uniportrait_core.errors import UniPortraitError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    """Starts processes that have all modules loaded already, so that a run can be killed in its first moments too."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.prepare.run", "training.prepare.features"])
    return context


@pytest.mark.parametrize("cached", [False, True])
def test_killed_at_random_moments(server, settings, caching, tmp_path, cached):
    settings = replace(settings, shard_size=2)
    run = partial(prepare, settings, caching=caching if cached else None)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = server.Process(target=run, args=(whole,))
    undisturbed.start()
    undisturbed.join()
    dice, patience, seen = np.random.default_rng(cached), 0.05, []
    while True:
        process = server.Process(target=run, args=(killed,))
        process.start()
        process.join(patience * dice.random() * 2)
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        seen.append(len(list(killed.glob("journal/0*.json"))))
        for shard in killed.glob("*.tar"):  # whole, whenever they are there
            assert shard.read_bytes().endswith(bytes(1024))
        patience *= 1.2  # however slow the machine, it comes to an end
    assert len(seen) >= 3 and len(set(seen)) >= 2  # killed before the first shard, and between two
    assert len(samples(killed)) == 15
    assert everything(killed) == everything(whole)


def test_two_processes_make_the_same_shards(settings, shards, tmp_path):
    prepare(settings, tmp_path / "shards", workers=2)
    assert everything(tmp_path / "shards") == everything(shards)


def test_workers_end_with_the_run_that_is_killed(settings, tmp_path):
    """By the whole command, twice: once it is killed, once it goes on."""
    output = tmp_path / "shards"
    command = [sys.executable, "-m", "training", *arguments(settings, output), "--workers", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not list(output.glob("*.tar")) and process.poll() is None:
        time.sleep(0.01)
    workers = _children(process.pid)
    process.kill()
    process.wait()
    assert len(workers) >= 2
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.05)
    prepare(settings, output)
    assert len(samples(output)) == 15 and not list(output.glob(f"*{PARTIAL}"))


def _children(process: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_finished_run_does_nothing_again(settings, tmp_path):
    prepare(settings, tmp_path)
    before = everything(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.tar")}
    prepare(settings, tmp_path)
    assert everything(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.tar")} == times


@pytest.mark.parametrize("damage", [lambda shard: shard.unlink(), lambda shard: os.truncate(shard, 9000)])
def test_a_lost_or_shortened_shard_is_made_again(settings, shards, tmp_path, damage):
    prepare(settings, tmp_path)
    damage(tmp_path / "shard-000001.tar")
    prepare(settings, tmp_path)
    assert everything(tmp_path) == everything(shards)


def test_left_out_pictures_are_counted_once_over_several_runs(settings, tmp_path):
    settings = replace(settings, filters=replace(settings.filters, max_people=3), shard_size=3)
    first = prepare(settings, tmp_path)
    (tmp_path / "shard-000002.tar").unlink()
    assert prepare(settings, tmp_path) == first
    assert first["left_out"]["crowded"]["count"] == 3 and first["pictures_found"] == 15


# The parts


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_are_done_once_each(workers):
    advanced = []
    results = work(range(7), [partial(partial, square)] * workers, lambda: advanced.append(1))
    assert sorted(results) == [number**2 for number in range(7)] and len(advanced) == 7


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_workers_arrive(workers):
    with pytest.raises(UniPortraitError, match="-3 is negative. Give another."):
        list(work([1, -3, 2], [partial(partial, square)] * workers, lambda: None))


def test_unexpected_errors_of_workers_say_where():
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*in fail.*no such thing"):
        list(work([1, 2], [partial(partial, fail)] * 2, lambda: None))


def test_a_worker_that_was_killed_is_noticed():
    with pytest.raises(UniPortraitError, match=r"ended from outside \(exit code -9\).*fewer --workers"):
        list(work([1, 2], [partial(partial, die)] * 2, lambda: None))


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(b"new")
        _ = 1 / 0
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_journal_says_what_was_done(shards):
    entry = json.loads((shards / "journal/000000.json").read_text())
    assert entry["bytes"] == (shards / "shard-000000.tar").stat().st_size
    assert [picture["key"] for picture in entry["pictures"]] == list(samples(shards))[:4]
