"""Rows of gpu_rows.py: EnFF and EnSF, and the same by others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_timing import MEMBERS, Row, ensembles, host_seconds, relative, row, seconds, tenth


def flow_filter(steps: int, backend: str = "auto") -> Any:
    import enfilt as ef

    return ef.EnFF(path="f2p", steps=steps, sigma_min=0.01, strength=0.05, backend=backend)


def arctan() -> Any:
    import enfilt as ef

    return ef.Observation(ef.operators.Arctan(), std=0.05)


def flow_step(cupy: Any, dim: int, copy: float) -> Row:
    """Time a step of EnFF: what 21 steps take longer than one, over 20."""
    forecast, previous, y = ensembles(cupy, dim)
    out = cupy.empty_like(forecast)

    def run(steps: int) -> None:
        flow_filter(steps).analysis(forecast, y, arctan(), previous=previous, rng=1, out=out)

    took = (seconds(cupy, lambda: run(21), 5) - seconds(cupy, lambda: run(1), 5)) / 20
    part = [cupy.ascontiguousarray(a[..., :100_000]) for a in (forecast, previous, y)]
    result = flow_filter(5).analysis(part[0], part[2], arctan(), previous=part[1], rng=1).get()
    host = [a.get() for a in part]
    oracle = flow_filter(5, "numpy").analysis(host[0], host[2], arctan(), previous=host[1], rng=1)
    x, x0, few = tenth(cupy, forecast, previous, y)

    def on_host(steps: int) -> float:
        filt = flow_filter(steps)
        return host_seconds(lambda: filt.analysis(x, few, arctan(), previous=x0, rng=1))

    moved = 4.0 * (4 * MEMBERS + 1) * dim
    flops = (3.0 * MEMBERS**2 + 20 * MEMBERS) * dim
    return row(
        "EnFF f2p Arctan, a step",
        f"N {MEMBERS}, D {dim:.0e}",
        moved,
        flops,
        took,
        copy,
        relative(result, oracle),
        (on_host(6) - on_host(1)) / 5,
    )


def flow_step_plain(cupy: Any, dim: int, copy: float) -> Row:
    """Time the same step in CuPy's own operations, distances by matrix products."""
    z, previous, y = ensembles(cupy, dim)
    x1 = z + 0.1
    t, dt = np.float32(0.5), np.float32(1 / 19)

    def run() -> Any:
        centres = t * x1 + (1 - t) * previous
        squares = (z * z).sum(axis=1)[:, None] + (centres * centres).sum(axis=1)
        logits = -0.5e4 * (squares - 2 * z @ centres.T)
        weights = cupy.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        v = weights @ (x1 - previous)
        x_hat = z + (1 - t) * v
        g = np.float32(0.05 * 400) * (y - cupy.arctan(x_hat)) / (1 + x_hat * x_hat)
        return z + dt * (v + g)

    took = seconds(cupy, run, 5)
    moved = 4.0 * (4 * MEMBERS + 1) * dim
    return row(
        "the same in plain CuPy",
        f"N {MEMBERS}, D {dim:.0e}",
        moved,
        (4.0 * MEMBERS**2 + 30 * MEMBERS) * dim,
        took,
        copy,
        None,
    )


def _torch_step(cupy: Any, dim: int, copy: float, name: str, compiled: bool) -> Row:
    import torch

    z, previous, y = (torch.from_dlpack(a) for a in ensembles(cupy, dim))
    x1 = z + 0.1
    t, dt = 0.5, 1 / 19

    def step(z: Any, x1: Any, x0: Any, y: Any) -> Any:
        centres = t * x1 + (1 - t) * x0
        squares = (z * z).sum(1)[:, None] + (centres * centres).sum(1)
        weights = torch.softmax(-0.5e4 * (squares - 2 * z @ centres.T), 1)
        v = weights @ (x1 - x0)
        x_hat = z + (1 - t) * v
        return z + dt * (v + 20.0 * (y - torch.atan(x_hat)) / (1 + x_hat * x_hat))

    run = torch.compile(step) if compiled else step
    took = seconds(cupy, lambda: run(z, x1, previous, y), 5)
    moved = 4.0 * (4 * MEMBERS + 1) * dim
    flops = (4.0 * MEMBERS**2 + 30 * MEMBERS) * dim
    return row(name, f"N {MEMBERS}, D {dim:.0e}", moved, flops, took, copy, None)


