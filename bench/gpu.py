"""Build, test and time the CUDA kernels on this machine's GPU, within eight minutes.

    python bench/gpu.py                        # everything; needs nvcc, CuPy and pytest
    python bench/gpu.py --only time --json bench/results/gpu-name.json

Each row is a kernel: the fewest bytes it has to move and the operations it has to do, the median
time of its calls on CUDA events, the share that those bytes are of what a copy from device to
device moves in that time, and the largest difference from the NumPy oracle on the same arrays
(on a part of the components where the oracle would take long).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = 20


@dataclass
class Row:
    """A kernel's figures; `difference` is relative, in the norm of the oracle's result."""

    name: str
    size: str
    bytes: float
    flops: float
    seconds: float
    share: float
    difference: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["build", "test", "sanitize", "time"])
    parser.add_argument("--dim", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = [options.only] if options.only else ["build", "test", "sanitize", "time"]
    python = [sys.executable, "-m"]
    if "build" in wanted:
        build = ["pip", "install", "-q", "--no-deps", "--no-build-isolation", ROOT]
        subprocess.run(
            [*python, *build, "--config-settings=cmake.define.ENFILT_CUDA=ON"], check=True
        )
    tests = [*python, "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    if "test" in wanted:
        subprocess.run([*tests, "tests"], cwd=ROOT, check=True)
    if "sanitize" in wanted:
        # sizes above some thousand components would take the tools hours, all options too long
        few = "float32 and not 1000003 and not 100003 and not 257 and not heun and not True"
        chosen = ["tests/test_cuda_kernels.py", "-k", few]
        for tool in ("memcheck", "racecheck"):
            command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1"]
            command += ["--target-processes", "all"]
            subprocess.run([*command, *tests, *chosen], cwd=ROOT, check=True)
    if "time" in wanted:
        measure(options.dim, options.json)


def measure(dim: int, to: Path | None) -> None:
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    driver = cupy.cuda.runtime.driverGetVersion()
    copy = copy_bandwidth(cupy)
    page = [
        f"{name}, CUDA driver {driver}, copies at {copy / 1e12:.2f} TB/s (read and written)\n",
        "| kernel | size | GB | Gflop | ms | of a copy | difference |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(page))
    rows = []
    for make in KERNELS:
        try:
            row = make(cupy, dim, copy)
        except (ImportError, MemoryError) as error:  # a peer, or a cycle too large for this GPU
            line = f"| {make.__name__} | {error} | | | | | |"
        else:
            rows.append(asdict(row))
            difference = "" if row.difference is None else f"{row.difference:.1e}"
            line = (
                f"| {row.name} | {row.size} | {row.bytes / 1e9:.2f} | {row.flops / 1e9:.1f} "
                f"| {1e3 * row.seconds:.3f} | {100 * row.share:.0f} % | {difference} |"
            )
        print(line, flush=True)
        page.append(line)
        cupy.get_default_memory_pool().free_all_blocks()
    if to is not None:
        text = json.dumps({"device": name, "driver": driver, "copy": copy, "rows": rows}, indent=1)
        to.write_text(text + "\n")
        to.with_suffix(".md").write_text("\n".join(page) + "\n")


def seconds(cupy: Any, run: Callable[[], Any], repeats: int = 20) -> float:
    """Return the median time of a call on the device, after two that are not counted."""
    times = []
    for _ in range(repeats + 2):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(1e-3 * cupy.cuda.get_elapsed_time(begin, end))
    return float(np.median(times[2:]))


def copy_bandwidth(cupy: Any) -> float:
    """Return bytes read and written a second by a copy of 1 GB."""
    source = cupy.random.random(1 << 28, dtype=np.float32)
    target = cupy.empty_like(source)
    return 2 * source.nbytes / seconds(cupy, lambda: cupy.copyto(target, source))


def ensembles(cupy: Any, dim: int, members: int = MEMBERS) -> tuple[Any, Any, Any]:
    """Return forecast, previous analysis and y of Arctan, in float32."""
    rng = cupy.random.default_rng(0)
    truth = 3 * rng.standard_normal(dim, dtype=np.float32)
    previous = truth + 0.2 * rng.standard_normal((members, dim), dtype=np.float32)
    forecast = previous + 0.1 * rng.standard_normal((members, dim), dtype=np.float32)
    return forecast, previous, cupy.arctan(truth)


def relative(result: Any, expected: np.ndarray) -> float:
    gap = (result - expected).astype(np.float64)
    return float(np.linalg.norm(gap) / np.linalg.norm(expected))


def row(
    name: str,
    size: str,
    moved: float,
    flops: float,
    took: float,
    copy: float,
    difference: float | None,
) -> Row:
    return Row(name, size, moved, flops, took, moved / took / copy, difference)


def _filter(steps: int, backend: str = "auto") -> Any:
    import enfilt as ef

    return ef.EnFF(path="f2p", steps=steps, sigma_min=0.01, strength=0.05, backend=backend)


def _observed() -> Any:
    import enfilt as ef

    return ef.Observation(ef.operators.Arctan(), std=0.05)


def flow_step(cupy: Any, dim: int, copy: float) -> Row:
    """Time a step of EnFF: what 21 steps take longer than one, over 20."""
    forecast, previous, y = ensembles(cupy, dim)
    out = cupy.empty_like(forecast)

    def run(steps: int) -> None:
        _filter(steps).analysis(forecast, y, _observed(), previous=previous, rng=1, out=out)

    took = (seconds(cupy, lambda: run(21), 5) - seconds(cupy, lambda: run(1), 5)) / 20
    part = [cupy.ascontiguousarray(a[..., :100_000]) for a in (forecast, previous, y)]
    result = _filter(5).analysis(part[0], part[2], _observed(), previous=part[1], rng=1).get()
    host = [a.get() for a in part]
    oracle = _filter(5, "numpy").analysis(host[0], host[2], _observed(), previous=host[1], rng=1)
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
        return _filter(steps, backend).analysis(x, y, _observed(), previous=x0, rng=1, out=to)

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


def _reduced_row(name: str, dim: int, took: float, copy: float, difference: float | None) -> Row:
    # x1, x0 and the normals for the Gram matrices and again for z
    moved = 4.0 * (7 * MEMBERS + 2) * dim
    flops = (12.0 * MEMBERS**2 + 20 * MEMBERS) * dim
    return row(name, f"N {MEMBERS}, D {dim:.0e}", moved, flops, took, copy, difference)


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
    return _reduced_row("EnFF f2p reduced, 100 steps", dim, took, copy, difference)


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
        return filt.analysis(x, y, _observed(), rng=1, out=to)

    took = seconds(cupy, lambda: run("auto", forecast, y, out), 5)
    x, part = cupy.ascontiguousarray(forecast[:, :100_000]), y[:100_000]
    difference = relative(run("auto", x, part).get(), run("numpy", x.get(), part.get()))
    return row(
        "EnSF paired, 100 steps",
        f"N {MEMBERS}, D {dim:.0e}",
        4.0 * (2 * MEMBERS + 1) * dim,
        20.0 * steps * MEMBERS * dim,
        took,
        copy,
        difference,
    )


def lorenz96(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    x = 3 * cupy.random.default_rng(0).standard_normal((MEMBERS, dim), dtype=np.float32)
    out = cupy.empty_like(x)
    took = seconds(cupy, lambda: ef.models.Lorenz96(dim=dim).step(x, 10, out=out), 5)
    part = cupy.ascontiguousarray(x[:, :100_000])
    oracle = ef.models.Lorenz96(dim=part.shape[1], backend="numpy").step(part.get(), 10)
    difference = relative(ef.models.Lorenz96(dim=part.shape[1]).step(part, 10).get(), oracle)
    return row(
        "Lorenz96, 10 steps",
        f"N {MEMBERS}, D {dim:.0e}",
        8.0 * MEMBERS * dim,
        270.0 * MEMBERS * dim,
        took,
        copy,
        difference,
    )


def field(cupy: Any, dim: int, copy: float) -> Row:
    """Time the flow field of many members."""
    import enfilt as ef

    members, dim = 512, dim // 20
    x1, x0, _ = ensembles(cupy, dim, members)
    out = cupy.empty_like(x1)

    def run(x: Any, before: Any, to: Any = None, backend: str = "auto") -> Any:
        return ef.kernels.flow_field(
            x, x, 0.5, path="f2p", sigma_min=20.0, previous=before, out=to, backend=backend
        )

    took = seconds(cupy, lambda: run(x1, x0, out), 5)
    a, b = (cupy.ascontiguousarray(x[:64, :10_000]) for x in (x1, x0))
    difference = relative(run(a, b).get(), run(a.get(), b.get(), None, "numpy"))
    return row(
        "flow field",
        f"N {members}, D {dim:.0e}",
        4.0 * 6 * members * dim,
        5.0 * members**2 * dim,
        took,
        copy,
        difference,
    )


def _localized(
    cupy: Any,
    dim: int,
    copy: float,
    name: str,
    numbers: float,
    flops: float,
    filt: Callable[[str], Any],
) -> Row:
    """Time a localized filter that observes the arctan of a ring's components.

    `numbers` are what it has to move for a component, `flops` what it has to do.
    """
    import enfilt as ef

    def run(x: Any, y: Any, backend: str = "auto") -> Any:
        grid = ef.grids.RegularGrid((x.shape[-1],))
        obs = ef.Observation(ef.operators.Arctan(), std=0.05, grid=grid)
        return filt(backend).analysis(x, y, obs)

    forecast, _, y = ensembles(cupy, dim)
    took = seconds(cupy, lambda: run(forecast, y), 3)
    x, part = cupy.ascontiguousarray(forecast[:, :2000]), y[:2000]
    difference = relative(run(x, part).get(), run(x.get(), part.get(), "numpy"))
    size = f"N {MEMBERS}, D {dim:.0e}"
    return row(name, size, 4.0 * numbers * dim, flops * dim, took, copy, difference)


def letkf(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    taper = ef.localization.GaspariCohn(cutoff=14.0)
    flops = 50.0 * MEMBERS**3 + 27 * 2 * MEMBERS**2
    return _localized(
        cupy,
        dim // 100,
        copy,
        "LETKF, cutoff 14",
        3.0 * MEMBERS + 1,
        flops,
        lambda backend: ef.LETKF(taper, backend=backend),
    )


def lenff(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    taper = ef.localization.GaspariCohn(cutoff=12.0)
    return _localized(
        cupy,
        dim // 10,
        copy,
        "LEnFF, cutoff 12, 10 steps",
        10 * (2.0 * MEMBERS + 1),
        10 * 6.0 * 23 * MEMBERS,
        lambda backend: ef.LEnFF(taper, backend=backend),
    )


def lenff_plain(cupy: Any, dim: int, copy: float) -> Row:
    """Time ten such steps in CuPy's own operations, the ring turned by each distance."""
    import enfilt as ef

    dim //= 10
    forecast, _, y = ensembles(cupy, dim)
    away = range(-11, 12)
    distance = np.abs(np.array(away, dtype=float))
    rho = ef.localization.GaspariCohn(cutoff=12.0).weight(distance) / (MEMBERS - 1)
    rho = [np.float32(r) for r in rho]
    variance = np.float32(10 * 0.05**2)

    def run() -> Any:
        x = forecast
        for _ in range(10):
            h = cupy.arctan(x)
            mean = h.mean(axis=0)
            values, state = h - mean, x - x.mean(axis=0)
            bound = cupy.zeros_like(mean)
            for r, d in zip(rho, away, strict=True):
                bound += abs(r * (values * cupy.roll(values, d, axis=1)).sum(axis=0))
            gain = (y - np.float32(0.5) * (h + mean)) / (bound + variance)
            moves = cupy.zeros_like(x)
            for r, d in zip(rho, away, strict=True):
                product = r * (state * cupy.roll(values, d, axis=1)).sum(axis=0)
                moves += product * cupy.roll(gain, d, axis=1)
            x = x + moves
        return x

    took = seconds(cupy, run, 3)
    moved = 4.0 * 10 * (2 * MEMBERS + 1) * dim
    flops = 10 * 6.0 * 23 * MEMBERS * dim
    size = f"N {MEMBERS}, D {dim:.0e}"
    return row("the same in plain CuPy", size, moved, flops, took, copy, None)


