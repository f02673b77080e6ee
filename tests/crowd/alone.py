"""What each order gives alone: on a ComfyUI that has just started and runs nothing else.

    python alone.py --host ComfyUI --models DIR --orders orders.json --output outcomes.json

Every order gets a process of its own, which has imported ComfyUI and the pack, and has run nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
PROBE = TESTS / "host" / "probe_pack"
EVERY_MAP = -1.0  # seconds between two live maps, instead of the pack's


def outcomes_alone(orders: Iterable[Any], host: Path, models: Path) -> dict[Any, Any]:
    """The `Outcome` of every order, each run alone."""
    from crowd.graphs import Order
    from crowd.outcome import Outcome

    wanted = sorted(set(orders), key=repr)
    with tempfile.TemporaryDirectory(prefix="alone-") as folder:
        asked, told = Path(folder, "orders.json"), Path(folder, "outcomes.json")
        asked.write_text(json.dumps([asdict(order) for order in wanted]))
        command = [sys.executable, __file__, "--host", host, "--models", models, "--orders", asked, "--output", told]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{Path(__file__).name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        found = [Outcome.of_json(about) for about in json.loads(told.read_text())]
    assert all(isinstance(order, Order) for order in wanted)
    return dict(zip(wanted, found, strict=True))


def begin(host: Path, models: Path, base: Path) -> None:
    """Import ComfyUI, the pack and the probe."""
    import boot

    boot.import_host(host, base, ["--cpu"])
    (base / "models").symlink_to(models, target_is_directory=True)
    boot.load_pack(base)
    import nodes

    assert asyncio.run(nodes.load_custom_node(str(PROBE)))


def run(order: Any, base: Path, answer: Connection) -> None:
    """Run an order and send its outcome."""
    import execution
    import nodes  # noqa: F401  (the executor finds it loaded)
    import server

    from crowd.graphs import graph
    from crowd.outcome import Outcome
    from graph import cache_settings
    from viewers import BEGIN, STEP, Server

    live = sys.modules[next(name for name in sys.modules if name.endswith(".host.unet.live_routing"))]
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
    answer.send(outcome.with_files(base / "output" / "uniportrait_faces").to_json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("host", "models", "orders", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS / "host")]
    sys.path.append(str(TESTS.parent))  # last: the host's `nodes` comes before the pack's
    from crowd.graphs import Order, write_files

    orders = [Order(**about) for about in json.loads(options.orders.read_text())]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="alone-", ignore_cleanup_errors=True) as folder:
        base = Path(folder).resolve()
        write_files(base)
        begin(options.host, options.models.resolve(), base)
        processes = multiprocessing.get_context("fork")
        for order in orders:
            answered, answer = processes.Pipe(duplex=False)
            process = processes.Process(target=run, args=(order, base, answer))
            process.start()
            answer.close()
            outcomes.append(answered.recv())
            process.join()
    options.output.write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main()
