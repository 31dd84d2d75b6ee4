"""The passes of the flow filter over memory, one a step of Euler's method.

The weights of a step need sums over all components, so while a block of z is in cache after its
update, its share of |z_i - mu_j|^2 for the *next* step is added up at once. Heun's second stage
needs the predicted z, which the corrector makes again instead of reading it.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..numpy.plain import softmax
from ..problems import Array, FlowProblem, Stage
from .arguments import Weights, cut_of, fixed, observed_as, padded, sums_of, weights_as
from .blocks import (
    A0,
    A1,
    REMAINING,
    STRENGTH,
    Cut,
    add_distances,
    add_products,
    combine,
    components_of,
    fetch,
    field_form,
    mix,
    scratch_rows,
)
from .observed import Observed, observe, observed_anomalies, spread
from .options import parallel, serial
from .pairwise import pairwise_field, squared_distances
from .philox import normals


@serial
def _velocity(
    stage: Array,
    z: Array,
    pull: Array,
    n: int,
    guided: bool,
    observed: Observed,
    scratch: Array,
    f: Array,
) -> None:
    """Write v + g of a row of a block; rows of `scratch`: y, 1/r^2, x_hat, h(x_hat), h'(x_hat)."""
    kind = f.dtype.type
    remaining, strength = kind(stage[REMAINING]), kind(stage[STRENGTH])
    wide_gain, wide_keep, _, _ = field_form(stage)
    gain, keep = kind(wide_gain), kind(wide_keep)
    if not guided:
        for d in range(n):
            f[d] = gain * (keep * z[d] - pull[d])
        return
    y, weight, x_hat, value, slope = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for d in range(n):
        v = gain * (keep * z[d] - pull[d])
        f[d] = v
        x_hat[d] = z[d] + remaining * v
    observe(observed, x_hat, n, value, slope)
    for d in range(n):
        g = strength * weight[d] * slope[d] * (y[d] - value[d])
        # h may be infinite where nothing is observed
        f[d] += g if weight[d] > 0 else kind(0)


