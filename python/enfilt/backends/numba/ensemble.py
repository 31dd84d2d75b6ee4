"""Sums over the components of an ensemble: misfit, Gram matrices of anomalies, scores."""

from __future__ import annotations

from numba import prange

from ..problems import Array
from .blocks import (
    Cut,
    add_absolute_distances,
    add_distances,
    add_products,
    center,
    components_of,
    fetch,
    scratch_rows,
)
from .observed import Observed, observe, observed_anomalies, spread
from .options import parallel


@parallel
def misfit(x: Array, observed: Observed, cut: Cut, sums: Array) -> None:
    """Add 1/2 sum_k ((y_k - h_k(x_i)) / r_k)^2 to sums, (chunks, N)."""
    for worker in prange(cut.workers):
        members = x.shape[0]
        state, scratch = scratch_rows(members, cut, x), scratch_rows(4, cut, x)
        y, weight, value, slope = scratch[0], scratch[1], scratch[2], scratch[3]
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            spread(observed, first, n, y, weight)
            fetch(x, first, n, state)
            for i in range(members):
                observe(observed, state[i], n, value, slope)
                total = x.dtype.type(0)
                for d in range(n):
                    miss = y[d] - value[d]
                    total += weight[d] * miss * miss if weight[d] > 0 else x.dtype.type(0)
                sums[first // cut.chunk, i] += 0.5 * total


@parallel
def anomaly_grams(x: Array, observed: Observed, cut: Cut, states: Array, values: Array) -> None:
    """Add A A^T and Y R^-1 Y^T, for the anomalies of x and h(x), to sums (chunks, N, N)."""
    for worker in prange(cut.workers):
        members = x.shape[0]
        state, anomaly = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        scaled, scratch = scratch_rows(members, cut, x), scratch_rows(3, cut, x)
        y, weight, spare = scratch[0], scratch[1], scratch[2]
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            spread(observed, first, n, y, weight)
            fetch(x, first, n, state)
            observed_anomalies(observed, state, weight, members, n, spare, anomaly)
            for j in range(members):
                row, from_row = scaled[j], anomaly[j]
                for d in range(n):
                    row[d] = weight[d] * from_row[d]
            center(state, members, n, spare)
            add_products(state, state, n, states[first // cut.chunk])
            add_products(scaled, anomaly, n, values[first // cut.chunk])


@parallel
def score_sums(
    x: Array, truth: Array, cut: Cut, squared: Array, absolute: Array, moments: Array, ranks: Array
) -> None:
    """Add up what the scores of x (N, D) against a truth (D,) need; chunks stand first.

    The truth is the last row and column of the sums of squared and absolute differences,
    (chunks, N + 1, N + 1). `moments` are the squares of the mean's error and of the anomalies,
    `ranks` the numbers of components with so many members below the truth.
    """
    for worker in prange(cut.workers):
        members = x.shape[0]
        kind = x.dtype.type
        state, scratch = scratch_rows(members + 1, cut, x), scratch_rows(2, cut, x)
        below, mean = scratch[0], scratch[1]
        at = state[members]  # the truth stands behind the members as one more row of the distances
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            c = first // cut.chunk
            fetch(x, first, n, state)
            row = truth[first : first + n]
            for d in range(n):
                at[d] = row[d]
                below[d] = 0
            add_distances(state, state, n, squared[c])
            add_absolute_distances(state, state, n, absolute[c])
            for j in range(members):
                member = state[j]
                for d in range(n):
                    below[d] += kind(1) if member[d] < at[d] else kind(0)
                    member[d] -= at[d]
            center(state, members, n, mean)
            error = kind(0)
            for d in range(n):
                error += mean[d] * mean[d]
            moments[c, 0] += error
            for j in range(members):
                member = state[j]
                variance = kind(0)
                for d in range(n):
                    variance += member[d] * member[d]
                moments[c, 1] += variance
            for d in range(n):
                ranks[c, int(below[d])] += 1
