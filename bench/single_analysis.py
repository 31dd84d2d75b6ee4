"""Time one analysis of the flow filter beside its floor and beside the forms one would write.

The case: path f2p, local guidance, arctan of every component, r = 0.05. Printed beside each other,
all measured in turn in one process: ours, the triad c = a + k b and the floor that it sets, the
N x N x D broadcasting form in PyTorch (extra ``[bench]``), and the NumPy oracle; with the largest
difference between the results.

    python bench/single_analysis.py --json bench/results/single_analysis.json
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import enfilt as ef
from enfilt import backends

SIGMA_MIN, STRENGTH, STD = 0.01, 0.05, 0.05


@dataclass(frozen=True)
class Problem:
    """One analysis: ensembles, observations, and the normals that start the flow."""

    previous: np.ndarray
    forecast: np.ndarray
    y: np.ndarray
    noise: np.ndarray
    steps: int


def make_problem(members: int, dim: int, steps: int, dtype: np.dtype, spread: float) -> Problem:
    """Return an ensemble on the attractor of Lorenz-96, `spread` wide, ten steps forecast."""
    rng = np.random.default_rng(0)
    model = ef.models.Lorenz96(dim=dim)
    truth = model.step(model.initial_state(rng).astype(dtype), 200)
    previous = truth + (spread * rng.standard_normal((members, dim))).astype(dtype)
    forecast = model.step(previous, 10)
    now = model.step(truth, 10)
    y = (np.arctan(now) + STD * rng.standard_normal(dim)).astype(dtype)
    noise = rng.standard_normal((members, dim)).astype(dtype)
    return Problem(previous, forecast, y, noise, steps)


def ours(p: Problem, backend: str, out: np.ndarray | None = None) -> np.ndarray:
    """Return the analysis by enfilt."""
    filt = ef.EnFF(
        path="f2p", steps=p.steps, sigma_min=SIGMA_MIN, strength=STRENGTH, backend=backend
    )
    obs = ef.Observation(ef.operators.Arctan(), std=STD)
    return filt.analysis(p.forecast, p.y, obs, previous=p.previous, noise=p.noise, out=out)


def torch_broadcasting(p: Problem, chunk: int) -> np.ndarray:
    """Return the same by broadcasting to (N, N, chunk) in PyTorch, as the equations stand."""
    import torch

    x0, x1 = torch.from_numpy(p.previous), torch.from_numpy(p.forecast)
    y, noise = torch.from_numpy(p.y), torch.from_numpy(p.noise)
    pieces = [slice(d, min(d + chunk, x1.shape[1])) for d in range(0, x1.shape[1], chunk)]
    dt = 1 / p.steps
    z = x0 + SIGMA_MIN * noise
    for k in range(p.steps):
        t = k * dt
        distance = torch.zeros((x1.shape[0], x1.shape[0]), dtype=torch.float64)
        for d in pieces:
            mu = t * x1[:, d] + (1 - t) * x0[:, d]
            distance += ((z[:, None, d] - mu[None]) ** 2).sum(-1, dtype=torch.float64)
        w = torch.softmax(-distance / (2 * SIGMA_MIN**2), dim=1).to(z.dtype)
        for d in pieces:
            v = (w[:, :, None] * (x1[:, d] - x0[:, d])[None]).sum(1)
            x_hat = z[:, d] + (1 - t) * v
            innovation = y[d] - torch.atan(x_hat)
            g = STRENGTH * innovation / (STD**2 * (1 + x_hat**2))
            z[:, d] += dt * (v + g)
    return z.numpy()


def seconds(run: Callable[[], Any]) -> float:
    """Return the wall-clock time of one call."""
    gc.collect()
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def triad_bandwidth(dtype: np.dtype, repeat: int) -> float:
    """Return bytes a second of c = a + k b with three streams counted, beyond the caches."""
    core = backends.get("cpp").core  # type: ignore[attr-defined]
    a, b, c = (np.ones(40_000_000, dtype) for _ in range(3))
    core.triad(a, b, 2.0, c)
    times = [seconds(lambda: core.triad(a, b, 2.0, c)) for _ in range(repeat)]
    return 3 * a.nbytes / float(np.median(times))


def compare(p: Problem, repeat: int, peers: dict[str, Callable[[], np.ndarray]]) -> dict[str, Any]:
    """Time ours and each peer in turn; return medians, ratios pair by pair and differences."""
    out = np.empty_like(p.forecast)
    one = Problem(p.previous, p.forecast, p.y, p.noise, 1)
    result = ours(p, "cpp", out).copy()
    report: dict[str, Any] = {}
    rounds = [
        (
            triad_bandwidth(p.forecast.dtype, 3),
            seconds(lambda: ours(p, "cpp", out)),
            seconds(lambda: ours(one, "cpp", out)),
        )
        for _ in range(repeat)
    ]
    bandwidth, whole, single = np.array(rounds).T
    step = (whole - single) / (p.steps - 1)
    floor = 4 * p.forecast.nbytes / bandwidth
    report["triad GB/s"] = float(np.median(bandwidth)) / 1e9
    report["analysis ms"] = 1e3 * float(np.median(whole))
    report["step ms"] = 1e3 * float(np.median(step))
    report["floor of a step ms"] = 1e3 * float(np.median(floor))
    report["step / floor"] = float(np.median(step / floor))
    report["peers"] = []
    for name, run in peers.items():
        other = run()
        difference = float(np.abs(other - result).max())
        del other
        pairs = []
        for _ in range(max(1, repeat // 2)):
            theirs = seconds(run)
            pairs.append((theirs, seconds(lambda: ours(p, "cpp", out))))
        theirs_all, ours_all = np.array(pairs).T
        report["peers"].append(
            {
                "peer": name,
                "ms": 1e3 * float(np.median(theirs_all)),
                "ratio": float(np.median(theirs_all / ours_all)),
                "largest difference": difference,
                "largest value": float(np.abs(result).max()),
            }
        )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--dim", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--spread", type=float, default=0.2, help="of the previous analysis")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--chunks", type=int, nargs="*", default=[1 << 14, 1 << 17, 1 << 20])
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: at least 2, since a step is timed as a difference")
    p = make_problem(
        options.members, options.dim, options.steps, np.dtype(options.dtype), options.spread
    )
    peers: dict[str, Callable[[], np.ndarray]] = {"NumPy oracle": lambda: ours(p, "numpy")}
    if "numba" in backends.available():
        peers["Numba backend"] = lambda: ours(p, "numba")
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: pip install 'enfilt[bench]' adds its row")
    else:
        core = backends.get("cpp").core  # type: ignore[attr-defined]
        torch.set_num_threads(core.threads())
        for chunk in options.chunks:
            name = f"PyTorch {torch.__version__}, broadcasting, chunk {min(chunk, options.dim)}"
            peers[name] = lambda chunk=chunk: torch_broadcasting(p, chunk)
    report = {
        "case": "EnFF f2p, arctan, local guidance",
        "N": options.members,
        "D": options.dim,
        "steps": options.steps,
        "dtype": options.dtype,
        "spread": options.spread,
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        **{k: v for k, v in ef.config().items() if k in ("enfilt", "SIMD level", "threads")},
        **compare(p, options.repeat, peers),
    }
    rows = report.pop("peers")
    for name, value in report.items():
        print(f"{name:>20}  {value:.4g}" if isinstance(value, float) else f"{name:>20}  {value}")
    print("\n| beside | ms | times ours | largest difference |")
    print("| --- | ---: | ---: | ---: |")
    for row in rows:
        print(
            f"| {row['peer']} | {row['ms']:.0f} | {row['ratio']:.1f} "
            f"| {row['largest difference']:.2g} (of {row['largest value']:.2g}) |"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**report, "peers": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
