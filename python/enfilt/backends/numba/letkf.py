"""The local ensemble transform Kalman filter, component by component.

With Y and d the anomalies of h(x) and the innovations, each times sqrt(rho / ((N - 1) r^2)), and
S = Y Y^T (Hunt, Kostelich, Szunyogh 2007, in the scale of I + S)

    x_a = mean + (Y d)^T (I + S)^(-1) a + (I + S)^(-1/2) a,    a the component's anomalies.

All in float64, some hundred components at a time: of what these see rows are made for the kernel,
and nothing of the size of an ensemble.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..numpy.plain import observe
from ..problems import Array, LocalLists, LocalObservations, LocalWindow, ObservedComponents
from . import inverse_root
from .arguments import fixed, threads
from .inverse_root import Poles
from .options import parallel, serial

# Rows and columns of a tile of a regular grid, and pairs of component and place in its lists: they
# stay small beside an ensemble.
_ROWS, _COLUMNS = 16, 64
_PAIRS = 1 << 20


@serial
def _see(row: Array, rho: float, s: Array, pull: Array) -> None:
    """Add an observation, its anomalies and then its innovation, to the upper S and to Y d."""
    n = pull.size
    innovation = rho * row[n]
    for k in range(n):
        pull[k] += innovation * row[k]
        to, right, factor = s[k, k:], row[k:n], rho * row[k]
        for j in range(to.size):
            to[j] += factor * right[j]


@serial
def _turn(
    column: Array,
    seen: bool,
    s: Array,
    vectors: Array,
    rotation: Array,
    poles: Poles,
    scratch: tuple[Array, Array],
) -> None:
    """Overwrite a component's forecast with its analysis; not seen, with the forecast rotated."""
    pull, a, root, inverse = vectors[0], vectors[1], vectors[2], vectors[3]
    n = a.size
    start, mean = column[0], 0.0
    for j in range(n):
        a[j] = column[j] - start
        mean += a[j]
    mean /= n  # from a member: exact where the spread is small
    for j in range(n):
        a[j] -= mean
        root[j] = a[j]
    mean += start
    if seen:
        inverse_root.solve(s, a, poles, scratch, root, inverse)
        for j in range(n):
            mean += pull[j] * inverse[j]
    for j in range(n):
        value = root[j]
        if rotation.size > 0:
            value = 0.0
            for k in range(n):
                value += rotation[j, k] * root[k]
        column[j] = mean + value


