#!/usr/bin/env python3
"""Make many public calls with arguments drawn by Hypothesis, and judge each answer.

    python tests/fuzz/run.py --calls 100000 --workers 2

Calls run in worker processes. Before each, a worker writes down what it is about to do: where one
dies or hangs, that is what did it. Calls are counted as they are made, by name. The same seed
makes the same calls.
"""

import argparse
import contextlib
import faulthandler
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Seconds without a call after which a worker is taken to hang. Numba may have to compile first.
PATIENCE = 300
#: Calls drawn between two looks at the clock and at what was asked for.
ROUND = 500


def work(args: argparse.Namespace) -> None:
    """Make calls until there are enough; leave counts and failures in a file."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    if args.memory:  # a call that asks for more than there is fails in itself
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (args.memory << 30, args.memory << 30))
    import hypothesis
    from hypothesis import HealthCheck, Phase, given, settings
    from judge import Record, run, variants

    calls = importlib.import_module(args.module)
    faulthandler.enable()
    calls.BACKENDS[:] = args.backends.split(",")
    log = os.open(args.directory / f"{args.worker}.last", os.O_CREAT | os.O_WRONLY)
    record, where = Record(), args.directory / f"{args.worker}.json"

    def draw(strategy: Any, seed: int, test: Callable[[Any], None], *phases: Phase) -> None:
        examples = max(1, ROUND * strategy[1] // 100)
        options = settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        hypothesis.seed(seed)(options(given(strategy[0]())(test)))()

    def smallest(strategy: Any, seed: int, kind: str) -> str:
        """Return the least call that Hypothesis finds for a failure."""
        found = ""

        def again(call: Any) -> None:
            nonlocal found
            for one in variants(call, calls.BACKENDS):
                if _kind(run(one, Record()) or "") == kind:
                    found = repr(one)
                    raise AssertionError

        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            draw(strategy, seed, again, Phase.generate, Phase.shrink)
        return found

    def make(drawn: Any) -> None:
        for call in variants(drawn, calls.BACKENDS):
            os.ftruncate(log, 0)
            os.pwrite(log, f"{name}, seed {seed}: {call!r}\n".encode(), 0)
            failure = run(call, record)
            if failure and _kind(failure) not in record.failures:
                new[_kind(failure)] = record.failures[_kind(failure)] = f"{failure}\n  {call!r}"

    number = 0
    while record.made.total() < args.calls:
        for name, strategy in calls.ALL.items():
            if args.only and name not in args.only.split(","):
                continue
            seed = (args.seed * 1000 + args.worker) * 100_000 + number
            new: dict[str, str] = {}
            draw(strategy, seed, make, Phase.generate)
            for kind in new if args.shrink else ():
                record.failures[kind] += f"\n  {smallest(strategy, seed, kind)}"
            number += 1
        state = {"made": record.made, "refused": record.refused, "failures": record.failures}
        where.with_suffix(".new").write_text(json.dumps(state))
        where.with_suffix(".new").rename(where)


def _kind(failure: str) -> str:
    """Return a failure without its numbers, under which others like it are found."""
    return "".join("0" if c.isdigit() else c for c in failure.split("\n")[0])[:120]


def watch(args: argparse.Namespace) -> int:
    """Start the workers, see to it that none dies or hangs, and report; return the exit status."""
    begin = time.monotonic()
    args.directory = Path(tempfile.mkdtemp(prefix="enfilt-fuzz-"))
    share = -(-args.calls // args.workers)
    processes = []
    for worker in range(args.workers):
        options = [f"--worker={worker}", f"--calls={share}", f"--directory={args.directory}"]
        command = [sys.executable, __file__, *sys.argv[1:], *options]
        processes.append(subprocess.Popen(command))
    broken = []
    seen = [(time.monotonic(), "")] * args.workers
    while any(p.poll() is None for p in processes):
        time.sleep(0.2)
        for worker, process in enumerate(processes):
            last = _last(args, worker)
            if last != seen[worker][1]:
                seen[worker] = time.monotonic(), last
            elif process.poll() is None and time.monotonic() - seen[worker][0] > args.patience:
                process.send_signal(signal.SIGABRT)  # `faulthandler` prints where it was
                broken.append(f"worker {worker} hangs, in\n  {last}")
                seen[worker] = time.monotonic(), last
    made, refused, failures = Counter(), Counter(), {}
    for worker, process in enumerate(processes):
        if process.returncode and not any(b.startswith(f"worker {worker} ") for b in broken):
            broken.append(
                f"worker {worker} died ({process.returncode}), in\n  {_last(args, worker)}"
            )
        where = args.directory / f"{worker}.json"
        if where.exists():
            state = json.loads(where.read_text())
            made.update(state["made"])
            refused.update(state["refused"])
            failures = state["failures"] | failures
    seconds = time.monotonic() - begin
    report(args, made, refused, failures, broken, seconds)
    if args.json:
        Path(args.json).write_text(
            json.dumps(
                {"made": made, "refused": refused, "seconds": round(seconds), "seed": args.seed,
                 "failures": list(failures.values()) + broken},
                indent=1, sort_keys=True,
            ) + "\n"
        )  # fmt: skip
    return 1 if failures or broken or made.total() < args.calls else 0


def _last(args: argparse.Namespace, worker: int) -> str:
    where = args.directory / f"{worker}.last"
    return where.read_text(errors="replace").strip() if where.exists() else "its start"


def report(
    args: argparse.Namespace,
    made: Counter,
    refused: Counter,
    failures: dict[str, str],
    broken: list[str],
    seconds: float,
) -> None:
    """Print how often each call was made, and what was wrong."""
    if args.table:
        for name, count in sorted(made.items()):
            print(f"{name:<40} {count:>9} {refused[name]:>9} refused")
    for failure in (*sorted(failures.values()), *broken):
        print(f"- {failure}")
    print(
        f"{made.total()} calls of {len(made)} kinds, {refused.total()} refused by name, "
        f"{len(failures) + len(broken)} failures, {seconds:.0f} s"
    )


def main() -> int:
    """Parse the command line, and watch or work."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--backends", default="cpp,numpy", help="that are drawn, by name")
    parser.add_argument("--only", default="", help="groups of calls, by name, with commas")
    parser.add_argument("--shrink", action="store_true", help="look for the least failing calls")
    parser.add_argument("--table", action="store_true", help="print counts by call")
    parser.add_argument("--json", default="", help="file for counts and failures")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds of one call")
    parser.add_argument("--memory", type=int, default=24, help="GiB of a worker; 0: no limit")
    parser.add_argument("--module", default="calls", help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker < 0:
        return watch(args)
    work(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
