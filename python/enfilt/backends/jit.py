"""Numba: the kernels of the compiled core in Python, compiled when they are first called.

The fast fallback where the compiled core is absent. What is compiled is kept on disk.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numba
import numpy as np

from ._jit import ensemble, flow, lorenz96, pairwise, philox
from ._jit.blocks import TILE, Cut, cut_up
from ._jit.observed import KINDS, Observed
from .base import Array, Backend, FlowProblem, ObservedComponents, ScoreSums, Stage
from .reference import softmax

_LORENZ96_BYTES = 8192  # of a row in scratch: four of them stay in the first-level cache
_LORENZ96_STEPS = 16  # for each pass over memory


def _threads() -> int:
    """Return how many threads Numba may use, and OMP_NUM_THREADS allows."""
    threads: int = numba.get_num_threads()
    allowed = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(threads, int(allowed)) if allowed.isdigit() and int(allowed) > 0 else threads


def _fixed(array: Array) -> Array:
    """Return a read-only view: else Numba compiles a kernel anew for arrays that are read-only."""
    view = array.view()
    view.flags.writeable = False
    return view


def _padded(size: int) -> int:
    return -(-size // TILE) * TILE


def _observed(observed: ObservedComponents | None, x: Array) -> Observed:
    """Return observations as the kernels take them, in the dtype of `x`."""
    no_indices = np.empty(0, np.int64)
    if observed is None:
        nothing = np.empty(0, x.dtype)
        return 0, 0.0, 0, 1, _fixed(no_indices), _fixed(nothing), _fixed(nothing)
    return (
        KINDS.index(observed.kind),
        float(observed.parameter),
        observed.offset,
        observed.stride,
        _fixed(no_indices if observed.indices is None else observed.indices),
        _fixed(observed.y),
        _fixed(observed.precision),
    )


class _Weights(NamedTuple):
    """Weights as the kernels take them: padded values, and one-hot rows known by their column."""

    values: Array
    single: Array


def _weights(w: Array, dtype: np.dtype[Any]) -> _Weights:
    # With the other weights together below a quarter of the last bit, the row rounds to the
    # one-hot row, and so does what it multiplies.
    negligible = np.finfo(dtype).eps / 8
    rows, largest = np.arange(len(w)), w.argmax(axis=1)
    others = np.abs(w)
    others[rows, largest] = 0
    one_hot = others.sum(axis=1) <= negligible
    one_hot &= np.abs(w[rows, largest] - 1) <= negligible
    values = np.zeros((len(w), _padded(w.shape[1])), dtype)
    values[:, : w.shape[1]] = w
    return _Weights(values, np.where(one_hot, largest, -1))


class NumbaBackend(Backend):
    """Kernels compiled by Numba, with its threads.

    Numba does not look at OMP_NUM_THREADS; here no more threads than that get any work.
    """

    name = "numba"
    has_flow_analysis = True

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        members = len(x1)
        cut = self._cut(len(x) + members, max(len(x), members), x)
        sums = self._sums(cut, x, _padded(len(x)), _padded(members))
        before = x1 if x0 is None else x0
        # a path without x0 has a0 = b0 = 0: then the kernels don't read it
        pairwise.squared_distances(
            _fixed(x), _fixed(x1), _fixed(before), np.array(stage), cut, sums
        )
        total: Array = sums.sum(axis=0)[: len(x), :members]
        return total

    def pairwise_field(
        self,
        x: Array,
        x1: Array,
        x0: Array | None,
        stage: Stage,
        log_weights: Array | None,
        out: Array,
    ) -> None:
        logits = -stage.half_precision * self.squared_distances(x, x1, x0, stage)
        if log_weights is not None:
            logits = logits + log_weights
        before = x1 if x0 is None else x0
        pairwise.pairwise_field(
            _fixed(x),
            _fixed(x1),
            _fixed(before),
            np.array(stage),
            *_weights(softmax(logits), x.dtype),
            self._cut(len(x) + len(x1), 1, x),
            out,
        )

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        for batch in range(len(out)):
            _Sampler(self, problem, batch, out[batch]).run()

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        cut = self._cut(len(x), 1, x)
        sums = self._sums(cut, x, len(x))
        ensemble.misfit(_fixed(x), _observed(observed, x), cut, sums)
        total: Array = sums.sum(axis=0)
        return total

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        members = len(x)
        cut = self._cut(3 * members, 2 * members, x)
        states = self._sums(cut, x, _padded(members), _padded(members))
        values = np.zeros_like(states)
        ensemble.anomaly_grams(_fixed(x), _observed(observed, x), cut, states, values)
        return states.sum(axis=0)[:members, :members], values.sum(axis=0)[:members, :members]

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        members = len(x)
        cut = self._cut(members + 4, 2 * members, x)
        size = _padded(members + 1)
        squared = self._sums(cut, x, size, size)
        absolute = np.zeros_like(squared)
        moments = self._sums(cut, x, 2)
        ranks = np.zeros((len(squared), members + 1), np.int64)
        ensemble.score_sums(_fixed(x), _fixed(truth), cut, squared, absolute, moments, ranks)
        distance, gap = squared.sum(axis=0), absolute.sum(axis=0)
        error, squares = moments.sum(axis=0)
        to_truth = gap[:members, members].sum() / members
        apart = gap[:members, :members].sum() / (2 * members**2)
        return ScoreSums(
            squared_error=float(error),
            variance=float(squares) / (members - 1) if members > 1 else 0.0,
            crps=float(to_truth - apart),
            to_members=distance[:members, :members],
            to_truth=distance[:members, members],
            ranks=ranks.sum(axis=0),
        )

    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        rows, dim = x.shape
        threads = _threads()
        capacity = _LORENZ96_BYTES // x.itemsize
        dt, forcing = float(dt), float(forcing)
        if dim <= capacity or steps == 0:
            workers = 1 if rows * dim * steps <= 16384 else min(threads, rows)
            lorenz96.step_short_rows(_fixed(x), out, dt, steps, forcing, workers)
            return
        # Tiles read each other's halos, so a pass reads one row and writes another; the last one
        # writes `out`, unless it reads the same row of it.
        spare = [np.empty(dim, x.dtype) for _ in range(2)]
        passes = range(0, steps, _LORENZ96_STEPS)
        for row, to in zip(x, out, strict=True):
            source = row
            for number, done in enumerate(passes):
                last = done == passes[-1] and not (number == 0 and np.may_share_memory(row, to))
                target = to if last else spare[number % 2]
                count = min(_LORENZ96_STEPS, steps - done)
                tile = capacity - (lorenz96.BELOW + lorenz96.ABOVE) * count
                workers = min(threads, -(-dim // tile))
                lorenz96.step_tiles(_fixed(source), target, tile, dt, count, forcing, workers)
                source = target
            if source is not to:
                to[...] = source

    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        workers = min(_threads(), -(-out.size // 8192))
        philox.fill_normals(np.uint64(key), np.uint64(batch), np.uint64(step), workers, out)

    @staticmethod
    def _cut(rows: int, columns: int, x: Array) -> Cut:
        return cut_up(rows, columns, x.shape[1], x.itemsize, _threads())

    @staticmethod
    def _sums(cut: Cut, x: Array, *shape: int) -> Array:
        """Return float64 partial sums, one for each chunk; added in their order."""
        return np.zeros((-(-x.shape[1] // cut.chunk), *shape))


class _Sampler:
    """The flow of one ensemble of a batch: what happens between the passes over memory."""

    def __init__(self, backend: NumbaBackend, problem: FlowProblem, batch: int, z: Array) -> None:
        self.backend, self.problem, self.batch, self.z = backend, problem, batch, z
        members = len(z)
        x1 = problem.x1[batch]
        x0 = x1 if problem.x0 is None else problem.x0[batch]
        self.ensembles = _fixed(x1), _fixed(x0)
        self.cut = backend._cut(4 * members, members, z)
        self.sums = backend._sums(self.cut, z, _padded(members), _padded(members))
        seen = problem.observed
        self.observed = _observed(None if seen is None else seen.of(batch), z)
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
            self.backend.normals(p.key, self.batch, 0, z)
            noise = z
        else:
            noise = p.noise[self.batch]
        # the field of weights that are all one-hot, with other coefficients
        form = stage._replace(ratio=float(p.start_width), b1=stage.a1, b0=stage.a0)
        start = np.arange(len(z)) if p.start is None else p.start[self.batch].copy()
        nowhere = np.zeros((len(z), _padded(len(z))), z.dtype)
        pairwise.pairwise_field(
            _fixed(noise), *self.ensembles, np.array(form), nowhere, start, self.cut, z
        )
        pairwise.squared_distances(_fixed(z), *self.ensembles, np.array(stage), self.cut, self.sums)

    def _step(
        self, k: int, weights: list[_Weights], *, measured: int | None, predict: bool = False
    ) -> None:
        correct = len(weights) == 2
        stages = [self.stages[i] for i in (k, k + 1 if correct else k, measured or 0)]
        self.sums.fill(0)
        flow.step_flow(
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

    def _weigh(self, k: int) -> _Weights:
        """Return the weights of stage k from the distances added up last.

        With covariance guidance the gain is a change of the weights: g_i = sum_j b1 q_ij (x1_j -
        mean), q_i = gain u_i, so the members are mixed with w_ij + q_ij - mean_j q_ij.
        """
        p, dtype = self.problem, self.z.dtype
        logits = -self.stages[k].half_precision * self._total()
        if p.log_weights is not None:
            logits += p.log_weights[self.batch]
        w = softmax(logits)
        weights = _weights(w, dtype)
        if p.gains is None:
            return weights
        self.sums.fill(0)
        flow.innovations(self.ensembles[0], *weights, self.observed, self.cut, self.sums)
        change = self._total() @ p.gains[self.batch, k].T
        return _weights(w + change - change.mean(axis=1, keepdims=True), dtype)

    def _total(self) -> Array:
        members = len(self.z)
        total: Array = self.sums.sum(axis=0)[:members, :members]
        return total
