"""Steps of the localized flow filter on a regular grid, band by band.

The grid is cut into *bands* of its units: rows of a grid of two axes, components of a line. A band
is copied to scratch with what stands within twice the reach of the taper on either side, and rows
get their own continuation beyond their ends: then a place of the window is one and the same number
of entries away from every component of the band, and all loops run along components.

A step overwrites what it reads. What a band still needs of the one before it stands in its
scratch, and what it needs of another worker's was saved before the step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..problems import Array, LocalWindow, ObservedComponents
from .arguments import fixed, observed_as, threads
from .blocks import TILE, center
from .observed import Observed, observe, spread
from .options import parallel, serial

# Bytes of a band's members and their observations, and of a row of them that loops run along.
_BAND_BYTES = 1 << 19
_ROW_BYTES = 1024


class Bands(NamedTuple):
    """How a band stands in scratch, and how many there are.

    Attributes
    ----------
    units, width : int
        Of the grid, and components of a unit.
    periodic : bool
    reach : int
        Units that the taper reaches.
    margin : int
        Entries before and behind all units: what the taper reaches within a unit.
    pad, stride : int
        Entries beside the components of a unit, and from a unit to the next.
    length : int
        Units of a band.
    part : int
        Entries that loops run along.
    workers : int
        Each of them takes a run of bands.
    """

    units: int
    width: int
    periodic: bool
    reach: int
    margin: int
    pad: int
    stride: int
    length: int
    part: int
    workers: int


@serial
def _units_of(worker: int, cut: Bands) -> tuple[int, int]:
    """Return the first unit of a worker's bands, and the one behind the last."""
    bands = (cut.units + cut.length - 1) // cut.length
    begin, end = worker * bands // cut.workers, (worker + 1) * bands // cut.workers
    return begin * cut.length, min(end * cut.length, cut.units)


@serial
def _run(unit: int, end: int, cut: Bands) -> tuple[int, int]:
    """Return which unit of the grid stands at `unit`, or -1, and how many follow it before end."""
    if cut.periodic:
        at = unit % cut.units
        return at, min(end - unit, cut.units - at)
    if unit < 0:
        return -1, min(end, 0) - unit
    if unit >= cut.units:
        return -1, end - unit
    return unit, min(end, cut.units) - unit


@serial
def _place(row: Array, unit: int, count: int, cut: Bands, to: Array) -> None:
    """Put units side by side in `row` at `unit` of a band, each with what lies beyond its ends."""
    width, pad = cut.width, cut.pad
    at = cut.margin + unit * cut.stride + pad
    if pad == 0:
        target = to[at : at + count * width]
        for d in range(target.size):
            target[d] = row[d]
        return
    for u in range(count):
        source, target = row[u * width : (u + 1) * width], to[at : at + width]
        for d in range(width):
            target[d] = source[d]
        for d in range(pad):
            before, behind = (-1 - d) % width, d % width
            to[at - 1 - d] = source[before] if cut.periodic else 0
            to[at + width + d] = source[behind] if cut.periodic else 0
        at += cut.stride


@serial
def _save(x: Array, first: int, cut: Bands, to: Array) -> None:
    """Copy units from `first` on, as they stand before a step; zeros beyond an edge."""
    width, end = cut.width, first + 2 * cut.reach
    unit = first
    while unit < end:
        at, count = _run(unit, end, cut)
        for j in range(x.shape[0]):
            target = to[j, (unit - first) * width : (unit - first + count) * width]
            if at < 0:
                target[:] = 0
            else:
                target[:] = x[j, at * width : (at + count) * width]
        unit += count


@serial
def _fetch(
    x: Array, first: int, own: tuple[int, int], saved: Array, cut: Bands, band: Array
) -> None:
    """Fill a band with the members' units, as they stood before the step."""
    members, halo, width = x.shape[0], 2 * cut.reach, cut.width
    begin, end = own
    known = first - halo
    if first > begin:  # the band before this one holds the beginning
        size, away = 2 * halo * cut.stride, cut.length * cut.stride
        for j in range(members):
            row = band[j, cut.margin :]
            for d in range(size):
                row[d] = row[d + away]
        known = first + halo
    until = first + cut.length + halo
    for j in range(members):
        unit = known
        if unit < begin:
            _place(saved[0, j], 0, halo, cut, band[j])
            unit = begin
        if unit < min(end, until):
            count = min(end, until) - unit
            _place(x[j, unit * width :], unit - first + halo, count, cut, band[j])
            unit += count
        if unit < until:
            # a last band that is short leaves the rest of its scratch as it is
            skip = unit - end
            count = min(until - unit, halo - skip)
            if count > 0:
                row = saved[1, j, skip * width :]
                _place(row, unit - first + halo, count, cut, band[j])


