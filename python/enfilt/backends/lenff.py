"""Steps of the localized flow filter: how a backend is asked for them, and their oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .letkf import LocalLists

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LocalStep:
    """What the observations of one ensemble say before a step, missing ones left out.

    Attributes
    ----------
    anomalies : ndarray, (m, N)
        Y, of h(x).
    innovations : ndarray, (m, N)
        y - (h(x_i) + mean h)/2.
    noise : ndarray, (m,)
        r^2 / w, w being the pseudo-time of the step.
    """

    anomalies: Array
    innovations: Array
    noise: Array


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


def bounds(anomalies: Array, lists: LocalLists) -> Array:
    """Return b_l = sum_l' |rho_ll' (P_yy)_ll'| of the observations of `lists`."""
    rows = anomalies[lists.first : lists.first + len(lists.starts) - 1]
    return sums(np.abs(products(rows, anomalies, lists)), lists.starts)


def increments(x: Array, lists: LocalLists, step: LocalStep, bound: Array) -> Array:
    """Return dx, (n, N) in float64, of the components of `lists`, with b_l in `bound` (m,).

    dx_i(d) = sum_l rho_dl (P_xy)_dl (y_l - (h_il + mean_l)/2) / (b_l + r_l^2/w).
    """
    count = len(lists.starts) - 1
    columns = x[:, lists.first : lists.first + count].T.astype(np.float64)
    covariance = products(columns - columns.mean(axis=1, keepdims=True), step.anomalies, lists)
    pull = step.innovations.astype(np.float64) / (bound + step.noise)[:, None]
    return sums(covariance[:, None] * pull[lists.indices], lists.starts)
