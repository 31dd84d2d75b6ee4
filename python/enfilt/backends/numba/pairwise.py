"""The pairwise estimator on its own: distances to the centres, and the field."""

from __future__ import annotations

from numba import prange

from ..problems import Array
from .blocks import (
    A0,
    A1,
    Cut,
    add_distances,
    combine,
    components_of,
    fetch,
    field_form,
    mix,
    scratch_rows,
)
from .options import parallel


@parallel
def squared_distances(
    x: Array,
    x1: Array,
    x0: Array,
    stage: Array,
    cut: Cut,
    sums: Array,
) -> None:
    """Add |x_i - mu_j|^2 to sums, (chunks, M, N)."""
    for worker in prange(cut.workers):
        point, centre = scratch_rows(x.shape[0], cut, x), scratch_rows(x1.shape[0], cut, x)
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            fetch(x, first, n, point)
            combine(x1, x0, first, n, stage[A1], stage[A0], centre)
            add_distances(point, centre, n, sums[first // cut.chunk])


@parallel
def pairwise_field(
    x: Array,
    x1: Array,
    x0: Array,
    stage: Array,
    weights: Array,
    single: Array,
    cut: Cut,
    out: Array,
) -> None:
    """Write ratio x_i + sum_j w_ij (b1 x1_j + b0 x0_j) to `out`, (M, D)."""
    for worker in prange(cut.workers):
        wide_gain, wide_keep, c1, c0 = field_form(stage)
        gain, keep = x.dtype.type(wide_gain), x.dtype.type(wide_keep)
        target, mixed = scratch_rows(x1.shape[0], cut, x), scratch_rows(x.shape[0], cut, x)
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            combine(x1, x0, first, n, c1, c0, target)
            mix(weights, single, target, n, mixed)
            for i in range(x.shape[0]):
                point, to = x[i, first : first + n], out[i, first : first + n]
                pull = mixed[i] if single[i] < 0 else target[single[i]]
                for d in range(n):
                    to[d] = gain * (keep * point[d] - pull[d])
