"""A long run of a small case: whether its memory grows, and whether a file stays open.

Lorenz-96 with D = 8, every second component observed, an ETKF of 10 members, a checkpoint every
thousand cycles, and a sink. A line of JSON every so many cycles: seconds, memory, files that are
open, errors. What is stopped is taken up again.

    python bench/soak.py --cycles 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import enfilt as ef

MODEL = ef.models.Lorenz96(dim=8, dt=0.05)
OBS = ef.Observation(ef.operators.Every(2), std=1.0)
STEPS, BLOCK = 1, 1000


def windows(cycles: int, truth: np.ndarray) -> Iterator[Any]:
    """Yield observations of a truth, a thousand at a time."""
    rng = np.random.default_rng(1)
    for first in range(0, cycles, BLOCK):
        errors = rng.standard_normal((BLOCK, 4))
        for k in range(min(BLOCK, cycles - first)):
            if first + k:
                truth = MODEL.step(truth[None], STEPS)[0]
            yield (first + k) * STEPS * MODEL.dt, truth[::2] + errors[k], OBS


def resident() -> float:
    """Return the memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Run it, and print a line every so many cycles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=10_000, help="cycles from line to line")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begin, seen = time.perf_counter(), 0
    rng = np.random.default_rng(0)
    truth = MODEL.step(MODEL.initial_state(rng)[None], 2000)[0]

    def tell(now: float, ensemble: np.ndarray) -> None:
        nonlocal seen
        seen += 1
        cycle = round(now / (STEPS * MODEL.dt)) + 1
        if cycle % options.every == 0 or cycle == 1000:
            line = {
                "cycle": cycle,
                "seconds": round(time.perf_counter() - begin, 1),
                "cycles_of_process": seen,
                "memory_mib": round(resident(), 2),
                "files": len(os.listdir("/proc/self/fd")),
                "load": os.getloadavg()[0],
                "spread": float(np.sqrt(ensemble.var(axis=0, ddof=1).mean())),
            }
            with (options.out / "soak.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    run = ef.Assimilation(MODEL, windows(options.cycles, truth), keep=1000, analysis_to=tell)
    result = run.run(
        ef.ETKF(1.05),
        ensemble=truth + rng.standard_normal((10, 8)),
        seed=0,
        checkpoint=options.out / "soak.checkpoint",
        every=BLOCK,
        resume=True,
        progress=False,
    )
    print(result.cycles, result.stopped, result.innovations.total()._asdict())


if __name__ == "__main__":
    main()
