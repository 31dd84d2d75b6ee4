"""How components are cut up, and what is done to all rows of a block of them.

The components are cut into *chunks*, each with a float64 partial sum of its own, so that the
result does not depend on the number of threads. A *block* of a chunk stands in cache at one time,
each row of it a contiguous array. A worker is a run of chunks; ``prange`` gives one to a thread.

Float32 times a Python number is float64 to Numba, hence the casts by ``kind``. Rows are taken as
slices that start at their first component: Numba would look into every index that might be
negative, and nothing would be vectorized.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..problems import Array, Stage
from .options import serial

#: Rows of a register tile: blocks and matrices of sums are padded to a multiple of it.
TILE = 4

# Columns of an array of stages.
A1, A0, HALF_PRECISION, RATIO, B1, B0, REMAINING, STRENGTH = range(len(Stage._fields))


class Cut(NamedTuple):
    """How components are cut up: sizes of blocks and chunks, and the number of workers."""

    length: int
    chunk: int
    workers: int


def cut_up(rows: int, columns: int, dim: int, itemsize: int, threads: int) -> Cut:
    """Cut components up for `rows` rows in cache together and sums of `columns` a row."""
    # 2 KB a row fills whole pages' worth of prefetch; many rows get shorter ones, so that all of
    # them stay within the second-level cache.
    size = 2048
    while size > 256 and rows * size > 2**19:
        size //= 2
    length = min(size // itemsize, -(-dim // 16) * 16)
    # Partial sums stay within a few per cent of the components that they are sums over, and at
    # most 256 in number.
    chunk = -(-max(8192, 64 * columns) // length) * length
    while chunk * 256 < dim:
        chunk *= 2
    return Cut(length, chunk, min(threads, -(-dim // chunk)))


@serial
def components_of(worker: int, dim: int, cut: Cut) -> tuple[int, int]:
    """Return the first component of a worker's chunks, and the one behind the last."""
    chunks = (dim + cut.chunk - 1) // cut.chunk
    begin, end = worker * chunks // cut.workers, (worker + 1) * chunks // cut.workers
    return begin * cut.chunk, min(end * cut.chunk, dim)


@serial
def scratch_rows(count: int, cut: Cut, x: Array) -> Array:
    """Return scratch for rows of blocks, zero: rows that pad a tile stay zero."""
    # 64 bytes more than the length: rows a power of two apart would share cache sets
    stride = cut.length + 64 // x.itemsize
    return np.zeros(((count + TILE - 1) // TILE * TILE, stride), x.dtype)


def _pairwise_sums(term: Callable[[Any, Any], Any]) -> Callable[..., None]:
    """Return a kernel that adds sum_d term(a_id, b_jd) over a block to sums[i, j].

    The block is summed in the working precision, in the lanes of vectors. All rows are padded to
    a multiple of `TILE`.
    """

    def add(a: Array, b: Array, n: int, sums: Array) -> None:
        kind = a.dtype.type
        for i in range(0, sums.shape[0], 4):
            a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
            for j in range(0, sums.shape[1], 2):
                b0, b1 = b[j], b[j + 1]
                s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = kind(0)
                for d in range(n):
                    s00 += term(a0[d], b0[d])
                    s01 += term(a0[d], b1[d])
                    s10 += term(a1[d], b0[d])
                    s11 += term(a1[d], b1[d])
                    s20 += term(a2[d], b0[d])
                    s21 += term(a2[d], b1[d])
                    s30 += term(a3[d], b0[d])
                    s31 += term(a3[d], b1[d])
                sums[i, j] += s00
                sums[i, j + 1] += s01
                sums[i + 1, j] += s10
                sums[i + 1, j + 1] += s11
                sums[i + 2, j] += s20
                sums[i + 2, j + 1] += s21
                sums[i + 3, j] += s30
                sums[i + 3, j + 1] += s31

    return serial(add)


@serial
def _squared_difference(a: Any, b: Any) -> Any:
    return (a - b) * (a - b)


@serial
def _absolute_difference(a: Any, b: Any) -> Any:
    return abs(a - b)


@serial
def _product(a: Any, b: Any) -> Any:
    return a * b


add_distances = _pairwise_sums(_squared_difference)
add_absolute_distances = _pairwise_sums(_absolute_difference)
add_products = _pairwise_sums(_product)


@serial
def fetch(x: Array, first: int, n: int, to: Array) -> None:
    """Copy n components of all rows, from `first` on, to scratch."""
    for i in range(x.shape[0]):
        row, target = x[i, first : first + n], to[i]
        for d in range(n):
            target[d] = row[d]


@serial
def field_form(stage: Array) -> tuple[float, float, float, float]:
    """Return gain, keep, c1, c0: the field is gain (keep z - sum_j w_j (c1 x1_j + c0 x0_j)).

    Near the end of a path ratio z and its partner are large and cancel: in float32 the difference
    has to be taken before it is multiplied.
    """
    gain = stage[RATIO] if stage[RATIO] != 0 else -1.0
    keep = 1.0 if stage[RATIO] != 0 else 0.0
    return gain, keep, -stage[B1] / gain, -stage[B0] / gain


@serial
def combine(x1: Array, x0: Array, first: int, n: int, c1: float, c0: float, to: Array) -> None:
    """Write c1 x1 + c0 x0 of a block; x0 is not read where c0 is zero."""
    kind = x1.dtype.type
    one, zero = kind(c1), kind(c0)
    for j in range(x1.shape[0]):
        row1, row0, target = x1[j, first : first + n], x0[j, first : first + n], to[j]
        if c0 == 0:
            for d in range(n):
                target[d] = one * row1[d]
        elif c1 == 0:
            for d in range(n):
                target[d] = zero * row0[d]
        else:
            for d in range(n):
                target[d] = one * row1[d] + zero * row0[d]


@serial
def mix(weights: Array, single: Array, rows: Array, n: int, mixed: Array) -> None:
    """Write mixed_i = sum_j w_ij rows_j where row i of the weights is not one-hot."""
    for i in range(single.size):
        if single[i] >= 0:
            continue
        total = mixed[i]
        for d in range(n):
            total[d] = 0
        for j in range(0, weights.shape[1], 4):  # four at a time: fewer loads and stores of total
            r0, r1, r2, r3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
            w0, w1, w2, w3 = weights[i, j], weights[i, j + 1], weights[i, j + 2], weights[i, j + 3]
            for d in range(n):
                total[d] += (w0 * r0[d] + w1 * r1[d]) + (w2 * r2[d] + w3 * r3[d])


@serial
def center(x: Array, members: int, n: int, mean: Array) -> None:
    """Take the mean over members out of the rows of a block, and leave it in `mean`."""
    share = x.dtype.type(1 / members)
    for d in range(n):
        mean[d] = 0
    for j in range(members):
        row = x[j]
        for d in range(n):
            mean[d] += row[d]
    for d in range(n):
        mean[d] *= share
    for j in range(members):
        row = x[j]
        for d in range(n):
            row[d] -= mean[d]
