"""The local ensemble transform Kalman filter, component by component.

With Y and d the anomalies of h(x) and the innovations, each times sqrt(rho / ((N - 1) r^2)), and
S = Y Y^T (Hunt, Kostelich, Szunyogh 2007, in the scale of I + S)

    x_a = mean + (Y d)^T (I + S)^(-1) a + (I + S)^(-1/2) a,    a the component's anomalies.

All in float64. On a regular grid what the components of a tile see is made once, for the tile and
its halo; nothing of the size of an ensemble is made.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from ..base import Array, ObservedComponents
from ..letkf import LocalLists, LocalObservations, LocalWindow
from . import inverse_root
from .arguments import fixed, observed_as, threads
from .inverse_root import Poles
from .observed import Observed, observe, spread
from .options import parallel, serial

# S, the vectors Y d, a, root and inverse (4, N), and what `inverse_root.solve` works in.
Local = tuple[Array, Array, tuple[Array, Array]]


@serial
def _local(members: int, poles: Poles) -> Local:
    return (
        np.empty((members, members)),
        np.empty((4, members)),
        inverse_root.scratch_of(members, poles),
    )


@serial
def _clear(local: Local) -> None:
    s, vectors, _ = local
    s[:] = 0.0
    vectors[0][:] = 0.0


@serial
def _see(row: Array, rho: float, local: Local) -> None:
    """Add an observation, its anomalies and then its innovation, to Y d and the upper half of S."""
    s, vectors, _ = local
    pull = vectors[0]
    n = pull.size
    innovation = rho * row[n]
    for k in range(n):
        pull[k] += innovation * row[k]
        to, right, factor = s[k, k:], row[k:n], rho * row[k]
        for j in range(to.size):
            to[j] += factor * right[j]


@serial
def _analyse(
    x: Array, d: int, seen: bool, rotation: Array, poles: Poles, local: Local, out: Array
) -> None:
    """Write the analysis of component d; not seen, it keeps the forecast, or that rotated."""
    s, vectors, scratch = local
    pull, a, root, inverse = vectors[0], vectors[1], vectors[2], vectors[3]
    n = a.size
    if not seen and rotation.size == 0:
        for j in range(n):
            out[j, d] = x[j, d]
        return
    start, mean = np.float64(x[0, d]), 0.0
    for j in range(n):
        a[j] = np.float64(x[j, d]) - start
        mean += a[j]
    mean /= n  # from a member: exact where the spread is small
    for j in range(n):
        a[j] -= mean
    mean += start
    if seen:
        for k in range(n):
            for j in range(k):
                s[k, j] = s[j, k]
        inverse_root.solve(s, a, poles, scratch, root, inverse)
        for j in range(n):
            mean += pull[j] * inverse[j]
    else:
        root[:] = a
    for j in range(n):
        value = root[j]
        if rotation.size > 0:
            value = 0.0
            for k in range(n):
                value += rotation[j, k] * root[k]
        out[j, d] = mean + value


@parallel
def _over_lists(
    x: Array,
    first: int,
    starts: Array,
    indices: Array,
    rho: Array,
    rows: Array,
    rotation: Array,
    poles: Poles,
    workers: int,
    out: Array,
) -> None:
    """Analyse the components of lists; `rows` as `LocalObservations.rows`."""
    for worker in prange(workers):
        local, count = _local(x.shape[0], poles), starts.size - 1
        for i in range(worker * count // workers, (worker + 1) * count // workers):
            _clear(local)
            for k in range(starts[i], starts[i + 1]):
                _see(rows[indices[k]], rho[k], local)
            _analyse(x, first + i, starts[i + 1] > starts[i], rotation, poles, local, out)


class _Tiling(NamedTuple):
    """How a regular grid is cut into tiles, and the halo that windows reach into."""

    grid_rows: int
    grid_columns: int
    periodic: bool
    rows: int
    columns: int
    above: int
    left: int
    halo_rows: int
    halo_columns: int


@serial
def _wrap(k: int, n: int, periodic: bool) -> int:
    """Return the place k of an axis of n points, or -1 outside it."""
    if periodic:
        return k % n
    return k if 0 <= k < n else -1


@serial
def _fetch_piece(
    x: Array,
    observed: Observed,
    first: int,
    n: int,
    scratch: Array,
    values: Array,
    place: int,
    rows: Array,
    visible: Array,
) -> None:
    """Fill in what n components of a row of the grid say, from a place of the tile on.

    `rows` (places, N + 1) as `LocalObservations.rows`, in float64.
    """
    members = x.shape[0]
    y, weight, slope = scratch[0], scratch[1], scratch[2]
    spread(observed, first, n, y, weight)
    for j in range(members):
        observe(observed, x[j, first : first + n], n, values[j], slope)
    for d in range(n):
        visible[place + d] = weight[d] > 0
        if not weight[d] > 0:
            continue
        row = rows[place + d]
        start, mean = np.float64(values[0, d]), 0.0
        for j in range(members):
            row[j] = np.float64(values[j, d]) - start
            mean += row[j]
        mean /= members
        factor = math.sqrt(weight[d] / (members - 1))
        for j in range(members):
            row[j] = factor * (row[j] - mean)
        row[members] = factor * ((np.float64(y[d]) - start) - mean)


@parallel
def _over_tiles(
    x: Array,
    observed: Observed,
    shift: Array,
    rho: Array,
    rotation: Array,
    poles: Poles,
    tiling: _Tiling,
    workers: int,
    out: Array,
) -> None:
    """Analyse all components of a regular grid; `shift` is from a place of a tile to another."""
    for worker in prange(workers):
        t, members = tiling, x.shape[0]
        across = (t.grid_columns + t.columns - 1) // t.columns
        tiles = (t.grid_rows + t.rows - 1) // t.rows * across
        local = _local(members, poles)
        scratch = np.empty((3, t.halo_columns), x.dtype)
        values = np.empty((members, t.halo_columns), x.dtype)
        rows = np.empty((t.halo_rows * t.halo_columns, members + 1))
        visible = np.empty(t.halo_rows * t.halo_columns, np.bool_)
        for tile in range(worker * tiles // workers, (worker + 1) * tiles // workers):
            top, left = tile // across * t.rows, tile % across * t.columns
            visible[:] = False
            for r in range(t.halo_rows):
                line, c = _wrap(top - t.above + r, t.grid_rows, t.periodic), 0
                while line >= 0 and c < t.halo_columns:  # pieces within one row of the grid
                    at = _wrap(left - t.left + c, t.grid_columns, t.periodic)
                    n = 1
                    if at >= 0:
                        n = min(t.grid_columns - at, t.halo_columns - c)
                        first, place = line * t.grid_columns + at, r * t.halo_columns + c
                        _fetch_piece(x, observed, first, n, scratch, values, place, rows, visible)
                    c += n
            for r in range(min(t.rows, t.grid_rows - top)):
                for c in range(min(t.columns, t.grid_columns - left)):
                    centre = (r + t.above) * t.halo_columns + c + t.left
                    seen = False
                    _clear(local)
                    for k in range(shift.size):
                        if visible[centre + shift[k]]:
                            seen = True
                            _see(rows[centre + shift[k]], rho[k], local)
                    d = (top + r) * t.grid_columns + left + c
                    _analyse(x, d, seen, rotation, poles, local, out)


def _rotation(rotation: Array | None) -> Array:
    return fixed(np.empty((0, 0)) if rotation is None else np.ascontiguousarray(rotation))


def lists(
    x: Array, lists: LocalLists, observations: LocalObservations, rotation: Array | None, out: Array
) -> None:
    """Write the analysis of the components of `lists` to their columns of `out`."""
    _over_lists(
        fixed(x),
        lists.first,
        fixed(lists.starts),
        fixed(lists.indices),
        fixed(lists.weights),
        fixed(observations.rows),
        _rotation(rotation),
        inverse_root.poles(),
        min(threads(), len(lists.starts) - 1),
        out,
    )


def window(
    x: Array, window: LocalWindow, observed: ObservedComponents, rotation: Array | None, out: Array
) -> None:
    """Write the analysis of all components of a regular grid to `out`."""
    # about as large as the second-level cache with a halo of ten or twenty
    rows, columns = min(window.rows, 16), min(window.columns, 64 if window.rows > 1 else 512)
    above, left = np.maximum(-window.offsets.min(axis=0), 0)
    below, right = np.maximum(window.offsets.max(axis=0), 0)
    tiling = _Tiling(
        grid_rows=window.rows,
        grid_columns=window.columns,
        periodic=window.periodic,
        rows=rows,
        columns=columns,
        above=int(above),
        left=int(left),
        halo_rows=int(above + rows + below),
        halo_columns=int(left + columns + right),
    )
    tiles = -(-window.rows // rows) * -(-window.columns // columns)
    _over_tiles(
        fixed(x),
        observed_as(observed, x),
        window.offsets @ np.array([tiling.halo_columns, 1]),
        fixed(window.weights),
        _rotation(rotation),
        inverse_root.poles(),
        tiling,
        min(threads(), tiles),
        out,
    )
