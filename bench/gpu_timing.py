"""What the rows of gpu_rows.py are made of: arrays, clocks and figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MEMBERS = 20


@dataclass
class Row:
    """A kernel's figures; `difference` is relative, in the norm of the oracle's result.

    `cpu` is what the compiled core takes for as many components, from the time of a tenth of them.
    """

    name: str
    size: str
    bytes: float
    flops: float
    seconds: float
    share: float
    difference: float | None
    cpu: float | None = None


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
    cpu: float | None = None,
) -> Row:
    return Row(name, size, moved, flops, took, moved / took / copy, difference, cpu)


def tenth(cupy: Any, *arrays: Any) -> list[np.ndarray]:
    """Return a tenth of the components, on the host."""
    return [cupy.ascontiguousarray(a[..., : a.shape[-1] // 10]).get() for a in arrays]


def host_seconds(run: Callable[[], Any]) -> float:
    """Return ten times the median time of a call on the host, after one that is not counted."""
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 10 * float(np.median(times[1:]))