def scores(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    x, _, y = ensembles(cupy, dim)
    took = seconds(cupy, lambda: ef.metrics.score(x, y), 5)
    part, truth = cupy.ascontiguousarray(x[:, :100_000]), y[:100_000]
    found = ef.metrics.score(part, truth)
    expected = ef.metrics.score(part.get(), truth.get(), backend="numpy")
    difference = max(abs(a / b - 1) for a, b in zip(found[:4], expected[:4], strict=True))
    return row(
        "metrics",
        f"N {MEMBERS}, D {dim:.0e}",
        4.0 * (MEMBERS + 1) * dim,
        4.5 * MEMBERS**2 * dim,
        took,
        copy,
        difference,
    )


def cycle(cupy: Any, dim: int, copy: float) -> Row:
    """Time a whole cycle: ten steps of the model, the analysis, and the scores of both."""
    import enfilt as ef

    dim *= 10
    needed = 4 * (3 * MEMBERS + 4) * dim
    free = cupy.cuda.Device().mem_info[0]
    if needed > free:
        raise MemoryError(f"a cycle needs {needed / 1e9:.0f} GB, {free / 1e9:.0f} are free")
    rng = cupy.random.default_rng(0)
    truth = 3 * rng.standard_normal(dim, dtype=np.float32)
    previous = cupy.empty((MEMBERS, dim), np.float32)
    for member in previous:
        member[:] = truth + 0.2 * rng.standard_normal(dim, dtype=np.float32)
    y = cupy.arctan(truth)
    forecast, out = cupy.empty_like(previous), cupy.empty_like(previous)
    model = ef.models.Lorenz96(dim=dim)

    def run() -> None:
        model.step(previous, 10, out=forecast)
        ef.metrics.score(forecast, truth)
        _filter(19).analysis(forecast, y, _observed(), previous=previous, rng=1, out=out)
        ef.metrics.score(out, truth)

    took = seconds(cupy, run, 3)
    moved = 4.0 * (2 + 19 * 4 + 2) * MEMBERS * dim
    flops = (270.0 * MEMBERS + 19 * 3 * MEMBERS**2 + 9 * MEMBERS**2) * dim
    return row(
        "a cycle of lorenz96-100m", f"N {MEMBERS}, D {dim:.0e}", moved, flops, took, copy, None
    )


KERNELS = (
    flow_step,
    flow_step_plain,
    flow_step_torch,
    flow_step_torch_compiled,
    small_analysis,
    small_analysis_without_graphs,
    reduced_form,
    reduced_form_plain,
    score_paired,
    lorenz96,
    field,
    letkf,
    lenff,
    lenff_plain,
    scores,
    cycle,
)

if __name__ == "__main__":
    main()
