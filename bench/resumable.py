"""Runs of hours that may be stopped: a line of JSON a task, appended when it is done."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Line = dict[str, Any]


def restart_with_threads(count: int) -> None:
    """Run this script again with so many threads: those loaded here have read theirs."""
    if os.environ.get(THREADS[0]) != str(count):
        environment = {**os.environ, **dict.fromkeys(THREADS, str(count))}
        sys.exit(subprocess.call([sys.executable, *sys.argv], env=environment))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add how tasks are run."""
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no task after that")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--pause", type=Path, help="begin no task while this file exists")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")


def lines(path: Path, key: Callable[[Line], Hashable]) -> dict[Hashable, Line]:
    """Return what is done by its key; of two lines with one key, the later."""
    if not path.exists():
        return {}
    found = (json.loads(text) for text in path.read_text().splitlines() if text.strip())
    return {key(line): line for line in found}


def append(path: Path, line: Line) -> None:
    """Add a line to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def run(
    tasks: Iterable[Any],
    work: Callable[[Any], Line],
    path: Path,
    options: argparse.Namespace,
    tell: Callable[[Line], str],
) -> None:
    """Do tasks in processes of their own, in order, and append a line for each."""
    until = time.monotonic() + 60 * options.minutes
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        waiting = iter(tasks)
        running: list[Any] = []
        while True:
            while len(running) < options.workers and time.monotonic() < until:
                while options.pause is not None and options.pause.exists():
                    time.sleep(3)
                task = next(waiting, None)
                if task is None:
                    break
                running.append(pool.apply_async(work, (task,)))
            if not running:
                return
            time.sleep(0.2)
            for done in [task for task in running if task.ready()]:
                running.remove(done)
                line = done.get()
                append(path, line)
                print(tell(line), flush=True)
