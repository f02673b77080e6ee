"""What each order gives alone: on a ComfyUI that has just started and runs nothing else.

Called as a program it reads orders and writes their outcomes. Every order gets a process of its own, forked from one
that has imported ComfyUI and the pack, and has run nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from .graphs import Order, graph, write_files
from .outcome import BEGIN, STEP, Outcome

TESTS = Path(__file__).resolve().parents[1]
PROBE = TESTS / "host" / "probe_pack"
EVERY_MAP = -1.0  # seconds between two live maps, instead of the pack's


def outcomes_alone(orders: Iterable[Order], host: Path, models: Path) -> dict[Order, Outcome]:
    """What each of some orders gives alone.

    Args:
        host: folder of ComfyUI.
        models: folder with stand-in weights.
    """
    wanted = sorted(orders, key=repr)
    with tempfile.TemporaryDirectory(prefix="alone-") as folder:
        asked, told = Path(folder, "orders.json"), Path(folder, "outcomes.json")
        asked.write_text(json.dumps([asdict(order) for order in wanted]), "utf-8")
        command = [sys.executable, "-m", "crowd.alone", *map(str, (host.resolve(), models.resolve(), asked, told))]
        folders = os.pathsep.join(map(str, (TESTS / "host", TESTS.parent)))
        environment = {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"orders could not be run alone:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        outcomes = [Outcome(**about) for about in json.loads(told.read_text("utf-8"))]
    return dict(zip(wanted, outcomes, strict=True))


def begin(host: Path, models: Path, base: Path) -> None:
    """Import ComfyUI, the pack and the probe."""
    import boot

    boot.import_host(host, base, ["--cpu"])
    (base / "models").symlink_to(models, target_is_directory=True)
    boot.load_pack(base)
    import nodes

    assert asyncio.run(nodes.load_custom_node(str(PROBE))), "the host could not load the probe; its log says why"


def run(order: Order, base: Path, answer: Connection) -> None:
    """Run an order and send its outcome."""
    import execution
    import server

    from graph import cache_settings
    from viewers import Server

    live = next(module for name, module in sys.modules.items() if name.endswith(".host.unet.live_routing"))
    live.PAUSE = EVERY_MAP
    looking, prompt = Server(), graph(order)
    looking.last_node_id = None
    server.PromptServer.instance = looking
    valid, error, outputs, node_errors = asyncio.run(execution.validate_prompt("alone", prompt, None))
    assert valid, f"{order}: {error} {node_errors}"
    executor = execution.PromptExecutor(looking, **cache_settings())
    executor.execute(prompt, "alone", {"client_id": looking.client_id}, outputs)
    told = [(kind, data) for kind, data, _ in looking.sent if kind in (BEGIN, STEP)]
    outcome = Outcome.of(executor.status_messages, executor.history_result["outputs"], told)
    answer.send(outcome.with_files(base / "output" / "uniportrait_faces"))


def run_apart(order: Order, base: Path) -> Outcome:
    """Run an order in a process of its own."""
    processes = multiprocessing.get_context("fork")
    answered, answer = processes.Pipe(duplex=False)
    process = processes.Process(target=run, args=(order, base, answer))
    process.start()
    answer.close()  # so that the end of the process is the end of the pipe
    outcome = answered.recv()
    process.join()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("host", "models", "orders", "outcomes"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    orders = [Order(**about) for about in json.loads(options.orders.read_text("utf-8"))]
    with tempfile.TemporaryDirectory(prefix="alone-", ignore_cleanup_errors=True) as folder:
        base = Path(folder).resolve()
        write_files(base)
        begin(options.host, options.models, base)
        outcomes = [asdict(run_apart(order, base)) for order in orders]
    options.outcomes.write_text(json.dumps(outcomes), "utf-8")


if __name__ == "__main__":
    main()
