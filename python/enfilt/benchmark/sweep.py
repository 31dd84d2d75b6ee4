"""Time over D, N, steps and threads, with the floor that memory sets: what the plots show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from .. import progress
from .case import Case, Size
from .measure import Timer, sized, triad_for
from .timing import Triad, core

#: Where each axis is looked at; sizes beyond the memory that is free, or too slow, are left out.
AXES = {
    "dim": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    "members": (10, 20, 50, 100, 200, 500, 1_000),
    "steps": (1, 3, 10, 30, 100, 300, 1_000),
}
#: Members are swept at this many components: the cost grows with their square.
DIM_OF_MEMBERS = 10_000
#: Seconds of one call, beyond which an axis ends.
LONGEST = 10.0


@dataclass(frozen=True)
class Sweep:
    """Times of a case along one axis.

    Attributes
    ----------
    case, title : str
    axis : str
        ``dim``, ``members``, ``steps`` or ``threads``.
    size : dict
        What does not vary.
    values : list of int
    times, floors : list of float
        Seconds of a call, and those that memory needs by the triad on as many threads.
    """

    case: str
    title: str
    axis: str
    size: dict[str, Any]
    values: list[int]
    times: list[float]
    floors: list[float]


def sweeps(
    names: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    *,
    quick: bool = False,
    repeat: int = 5,
    show: bool | None = None,
) -> list[Sweep]:
    """Time cases along their axes; ours alone.

    Parameters are those of `run`; ``quick`` ends each axis after three values, at the small size.
    """
    todo = [
        (case, size, axis)
        for case, size in sized(names, changes, quick=quick)
        for axis in case.sweeps
    ]
    found: list[Sweep] = []
    bar = progress.bar(len(todo), "drawing", show)
    try:
        for case, size, axis in todo:
            bar.set_postfix(case=case.name, axis=axis, refresh=True)
            found.append(_sweep(case, size, axis, quick, repeat))
            bar.update()
    except KeyboardInterrupt:
        pass
    finally:
        bar.close()
    return [sweep for sweep in found if sweep.values]


def _sweep(case: Case, size: Size, axis: str, quick: bool, repeat: int) -> Sweep:
    if axis == "members":
        size = size.replace({"dim": min(size.dim, DIM_OF_MEMBERS)})
    triad = triad_for(size, quick=quick)
    values, times, floors = [], [], []
    for value in _values(axis, quick):
        at = size if axis == "threads" else size.replace({axis: value})
        if 8 * at.bytes > psutil.virtual_memory().available:
            break
        with _threads(value) if axis == "threads" else contextlib.nullcontext():
            once, floor = _time(case, at, triad, repeat)
        values.append(value)
        times.append(once)
        floors.append(floor)
        if once > LONGEST:
            break
    fixed = {k: v for k, v in vars(size).items() if k != axis}
    return Sweep(case.name, case.title, axis, fixed, values, times, floors)


def _values(axis: str, quick: bool) -> tuple[int, ...]:
    if axis == "threads":
        return _thread_counts()
    return AXES[axis][:2] if quick else AXES[axis]


def _thread_counts() -> tuple[int, ...]:
    """Return 1, 2, 4 and so on, up to the threads in use; one where they can't be limited."""
    try:
        import threadpoolctl  # noqa: F401 - an extra
    except ImportError:
        return ()
    most = core().threads()
    return tuple(sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most}))


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=count):
        yield


def _time(case: Case, size: Size, triad: Triad, repeat: int) -> tuple[float, float]:
    problem = case.prepare(size)
    timer = Timer(problem, np.empty((size.members, size.dim), size.dtype))
    once = float(np.median([timer.once() for _ in range(repeat)]))
    return once, case.moved(size) / triad.bandwidth()
