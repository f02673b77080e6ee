"""Sets up everything that development needs, then runs the tests or the demo. Needs only Python and git.

    python dev.py test          lint and types, the tests of the core and of all beside the pack, and the host's in two
                                ComfyUIs
    python dev.py demo          the pack's workflows in a real ComfyUI, pictures in demo-output/
    python dev.py bench         what the pack costs per step and once, measured side by side

What it sets up lies in the user's cache folder and is shared by all checkouts: a Python environment, two versions
of ComfyUI, and stand-in weights (files with the published models' names and tensors, but made-up values). To use a
ComfyUI of your own instead, set COMFYUI_PATH, or keep this folder in its `custom_nodes`; it gets an environment of
its own here, yours is not touched.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MOST_WORKERS = 2  # processes of pytest unless more are wished for: each may have a ComfyUI server, 8 GB in all
sys.path.insert(0, str(ROOT / "tests"))

import provision  # noqa: E402
from provision import HOSTS, DevError  # noqa: E402


def test(options: argparse.Namespace, pytest_arguments: Sequence[str]) -> int:
    """Run all checks, whatever the outcome of each, and end with a table of them."""
    started = time.monotonic()
    results: dict[str, str] = {}
    with provision.alone_in_cache() as cache:
        hosts = provision.get_hosts(cache)
        host = next(iter(hosts.values()), None)
        python = provision.get_environment(host, cache)
        try:
            standins = provision.get_standins(python, host, cache) if host else None
        except DevError as problem:
            print(problem)
            standins, results["stand-in weights"] = None, "FAILED"
        front_ends = {name: provision.get_front_end(one, host, python, cache) for name, one in hosts.items()}

    pytest, threads = pytest_command(python, options, pytest_arguments)
    # A file of the host's tests stays in one process, as fixtures are of a file, and the long ones begin first.
    by_file = ("--dist", "loadfile", "--no-loadscope-reorder")
    # Arguments such as `-k name` may leave one of the steps without tests; otherwise that is a failure.
    nothing_selected = 5 if pytest_arguments else 0
    results["ruff"] = check((python, "-m", "ruff", "check", "."))
    results |= check_scripts(cache)
    results["tests/core"] = check((*pytest, "--dist", "worksteal", "tests/core"), threads, nothing_selected)
    if not options.quick:
        results["tests/training"] = check((*pytest, *by_file, "tests/training"), threads, nothing_selected)
        for package in ("evaluation", "miniworld"):
            command = (*pytest, "--dist", "worksteal", f"tests/{package}")
            results[f"tests/{package}"] = check(command, threads, nothing_selected)
    browser = {"UNIPORTRAIT_REQUIRE_BROWSER": "1"} if options.require_browser else {}
    heart = ("-m", "heart") if options.quick else ()
    for name in wanted_hosts("newest" if options.quick else options.host, hosts):
        step = f"tests/host, ComfyUI: {name}"
        if name in hosts and standins:
            # Each in a process of its own: a process can import only one ComfyUI.
            folders = {"COMFYUI_PATH": str(hosts[name]), "UNIPORTRAIT_STANDINS": str(standins)}
            front_end = {"UNIPORTRAIT_FRONT_END": str(front_ends[name])} if front_ends[name] else {}
            environment = {**folders, **front_end, **browser, **threads}
            results[step] = check((*pytest, *by_file, *heart, "tests/host"), environment, nothing_selected)
        else:
            results[step] = "FAILED, not run" if options.require_host else "NOT RUN"
    return summary(results, time.monotonic() - started)


def check_scripts(cache: Path) -> dict[str, str]:
    """Types and lint of the scripts for the browser, where Node.js is there to do it."""
    try:
        tools = provision.get_script_tools(cache)
    except DevError as problem:
        print(problem)
        return {"web/js": "FAILED, its tools could not be had"}
    if tools is None:
        print("\nNode.js was not found: types and lint of web/js are not checked. Install Node.js 18 or later and npm.")
        return {"web/js": "skipped, no Node.js"}
    modules = tools / "node_modules"
    types = ("node", modules / "typescript" / "bin" / "tsc", "--project", "tests/web/tsconfig.json")
    lint = ("node", modules / "@biomejs" / "biome" / "bin" / "biome", "check", "--config-path=tests/web", "web/js")
    return {"web/js, types": check(types), "web/js, lint": check(lint)}


def pytest_command(
    python: Path, options: argparse.Namespace, arguments: Sequence[str]
) -> tuple[Sequence[str | Path], Mapping[str, str]]:
    """How to call pytest, and what it needs in its environment: the processors are shared out among its processes."""
    processors = os.cpu_count() or 1
    workers = options.workers or min(processors, MOST_WORKERS)
    command = [python, "-m", "pytest", "-n", str(workers)]
    command += ["--durations", str(options.slowest)] if options.slowest else []
    return (*command, *arguments), {"OMP_NUM_THREADS": str(max(processors // workers, 1))}


def wanted_hosts(choice: str, hosts: Mapping[str, Path]) -> Sequence[str]:
    """Which hosts to test in, whether they could be had or not. A host of the user's own takes every one's place."""
    if "yours" in hosts:
        return ("yours",)
    return tuple(HOSTS) if choice == "both" else (choice,)


def check(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, nothing_selected: int = 0
) -> str:
    """Run one step of the tests; returns its result for the table."""
    started = time.monotonic()
    words = [str(part) for part in command[2:]]
    print(f"\n=== {' '.join(words)}  {(environment or {}).get('COMFYUI_PATH', '')}", flush=True)
    code = provision.run(command, environment)
    result = "passed" if code == 0 else "no test selected" if code == nothing_selected else f"FAILED (code {code})"
    return f"{result}, {time.monotonic() - started:.0f} s"


def summary(results: Mapping[str, str], seconds: float) -> int:
    """Print the table, and return the exit code that follows from it."""
    print("\n=== Summary")
    for step, result in results.items():
        print(f"{step:30} {result}")
    print(f"{'in all':30} {seconds:.0f} s")
    if any("not run" in result.lower() for result in results.values()):
        print("\nATTENTION: tests in ComfyUI were not run; the reason is at the top of this output.")
        print("Where ComfyUI could not be had, COMFYUI_PATH=/path/to/ComfyUI runs them in one that you have.")
    return int(any(result.startswith("FAILED") for result in results.values()))


def one_host(choice: str, cache: Path) -> tuple[Path, Path]:
    """The ComfyUI to run in, the user's own before the chosen one, and the Python to run it with."""
    hosts = provision.get_hosts(cache)
    host = hosts.get("yours") or hosts.get(choice)
    if host is None:
        raise DevError("this needs ComfyUI; set COMFYUI_PATH=/path/to/ComfyUI to use one that you have")
    return host, provision.get_environment(next(iter(hosts.values())), cache)


