"""Time the LEnFF beside the LETKF, the EnFF and its floors, with the errors of the three.

The case: Lorenz-96, arctan of every component with r = 0.05, the same cutoff for both localized
filters. All are timed in turn in one process, without inflation, and compared pair by pair, by the
clock and by the processor time of all threads, which programs beside this one change less.

Two floors: to read the ensemble once and write it once at the rate of the triad c = a + k b; and
the multiply-adds of the banded products, N (W + W + (W + 1)/2) a component and step for W places
within the cutoff, in processor time, at the rate of NumPy's matrix product of the same dtype. The
errors are those of the preset ``lorenz96-1m`` at D = 1,000, the largest difference that from the
NumPy oracle.

    python bench/lenff.py --json bench/results/lenff.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import enfilt as ef
from enfilt import presets
from enfilt.benchmark import Size, timing
from enfilt.benchmark.problems import lorenz96_analysis
from enfilt.experiments import settings
from enfilt.inflation import RTPS
from enfilt.localization import GaspariCohn

STD = 0.05


def filters(cutoff: float, backend: str = "auto") -> dict[str, ef.filters.EnsembleFilter]:
    """Return what is timed, by its name in the table; the first is what others are compared to."""
    taper = GaspariCohn(cutoff=cutoff)
    return {
        "LETKF": ef.LETKF(taper, backend=backend),
        "LEnFF, 10 steps": ef.LEnFF(taper, steps=10, backend=backend),
        "LEnFF, 4 steps": ef.LEnFF(taper, steps=4, backend=backend),
        "LEnFF, 2 steps": ef.LEnFF(taper, steps=2, backend=backend),
        "EnFF f2p, 10 steps": ef.EnFF(
            path="f2p", steps=10, sigma_min=0.01, strength=STD, backend=backend
        ),
    }


#: The inflation that suits each where errors are measured; the EnFF is taken as published.
INFLATION = {
    "LETKF": RTPS(0.35),
    **{f"LEnFF, {steps} steps": RTPS(0.2) for steps in (10, 4, 2)},
}


def make_problem(members: int, dim: int, dtype: str, spread: float) -> dict[str, Any]:
    """Return the arguments of an analysis: an ensemble on the attractor, `spread` wide."""
    size = Size(members, dim, dtype=dtype)
    return lorenz96_analysis(size, ef.operators.Arctan(), std=STD, spread=spread)


def rates(dtype: str, repeat: int) -> tuple[float, float]:
    """Return bytes a second of the triad, and a thread's multiply-adds a second in a product."""
    n = 2000
    matrix, product = np.ones((n, n), dtype), np.empty((n, n), dtype)
    multiply = [
        timing.wall_and_processor(lambda: np.matmul(matrix, matrix, out=product))[1]
        for _ in range(repeat)
    ]
    return timing.Triad(dtype).bandwidth(repeat), n**3 / min(multiply)


def time_all(options: argparse.Namespace, dtype: str) -> dict[str, Any]:
    """Time the filters in turn; return medians, ratios pair by pair, and the floors."""
    problem = make_problem(options.members, options.dim, dtype, options.spread)
    out = np.empty_like(problem["forecast"])
    chosen = filters(options.cutoff)
    bandwidth, multiply_adds = rates(dtype, 5)
    rounds = [
        [
            timing.wall_and_processor(lambda f=f: f.analysis(**problem, out=out))
            for f in chosen.values()
        ]
        for _ in range(options.repeat + 1)
    ]
    times, busy = np.moveaxis(np.array(rounds[1:]), -1, 0)
    places = 2 * int(np.ceil(options.cutoff)) - 1
    products = options.members * (2 * places + (places + 1) / 2) * options.dim
    rows = []
    for k, (name, filt) in enumerate(chosen.items()):
        row = {
            "filter": name,
            "ms": 1e3 * float(np.median(times[:, k])),
            "best ms": 1e3 * float(times[:, k].min()),
            "processor ms": 1e3 * float(np.median(busy[:, k])),
            "LETKF / it": float(np.median(times[:, 0] / times[:, k])),
            "LETKF / it, processor": float(np.median(busy[:, 0] / busy[:, k])),
            **difference(options, dtype, name),
        }
        if isinstance(filt, ef.LEnFF):
            row["floor of memory ms"] = 1e3 * 2 * out.nbytes / bandwidth
            row["floor of products, processor ms"] = 1e3 * filt.steps * products / multiply_adds
        rows.append(row)
    rate = {"triad GB/s": bandwidth / 1e9, "matrix product, GFMA/s a thread": multiply_adds / 1e9}
    return {"dtype": dtype, **rate, "rows": rows}


def difference(options: argparse.Namespace, dtype: str, name: str) -> dict[str, float]:
    """Return how far the analysis is from the oracle's, of a smaller state."""
    problem = make_problem(options.members, options.oracle_dim, dtype, options.spread)
    ours, oracle = (filters(options.cutoff, b)[name].analysis(**problem) for b in ("cpp", "numpy"))
    far, largest = timing.difference(oracle, ours)
    return {"largest difference": far, "largest value": largest}


def errors(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return RMSE and spread over the last cycles of the preset, means over seeds."""
    preset = presets.get("lorenz96-1m").replace({"model.dim": 1000})
    found = {}
    for name, filt in filters(options.cutoff).items():
        if name in INFLATION:
            filt = settings.with_options(filt, {"inflation": INFLATION[name]})
        means = [
            preset.twin.run(filt, members=preset.members, seed=s).summary(last=50)
            for s in range(options.seeds)
        ]
        rmse = [m["rmse.analysis"] for m in means]
        found[name] = {
            "rmse": float(np.mean(rmse)),
            "rmse deviation": float(np.std(rmse)),
            "spread": float(np.mean([m["spread.analysis"] for m in means])),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--dim", type=int, default=1_000_000)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--cutoff", type=float, default=12.0)
    parser.add_argument("--spread", type=float, default=0.05, help="of the previous analysis")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--oracle-dim", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    timed = [time_all(options, dtype) for dtype in options.dtypes]
    found = errors(options)
    report: dict[str, Any] = {
        "case": f"arctan, r {STD:g}, cutoff {options.cutoff:g}",
        "N": options.members,
        "D": options.dim,
        "D of the difference": options.oracle_dim,
        "D of the errors": 1000,
        **timing.machine(),
        "errors": found,
        "timed": timed,
    }
    for name, value in report.items():
        if name not in ("errors", "timed"):
            print(f"{name:>20}  {value}")
    for part in timed:
        product = part["matrix product, GFMA/s a thread"]
        print(
            f"\n{part['dtype']}: triad {part['triad GB/s']:.1f} GB/s, "
            f"matrix product {product:.0f}e9 multiply-adds a second and thread\n"
        )
        print(
            "| filter | ms (best) | LETKF / it | processor ms | LETKF / it "
            "| products, processor ms | memory, ms | difference | RMSE |"
        )
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for row in part["rows"]:
            floors = "| | "
            if "floor of memory ms" in row:
                products = row["floor of products, processor ms"]
                floors = f"| {products:.0f} | {row['floor of memory ms']:.0f} "
            print(
                f"| {row['filter']} | {row['ms']:.0f} ({row['best ms']:.0f}) "
                f"| {row['LETKF / it']:.2f} | {row['processor ms']:.0f} "
                f"| {row['LETKF / it, processor']:.2f} {floors}"
                f"| {row['largest difference']:.1e} (of {row['largest value']:.2g}) "
                f"| {found[row['filter']]['rmse']:.4f} |"
            )
    if options.json:
        timing.write_json(report, options.json)


if __name__ == "__main__":
    main()
