"""Numba: the kernels of the compiled core in Python, compiled when they are first called.

The fast fallback where the compiled core is absent. What is compiled is kept on disk.
"""

from __future__ import annotations

import numpy as np

from ..base import Backend
from ..numpy.plain import softmax
from ..problems import (
    INFLATIONS,
    Array,
    DiffusionProblem,
    FlowProblem,
    InflationProblem,
    InnovationSums,
    LocalLists,
    LocalObservations,
    LocalWindow,
    ObservedComponents,
    ProjectionScheme,
    ReducedProblem,
    ScoreSums,
    Stage,
)
from . import (
    diffusion,
    ensemble,
    flow,
    inflation,
    lenff,
    lenff_lists,
    letkf,
    lorenz96,
    navier_stokes,
    pairwise,
    philox,
    reduced,
)
from .arguments import cut_of, fixed, observed_as, padded, sums_of, threads, weights_as
from .observed import KINDS

_LORENZ96_BYTES = 8192  # of a row in scratch: four of them stay in the first-level cache
_LORENZ96_STEPS = 16  # for each pass over memory


class NumbaBackend(Backend):
    """Kernels compiled by Numba, with its threads.

    Numba does not look at OMP_NUM_THREADS; here no more threads than that get any work.
    """

    name = "numba"
    kinds = frozenset(KINDS)

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        members = len(x1)
        cut = cut_of(len(x) + members, max(len(x), members), x)
        sums = sums_of(cut, x, padded(len(x)), padded(members))
        before = x1 if x0 is None else x0
        # a path without x0 has a0 = b0 = 0: then the kernels don't read it
        pairwise.squared_distances(fixed(x), fixed(x1), fixed(before), np.array(stage), cut, sums)
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
            fixed(x),
            fixed(x1),
            fixed(before),
            np.array(stage),
            *weights_as(softmax(logits), x.dtype),
            cut_of(len(x) + len(x1), 1, x),
            out,
        )

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        for batch in range(len(out)):
            flow.FlowSampler(problem, batch, out[batch]).run()

    def flow_analysis_with_gains(self, problem: FlowProblem, out: Array) -> None:
        self.flow_analysis(problem, out)

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        for batch in range(len(out)):
            diffusion.sample(problem, batch, out[batch])

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        for batch in range(len(out)):
            reduced.analysis(problem, batch, out[batch])

    def letkf_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        rotation: Array | None,
        out: Array,
    ) -> None:
        letkf.from_window(x, window, observed, rotation, out)

    def lenff_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        pseudo_times: Array,
        out: Array,
    ) -> None:
        lenff.from_window(x, window, observed, pseudo_times, out)

    def lenff_bounds(self, rows: Array, lists: LocalLists, anomalies: Array) -> Array:
        return lenff_lists.bounds(rows, lists, anomalies)

    def lenff_moves(self, rows: Array, lists: LocalLists, anomalies: Array, gains: Array) -> Array:
        return lenff_lists.moves(rows, lists, anomalies, gains)

    def letkf_lists(
        self,
        x: Array,
        lists: LocalLists,
        observations: LocalObservations,
        rotation: Array | None,
        out: Array,
    ) -> None:
        letkf.from_lists(x, lists, observations, rotation, out)

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        cut = cut_of(len(x), 1, x)
        sums = sums_of(cut, x, len(x))
        ensemble.misfit(fixed(x), observed_as(observed, x), cut, sums)
        total: Array = sums.sum(axis=0)
        return total

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        members = len(x)
        cut = cut_of(3 * members, 2 * members, x)
        states = sums_of(cut, x, padded(members), padded(members))
        values = np.zeros_like(states)
        ensemble.anomaly_grams(fixed(x), observed_as(observed, x), cut, states, values)
        return states.sum(axis=0)[:members, :members], values.sum(axis=0)[:members, :members]

    def inflate(self, problem: InflationProblem, out: Array) -> None:
        p = problem
        for b, x in enumerate(p.x):
            cut = cut_of(2 * len(x), 1, x)
            forecast = x if p.forecast is None else p.forecast[b]
            kind = INFLATIONS.index(p.kind)
            inflation.inflate(fixed(x), fixed(forecast), kind, fixed(p.amount), cut, out[b])

    def innovations(
        self, x: Array, observed: ObservedComponents, moments: Array | None = None
    ) -> InnovationSums:
        cut = cut_of(2 * len(x), 4, x)
        sums = sums_of(cut, x, 4)
        wanted = moments is not None
        written = moments if moments is not None else np.empty((2, 0), x.dtype)
        inflation.innovations(fixed(x), observed_as(observed, x), cut, sums, written, wanted)
        return InnovationSums(*(float(total) for total in sums.sum(axis=0)))

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        members = len(x)
        cut = cut_of(members + 4, 2 * members, x)
        size = padded(members + 1)
        squared = sums_of(cut, x, size, size)
        absolute = np.zeros_like(squared)
        moments = sums_of(cut, x, 2)
        ranks = np.zeros((len(squared), members + 1), np.int64)
        ensemble.score_sums(fixed(x), fixed(truth), cut, squared, absolute, moments, ranks)
        distance, gap = squared.sum(axis=0), absolute.sum(axis=0)
        error, squares = moments.sum(axis=0)
        to_truth = gap[:members, members].sum() / members
        apart = gap[:members, :members].sum() / (2 * members**2)
        return ScoreSums(
            squared_error=float(error),
            variance=float(squares) / (members - 1) if members > 1 else 0.0,
            crps=float(to_truth - apart),
            absolute=float(to_truth),
            to_members=distance[:members, :members],
            to_truth=distance[:members, members],
            ranks=ranks.sum(axis=0),
        )

    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        rows, dim = x.shape
        usable = threads()
        capacity = _LORENZ96_BYTES // x.itemsize
        dt, forcing = float(dt), float(forcing)
        if dim <= capacity or steps == 0:
            workers = 1 if rows * dim * steps <= 16384 else min(usable, rows)
            lorenz96.step_short_rows(fixed(x), out, dt, steps, forcing, workers)
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
                workers = min(usable, -(-dim // tile))
                lorenz96.step_tiles(fixed(source), target, tile, dt, count, forcing, workers)
                source = target
            if source is not to:
                to[...] = source

    def navier_stokes(self, x: Array, out: Array, scheme: ProjectionScheme, steps: int) -> None:
        factors = np.array(scheme.factors())
        navier_stokes.step_states(
            fixed(x),
            out,
            scheme.n,
            scheme.iterations,
            factors,
            factors[3] * scheme.forcing,
            steps,
            min(threads(), len(x)),
        )

    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        philox.normals(key, batch, step, out)
