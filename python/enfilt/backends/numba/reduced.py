"""The two passes over memory of the reduced form: Gram matrices, and z from its coefficients.

What happens between them stands in `enfilt.backends.numpy.reduced`, and why.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..numpy.reduced import Rows, coefficients, compensated_sum
from ..problems import Array, ReducedProblem
from .arguments import cut_of, fixed, observed_as, padded, sums_of
from .blocks import Cut, add_products, components_of, scratch_rows
from .diffusion import standardize
from .observed import Observed, spread
from .options import parallel, serial
from .philox import normals


@serial
def _group(weight: Array, precision: float, n: int, order: Array) -> int:
    """Write which components of a block have this precision to `order`; return their number."""
    count = 0
    for d in range(n):
        if weight[d] == precision:
            order[count] = d
            count += 1
    return count


@serial
def _gather(x: Array, first: int, order: Array, count: int, to: Array) -> None:
    """Write members (N, D) to rows of `to`, whose dtype may be wider."""
    kind = to.dtype.type
    for j in range(x.shape[0]):
        row, target = x[j, first:], to[j]
        for k in range(count):
            target[k] = kind(row[order[k]])


@serial
def _mean(x: Array, first: int, order: Array, count: int, mean: Array) -> None:
    """Write the mean over members, in the dtype of x; both passes take the same."""
    share = x.dtype.type(1 / x.shape[0])
    for k in range(count):
        mean[k] = 0
    for j in range(x.shape[0]):
        row = x[j, first:]
        for k in range(count):
            mean[k] += row[order[k]]
    for k in range(count):
        mean[k] *= share


@serial
def _fill(
    ensembles: tuple[Array, Array, Array],
    two: bool,
    y: Array,
    seen: bool,
    first: int,
    order: Array,
    count: int,
    means: Array,
    rows: Array,
) -> None:
    """Write all rows of a group of a block, in the dtype of `rows`."""
    x1, x0, noise = ensembles
    kind = rows.dtype.type
    members = x1.shape[0]
    spanned = 2 * members if two else members
    drift, innovation, middle = rows[spanned], rows[spanned + 1], rows[spanned + 2]
    mean, mean0 = means[0], means[1]
    _mean(x1, first, order, count, mean)
    _gather(x1, first, order, count, rows[:members])
    _gather(noise, first, order, count, rows[spanned + 3 :])
    for k in range(count):
        middle[k] = kind(mean[k])
        innovation[k] = kind(y[order[k]]) - kind(mean[k]) if seen else kind(0)
        drift[k] = 0
    for j in range(members):
        row = rows[j]
        for k in range(count):
            row[k] -= kind(mean[k])
    if two:
        _mean(x0, first, order, count, mean0)
        _gather(x0, first, order, count, rows[members:spanned])
        for k in range(count):
            drift[k] = kind(mean0[k]) - kind(mean[k])
        for j in range(members, spanned):
            row = rows[j]
            for k in range(count):
                row[k] -= kind(mean0[k])


@parallel
def grams(
    ensembles: tuple[Array, Array, Array],
    two: bool,
    observed: Observed,
    precisions: Array,
    cut: Cut,
    sums: Array,
    used: Array,
) -> None:
    """Add the products of all rows with the anomalies to sums, (chunks, groups, rows, A1 and A0).

    `ensembles` are x1, x0 (if there are `two`) and the normals; `used` (chunks, groups) tells which
    groups have components.
    """
    for worker in prange(cut.workers):
        x1 = ensembles[0]
        members, dim = x1.shape
        spanned = 2 * members if two else members
        wide = np.zeros((sums.shape[2], cut.length + 8))
        scratch, means = scratch_rows(2, cut, x1), scratch_rows(2, cut, x1)
        order = np.empty(cut.length, np.int64)
        begin, end = components_of(worker, dim, cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            chunk = first // cut.chunk
            spread(observed, first, n, scratch[0], scratch[1])
            for g in range(precisions.size):
                count = _group(scratch[1], precisions[g], n, order)
                if count > 0:
                    used[chunk, g] = True
                    seen = precisions[g] > 0
                    _fill(ensembles, two, scratch[0], seen, first, order, count, means, wide)
                    add_products(wide, wide[: padded_spanned(spanned)], count, sums[chunk, g])


@serial
def padded_spanned(spanned: int) -> int:
    """Return a number of rows, rounded up to four."""
    return (spanned + 3) // 4 * 4


@parallel
def combine(
    ensembles: tuple[Array, Array, Array],
    two: bool,
    observed: Observed,
    precisions: Array,
    c: Array,
    cut: Cut,
    out: Array,
) -> None:
    """Write z from its coefficients (groups, N, rows + 1); the normals may stand in `out`."""
    for worker in prange(cut.workers):
        x1 = ensembles[0]
        members, dim = x1.shape
        last = c.shape[2] - 1
        rows = np.zeros((last + members, cut.length + 64 // x1.itemsize), x1.dtype)
        scratch, means = scratch_rows(2, cut, x1), scratch_rows(2, cut, x1)
        order = np.empty(cut.length, np.int64)
        begin, end = components_of(worker, dim, cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            spread(observed, first, n, scratch[0], scratch[1])
            for g in range(precisions.size):
                count = _group(scratch[1], precisions[g], n, order)
                if count > 0:
                    seen = precisions[g] > 0
                    _fill(ensembles, two, scratch[0], seen, first, order, count, means, rows)
                    for i in range(members):
                        total, own, to = rows[last + i], c[g, i, last], out[i, first:]
                        for k in range(count):
                            total[k] *= own
                        for r in range(last):
                            factor, row = c[g, i, r], rows[r]
                            for k in range(count):
                                total[k] += factor * row[k]
                        for k in range(count):
                            to[order[k]] = total[k]


def analysis(problem: ReducedProblem, batch: int, out: Array) -> None:
    """Run the analysis of one ensemble of a batch."""
    p = problem
    members = len(out)
    x1 = p.x1[batch]
    two = p.x0 is not None
    x0 = x1 if p.x0 is None else p.x0[batch]
    if p.noise is None:
        normals(p.key, p.batch + batch, 0, out)
        noise = out
    else:
        noise = p.noise[batch]
    if p.standardize:
        out[...] = noise
        standardize(out)
        noise = out
    ensembles = fixed(x1), fixed(x0), fixed(noise)
    observed = observed_as(None if p.observed is None else p.observed.of(batch), x1)
    rows = Rows.of(p)
    height = rows.noise + members
    cut = cut_of(3 * height, 4 * members * len(p.precisions), x1)
    sums = sums_of(cut, x1, len(p.precisions), padded(height), padded(rows.drift))
    used: Array = np.zeros((len(sums), len(p.precisions)), bool)
    if p.paired:
        used.fill(True)  # there are no weights to find
    else:
        grams(ensembles, two, observed, p.precisions, cut, sums, used)
    total = compensated_sum(sums)[:, :height, : rows.drift]
    c = coefficients(p, batch, total, np.any(used, axis=0)).astype(x1.dtype)
    combine(ensembles, two, observed, p.precisions, c, cut, out)
