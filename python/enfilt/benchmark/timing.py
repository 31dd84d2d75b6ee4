"""Times, rates and peaks of memory, as every case and every script in ``bench/`` takes them."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import backends
from .._config import config
from .case import Array

#: A timed call is repeated until it takes this long, in seconds.
SHORTEST = 0.005


def seconds(run: Callable[[], Any], number: int = 1) -> float:
    """Return the wall-clock time of one call, the mean of `number`."""
    return wall_and_processor(run, number)[0]


def wall_and_processor(run: Callable[[], Any], number: int = 1) -> tuple[float, float]:
    """Return wall-clock time and processor time of all threads of one call."""
    collecting = gc.isenabled()
    gc.disable()  # as timeit does: what others left behind is not this call's
    try:
        begin, busy = time.perf_counter(), time.process_time()
        for _ in range(number):
            run()
        wall, used = time.perf_counter() - begin, time.process_time() - busy
    finally:
        if collecting:
            gc.enable()
    return wall / number, used / number


def repeats(once: float) -> int:
    """Return how often a call that takes `once` seconds is repeated to be timed."""
    return max(1, min(10_000, int(SHORTEST / max(once, 1e-7))))


class Triad:
    """The triad c = a + k b: the rate of memory that floors are made from.

    Parameters
    ----------
    dtype : str
    elements : int
        Of each array; more than the caches hold, but for a quick look.
    """

    def __init__(self, dtype: str = "float32", elements: int = 40_000_000) -> None:
        self._core = core()
        self._arrays = [np.ones(elements, dtype) for _ in range(3)]
        self._run()  # touches new pages

    def _run(self) -> None:
        a, b, c = self._arrays
        self._core.triad(a, b, 2.0, c)

    def bandwidth(self, repeat: int = 3) -> float:
        """Return bytes a second, three streams counted; the median of `repeat`."""
        times = [seconds(self._run) for _ in range(repeat)]
        return 3 * self._arrays[0].nbytes / float(np.median(times))


def core() -> Any:
    """Return the compiled core, which has the triad and knows its level and its threads.

    Raises
    ------
    ImportError
        If this installation has none; the message says why.
    """
    return backends.get("cpp").core  # type: ignore[attr-defined]


def peak(run: Callable[[], Any]) -> tuple[Any, int | None]:
    """Return what a call returns, and how far memory rose above what was in use before it.

    None where the system can't say: the high-water mark of a process is reset on Linux alone.
    """
    gc.collect()
    try:
        # what the allocator holds back would be used again, unseen
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except (AttributeError, OSError):
        return run(), None
    result = run()
    return result, max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def difference(result: Array, other: Array) -> tuple[float, float]:
    """Return the largest difference of two results, and the largest value of the first.

    Row by row: a second ensemble of differences is not made.
    """
    if np.shape(other) != result.shape:
        raise ValueError(f"a result has shape {np.shape(other)}: expected {result.shape}")
    largest = max(float(np.abs(a - b).max()) for a, b in zip(result, other, strict=True))
    return largest, max(float(np.abs(a).max()) for a in result)


def machine() -> dict[str, Any]:
    """Return what a time was measured on: package, processor, cores, SIMD level, threads."""
    facts = config()
    return {
        "enfilt": facts["enfilt"],
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "SIMD level": core().level(),
        "threads": core().threads(),
        "python": facts["python"],
        "NumPy": np.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = (
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            )
            return next(names)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write_json(report: Any, path: Path) -> None:
    """Write a report as JSON; the file appears whole or not at all."""
    from .._files import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
