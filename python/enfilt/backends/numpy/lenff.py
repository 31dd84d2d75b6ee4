"""Steps of the localized flow filter: the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ... import _arrays
from ..problems import Array, ListedFlow, LocalLists, LocalWindow

if TYPE_CHECKING:
    from ..base import Backend


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


def analyse_lists(problem: ListedFlow, x: Array, kernels: Backend) -> None:
    """Move states x (N, D) from the forecast to the analysis, with the sums of a backend."""
    xp = _arrays.namespace(x)
    y, least = problem.y[:, None], 4 * np.finfo(x.dtype).tiny
    missing = xp.isnan(y)  # on a GPU; elsewhere none
    moving = None if problem.values is None else problem.values.copy(order="C")

    def move(z: Array, parts: Sequence[LocalLists], anomalies: Array, gains: Array) -> None:
        for part in parts:
            column = xp.ascontiguousarray(z[:, part.columns].T)  # sums go by how numbers lie
            rows = column - column.mean(axis=1, keepdims=True, dtype=np.float64)
            rows = xp.ascontiguousarray(rows, z.dtype)
            z[:, part.columns] += kernels.lenff_moves(rows, part, anomalies, gains).T

    for w in problem.pseudo_times:
        values = xp.ascontiguousarray(problem.seen(x, moving).T)
        mean = values.mean(axis=1, keepdims=True, dtype=np.float64)
        anomalies = xp.where(missing, 0, values - mean).astype(x.dtype)
        bound = xp.empty((len(values), 1))
        for part in problem.of_observations:
            rows = xp.ascontiguousarray(anomalies[part.columns])
            bound[part.columns, 0] = kernels.lenff_bounds(rows, part, anomalies)
        with np.errstate(divide="ignore"):  # r^2 is infinite where it is not known, nor y
            share = bound + 1 / (problem.precision * w)[:, None]
            innovations = (y - 0.5 * (values + mean)) / share
        # where the bound is no normal number Y is zero to rounding, and nothing moves
        gains = xp.where(missing | (bound <= least), 0, innovations).astype(x.dtype)
        move(x, problem.of_state, anomalies, gains)
        if moving is not None:
            move(moving, problem.of_values, anomalies, gains)


def covariances(
    rows: Array, lists: LocalLists, anomalies: Array
) -> Iterator[tuple[slice, npt.NDArray[np.int64], Array]]:
    """Yield c_dl = rho_dl (a_d . Y_l)/(N-1), place by place, in float64.

    With it, which of `rows` (n, N) are of the place (d), and which of `anomalies` (m, N) it sees
    (l). `rows` are those of `lists.columns`.
    """
    places = len(lists.starts) - 1
    owners = np.arange(places + 1) if lists.owners is None else lists.owners
    for i in range(places):
        here, pairs = slice(owners[i], owners[i + 1]), slice(lists.starts[i], lists.starts[i + 1])
        seen = lists.indices[pairs]
        # no product of matrices: values that stand where a component does move as that, bit for bit
        a, b = rows[here].astype(np.float64), anomalies[seen].astype(np.float64)
        products = np.einsum("dj,lj->dl", a, b)
        yield here, seen, lists.weights[pairs] * products / (rows.shape[1] - 1)


def bounds(rows: Array, lists: LocalLists, anomalies: Array) -> Array:
    """Return b_d = sum_l |rho_dl (Y_d . Y_l)/(N-1)| of `lists.columns`, (n,) in float64.

    `rows` (n, N) are their anomalies of h(x), `anomalies` (m, N) those of all observations.
    """
    result = np.zeros(len(rows))
    for here, _, covariance in covariances(rows, lists, anomalies):
        result[here] = np.abs(covariance).sum(axis=1)
    return result


def moves(rows: Array, lists: LocalLists, anomalies: Array, gains: Array) -> Array:
    """Return dx_d = sum_l rho_dl (A_d . Y_l)/(N-1) g_l of `lists.columns`, (n, N).

    `rows` (n, N) are their anomalies of x; `anomalies` Y and `gains` (m, N) are of all
    observations, these (y_l - (h_il + mean_l)/2) / (b_l + r_l^2/w).
    """
    result = np.zeros(rows.shape)
    for here, seen, covariance in covariances(rows, lists, anomalies):
        result[here] = np.einsum("dl,lj->dj", covariance, gains[seen].astype(np.float64))
    return result
