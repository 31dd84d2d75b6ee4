"""A step's sums of the localized flow filter where every place has a list of its own."""

from __future__ import annotations

import numpy as np
from numba import prange

from ..problems import Array, LocalLists
from .arguments import fixed, threads
from .options import parallel

# Pairs of place and observation that are worth a thread.
_PAIRS = 512


@parallel
def _bounds(
    rows: Array,
    owners: Array,
    starts: Array,
    indices: Array,
    rho: Array,
    anomalies: Array,
    workers: int,
    out: Array,
) -> None:
    share = 1.0 / (rows.shape[1] - 1)
    for place in prange(len(starts) - 1):
        for d in range(owners[place], owners[place + 1]):
            total = 0.0
            for k in range(starts[place], starts[place + 1]):
                a, b, dot = rows[d], anomalies[indices[k]], 0.0
                for j in range(a.size):
                    dot += a[j] * b[j]
                total += rho[k] * share * abs(dot)
            out[d] = total


@parallel
def _moves(
    rows: Array,
    owners: Array,
    starts: Array,
    indices: Array,
    rho: Array,
    anomalies: Array,
    gains: Array,
    workers: int,
    out: Array,
) -> None:
    share = 1.0 / (rows.shape[1] - 1)
    for place in prange(len(starts) - 1):
        for d in range(owners[place], owners[place + 1]):
            dx = out[d]
            dx[:] = 0
            for k in range(starts[place], starts[place + 1]):
                a, b, dot = rows[d], anomalies[indices[k]], 0.0
                for j in range(a.size):
                    dot += a[j] * b[j]
                factor = dx.dtype.type(rho[k] * share * dot)
                gain = gains[indices[k]]
                for j in range(dx.size):
                    dx[j] += factor * gain[j]


def bounds(rows: Array, lists: LocalLists, anomalies: Array) -> Array:
    """As `enfilt.backends.numpy.lenff.bounds`."""
    out = np.empty(len(rows))
    _bounds(fixed(rows), *_of(lists), fixed(anomalies), _workers(lists), out)
    return out


def moves(rows: Array, lists: LocalLists, anomalies: Array, gains: Array) -> Array:
    """As `enfilt.backends.numpy.lenff.moves`, in the dtype of `rows`."""
    out = np.empty_like(rows)
    _moves(fixed(rows), *_of(lists), fixed(anomalies), fixed(gains), _workers(lists), out)
    return out


def _of(lists: LocalLists) -> tuple[Array, Array, Array, Array]:
    owners = np.arange(len(lists.starts)) if lists.owners is None else lists.owners
    return fixed(owners), fixed(lists.starts), fixed(lists.indices), fixed(lists.weights)


def _workers(lists: LocalLists) -> int:
    return max(1, min(threads(), len(lists.indices) // _PAIRS))