def flow_step_torch(cupy: Any, dim: int, copy: float) -> Row:
    """Time the same step in PyTorch's operations."""
    return _torch_step(cupy, dim, copy, "the same in PyTorch", compiled=False)


def flow_step_torch_compiled(cupy: Any, dim: int, copy: float) -> Row:
    """Time the same step under torch.compile."""
    return _torch_step(cupy, dim, copy, "the same under torch.compile", compiled=True)


def _small(cupy: Any, copy: float, name: str, before: Callable[[], None]) -> Row:
    """Time a whole call where the host's share of it is large, `before` each."""
    dim, steps = 40, 19
    forecast, previous, y = ensembles(cupy, dim)
    out = cupy.empty_like(forecast)

    def run(backend: str, x: Any, y: Any, x0: Any, to: Any = None) -> Any:
        return flow_filter(steps, backend).analysis(x, y, arctan(), previous=x0, rng=1, out=to)

    def call() -> None:
        before()
        run("auto", forecast, y, previous, out)

    took = seconds(cupy, call, 50)
    expected = run("numpy", forecast.get(), y.get(), previous.get())
    moved = 4.0 * (4 * MEMBERS + 1) * dim * steps
    flops = (3.0 * MEMBERS**2 + 20 * MEMBERS) * dim * steps
    size = f"N {MEMBERS}, D {dim}, {steps} steps"
    return row(name, size, moved, flops, took, copy, relative(out.get(), expected))


def small_analysis(cupy: Any, _: int, copy: float) -> Row:
    return _small(cupy, copy, "small EnFF as a graph", lambda: None)


def small_analysis_without_graphs(cupy: Any, _: int, copy: float) -> Row:
    from enfilt import backends
    from enfilt.backends.cuda import CudaBackend

    backend = backends.get("cuda")
    assert isinstance(backend, CudaBackend)
    return _small(cupy, copy, "the same, kernel by kernel", backend.graphs.clear)


_REDUCED_STEPS = 100


def _reduced_row(
    name: str,
    dim: int,
    took: float,
    copy: float,
    difference: float | None,
    cpu: float | None = None,
) -> Row:
    # x1, x0 and the normals for the Gram matrices and again for z
    moved = 4.0 * (7 * MEMBERS + 2) * dim
    flops = (12.0 * MEMBERS**2 + 20 * MEMBERS) * dim
    return row(name, f"N {MEMBERS}, D {dim:.0e}", moved, flops, took, copy, difference, cpu)