@parallel
def step_flow(
    x1: Array,
    x0: Array,
    stages: Array,
    weights: Array,
    single: Array,
    dt: float,
    observed: Observed,
    flags: tuple[bool, bool, bool, bool],
    cut: Cut,
    z: Array,
    sums: Array,
) -> None:
    """Step z and add up its distances to the centres of a later stage in `sums` (chunks, N, N).

    `stages` has three rows: the step's, the one at its end for Heun's method, and the one whose
    distances are wanted; `weights` (2, N, N), padded, and `single` (2, N), as `mix` takes them,
    are those of the first two. Flags: guided (by observations); predict (z stays as it is, the
    distances are those of z + dt f); correct (Heun's second stage, from z again); measure (add up
    distances).
    """
    guided, predict, correct, measure = flags
    for worker in prange(cut.workers):
        kind = z.dtype.type
        step, half = kind(dt), kind(0.5)
        members, evaluations = z.shape[0], 2 if correct else 1
        point, centre = scratch_rows(members, cut, z), scratch_rows(members, cut, z)
        padded = weights.shape[2]
        rows = scratch_rows(2 * evaluations * padded, cut, z)
        # targets and mixed members of the first evaluation, then of Heun's second
        pulls = rows.reshape((2 * evaluations, padded, rows.shape[1]))
        scratch, f = scratch_rows(5, cut, z), scratch_rows(1, cut, z)[0]
        begin, end = components_of(worker, z.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            if guided:
                spread(observed, first, n, scratch[0], scratch[1])
            for e in range(evaluations):
                target, mixed = pulls[2 * e], pulls[2 * e + 1]
                _, _, c1, c0 = field_form(stages[e])
                combine(x1, x0, first, n, c1, c0, target)
                mix(weights[e], single[e], target, n, mixed)
            for i in range(members):
                state, row = z[i, first : first + n], point[i]
                for d in range(n):
                    row[d] = state[d]
                for e in range(evaluations):  # at z, then at z + dt f
                    j = single[e, i]
                    pull = pulls[2 * e + 1, i] if j < 0 else pulls[2 * e, j]
                    _velocity(stages[e], row, pull, n, guided, observed, scratch, f)
                    for d in range(n):
                        row[d] += step * f[d]
                if correct:  # z + dt (f + f')/2, of which `row` is z + dt (f + f')
                    for d in range(n):
                        row[d] = half * (state[d] + row[d])
                if not predict:
                    for d in range(n):
                        state[d] = row[d]
            if measure:
                combine(x1, x0, first, n, stages[2, A1], stages[2, A0], centre)
                add_distances(point, centre, n, sums[first // cut.chunk])


@parallel
def innovations(
    x1: Array, weights: Array, single: Array, observed: Observed, cut: Cut, sums: Array
) -> None:
    """Add sum_d Y_j (y - h(x_hat_i)) / r^2 to sums, x_hat_i = sum_j w_ij x1_j.

    Y are the anomalies of h(x1), sums (chunks, N, N), padded.
    """
    for worker in prange(cut.workers):
        members = x1.shape[0]
        member, mixed = scratch_rows(members, cut, x1), scratch_rows(members, cut, x1)
        innovation, anomaly = scratch_rows(members, cut, x1), scratch_rows(members, cut, x1)
        scratch = scratch_rows(4, cut, x1)
        y, weight, value, slope = scratch[0], scratch[1], scratch[2], scratch[3]
        begin, end = components_of(worker, x1.shape[1], cut)
        for first in range(begin, end, cut.length):
            n = min(cut.length, end - first)
            spread(observed, first, n, y, weight)
            fetch(x1, first, n, member)
            mix(weights, single, member, n, mixed)
            for i in range(members):
                x_hat, row = mixed[i] if single[i] < 0 else member[single[i]], innovation[i]
                observe(observed, x_hat, n, value, slope)
                for d in range(n):
                    miss = weight[d] * (y[d] - value[d])
                    row[d] = miss if weight[d] > 0 else x1.dtype.type(0)
            observed_anomalies(observed, member, weight, members, n, slope, anomaly)
            add_products(innovation, anomaly, n, sums[first // cut.chunk])


class FlowSampler:
    """The flow of one ensemble of a batch: what happens between the passes over memory."""

    def __init__(self, problem: FlowProblem, batch: int, z: Array) -> None:
        self.problem, self.batch, self.z = problem, batch, z
        members = len(z)
        x1 = problem.x1[batch]
        x0 = x1 if problem.x0 is None else problem.x0[batch]
        self.ensembles = fixed(x1), fixed(x0)
        self.cut = cut_of(4 * members, members, z)
        self.sums = sums_of(self.cut, z, padded(members), padded(members))
        seen = problem.observed
        self.observed = observed_as(None if seen is None else seen.of(batch), z)
        self.steps = len(problem.stages) - (1 if problem.heun else 0)
        self.stages = [Stage(*map(float, row)) for row in problem.stages]
        self.guided = seen is not None and any(stage.strength != 0 for stage in self.stages)

    def run(self) -> None:
        self._start()
        for k in range(self.steps):
            later = k + 1 if k + 1 < self.steps else None
            weights = [self._weigh(k)]
            if self.problem.heun:
                self._step(k, weights, measured=k + 1, predict=True)
                weights.append(self._weigh(k + 1))
            self._step(k, weights, measured=later)

    def _start(self) -> None:
        """Write z(0), and add up its distances."""
        p, z, stage = self.problem, self.z, self.stages[0]
        if p.noise is None:
            normals(p.key, self.batch, 0, z)
            noise = z
        else:
            noise = p.noise[self.batch]
        # the field of weights that are all one-hot, with other coefficients
        form = stage._replace(ratio=float(p.start_width), b1=stage.a1, b0=stage.a0)
        start = np.arange(len(z)) if p.start is None else p.start[self.batch].copy()
        nowhere = np.zeros((len(z), padded(len(z))), z.dtype)
        pairwise_field(fixed(noise), *self.ensembles, np.array(form), nowhere, start, self.cut, z)
        squared_distances(fixed(z), *self.ensembles, np.array(stage), self.cut, self.sums)

    def _step(
        self, k: int, weights: list[Weights], *, measured: int | None, predict: bool = False
    ) -> None:
        correct = len(weights) == 2
        stages = [self.stages[i] for i in (k, k + 1 if correct else k, measured or 0)]
        self.sums.fill(0)
        step_flow(
            *self.ensembles,
            np.array(stages),
            np.stack([w.values for w in weights]),
            np.stack([w.single for w in weights]),
            1 / self.steps,
            self.observed,
            (self.guided, predict, correct, measured is not None),
            self.cut,
            self.z,
            self.sums,
        )

    def _weigh(self, k: int) -> Weights:
        """Return the weights of stage k from the distances added up last.

        With covariance guidance the gain is a change of the weights: g_i = sum_j b1 q_ij (x1_j -
        mean), q_i = gain u_i, so the members are mixed with w_ij + q_ij - mean_j q_ij.
        """
        p, dtype = self.problem, self.z.dtype
        logits = -self.stages[k].half_precision * self._total()
        if p.log_weights is not None:
            logits += p.log_weights[self.batch]
        w = softmax(logits)
        weights = weights_as(w, dtype)
        if p.gains is None:
            return weights
        self.sums.fill(0)
        innovations(self.ensembles[0], *weights, self.observed, self.cut, self.sums)
        change = self._total() @ p.gains[self.batch, k].T
        return weights_as(w + change - change.mean(axis=1, keepdims=True), dtype)

    def _total(self) -> Array:
        members = len(self.z)
        total: Array = self.sums.sum(axis=0)[:members, :members]
        return total
