"""Steps of the localized flow filter: how a backend is asked for them, and their oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .letkf import LocalLists

Array = npt.NDArray[Any]


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
