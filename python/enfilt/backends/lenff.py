"""Steps of the localized flow filter: how a backend is asked for them, and their oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .letkf import LocalLists, LocalWindow

Array = npt.NDArray[Any]


def grouped(window: LocalWindow, size: int) -> LocalWindow:
    """Return what groups of `size` components see of a regular grid of one row, or two axes.

    A group follows the row of a grid that has one, else a column. Offsets (n, 2) are from its
    first component, weights (n, size) are rho of each with that place, zero beyond the cutoff; a
    grid of one column is returned as one of one row.
    """
    if window.columns == 1:
        rows, columns, turned = 1, window.rows, window.offsets[:, ::-1]
        window = window._replace(rows=rows, columns=columns, offsets=turned)
    step = np.array([0, 1] if window.rows == 1 else [1, 0])
    seen = window.offsets + step * np.arange(size)[:, None, None]
    places, index = np.unique(seen.reshape(-1, 2), axis=0, return_inverse=True)
    weights = np.zeros((len(places), size))
    weights[index.reshape(seen.shape[:2]), np.arange(size)[:, None]] = window.weights
    return window._replace(offsets=places.astype(np.int64), weights=weights)


def products(a: Array, b: Array, lists: LocalLists) -> Array:
    """Return rho_dl (a_d . b_l)/(N-1) for each pair of `lists`, in float64.

    Rows d of `a` (n, N) are those the lists are of, rows l of `b` (m, N) those they see.
    """
    first = np.repeat(np.arange(len(lists.starts) - 1), np.diff(lists.starts))
    members = a.shape[1]
    dot = np.einsum("ej,ej->e", a[first].astype(np.float64), b[lists.indices].astype(np.float64))
    result: Array = lists.weights * dot / (members - 1)
    return result


def sums(values: Array, starts: npt.NDArray[np.int64]) -> Array:
    """Return the sums of runs ``values[starts[i]:starts[i + 1]]`` along the first axis."""
    total = np.zeros((len(starts) - 1, *values.shape[1:]))
    # reduceat takes an empty run for one of its first element
    filled = np.flatnonzero(np.diff(starts))
    if filled.size:
        total[filled] = np.add.reduceat(values, starts[filled], axis=0)
    return total


def bounds(rows: Array, lists: LocalLists, anomalies: Array) -> Array:
    """Return b_d = sum_l |rho_dl (Y_d . Y_l)/(N-1)| of the places of `lists`, (n,) in float64.

    `rows` (n, N) are their anomalies of h(x), `anomalies` (m, N) those of all observations.
    """
    return sums(np.abs(products(rows, anomalies, lists)), lists.starts)


def moves(rows: Array, lists: LocalLists, anomalies: Array, gains: Array) -> Array:
    """Return dx_d = sum_l rho_dl (A_d . Y_l)/(N-1) g_l of the places of `lists`, (n, N).

    `rows` (n, N) are their anomalies of x; `anomalies` Y and `gains` (m, N) are of all
    observations, these (y_l - (h_il + mean_l)/2) / (b_l + r_l^2/w).
    """
    covariance = products(rows, anomalies, lists)
    return sums(covariance[:, None] * gains.astype(np.float64)[lists.indices], lists.starts)