@parallel
def analyse(
    columns: Array,
    owners: Array,
    starts: Array,
    indices: Array,
    rho: Array,
    rows: Array,
    rotation: Array,
    poles: Poles,
    workers: int,
) -> None:
    """Overwrite forecasts of components, (n, N), with their analyses; all float64.

    Those of place i are ``columns[owners[i]:owners[i + 1]]`` and see
    ``rows[indices[starts[i]:starts[i + 1]]]``, rows as `LocalObservations.rows`.
    """
    for worker in prange(workers):
        count, members = owners.size - 1, columns.shape[1]
        s, vectors = np.empty((members, members)), np.empty((4, members))
        scratch = inverse_root.scratch_of(members, poles)
        pull = vectors[0]
        for i in range(worker * count // workers, (worker + 1) * count // workers):
            seen = starts[i + 1] > starts[i]
            if not seen and rotation.size == 0:
                continue
            for j in range(members):
                pull[j] = 0.0
                for k in range(members):
                    s[j, k] = 0.0
            for k in range(starts[i], starts[i + 1]):
                _see(rows[indices[k]], rho[k], s, pull)
            if seen:
                for k in range(members):
                    for j in range(k):
                        s[k, j] = s[j, k]
                inverse_root.reduce(s, scratch)
            for c in range(owners[i], owners[i + 1]):
                _turn(columns[c], seen, s, vectors, rotation, poles, scratch)


class _Seen(NamedTuple):
    """What places see, as `LocalLists`, but by the names that all of them know."""

    owners: Array
    starts: Array
    names: Array
    weights: Array


def _distinct(names: Array, size: int) -> tuple[Array, Array]:
    """Return each of `names`, below `size`, once, and where each of them stands there."""
    place = np.empty(size, np.int64)  # not filled: what is read is written before
    numbers = np.arange(names.size)
    place[names] = numbers
    once = names[place[names] == numbers]
    place[once] = numbers[: once.size]
    return once, place[names]


def _call(
    x: Array,
    components: Array | slice,
    seen: _Seen,
    indices: Array,
    rows: Array,
    rotation: Array | None,
    out: Array,
) -> None:
    columns = np.array(x[:, components].T, dtype=np.float64, order="C")
    analyse(
        columns,
        fixed(seen.owners),
        fixed(seen.starts),
        fixed(indices),
        fixed(seen.weights),
        fixed(rows.astype(np.float64, copy=False)),
        fixed(np.empty((0, 0)) if rotation is None else np.ascontiguousarray(rotation)),
        inverse_root.poles(),
        min(threads(), len(seen.owners) - 1),
    )
    out[:, components] = columns.T


def from_lists(
    x: Array, lists: LocalLists, observations: LocalObservations, rotation: Array | None, out: Array
) -> None:
    """Write the analysis of the components of `lists` to their columns of `out`."""
    once, indices = _distinct(lists.indices, len(observations.rows))
    owners = np.arange(len(lists.starts)) if lists.owners is None else lists.owners
    seen = _Seen(owners, lists.starts, lists.indices, lists.weights)
    _call(x, lists.columns, seen, indices, observations.rows[once], rotation, out)


def from_window(
    x: Array, window: LocalWindow, observed: ObservedComponents, rotation: Array | None, out: Array
) -> None:
    """Write the analysis of all components of a regular grid to `out`."""
    dim = x.shape[1]
    number = np.full(dim, -1)  # of the observation of a component
    number[observed.components] = np.where(np.isnan(observed.y), -1, np.arange(observed.size))
    for components in _tiles(window):
        seen = _in_window(window, components, number)
        once, indices = _distinct(seen.names, dim)
        rows = _rows(x, once, observed, number[once])
        _call(x, components, seen, indices, rows, rotation, out)


def _tiles(window: LocalWindow) -> Iterator[Array]:
    """Yield the components of one tile of the grid after the other."""
    most = max(1, min(_ROWS * _COLUMNS, _PAIRS // len(window.weights)))
    width = min(most, _COLUMNS) if window.rows > 1 else most
    height = most // width
    for top in range(0, window.rows, height):
        for left in range(0, window.columns, width):
            rows = np.arange(top, min(top + height, window.rows))
            columns = np.arange(left, min(left + width, window.columns))
            yield (rows[:, None] * window.columns + columns).ravel()


def _in_window(window: LocalWindow, components: Array, number: Array) -> _Seen:
    """Return the observed components that others see in their windows."""
    row, column = np.divmod(components[:, None], window.columns)
    row, column = row + window.offsets[:, 0], column + window.offsets[:, 1]
    inside: Any = True
    if window.periodic:
        row, column = row % window.rows, column % window.columns
    else:
        inside = (row >= 0) & (row < window.rows) & (column >= 0) & (column < window.columns)
    names = np.where(inside, row * window.columns + column, 0)
    kept = inside & (number[names] >= 0)
    starts = np.zeros(len(components) + 1, np.int64)
    np.cumsum(kept.sum(axis=1), out=starts[1:])
    each = np.arange(len(starts))
    return _Seen(each, starts, names[kept], np.broadcast_to(window.weights, kept.shape)[kept])


def _rows(x: Array, components: Array, observed: ObservedComponents, numbers: Array) -> Array:
    """Return rows as `LocalObservations.rows`, in float64, of some observed components."""
    everywhere = observed._replace(offset=0, stride=1, size=len(components), indices=None)
    values = observe(np.ascontiguousarray(x[:, components]), everywhere).T.astype(np.float64)
    precision = observed.precision[numbers if observed.precision.size > 1 else [0]]
    rows = np.empty((len(components), len(x) + 1))
    mean = values.mean(axis=1)
    rows[:, :-1] = values - mean[:, None]
    rows[:, -1] = observed.y[numbers] - mean
    rows *= np.sqrt(precision.astype(np.float64) / (len(x) - 1))[:, None]
    return rows
