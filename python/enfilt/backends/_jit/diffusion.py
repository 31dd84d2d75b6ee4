"""The reverse diffusion of the score filter, from noise to the posterior.

With the mixture score a step needs sums over all components: one pass over memory a step, the
distances for the next one added up while the block is in cache, as in `flow`. With the paired
score a component needs no other: a block stays in cache through all steps, and memory is passed
over once, however many they are. Noise is made where it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from ..base import Array, DiffusionProblem, DiffusionStep
from ..reference import softmax
from .arguments import cut_of, fixed, observed_as, padded, sums_of, weights_as
from .blocks import (
    Cut,
    add_distances,
    center,
    combine,
    components_of,
    fetch,
    mix,
    scratch_rows,
)
from .observed import Observed, observe, spread
from .options import parallel, serial
from .philox import Scratch, normals_of_block

# Columns of a schedule.
_CENTRE, _HALF_PRECISION, _RATIO, _PULL, _DAMPING, _KEEP, _GAIN, _SPREAD = range(
    len(DiffusionStep._fields)
)

# The caller's normals (draws, N, D), or none at all; key and batch of Philox.
Normals = tuple[Array, Any, Any]


@serial
def _philox_scratch() -> Scratch:
    return np.empty((4, 16), np.uint64), np.empty(64)


@serial
def _draw(
    normals: Normals, draw: int, member: int, first: int, n: int, scratch: Scratch, to: Array
) -> None:
    """Write the normals of a block of a member: draw 0 starts it, k + 1 drives step k."""
    given, key, batch = normals
    if given.size > 0:
        row = given[draw, member, first : first + n]
        for d in range(n):
            to[d] = row[d]
    else:
        normals_of_block(key, batch, np.uint64(draw), member, first, n, scratch, to)


@serial
def _start(
    normals: Normals,
    standardized: bool,
    first: int,
    n: int,
    members: int,
    scratch: Scratch,
    rows: Array,
    start: Array,
) -> None:
    """Write the start of a block of all members; two rows are scratch."""
    for i in range(members):
        _draw(normals, 0, i, first, n, scratch, start[i])
    if not standardized:
        return
    kind = start.dtype.type
    mean, deviation = rows[0], rows[1]
    center(start, members, n, mean)
    for d in range(n):
        deviation[d] = 0
    for i in range(members):
        row = start[i]
        for d in range(n):
            deviation[d] += row[d] * row[d]
    for d in range(n):
        deviation[d] = math.sqrt(deviation[d] / kind(members - 1))
    for i in range(members):
        row = start[i]
        for d in range(n):  # where all members are equal: 0
            scaled = row[d] / deviation[d]
            row[d] = scaled if deviation[d] > 0 else kind(0)


@serial
def _move(
    step: Array,
    limit: float,
    target: Array,
    xi: Array,
    n: int,
    observed: Observed,
    rows: Array,
    x: Array,
) -> None:
    """Move a row of a block through one step, drawn to `target`.

    Rows of `rows`: y, 1/r^2, h(x), h'(x).
    """
    kind = x.dtype.type
    ratio, pull, damping = kind(step[_RATIO]), kind(step[_PULL]), kind(step[_DAMPING])
    keep, gain, high = kind(step[_KEEP]), kind(step[_GAIN]), kind(limit)
    y, weight, value, slope = rows[0], rows[1], rows[2], rows[3]
    observe(observed, x, n, value, slope)
    for d in range(n):
        guidance = damping * weight[d] * slope[d] * (y[d] - value[d])
        score = ratio * x[d] + pull * target[d]
        # h may be infinite where nothing is observed
        score += guidance if weight[d] > 0 else kind(0)
        score = high if score > high else score
        score = -high if score < -high else score
        x[d] = keep * x[d] + gain * score
    if step[_SPREAD] != 0:
        width = kind(step[_SPREAD])
        for d in range(n):
            x[d] += width * xi[d]


@parallel
def start_mixture(
    x1: Array,
    normals: Normals,
    standardized: bool,
    centre_factor: float,
    cut: Cut,
    x: Array,
    sums: Array,
) -> None:
    """Write the start to x, and add up its distances to the first centres in `sums`."""
    for worker in prange(cut.workers):
        members = x.shape[0]
        point, centre = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        rows, scratch = scratch_rows(2, cut, x), _philox_scratch()
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            _start(normals, standardized, first, n, members, scratch, rows, point)
            for i in range(members):
                row, to = point[i], x[i, first : first + n]
                for d in range(n):
                    to[d] = row[d]
            combine(x1, x1, first, n, centre_factor, 0.0, centre)
            add_distances(point, centre, n, sums[first // cut.chunk])


@parallel
def step_mixture(
    x1: Array,
    normals: Normals,
    k: int,
    schedule: Array,
    limit: float,
    weights: Array,
    single: Array,
    observed: Observed,
    cut: Cut,
    x: Array,
    sums: Array,
) -> None:
    """Take step k, and add up the distances to the centres of the next one in `sums`."""
    for worker in prange(cut.workers):
        members, last = x.shape[0], k + 1 == len(schedule)
        point, centre = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        member, mixed = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        rows, scratch = scratch_rows(5, cut, x), _philox_scratch()
        xi = rows[4]
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            spread(observed, first, n, rows[0], rows[1])
            fetch(x, first, n, point)
            fetch(x1, first, n, member)
            mix(weights, single, member, n, mixed)
            for i in range(members):
                row, to = point[i], x[i, first : first + n]
                target = mixed[i] if single[i] < 0 else member[single[i]]
                if schedule[k, _SPREAD] != 0:
                    _draw(normals, k + 1, i, first, n, scratch, xi)
                _move(schedule[k], limit, target, xi, n, observed, rows, row)
                for d in range(n):
                    to[d] = row[d]
            if not last:
                combine(x1, x1, first, n, schedule[k + 1, _CENTRE], 0.0, centre)
                add_distances(point, centre, n, sums[first // cut.chunk])


@parallel
def paired_diffusion(
    x1: Array,
    normals: Normals,
    standardized: bool,
    schedule: Array,
    limit: float,
    observed: Observed,
    cut: Cut,
    x: Array,
) -> None:
    """Write the analysis of members drawn to their own forecast member only to x."""
    for worker in prange(cut.workers):
        members = x.shape[0]
        point, rows, scratch = (
            scratch_rows(members, cut, x),
            scratch_rows(5, cut, x),
            _philox_scratch(),
        )
        xi = rows[4]
        begin, end = components_of(worker, x.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            _start(normals, standardized, first, n, members, scratch, rows, point)
            spread(observed, first, n, rows[0], rows[1])
            for i in range(members):
                row, own, to = point[i], x1[i, first : first + n], x[i, first : first + n]
                for k in range(len(schedule)):
                    if schedule[k, _SPREAD] != 0:
                        _draw(normals, k + 1, i, first, n, scratch, xi)
                    _move(schedule[k], limit, own, xi, n, observed, rows, row)
                for d in range(n):
                    to[d] = row[d]


def sample(problem: DiffusionProblem, batch: int, out: Array) -> None:
    """Write the analysis of one ensemble of a batch to `out`."""
    p, x1 = problem, fixed(problem.x1[batch])
    members = len(out)
    given = np.empty((0, 0, 0), out.dtype) if p.noise is None else p.noise[batch]
    normals = fixed(given), np.uint64(p.key), np.uint64(p.batch + batch)
    limit, schedule = float(p.score_limit), fixed(p.schedule)
    observed = observed_as(p.observed.of(batch), out)
    if p.paired:
        cut = cut_of(members + 5, 1, out)
        paired_diffusion(x1, normals, p.standardize, schedule, limit, observed, cut, out)
        return
    cut = cut_of(4 * members, members, out)
    sums = sums_of(cut, out, padded(members), padded(members))
    start_mixture(x1, normals, p.standardize, float(schedule[0, _CENTRE]), cut, out, sums)
    for k in range(len(schedule)):
        distances = sums.sum(axis=0)[:members, :members]
        weights = weights_as(softmax(-schedule[k, _HALF_PRECISION] * distances), out.dtype)
        sums.fill(0)
        step_mixture(x1, normals, k, schedule, limit, *weights, observed, cut, out, sums)
