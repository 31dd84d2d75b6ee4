"""Inflation, and the innovations that an adaptive one is estimated from: a block at a time.

Differences to the first member are what all is made of, here with the order of operations kept:
they are rounded as the spread is, not as the values are.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..problems import Array
from .blocks import Cut, components_of, fetch, scratch_rows
from .observed import Observed, component_of, first_observation, observe, spread
from .options import exact, parallel, serial

# Numbers of the kinds, as `enfilt.backends.problems.INFLATIONS`.
_RTPP, _RTPS = 1, 2


@exact
def _take_first(x: Array, members: int, n: int, mean: Array, size: Array) -> None:
    """Make anomalies of the rows of a block; leave the sum in size of what they were made of."""
    kind = x.dtype.type
    first = x[0]
    for d in range(n):
        mean[d] = 0
        size[d] = np.finfo(x.dtype).tiny
    for j in range(1, members):
        row = x[j]
        for d in range(n):
            row[d] -= first[d]
            mean[d] += row[d]
            size[d] += abs(row[d])
    for d in range(n):
        mean[d] /= kind(members)
        first[d] = -mean[d]
    for j in range(1, members):
        row = x[j]
        for d in range(n):
            row[d] -= mean[d]


@exact
def _norm(x: Array, members: int, n: int, size: Array, norm: Array) -> None:
    """Write sqrt(sum_j (a_j/size)^2), numbers that can be squared."""
    for d in range(n):
        norm[d] = 0
    for j in range(members):
        row = x[j]
        for d in range(n):
            scaled = row[d] / size[d]
            norm[d] += scaled * scaled
    for d in range(n):
        norm[d] = np.sqrt(norm[d])


@exact
def _move(x: Array, first: int, n: int, way: Array, gain: Array, scale: Array, out: Array) -> None:
    """Write x + gain way/scale of a block; what does not move keeps every bit."""
    for j in range(x.shape[0]):
        row, along, to = x[j, first : first + n], way[j], out[j, first : first + n]
        for d in range(n):
            step = gain[d] * (along[d] / scale[d])
            to[d] = row[d] if step == 0 else row[d] + step


@parallel
def inflate(x: Array, forecast: Array, kind_of: int, amount: Array, cut: Cut, out: Array) -> None:
    """Write x (N, D) widened about its mean to `out`, which may be x."""
    for worker in prange(cut.workers):
        members, kind = x.shape[0], x.dtype.type
        analysis, before = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        scratch = scratch_rows(8, cut, x)
        mean, size, gain, scale = scratch[0], scratch[1], scratch[2], scratch[3]
        after, earlier, earlier_size = scratch[4], scratch[5], scratch[6]
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            fetch(x, first, n, analysis)
            _take_first(analysis, members, n, mean, size)
            for d in range(n):
                gain[d] = amount[first + d if amount.size > 1 else 0]
                scale[d] = kind(1)
            if kind_of >= _RTPP:
                fetch(forecast, first, n, before)
                _take_first(before, members, n, mean, earlier_size)
            if kind_of == _RTPP:
                for j in range(members):
                    row, other = analysis[j], before[j]
                    for d in range(n):
                        row[d] = other[d] - row[d]
            if kind_of == _RTPS:
                _norm(analysis, members, n, size, after)
                _norm(before, members, n, earlier_size, earlier)
                for d in range(n):
                    gap = earlier[d] * earlier_size[d] - after[d] * size[d]
                    scale[d] = size[d]
                    # what has no spread has nothing to widen
                    gain[d] = gain[d] * gap / after[d] if after[d] > 0 else kind(0)
            _move(x, first, n, analysis, gain, scale, out)


@exact
def _moments(value: Array, n: int, members: int, mean: Array, variance: Array) -> None:
    """Write mean and variance of a block's components, in float64."""
    first = value[0]
    for d in range(n):
        mean[d] = 0
        variance[d] = 0
    for j in range(1, members):
        row = value[j]
        for d in range(n):
            difference = np.float64(row[d]) - np.float64(first[d])
            mean[d] += difference
            variance[d] += difference * difference
    for d in range(n):
        shift = mean[d] / members
        left = max(0.0, variance[d] - mean[d] * shift)
        variance[d] = left / max(1, members - 1)
        mean[d] = np.float64(first[d]) + shift


@serial
def _add(y: Array, weight: Array, mean: Array, variance: Array, n: int, sums: Array) -> None:
    """Add a block to the sums; `mean` becomes the departure."""
    count = ratios = squares = misfit = 0.0
    for d in range(n):
        precision = np.float64(weight[d])
        seen = precision > 0
        departure = np.float64(y[d]) - mean[d]
        ratio = variance[d] * precision if seen else 0.0
        count += 1.0 if seen else 0.0
        ratios += ratio
        squares += ratio * ratio
        misfit += departure * departure * precision if seen else 0.0
        mean[d] = departure
    sums[0] += count
    sums[1] += ratios
    sums[2] += squares
    sums[3] += misfit


@serial
def _write(
    observed: Observed,
    first: int,
    n: int,
    weight: Array,
    departure: Array,
    variance: Array,
    moments: Array,
) -> None:
    k = first_observation(observed, first)
    while k < moments.shape[1]:
        d = component_of(observed, k) - first
        if d >= n:
            break
        seen = weight[d] > 0
        moments[0, k] = departure[d] if seen else np.nan
        moments[1, k] = variance[d] if seen else np.nan
        k += 1


@parallel
def innovations(
    x: Array, observed: Observed, cut: Cut, sums: Array, moments: Array, wanted: bool
) -> None:
    """Add the sums of `InnovationSums` to sums, (chunks, 4); write d and p to `moments`, (2, m)."""
    for worker in prange(cut.workers):
        members = x.shape[0]
        state, value = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        scratch = scratch_rows(3, cut, x)
        y, weight, spare = scratch[0], scratch[1], scratch[2]
        wide = np.zeros((2, cut.length))
        mean, variance = wide[0], wide[1]
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            if spread(observed, first, n, y, weight) > 0:
                fetch(x, first, n, state)
                for j in range(members):
                    observe(observed, state[j], n, value[j], spare)
                _moments(value, n, members, mean, variance)
                _add(y, weight, mean, variance, n, sums[first // cut.chunk])
            if wanted:
                _write(observed, first, n, weight, mean, variance, moments)
