"""The CUDA kernels' times on this machine's GPU, a row each; `gpu.py` keeps what this says.

    python bench/gpu_rows.py [--dim D] [NAME ...]

Prints lines of JSON: what the device is, then what became of each row as soon as it is known. A row
whose kernel fails is the last one of this process, since nothing on the GPU can be trusted after
it.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from gpu_samplers import (
    arctan,
    flow_filter,
    flow_step,
    flow_step_plain,
    flow_step_torch,
    flow_step_torch_compiled,
    reduced_form,
    reduced_form_plain,
    score_paired,
    small_analysis,
    small_analysis_without_graphs,
)
from gpu_timing import (
    MEMBERS,
    Row,
    copy_bandwidth,
    ensembles,
    host_seconds,
    relative,
    row,
    seconds,
    tenth,
)


def lorenz96(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    x = 3 * cupy.random.default_rng(0).standard_normal((MEMBERS, dim), dtype=np.float32)
    out = cupy.empty_like(x)
    took = seconds(cupy, lambda: ef.models.Lorenz96(dim=dim).step(x, 10, out=out), 5)
    part = cupy.ascontiguousarray(x[:, :100_000])
    oracle = ef.models.Lorenz96(dim=part.shape[1], backend="numpy").step(part.get(), 10)
    difference = relative(ef.models.Lorenz96(dim=part.shape[1]).step(part, 10).get(), oracle)
    (few,) = tenth(cupy, x)
    return row(
        "Lorenz96, 10 steps",
        f"N {MEMBERS}, D {dim:.0e}",
        8.0 * MEMBERS * dim,
        270.0 * MEMBERS * dim,
        took,
        copy,
        difference,
        host_seconds(lambda: ef.models.Lorenz96(dim=few.shape[1]).step(few, 10)),
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
    few = tenth(cupy, forecast, y)
    cpu = host_seconds(lambda: run(*few))
    size = f"N {MEMBERS}, D {dim:.0e}"
    return row(name, size, 4.0 * numbers * dim, flops * dim, took, copy, difference, cpu)


def letkf(cupy: Any, dim: int, copy: float) -> Row:
    import enfilt as ef

    taper = ef.localization.GaspariCohn(cutoff=14.0)
    flops = 4.0 / 3 * MEMBERS**3 + 27 * 2 * MEMBERS**2  # reflections, and the Gram matrix
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
    few = tenth(cupy, x, y)
    return row(
        "metrics",
        f"N {MEMBERS}, D {dim:.0e}",
        4.0 * (MEMBERS + 1) * dim,
        4.5 * MEMBERS**2 * dim,
        took,
        copy,
        difference,
        host_seconds(lambda: ef.metrics.score(*few)),
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
        flow_filter(19).analysis(forecast, y, arctan(), previous=previous, rng=1, out=out)
        ef.metrics.score(out, truth)

    took = seconds(cupy, run, 3)
    moved = 4.0 * (2 + 19 * 4 + 2) * MEMBERS * dim
    flops = (270.0 * MEMBERS + 19 * 3 * MEMBERS**2 + 9 * MEMBERS**2) * dim
    return row(
        "a cycle of lorenz96-100m", f"N {MEMBERS}, D {dim:.0e}", moved, flops, took, copy, None
    )


KERNELS: dict[str, Callable[[Any, int, float], Row]] = {
    kernel.__name__: kernel
    for kernel in (
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
}


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=10_000_000)
    parser.add_argument("names", nargs="*", default=list(KERNELS), metavar="NAME")
    options = parser.parse_args()
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    copy = copy_bandwidth(cupy)
    say(
        device=properties["name"].decode(),
        driver=cupy.cuda.runtime.driverGetVersion(),
        copy=copy,
    )
    for name in options.names:
        try:
            say(name=name, row=asdict(KERNELS[name](cupy, options.dim, copy)))
        except (ImportError, MemoryError, cupy.cuda.memory.OutOfMemoryError) as error:
            say(name=name, error=str(error))  # a peer, or what is too large for this GPU
        except Exception as error:  # told as the row; another process has the rest
            say(name=name, error=f"{type(error).__name__}: {error}")
            traceback.print_exc()
            return 1
        cupy.get_default_memory_pool().free_all_blocks()
    return 0


if __name__ == "__main__":
    sys.exit(main())