def reduced_form(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    forecast, previous, _ = ensembles(cupy, dim)
    y, out = forecast.mean(axis=0), cupy.empty_like(forecast)
    obs = ef.Observation(ef.operators.Identity(), std=0.5)

    def run(backend: str, x: Any, before: Any, y: Any, to: Any = None) -> Any:
        filt = ef.EnFF(
            path="f2p",
            steps=_REDUCED_STEPS,
            sigma_min=0.01,
            strength=0.05,
            algorithm="reduced",
            backend=backend,
        )
        return filt.analysis(x, y, obs, previous=before, rng=1, out=to)

    took = seconds(cupy, lambda: run("auto", forecast, previous, y, out), 5)
    part = [cupy.ascontiguousarray(a[..., :100_000]) for a in (forecast, previous, y)]
    difference = relative(run("auto", *part).get(), run("numpy", *(a.get() for a in part)))
    few = tenth(cupy, forecast, previous, y)
    cpu = host_seconds(lambda: run("auto", *few))
    return _reduced_row("EnFF f2p reduced, 100 steps", dim, took, copy, difference, cpu)


def reduced_form_plain(cupy: Any, dim: int, copy: float) -> Row:
    """Time the same in CuPy's own operations, products by cuBLAS."""
    x1, x0, _ = ensembles(cupy, dim)
    y, out = x1.mean(axis=0), cupy.empty_like(x1)
    n, width, pull_to_y = MEMBERS, 2 * MEMBERS + 3, 0.05 / 0.5**2

    def blocks(noise: Any, dtype: type) -> Any:
        for first in range(0, dim, 1 << 18):
            part = slice(first, first + (1 << 18))
            a, b = x1[:, part].astype(dtype), x0[:, part].astype(dtype)
            mean, before = a.mean(axis=0), b.mean(axis=0)
            lines = [(before - mean)[None], (y[part] - mean)[None], mean[None]]
            normals = noise[:, part].astype(dtype)
            yield part, cupy.concatenate([a - mean, b - before, *lines, normals])

    def run() -> None:
        noise = cupy.random.default_rng(1).standard_normal((n, dim), dtype=np.float32)
        gram = sum(rows @ rows[: 2 * n].T for _, rows in blocks(noise, np.float64))
        c = cupy.zeros((n, width + 1))
        c[:, n : 2 * n] = cupy.eye(n)
        c[:, [2 * n, 2 * n + 2]] = 1
        c[:, width] = 0.01
        dt = 1 / _REDUCED_STEPS
        for k in range(_REDUCED_STEPS):
            t = k * dt
            centred = t * gram[:, :n] + (1 - t) * gram[:, n:]
            away = c.copy()
            away[:, 2 * n] -= 1 - t
            away[:, 2 * n + 2] -= 1
            products = away[:, :width] @ centred[:width] + away[:, width:] * centred[width:]
            squares = t * cupy.diag(centred[:n]) + (1 - t) * cupy.diag(centred[n : 2 * n])
            logits = 0.5e4 * (2 * products - squares)
            w = cupy.exp(logits - logits.max(axis=1, keepdims=True))
            w *= dt * (1 - pull_to_y * (1 - t)) / w.sum(axis=1, keepdims=True)
            c *= 1 - dt * pull_to_y
            c[:, :n] += w
            c[:, n : 2 * n] -= w
            c[:, 2 * n] -= dt * (1 - pull_to_y * (1 - t))
            c[:, 2 * n + 1 : 2 * n + 3] += dt * pull_to_y
        last = c.astype(np.float32)
        for part, rows in blocks(noise, np.float32):
            out[:, part] = last[:, :width] @ rows[:width] + last[:, width:] * rows[width:]

    return _reduced_row("the same in plain CuPy", dim, seconds(cupy, run, 5), copy, None)


def score_paired(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    steps = 100
    forecast, _, y = ensembles(cupy, dim)
    out = cupy.empty_like(forecast)

    def run(backend: str, x: Any, y: Any, to: Any = None) -> Any:
        filt = ef.EnSF(
            steps=steps, score="paired", sampler="ode", algorithm="streaming", backend=backend
        )
        return filt.analysis(x, y, arctan(), rng=1, out=to)

    took = seconds(cupy, lambda: run("auto", forecast, y, out), 5)
    x, part = cupy.ascontiguousarray(forecast[:, :100_000]), y[:100_000]
    difference = relative(run("auto", x, part).get(), run("numpy", x.get(), part.get()))
    few = tenth(cupy, forecast, y)
    return row(
        "EnSF paired, 100 steps",
        f"N {MEMBERS}, D {dim:.0e}",
        4.0 * (2 * MEMBERS + 1) * dim,
        20.0 * steps * MEMBERS * dim,
        took,
        copy,
        difference,
        host_seconds(lambda: run("auto", *few)),
    )
