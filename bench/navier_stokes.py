"""Time the pressure iterations of NavierStokes2D beside a plain loop and beside NumPy.

The plain loop is what one would write first: one sweep over the rows an iteration, compiled by
Numba, one thread. The other is the library's own oracle (``backend="numpy"``), whole steps with
`numpy.roll`. Rates are updates of a cell in one pressure iteration; what a step costs besides its
iterations is in ours and NumPy's, not in the loop's; one state is one thread. Printed with the
largest difference between our states and NumPy's.

    python bench/navier_stokes.py --json bench/results/navier_stokes.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

import enfilt as ef
from enfilt.benchmark import timing


@numba.njit(fastmath={"contract"}, error_model="numpy")
def plain_loop(p: np.ndarray, b: np.ndarray, iterations: int, spare: np.ndarray) -> None:
    """Iterate on one n x n pressure."""
    n = p.shape[0]
    quarter = p.dtype.type(0.25)
    for _ in range(iterations):
        for j in range(n):
            south, north = p[j - 1 if j > 0 else n - 1], p[j + 1 if j < n - 1 else 0]
            row, bj, to = p[j], b[j], spare[j]
            to[0] = quarter * ((row[n - 1] + row[1]) + (south[0] + north[0])) - bj[0]
            for i in range(1, n - 1):
                to[i] = quarter * ((row[i - 1] + row[i + 1]) + (south[i] + north[i])) - bj[i]
            k = n - 1
            to[k] = quarter * ((row[k - 1] + row[0]) + (south[k] + north[k])) - bj[k]
        p, spare = spare, p


def seconds(call: Callable[[], Any], repeat: int) -> list[float]:
    """Return the wall-clock times of a call, after one that is not counted."""
    call()
    return [timing.seconds(call) for _ in range(repeat)]


def row(options: argparse.Namespace, n: int, members: int, dtype: str) -> dict[str, Any]:
    """Time one size."""
    ours, oracle = (ef.models.NavierStokes2D(n, backend=b) for b in ("cpp", "numpy"))
    iterations = ours.iterations
    x = np.stack([ours.initial_state(seed) for seed in range(members)]).astype(dtype)
    out = np.empty_like(x)
    steps = options.steps
    times = seconds(lambda: ours.step(x, steps, out=out), options.repeat)
    p, b, spare = (np.random.default_rng(0).random((n, n)).astype(dtype) for _ in range(3))
    b -= b.mean()
    loop = seconds(lambda: plain_loop(p, b, iterations, spare), options.repeat)
    numpy_time = seconds(lambda: oracle.step(x[:1], 1), 1)
    wanted = oracle.step(x[:1], steps)
    cells = n * n * iterations / 1e9
    rate = members * steps * cells / float(np.median(times))
    loop_rate = cells / float(np.median(loop))
    numpy_rate = cells / numpy_time[0]
    return {
        "n": n,
        "members": members,
        "dtype": dtype,
        "ms a step and member": 1e3 * float(np.median(times)) / steps / members,
        "updates/ns": rate,
        "best updates/ns": members * steps * cells / min(times),
        "loop updates/ns": loop_rate,
        "loop ratio": rate / loop_rate,
        "numpy updates/ns": numpy_rate,
        "numpy ratio": rate / numpy_rate,
        "largest difference": float(np.abs(out[:1] - wanted).max()),
        "largest value": float(np.abs(wanted).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 256, 512])
    parser.add_argument("--members", type=int, nargs="*", default=[1, 20])
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    machine = timing.machine()
    for name, value in machine.items():
        print(f"{name:>12}  {value}")
    print("\n| n | members | dtype | updates/ns (best) | times loop | times NumPy | difference |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    rows = []
    for n in options.sizes:
        for members in options.members:
            for dtype in options.dtypes:
                found = row(options, n, members, dtype)
                rows.append(found)
                print(
                    f"| {n} | {members} | {dtype} | {found['updates/ns']:.1f} "
                    f"({found['best updates/ns']:.1f}) | {found['loop ratio']:.1f} "
                    f"| {found['numpy ratio']:.0f} | {found['largest difference']:.2g} "
                    f"(of {found['largest value']:.2g}) |",
                    flush=True,
                )
    if options.json:
        timing.write_json({**machine, "rows": rows}, options.json)


if __name__ == "__main__":
    main()
