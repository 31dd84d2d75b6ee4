"""Lorenz-96 for the Numba backend: several Runge-Kutta steps for each pass over memory.

As in the compiled core (cpp/include/enfilt/lorenz96.hpp): a row that fits into cache is stepped
there to the end; a longer one is cut into tiles, which are read with what the steps reach, and
what is right shrinks as they are taken. One evaluation reaches from d - 2 to d + 1.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..problems import Array
from .options import parallel, serial

#: Components that one step, of four evaluations, needs before and behind.
BELOW, ABOVE = 8, 4

_MARGIN = 2  # components in front of a row in scratch


@serial
def _evaluate(
    x: Array,
    source: Array,
    low: int,
    high: int,
    forcing: float,
    forward: float,
    weight: float,
    ahead: Array,
    total: Array,
) -> None:
    """For components low to high: ahead = x + forward f(source), total += weight f(source)."""
    kind = x.dtype.type
    a, b, c = kind(forcing), kind(forward), kind(weight)
    # Slices that start at the first component used: indices that can't be negative, which Numba
    # need not look into.
    around = source[low : high + 3]
    start = x[low + _MARGIN : high + _MARGIN]
    to = ahead[low + _MARGIN : high + _MARGIN]
    total = total[low + _MARGIN : high + _MARGIN]
    for d in range(start.size):
        f = (around[d + 3] - around[d]) * around[d + 1] - around[d + 2] + a
        to[d] = start[d] + b * f
        total[d] += c * f


@serial
def _join(x: Array, dim: int) -> None:
    """Write the neighbours of a ring's ends."""
    x[0], x[1] = x[dim], x[dim + 1]
    x[dim + _MARGIN] = x[_MARGIN]


@serial
def _advance(
    rows: Array, low: int, high: int, steps: int, dt: float, forcing: float, ring: bool
) -> None:
    """Step components low to high of ``rows[0]``; the other four rows are scratch.

    Where they are no ring, the components that are right afterwards are those from
    low + BELOW steps to high - ABOVE steps.
    """
    x, total, stage, following = rows[0], rows[1], rows[2], rows[3]
    width = high - low
    for _ in range(steps):
        if ring:
            _join(x, width)
        for d in range(x.size):
            total[d] = x[d]
        source = x
        for k in range(4):
            if not ring:
                low, high = low + 2, high - 1
            forward = dt if k == 2 else dt / 2
            weight = dt / 6 if k == 0 or k == 3 else dt / 3
            ahead = stage if k % 2 == 0 else following
            _evaluate(x, source, low, high, forcing, forward, weight, ahead, total)
            if ring and k < 3:
                _join(ahead, width)
            source = ahead
        for d in range(x.size):
            x[d] = total[d]


@parallel
def step_short_rows(
    x: Array, out: Array, dt: float, steps: int, forcing: float, workers: int
) -> None:
    """Step rows (M, D) that fit into cache; `out` may be `x`."""
    for worker in prange(workers):
        count, dim = x.shape
        rows = np.zeros((4, dim + _MARGIN + 1), x.dtype)
        inner = rows[0, _MARGIN : _MARGIN + dim]
        for i in range(worker * count // workers, (worker + 1) * count // workers):
            for d in range(dim):
                inner[d] = x[i, d]
            _advance(rows, 0, dim, steps, dt, forcing, True)
            for d in range(dim):
                out[i, d] = inner[d]


@parallel
def step_tiles(
    x: Array, out: Array, tile: int, dt: float, steps: int, forcing: float, workers: int
) -> None:
    """Step one row (D,) by tiles of `tile` components; `out` overlaps no `x`."""
    for worker in prange(workers):
        dim = x.size
        tiles = (dim + tile - 1) // tile
        before, behind = BELOW * steps, ABOVE * steps
        rows = np.zeros((4, tile + before + behind + _MARGIN + 1), x.dtype)
        for t in range(worker * tiles // workers, (worker + 1) * tiles // workers):
            first = t * tile
            n = min(tile, dim - first)
            width = before + n + behind
            filled = 0
            while filled < width:  # runs of the ring
                d = (first - before + filled) % dim
                run = x[d : d + width - filled]
                to = rows[0, _MARGIN + filled : _MARGIN + filled + run.size]
                for k in range(run.size):
                    to[k] = run[k]
                filled += run.size
            _advance(rows, 0, width, steps, dt, forcing, False)
            inner, to = rows[0, _MARGIN + before : _MARGIN + before + n], out[first : first + n]
            for k in range(n):
                to[k] = inner[k]