def demo(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Run the pack's workflows in a real ComfyUI."""
    if options.models and not options.models.is_dir():
        raise DevError(f"--models {options.models} is no folder; give a ComfyUI `models` folder")
    with provision.alone_in_cache() as cache:
        host, python = one_host(options.host, cache)
        models = options.models.resolve() if options.models else provision.get_standins(python, host, cache)
    command = [python, ROOT / "tests" / "demo.py", "--host", host, "--models", models]
    command += ["--output", options.output.resolve(), *([] if options.models else ["--standins"])]
    return provision.run(command)


def bench(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Measure what the pack costs."""
    with provision.alone_in_cache() as cache:
        host, python = one_host(options.host, cache)
    command = [python, ROOT / "tests" / "bench.py", "--host", host, "--device", options.device]
    command += ["--dtype", options.dtype, "--batch", str(options.batch), "--rounds", str(options.rounds)]
    command += ["--full"] if options.full else []
    return provision.run(command)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="test | demo | bench")
    command = commands.add_parser("test", help="run all checks", epilog="Arguments after -- go to pytest.")
    command.set_defaults(run=test)
    command.add_argument("--quick", action="store_true", help="lint, core, and the heart of the host's tests")
    command.add_argument("--slowest", type=int, metavar="N", help="show the N slowest tests of each step")
    command.add_argument("--workers", type=int, metavar="N", help="processes to share the tests out among")
    command.add_argument("--host", choices=("both", *HOSTS), default="both", help="which ComfyUI to test in")
    command.add_argument("--require-host", action="store_true", help="fail when no ComfyUI can be had")
    command.add_argument("--require-browser", action="store_true", help="fail when there is no Chromium to test in")
    command = commands.add_parser("demo", help="run the pack's workflows")
    command.set_defaults(run=demo)
    command.add_argument("--host", choices=tuple(HOSTS), default="newest", help="which ComfyUI to run in")
    command.add_argument("--models", type=Path, help="a ComfyUI `models` folder with the real weights")
    command.add_argument("--output", type=Path, default=Path("demo-output"), help="where the pictures go")
    command = commands.add_parser("bench", help="measure what the pack costs")
    command.set_defaults(run=bench)
    command.add_argument("--host", choices=tuple(HOSTS), default="newest", help="which ComfyUI to measure in")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to measure")
    command.add_argument("--dtype", choices=("float16", "bfloat16"), default="float16", help="on a GPU")
    command.add_argument("--full", action="store_true", help="Stable Diffusion 1.5's real size; else a narrow UNet")
    command.add_argument("--batch", type=int, default=1, help="pictures per step")
    command.add_argument("--rounds", type=int, default=10, help="repetitions of each measurement")
    return parser.parse_args(arguments)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that lets programs started here end too
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parse(arguments[:end])
    try:
        if sys.version_info < (3, 10):  # noqa: UP036, as this runs before any installer has looked
            raise DevError(f"this is Python {sys.version.split()[0]}; please use 3.10 or later")
        return options.run(options, arguments[end + 1 :])
    except DevError as problem:
        print(f"dev.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
