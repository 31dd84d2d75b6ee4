"""Time the LETKF beside a Python loop over components with numpy.linalg.eigh.

The case: Lorenz-96, every component observed with std 1, cutoff 14 (27 observations a component).
The loop is the library's own oracle (``backend="numpy"``): the same equations, one `eigh` a
component, run whole. Printed with the largest difference between the two analyses.

    python bench/letkf.py --dims 10000 100000 --json bench/results/letkf.json
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


def make_problem(members: int, dim: int, dtype: str, std: float, spread: float) -> Any:
    """Return forecast, y and observations: an ensemble on the attractor, `spread` wide."""
    rng = np.random.default_rng(0)
    model = ef.models.Lorenz96(dim=dim)
    truth = model.step(model.initial_state(rng).astype(dtype), 200)
    forecast = truth + (spread * rng.standard_normal((members, dim))).astype(dtype)
    obs = ef.Observation(ef.operators.Identity(), std=std, grid=model.grid)
    return forecast, obs.simulate(truth, rng), obs


def seconds(filt: ef.LETKF, problem: Any, out: np.ndarray) -> float:
    """Return the wall-clock time of one analysis."""
    forecast, y, obs = problem
    gc.collect()
    begin = time.perf_counter()
    filt.analysis(forecast, y, obs, out=out)
    return time.perf_counter() - begin


def row(options: argparse.Namespace, dim: int, dtype: str) -> dict[str, Any]:
    """Time one size; the loop is run once, up to the size asked for."""
    problem = make_problem(options.members, dim, dtype, options.std, options.spread)
    taper = ef.localization.GaspariCohn(cutoff=options.cutoff)
    ours, loop = (ef.LETKF(taper, backend=b) for b in ("cpp", "numpy"))
    out = np.empty_like(problem[0])
    seconds(ours, problem, out)
    times = [seconds(ours, problem, out) for _ in range(options.repeat)]
    found: dict[str, Any] = {
        "case": f"LETKF, cutoff {options.cutoff:g}, std {options.std:g}",
        "N": options.members,
        "D": dim,
        "dtype": dtype,
        "ours ms": 1e3 * float(np.median(times)),
        "best ms": 1e3 * min(times),
    }
    if dim <= options.loop_dim:
        wanted = np.empty_like(out)
        found["loop ms"] = 1e3 * seconds(loop, problem, wanted)
        found["ratio"] = found["loop ms"] / found["ours ms"]
        found["largest difference"] = float(np.abs(out - wanted).max())
        found["largest value"] = float(np.abs(wanted).max())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--dims", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--cutoff", type=float, default=14.0)
    parser.add_argument("--std", type=float, default=1.0, help="of the observations")
    parser.add_argument("--spread", type=float, default=0.5, help="of the forecast")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument(
        "--loop-dim", type=int, default=100_000, help="largest D that the Python loop is run for"
    )
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    machine = {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        **{k: v for k, v in ef.config().items() if k in ("enfilt", "SIMD level", "threads")},
    }
    for name, value in machine.items():
        print(f"{name:>12}  {value}")
    print("\n| D | dtype | ms (best) | loop ms | times ours | largest difference |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    rows = []
    for dim in options.dims:
        for dtype in options.dtypes:
            found = row(options, dim, dtype)
            rows.append(found)
            beside = "| | | |"
            if "ratio" in found:
                beside = (
                    f"| {found['loop ms']:.0f} | {found['ratio']:.0f} "
                    f"| {found['largest difference']:.2g} (of {found['largest value']:.2g}) |"
                )
            print(f"| {dim} | {dtype} | {found['ours ms']:.1f} ({found['best ms']:.1f}) {beside}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
