"""Time EnSF with the paired score beside the elementwise form that one would write in PyTorch.

The case: arctan of every component, r = 0.05, score limit 50. Our kernel passes over memory once,
however many steps there are; elementwise code passes over it some twenty times a step. The
probability-flow form (``ode``) is compared on one start, so the results can be held against each
other; the stochastic one (``sde``) draws its own normals on either side, and is timed only.

    python bench/ensf_paired.py --json bench/results/ensf_paired.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from single_analysis import seconds

import enfilt as ef
from enfilt import backends

EPS_ALPHA, EPS_BETA, STD, LIMIT = 0.6, 0.075, 0.05, 50.0


def ours(
    forecast: np.ndarray,
    y: np.ndarray,
    noise: np.ndarray | None,
    steps: int,
    sampler: str,
    out: np.ndarray,
) -> np.ndarray:
    """Return the analysis by enfilt."""
    filt = ef.EnSF(
        steps=steps,
        eps_alpha=EPS_ALPHA,
        eps_beta=EPS_BETA,
        score="paired",
        sampler=sampler,
        score_limit=LIMIT,
        backend="cpp",
    )
    obs = ef.Observation(ef.operators.Arctan(), std=STD)
    return filt.analysis(forecast, y, obs, noise=noise, rng=0, out=out)


@torch.no_grad()
def elementwise(
    forecast: np.ndarray, y: np.ndarray, noise: np.ndarray | None, steps: int, sampler: str
) -> np.ndarray:
    """Return the same as the equations stand, an array operation at a time."""
    x1, seen = torch.from_numpy(forecast), torch.from_numpy(y)
    x = torch.randn_like(x1) if noise is None else torch.from_numpy(noise)
    dt = 1 / steps
    for k in range(steps):
        t = 1 - k * dt
        alpha, beta2 = 1 - t * (1 - EPS_ALPHA), EPS_BETA + t * (1 - EPS_BETA)
        f = -(1 - EPS_ALPHA) / alpha
        g2 = (1 - EPS_BETA) - 2 * f * beta2
        gradient = (torch.atan(x) - seen) / STD**2 / (1 + x * x)
        score = -(x - alpha * x1) / beta2 - (1 - t) * gradient
        score = score.clamp(-LIMIT, LIMIT)
        if sampler == "ode":
            x = x - dt * (f * x - 0.5 * g2 * score)
        else:
            x = x - dt * (f * x - g2 * score) + (g2 * dt) ** 0.5 * torch.randn_like(x)
    return x.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--dim", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    threads = backends.get("cpp").core.threads()  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    dtype = np.dtype(options.dtype)
    shape = (options.members, options.dim)
    truth = 3 * rng.standard_normal(options.dim)
    forecast = (truth + 0.3 * rng.standard_normal(shape)).astype(dtype)
    y = (np.arctan(truth) + STD * rng.standard_normal(options.dim)).astype(dtype)
    noise = rng.standard_normal(shape).astype(dtype)
    out = np.empty_like(forecast)

    rows: list[dict[str, Any]] = []
    for sampler, start in (("ode", noise), ("sde", None)):
        pairs = []
        for _ in range(options.repeat):
            run = (forecast, y, start, options.steps, sampler)
            mine = seconds(lambda run=run: ours(*run, out))
            pairs.append((mine, seconds(lambda run=run: elementwise(*run))))
        mine, theirs = np.array(pairs).T
        rows.append(
            {
                "sampler": sampler,
                "ours s": float(np.median(mine)),
                "PyTorch s": float(np.median(theirs)),
                "ratio": float(np.median(theirs / mine)),
            }
        )
    difference = np.abs(
        ours(forecast, y, noise, options.steps, "ode", out)
        - elementwise(forecast, y, noise, options.steps, "ode")
    )
    report = {
        "case": "EnSF paired, arctan, score limit 50",
        "N": options.members,
        "D": options.dim,
        "steps": options.steps,
        "dtype": options.dtype,
        "threads": threads,
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "peer": f"PyTorch {torch.__version__}, elementwise",
        "largest difference (ode)": float(difference.max()),
        "99.9 % of differences below (ode)": float(np.quantile(difference[:, :50_000], 0.999)),
        "largest value": float(np.abs(out).max()),
        **{k: v for k, v in ef.config().items() if k in ("enfilt", "SIMD level")},
    }
    for name, value in report.items():
        print(f"{name:>34}  {value:.4g}" if isinstance(value, float) else f"{name:>34}  {value}")
    print("\n| sampler | ours, s | PyTorch, s | ratio |\n| --- | ---: | ---: | ---: |")
    for row in rows:
        print(
            f"| {row['sampler']} | {row['ours s']:.2f} | {row['PyTorch s']:.1f} "
            f"| {row['ratio']:.1f} |"
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({**report, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
