"""Many people at one ComfyUI at once: nothing leaks between them, to the bit.

    python tests/many_at_once.py --minutes 60 --seed 1          two browsers and a program, for an hour
    python tests/many_at_once.py --minutes 10 --browsers 0      a program alone
    python tests/many_at_once.py --host oldest                  in the oldest ComfyUI

They queue graphs of a dozen kinds that share models and the host's cache, interrupt them, take them out of the queue,
unload models, free memory, and have memory run out at some allocation. All that they do follows from the seed. Every
graph has to give what it gives alone, in a process that has run nothing else; see `tests/crowd/`. The short form is
`tests/host/test_many_at_once.py`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import provision
from provision import DevError

TESTS = Path(__file__).resolve().parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long they are at it")
    parser.add_argument("--seed", type=int, default=1, help="of all that they do")
    parser.add_argument("--browsers", type=int, default=2, help="how many come in a browser")
    parser.add_argument("--host", choices=tuple(provision.HOSTS), default="newest", help="which ComfyUI")
    parser.add_argument(
        "--folders", nargs=2, type=Path, help=argparse.SUPPRESS
    )  # ComfyUI and models, once they are there
    return parser.parse_args()


def set_up(options: argparse.Namespace) -> int:
    """Get what is needed, and begin anew in its environment."""
    with provision.alone_in_cache() as cache:
        hosts = provision.get_hosts(cache)
        newest = next(iter(hosts.values()))
        host = hosts.get("yours") or hosts[options.host]
        python = provision.get_environment(newest, cache)
        models = provision.get_standins(python, newest, cache)
        front_end = provision.get_front_end(host, newest, python, cache)
    shown = {"UNIPORTRAIT_FRONT_END": str(front_end)} if front_end else {}
    # So little work gains nothing from threads, which on a busy machine wait for each other most of the time.
    environment = {"OMP_NUM_THREADS": "1", **shown}
    return provision.run((python, *sys.argv, "--folders", host, models), environment)


def run(options: argparse.Namespace) -> int:
    from crowd.alone import outcomes_alone
    from crowd.judge import judge
    from crowd.server import played

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    host, models = options.folders
    end = time.monotonic() + 60 * options.minutes
    result = played(host, models, options.seed, options.browsers, lambda: time.monotonic() < end)
    for name, count in sorted(result.counts().items()):
        print(f"{count:6} {name}")
    logging.info("%d orders are run alone, to compare", len(result.orders()))
    problems = judge(result, outcomes_alone(result.orders(), host, models))
    print(*problems, f"{len(problems)} problems", sep="\n")
    return int(bool(problems))


def main() -> int:
    options = parse()
    sys.path[:0] = [str(TESTS / "host")]
    sys.path.append(str(TESTS.parent))
    os.chdir(TESTS.parent)
    return run(options) if options.folders else set_up(options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DevError as problem:
        sys.exit(f"error: {problem}")
