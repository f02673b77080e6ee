"""Ten thousand wrong files and inputs, each made from a seed and its number: what the pack makes of them.

    python tests/wrong_files.py --count 10000 --seed 1
    python tests/wrong_files.py --part files --first 1208 --count 1 --seed 1 --verbose      one case again

Parts: `files` (weights, saved people, detectors), and, where COMFYUI_PATH names a ComfyUI, `inputs` of all nodes and
`prompts` in API format. Without --part the count is shared among them. The cases run in a process of their own, so that
one that ends the process is noted as a fault and the next ones still run. Ends with code 1 where there was a fault.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "host")]
sys.path.append(str(ROOT))  # last, so that the pack's `nodes` never hides another package of that name

SHARES = {"files": 0.6, "inputs": 0.3, "prompts": 0.1}
SETTLED, EVERY = 200, 100  # cases after which memory should no longer grow, and between two looks at it
GROWTH = 150_000_000  # bytes that the process may grow by, from then on
PATIENCE = 300  # seconds without a word, after which a process is ended


def main() -> int:
    options = parse()
    if options.worker:
        return work(options.part, options.seed, options.first, options.count)
    parts = {options.part: options.count} if options.part else shared(options.count)
    results, faults, started = Counter(), [], time.monotonic()
    for part, count in parts.items():
        for outcome in cases(part, options.seed, options.first, count):
            results[f"{part} {outcome['result']}"] += 1
            faults += [(part, outcome["about"], fault) for fault in outcome["faults"]]
            for fault in outcome["faults"]:
                print(f"FAULT {part} {outcome['about']}\n      {fault}", flush=True)
            if options.verbose:
                print(f"{part} {outcome['about']}: {outcome['result']} {outcome['message']}", flush=True)
    print(f"{dict(results)}, {len(faults)} faults, {time.monotonic() - started:.0f} s")
    return int(bool(faults))


def shared(count: int) -> dict[str, int]:
    """How many cases each part gets."""
    if not os.environ.get("COMFYUI_PATH"):
        print("COMFYUI_PATH is not set: files only, neither inputs nor prompts.")
        return {"files": count}
    return {part: round(count * share) for part, share in SHARES.items()}


def cases(part: str, seed: int, first: int, count: int) -> Iterator[dict]:
    """The outcomes of cases in a process, and in another one from the case on that ended it."""
    end, in_vain = first + count, 0
    while first < end:
        command = [sys.executable, __file__, "--worker", "--part", part, "--seed", str(seed)]
        command += ["--first", str(first), "--count", str(end - first)]
        with tempfile.TemporaryFile("w+") as errors:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
                for line in process.stdout:
                    if line.startswith("{"):
                        outcome = json.loads(line)
                        first, in_vain = outcome.pop("next"), 0
                        yield outcome
            if process.returncode == 0 and first >= end:
                return
            errors.seek(0)
            last = [text for text in errors.read().splitlines() if "onnxruntime:" not in text][-12:]
        yield {"about": f"{first}", "result": "crashed", "message": "",
               "faults": [f"the process ended with {process.returncode}: {' | '.join(last)}"[:1500]]}  # fmt: skip
        first, in_vain = first + 1, in_vain + 1
        if in_vain == 3:
            raise SystemExit(f"No case ran: {' | '.join(last)}")


def work(part: str, seed: int, first: int, count: int) -> int:
    """Run cases and print their outcomes, a line of JSON for each."""
    import faulthandler

    faulthandler.enable()
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory(prefix="wrong-") as folder:
        run = runner(part, seed, Path(folder).resolve())
        logging.disable(logging.CRITICAL)
        from wrong.guard import resident

        before = 0
        for number in range(first, first + count):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            outcome = asdict(run(number))
            done = number - first + 1
            if done == SETTLED:
                before = resident()
            elif before and done % EVERY == 0 and (grown := resident() - before) > GROWTH:
                outcome["faults"].append(f"the process has grown by {grown // 10**6} MB in {done - SETTLED} cases")
                before += grown
            print(json.dumps({**outcome, "next": number + 1}), file=out, flush=True)
    faulthandler.cancel_dump_traceback_later()
    out.flush()
    os._exit(0)  # some libraries crash while Python ends


def runner(part: str, seed: int, folder: Path) -> Callable:
    from wrong.guard import Guard

    guard = Guard()
    if part == "files":
        from wrong.file_cases import run_case

        return lambda number: run_case(seed, number, folder, guard)
    import boot

    boot.import_host(os.environ["COMFYUI_PATH"], folder, ["--cpu"])
    boot.load_pack(folder)
    if part == "inputs":
        from wrong.input_cases import Nodes

        nodes = Nodes(folder)
        return lambda number: nodes.run_case(seed, number, guard)
    from wrong.prompt_cases import run_case as run_prompt

    return lambda number: run_prompt(seed, number, folder, guard)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="cases")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other cases")
    parser.add_argument("--part", choices=tuple(SHARES), help="one part only")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--verbose", action="store_true", help="show all outcomes")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