@serial
def _observe(
    observed: Observed, first: int, cut: Bands, band: Array, rows: Array, y: Array
) -> None:
    """Write anomalies of h, and y and 1/r^2 and then y - mean h in y's place, of a whole band."""
    members, width, halo = band.shape[0], cut.width, 2 * cut.reach
    values, weight = y[0], y[1]
    values[:] = 0
    weight[:] = 0
    unit, end = first - halo, first + cut.length + halo
    while unit < end:
        at, count = _run(unit, end, cut)
        if at >= 0:
            n = count * width
            spread(observed, at * width, n, y[2], y[3])
            _place(y[2], unit - first + halo, count, cut, values)
            _place(y[3], unit - first + halo, count, cut, weight)
        unit += count
    n = values.size
    start, mean = y[2], y[3]
    zero = values.dtype.type(0)
    for j in range(members):
        row = rows[j]
        observe(observed, band[j], n, row, mean)
        for d in range(n):
            row[d] = row[d] if weight[d] > 0 else zero
    _center(rows, members, n, start, mean)
    for d in range(n):
        values[d] -= start[d] + mean[d]


@serial
def _center(rows: Array, members: int, n: int, start: Array, mean: Array) -> None:
    """Take the mean out of rows, from a member: exact where the spread is small."""
    first = rows[0]
    for d in range(n):
        start[d] = first[d]
    for j in range(members):
        row = rows[j]
        for d in range(n):
            row[d] -= start[d]
    center(rows, members, n, mean)


@serial
def _multiply(a: Array, b: Array, at: int, n: int, total: Array) -> None:
    """Write sum_j a_jd b_j(at + d); rows are padded to a multiple of four by zeros."""
    for d in range(n):
        total[d] = 0
    for j in range(0, a.shape[0], 4):  # four at a time: fewer loads and stores of the total
        a0, a1, a2, a3 = a[j], a[j + 1], a[j + 2], a[j + 3]
        b0, b1 = b[j, at : at + n], b[j + 1, at : at + n]
        b2, b3 = b[j + 2, at : at + n], b[j + 3, at : at + n]
        for d in range(n):
            total[d] += (a0[d] * b0[d] + a1[d] * b1[d]) + (a2[d] * b2[d] + a3[d] * b3[d])


@serial
def _bound(
    rows: Array, weight: Array, at: int, n: int, shifts: Array, rho: Array, w: Any, parts: Array
) -> None:
    """Write 1 / (b + r^2/w), or 0 where nothing is observed, over 1/r^2 of n places from `at`."""
    kind = rows.dtype.type
    one, zero, least = kind(1), kind(0), kind(4) * np.finfo(rows.dtype).tiny
    left, bound, products = parts[:-2, :n], parts[-2], parts[-1]
    for j in range(left.shape[0]):
        source, target = rows[j, at : at + n], left[j]
        for d in range(n):
            target[d] = source[d]
    for d in range(n):
        bound[d] = 0
    for k in range(shifts.size):
        _multiply(left, rows, at + shifts[k], n, products)
        taper = rho[k]
        for d in range(n):
            bound[d] += taper * abs(products[d])
    to = weight[at : at + n]
    for d in range(n):
        # where b is no normal number, Y is zero to rounding, and nothing moves
        gain = one / (bound[d] + one / (w * to[d]))
        to[d] = gain if bound[d] > least else zero


@serial
def _shift(
    band: Array,
    rows: Array,
    y: Array,
    at: int,
    n: int,
    shifts: Array,
    rho: Array,
    parts: Array,
    moved: Array,
) -> None:
    """Write the moved members at n places from `at`; y holds y - mean h and 1 / (b + r^2/w)."""
    kind = band.dtype.type
    members = band.shape[0]
    left, products, common, mean = parts[:-6, :n], parts[-6:-2], parts[-2], parts[-1]
    for j in range(members):
        source, target, zero = band[j, at : at + n], left[j], moved[j]
        for d in range(n):
            target[d] = source[d]
            zero[d] = 0
    _center(left, members, n, common, mean)
    for d in range(n):
        common[d] = 0
    for k in range(0, shifts.size, 4):
        for m in range(4):
            p, where = products[m], at + shifts[k + m]
            _multiply(left, rows, where, n, p)
            taper = rho[k + m]
            miss, gain = y[0, where : where + n], y[1, where : where + n]
            for d in range(n):
                p[d] *= taper * gain[d]
                common[d] += p[d] * miss[d]
        p0, p1, p2, p3 = products[0], products[1], products[2], products[3]
        s0, s1, s2, s3 = shifts[k], shifts[k + 1], shifts[k + 2], shifts[k + 3]
        for i in range(members):
            row, to = rows[i], moved[i]
            y0, y1 = row[at + s0 : at + s0 + n], row[at + s1 : at + s1 + n]
            y2, y3 = row[at + s2 : at + s2 + n], row[at + s3 : at + s3 + n]
            for d in range(n):
                to[d] += (p0[d] * y0[d] + p1[d] * y1[d]) + (p2[d] * y2[d] + p3[d] * y3[d])
    half = kind(0.5)
    for i in range(members):
        source, to = band[i, at : at + n], moved[i]
        for d in range(n):
            to[d] = source[d] + (common[d] - half * to[d])


