"""Time the reduced form of the flow filter beside the streaming form.

The case: path f2p, local guidance, every component observed as it is (Identity). The target: 100
steps in at most 1.10 times the time of 10, and 15 times faster than the streaming form with 100.

    python bench/reduced.py --json bench/results/reduced.json

``--grid`` prints where the reduced form pays instead: both times over N, D and steps, from which
the rule of ``algorithm="auto"`` was made.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import enfilt as ef

STD, STRENGTH, SIGMA_MIN = 0.5, 0.05, 0.01


def make_problem(members: int, dim: int, dtype: str, every: int, spread: float) -> dict[str, Any]:
    """Return the arrays of an analysis: an ensemble on the attractor, ten steps forecast."""
    rng = np.random.default_rng(0)
    model = ef.models.Lorenz96(dim=dim)
    truth = model.step(model.initial_state(rng).astype(dtype), 200)
    previous = truth + (spread * rng.standard_normal((members, dim))).astype(dtype)
    operator = ef.operators.Identity() if every == 1 else ef.operators.Every(every)
    obs = ef.Observation(operator, std=STD)
    return {
        "forecast": model.step(previous, 10),
        "y": obs.simulate(model.step(truth, 10), rng),
        "obs": obs,
        "previous": previous,
    }


def make_filter(algorithm: str, steps: int, path: str, backend: str) -> ef.EnFF:
    return ef.EnFF(
        path=path,
        steps=steps,
        sigma_min=SIGMA_MIN,
        strength=STRENGTH,
        algorithm=algorithm,
        backend=backend,
    )


def seconds(filt: ef.EnFF, problem: dict[str, Any], out: np.ndarray, repeat: int = 1) -> float:
    """Return the wall-clock time of one analysis, the mean of `repeat`."""
    gc.collect()
    begin = time.perf_counter()
    for _ in range(repeat):
        filt.analysis(**problem, rng=0, out=out)
    return (time.perf_counter() - begin) / repeat


def compare(options: argparse.Namespace, dtype: str, every: int) -> dict[str, Any]:
    """Time both forms in turn with few and with many steps."""
    problem = make_problem(options.members, options.dim, dtype, every, options.spread)
    out = np.empty_like(problem["forecast"])
    few, many = options.steps
    filters = {
        "reduced few": make_filter("reduced", few, options.path, options.backend),
        "reduced many": make_filter("reduced", many, options.path, options.backend),
        "streaming many": make_filter("streaming", many, options.path, options.backend),
    }
    results = {name: filt.analysis(**problem, rng=0) for name, filt in filters.items()}
    few_many, pairs = [], []
    for _ in range(options.repeat):
        for _ in range(3):
            few_many.append(
                [seconds(filters[f"reduced {n}"], problem, out) for n in ("few", "many")]
            )
        pairs.append([seconds(filters["streaming many"], problem, out), few_many[-1][1]])
    short, long = np.array(few_many).T
    streaming, beside = np.array(pairs).T
    wanted = results["streaming many"].astype(np.float64)
    difference = np.abs(results["reduced many"] - wanted)
    return {
        "case": f"EnFF {options.path}, {'Identity' if every == 1 else f'Every({every})'}, local",
        "N": options.members,
        "D": options.dim,
        "dtype": dtype,
        "steps": [few, many],
        "reduced few ms": 1e3 * float(np.median(short)),
        "reduced many ms": 1e3 * float(np.median(long)),
        "streaming many ms": 1e3 * float(np.median(streaming)),
        "many / few": float(np.median(long / short)),
        "streaming / reduced": float(np.median(streaming / beside)),
        "largest difference": float(difference.max()),
        "largest value": float(np.abs(wanted).max()),
        "relative difference in norm": float(np.linalg.norm(difference) / np.linalg.norm(wanted)),
    }


def grid(options: argparse.Namespace) -> None:
    """Print both times over sizes."""
    print("| path | N | D | dtype | steps | streaming us | reduced us | times |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for members in (5, 20, 50, 100):
        for dim in (40, 400, 4_000, 40_000, 400_000):
            if members * dim > 10_000_000:
                continue
            problem = make_problem(members, dim, options.dtypes[0], 1, options.spread)
            out = np.empty_like(problem["forecast"])
            for steps in (1, 3, 5, 10, 30):
                both = []
                for algorithm in ("streaming", "reduced"):
                    filt = make_filter(algorithm, steps, options.path, options.backend)
                    once = seconds(filt, problem, out)
                    repeat = max(1, min(50, int(0.02 / once)))
                    both.append(min(seconds(filt, problem, out, repeat) for _ in range(3)))
                print(
                    f"| {options.path} | {members} | {dim} | {options.dtypes[0]} | {steps} "
                    f"| {1e6 * both[0]:.0f} | {1e6 * both[1]:.0f} | {both[0] / both[1]:.2f} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--dim", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, nargs=2, default=[10, 100])
    parser.add_argument("--path", choices=["f2p", "ot", "ve"], default="f2p")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--every", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--spread", type=float, default=0.2, help="of the previous analysis")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--backend", default="cpp")
    parser.add_argument("--grid", action="store_true", help="print where the reduced form pays")
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    if options.grid:
        grid(options)
        return
    machine = {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        **{k: v for k, v in ef.config().items() if k in ("enfilt", "SIMD level", "threads")},
    }
    for name, value in machine.items():
        print(f"{name:>12}  {value}")
    rows = []
    for dtype in options.dtypes:
        for every in options.every:
            rows.append(compare(options, dtype, every))
            print()
            for name, value in rows[-1].items():
                print(
                    f"{name:>28}  {value:.4g}"
                    if isinstance(value, float)
                    else f"{name:>28}  {value}"
                )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
