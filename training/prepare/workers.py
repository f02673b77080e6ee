"""Several processes that work on one list of jobs."""

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from uniportrait_core.errors import UniPortraitError

Job = TypeVar("Job")
Result = TypeVar("Result")
Advance = Callable[[], None]
Task = Callable[[Job, Advance], Result]

ADVANCE, DONE, FAILED = "advance", "done", "failed"


def work(jobs: Sequence[Job], setups: Sequence[Callable[[], Task[Job, Result]]], advance: Advance) -> Iterator[Result]:
    """Do jobs, each in one of several processes, and give their results as they come.

    The processes end with this one, however it ends: when it is killed, their pipes break.

    Args:
        jobs: what is to be done.
        setups: for each process, what makes its task; a single one is done in this process.
        advance: is called as often as tasks call theirs.

    Raises:
        UniPortraitError: a process was killed from outside. What a task raises is raised here as well.
    """
    if not jobs:
        return
    if len(setups) == 1:
        task = setups[0]()
        yield from (task(job, advance) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")  # CUDA and onnxruntime do not live through a fork
    waiting = iter(jobs)
    processes = {}
    try:
        for setup, job in zip(setups, waiting, strict=False):
            ours, theirs = context.Pipe()
            processes[ours] = context.Process(target=_serve, args=(theirs, setup), daemon=True)
            processes[ours].start()
            theirs.close()
            ours.send(job)
        busy = set(processes)
        while busy:
            for connection in wait(busy):
                kind, content = _receive(connection, processes[connection])
                if kind == ADVANCE:
                    advance()
                    continue
                if kind == FAILED:
                    raise content
                yield content
                job = next(waiting, None)
                if job is None:
                    busy.remove(connection)
                else:
                    connection.send(job)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join()


def _receive(connection: Connection, process: Any) -> tuple[str, Any]:
    try:
        return connection.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise UniPortraitError(
            f"A worker process was ended from outside (exit code {process.exitcode}), most likely because memory ran "
            "out. Run the same command again with fewer --workers; what is finished is kept."
        ) from error


def _serve(connection: Connection, setup: Callable[[], Task]) -> None:
    """A process: do what comes through the pipe until it breaks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other end is told to stop, and ends this one

    def send(kind: str, content: Any = None) -> None:
        try:
            connection.send((kind, content))
        except OSError:
            sys.exit()

    try:
        task = setup()
        while True:
            try:
                job = connection.recv()
            except (EOFError, OSError):
                return
            send(DONE, task(job, lambda: send(ADVANCE)))
    except UniPortraitError as error:
        send(FAILED, error)
    except Exception:
        send(FAILED, RuntimeError(traceback.format_exc()))