@serial
def _write(moved: Array, at: int, n: int, first: int, cut: Bands, out: Array) -> None:
    """Write n places of a band from `at` on to the grid, as far as they belong to it."""
    halo, width = 2 * cut.reach, cut.width
    place = at - cut.margin
    while place < at - cut.margin + n:
        unit, column = place // cut.stride, place % cut.stride - cut.pad
        if cut.pad == 0:  # units without anything between them: all places in one run
            count = at - cut.margin + n - place
        else:
            count = min(at - cut.margin + n - place, cut.stride - column - cut.pad)
        to = (first + unit - halo) * width
        skip = max(0, -column)
        kept = count if cut.pad == 0 else min(count, width - column)
        offset = place - at + cut.margin
        for i in range(out.shape[0]):
            for d in range(skip, kept):
                out[i, to + column + d] = moved[i, offset + d]
        place += count


@parallel
def step(
    x: Array,
    observed: Observed,
    shifts: Array,
    rho: Array,
    w: Any,
    cut: Bands,
    saved: Array,
    out: Array,
) -> None:
    """Move all members by a step of pseudo-time w; `out` may be `x`.

    Places of the window are `shifts` entries away, rho is the taper over N - 1 in the dtype of x;
    both are padded to a multiple of four by places of weight zero. `saved` is (workers, 2, N, n).
    """
    members = x.shape[0]
    for worker in prange(cut.workers):
        begin, end = _units_of(worker, cut)
        _save(x, begin - 2 * cut.reach, cut, saved[worker, 0])
        _save(x, end, cut, saved[worker, 1])
    for worker in prange(cut.workers):
        begin, end = _units_of(worker, cut)
        halo, reach, stride, margin = 2 * cut.reach, cut.reach, cut.stride, cut.margin
        size = 2 * margin + (cut.length + 2 * halo) * stride
        padded = (members + TILE - 1) // TILE * TILE
        band, rows = np.zeros((members, size), x.dtype), np.zeros((padded, size), x.dtype)
        y = np.empty((4, size), x.dtype)
        parts = np.zeros((padded + 6, cut.part), x.dtype)
        moved = np.empty((members, cut.part), x.dtype)
        for first in range(begin, end, cut.length):
            _fetch(x, first, (begin, end), saved[worker], cut, band)
            _observe(observed, first, cut, band, rows, y)
            count = min(cut.length, end - first)
            until = margin + (count + 3 * reach) * stride
            for at in range(margin + reach * stride, until, cut.part):
                n = min(cut.part, until - at)
                _bound(rows, y[1], at, n, shifts, rho, w, parts[: padded + 2])
            until = margin + (count + halo) * stride
            for at in range(margin + halo * stride, until, cut.part):
                n = min(cut.part, until - at)
                _shift(band, rows, y, at, n, shifts, rho, parts, moved)
                _write(moved, at, n, first, cut, out)


def _cut_up(window: LocalWindow, members: int, itemsize: int) -> Bands:
    line = window.rows == 1 or window.columns == 1
    away = np.abs(window.offsets)
    if line:
        units, width, reach, margin = window.rows * window.columns, 1, int(away.max()), 0
    else:
        units, width = window.rows, window.columns
        reach, margin = int(away[:, 0].max()), int(away[:, 1].max())
    stride = width + 4 * margin
    # halos are copied and observed, too: a band is no shorter than they
    length = max(_BAND_BYTES // (2 * members * itemsize * stride), 4 * reach, 1)
    length = min(length, units)
    return Bands(
        units=units,
        width=width,
        periodic=window.periodic,
        reach=reach,
        margin=margin,
        pad=2 * margin,
        stride=stride,
        length=length,
        part=_ROW_BYTES // itemsize,
        workers=min(threads(), -(-units // length)),
    )


def from_window(
    x: Array,
    window: LocalWindow,
    observed: ObservedComponents,
    pseudo_times: Array,
    out: Array,
) -> None:
    """Write the analysis of all components of a regular grid to `out`."""
    members = len(x)
    cut = _cut_up(window, members, x.itemsize)
    count = -(-len(window.weights) // 4) * 4
    shifts, rho = np.zeros(count, np.int64), np.zeros(count, x.dtype)
    strides = (1, 1) if cut.width == 1 else (cut.stride, 1)
    shifts[: len(window.weights)] = window.offsets @ strides
    rho[: len(window.weights)] = window.weights / (members - 1)
    saved = np.empty((cut.workers, 2, members, 2 * cut.reach * cut.width), x.dtype)
    seen = observed_as(observed, x)
    source = x
    for w in pseudo_times.astype(x.dtype):
        step(fixed(source), seen, fixed(shifts), fixed(rho), w, cut, saved, out)
        source = out
