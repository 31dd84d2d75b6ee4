"""The reverse diffusion of the score filter, from noise to the posterior.

With the mixture score a step needs sums over all components: one pass over memory a step, the
distances for the next one added up while the block is in cache, as in `flow`. With the paired
score, which is weights that are all one-hot, a component needs no other: a block stays in cache
through all steps, in one pass over memory. Noise is made where it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..numpy.plain import softmax
from ..problems import Array, DiffusionProblem, DiffusionStep, Stage
from .arguments import Weights, cut_of, fixed, observed_as, padded, sums_of, weights_as
from .blocks import Cut, add_distances, combine, components_of, fetch, mix, scratch_rows
from .observed import Observed, observe, spread
from .options import parallel, serial
from .pairwise import squared_distances
from .philox import normals as philox_normals
from .philox import normals_of_block

# Columns of a schedule.
_CENTRE, _HALF_PRECISION, _RATIO, _PULL, _DAMPING, _KEEP, _GAIN, _SPREAD = range(
    len(DiffusionStep._fields)
)

# The caller's normals (draws, N, D), or none at all; key and batch of Philox.
_Normals = tuple[Array, Any, Any]


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
def step_diffusion(
    x1: Array,
    normals: _Normals,
    schedule: Array,
    steps: tuple[int, int],
    limit: float,
    weights: Array,
    single: Array,
    observed: Observed,
    measure: bool,
    cut: Cut,
    x: Array,
    sums: Array,
) -> None:
    """Take the steps k of ``steps[0] <= k < steps[1]``, all with the same weights.

    With `measure` the distances to the centres of the step behind them are added up in `sums`.
    """
    given, key, batch = normals
    for worker in prange(cut.workers):
        members = x.shape[0]
        point, centre = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        member, mixed = scratch_rows(members, cut, x), scratch_rows(members, cut, x)
        rows, scratch = scratch_rows(5, cut, x), (np.empty((4, 16), np.uint64), np.empty(64))
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
                for k in range(steps[0], steps[1]):
                    if schedule[k, _SPREAD] != 0:
                        if given.size > 0:
                            noise = given[k + 1, i, first : first + n]
                            for d in range(n):
                                xi[d] = noise[d]
                        else:
                            draw = np.uint64(k + 1)
                            normals_of_block(key, batch, draw, i, first, n, scratch, xi)
                    _move(schedule[k], limit, target, xi, n, observed, rows, row)
                for d in range(n):
                    to[d] = row[d]
            if measure:
                combine(x1, x1, first, n, schedule[steps[1], _CENTRE], 0.0, centre)
                add_distances(point, centre, n, sums[first // cut.chunk])


def sample(problem: DiffusionProblem, batch: int, x: Array) -> None:
    """Write the analysis of one ensemble of a batch to `x`."""
    p, x1, members = problem, fixed(problem.x1[batch]), len(x)
    if p.noise is None:
        given = np.empty((0, 0, 0), x.dtype)
        philox_normals(p.key, p.batch + batch, 0, x)
    else:
        given = p.noise[batch]
        x[...] = given[0]
    if p.standardize:
        standardize(x)
    normals = fixed(given), np.uint64(p.key), np.uint64(p.batch + batch)
    limit, observed = float(p.score_limit), observed_as(p.observed.of(batch), x)
    cut = cut_of((2 if p.paired else 4) * members, 1 if p.paired else members, x)
    sums = sums_of(cut, x, padded(members), padded(members))

    def take(begin: int, end: int, weights: Weights) -> None:
        steps, measure = (begin, end), end < len(p.schedule)
        arguments = x1, normals, fixed(p.schedule), steps, limit, *weights, observed, measure
        step_diffusion(*arguments, cut, x, sums)

    if p.paired:
        own = np.arange(members)
        take(0, len(p.schedule), Weights(np.zeros((members, padded(members)), x.dtype), own))
        return
    centres = Stage(float(p.schedule[0, _CENTRE]), *[0.0] * 7)
    squared_distances(fixed(x), x1, x1, np.array(centres), cut, sums)
    for k in range(len(p.schedule)):
        logits = -p.schedule[k, _HALF_PRECISION] * sums.sum(axis=0)[:members, :members]
        sums.fill(0)
        take(k, k + 1, weights_as(softmax(logits), x.dtype))


def standardize(x: Array) -> None:
    """Give every component mean 0 and standard deviation 1 (N - 1), or where all are equal 0."""
    for first in range(0, x.shape[1], 8192):
        part = x[:, first : first + 8192]
        part -= part.mean(axis=0)
        deviation = part.std(axis=0, ddof=1)
        part[:, deviation == 0] = 0
        part /= np.where(deviation > 0, deviation, 1)
