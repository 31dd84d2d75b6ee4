"""The compiled core: C++ kernels chosen for the processor at import."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import numpy as np

from .base import Backend
from .problems import (
    Array,
    DiffusionProblem,
    FlowProblem,
    InflationProblem,
    InnovationSums,
    ListedFlow,
    LocalLists,
    LocalObservations,
    LocalWindow,
    ObservedComponents,
    ProjectionScheme,
    ReducedProblem,
    ScoreSums,
    Stage,
)


def load() -> Any:
    """Import the extension module and put `ENFILT_SIMD` into force.

    Raises
    ------
    ImportError
        If the module is not there, or is there and can't be loaded.
    ValueError
        If `ENFILT_SIMD` names a level that can't be used: better than to run another silently.

    Warns
    -----
    RuntimeWarning
        If the module is there and can't be loaded: nobody has chosen to do without it.
    """
    try:
        core = importlib.import_module("enfilt._core")
    except ImportError as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == "enfilt._core"):
            warnings.warn(
                f"enfilt's compiled core is installed but can't be loaded ({error}); slower "
                "backends are used in its place",
                RuntimeWarning,
                stacklevel=2,
            )
        raise
    wanted = os.environ.get("ENFILT_SIMD", "")
    if wanted and not core.use_level(wanted):
        usable = ", ".join(core.usable_levels())
        raise ValueError(
            f"ENFILT_SIMD={wanted} can't be used on this processor or build: "
            f"expected one of {usable}"
        )
    return core


class CppBackend(Backend):
    """C++ kernels with OpenMP threads."""

    name = "cpp"

    def __init__(self) -> None:
        self.core = load()
        self.kinds = frozenset(self.core.operators)

    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        out = np.empty((x.shape[0], x1.shape[0]))
        self.core.squared_distances(x, x1, x0, stage, out)
        return out

    def pairwise_field(
        self,
        x: Array,
        x1: Array,
        x0: Array | None,
        stage: Stage,
        log_weights: Array | None,
        out: Array,
    ) -> None:
        self.core.pairwise_field(x, x1, x0, stage, log_weights, out)

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        self.core.flow_analysis(problem, out)

    def flow_analysis_with_gains(self, problem: FlowProblem, out: Array) -> None:
        self.flow_analysis(problem, out)

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        self.core.diffusion_analysis(problem, out)

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        self.core.reduced_analysis(problem, out)

    def letkf_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        rotation: Array | None,
        out: Array,
    ) -> None:
        self.core.letkf_window(x, window, observed, rotation, out)

    def lenff_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        pseudo_times: Array,
        out: Array,
    ) -> None:
        self.core.lenff_window(x, window, observed, pseudo_times, out)

    def lenff_lists(self, problem: ListedFlow, x: Array) -> None:
        p = problem
        moving = None if p.values is None else p.values.copy(order="C")
        if p.decorrelate is None and (moving is not None or p.observed is not None):
            self.core.lenff_lists(p, p.pseudo_times, None, moving, x)
            return
        for k in range(len(p.pseudo_times)):  # h is Python's
            values = np.ascontiguousarray(p.seen(x, moving), x.dtype)
            self.core.lenff_lists(p, p.pseudo_times[k : k + 1], values, moving, x)

    def letkf_lists(
        self,
        x: Array,
        lists: LocalLists,
        observations: LocalObservations,
        rotation: Array | None,
        out: Array,
    ) -> None:
        made = observations.made  # for other lists of the same analysis, too
        if not made:
            made.append(self._rows(observations))
        self.core.letkf_lists(x, lists, *made[0], rotation, out)

    def _rows(self, observations: LocalObservations) -> tuple[Array, Array]:
        values, y, precision = observations.values, observations.y, observations.precision
        if not values.dtype == y.dtype == precision.dtype:  # decorrelated
            return observations.rows, observations.power
        rows = np.empty((values.shape[1], len(values) + 1), precision.dtype)
        power = np.empty(len(rows))
        values, y = np.ascontiguousarray(values), np.ascontiguousarray(y)
        self.core.letkf_rows(values, y, precision, rows, power)
        return rows, power

    def etkf(self, x: Array, values: Array, y: Array, precision: Array, out: Array) -> None:
        self.core.etkf(x, values, y, np.ascontiguousarray(precision), out)

    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        out = np.empty(x.shape[0])
        self.core.misfit(x, observed, out)
        return out

    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        members = x.shape[0]
        states, values = np.empty((members, members)), np.empty((members, members))
        self.core.anomaly_grams(x, observed, states, values)
        return states, values

    def inflate(self, problem: InflationProblem, out: Array) -> None:
        self.core.inflate(problem, out)

    def innovations(
        self, x: Array, observed: ObservedComponents, moments: Array | None = None
    ) -> InnovationSums:
        return InnovationSums(*self.core.innovations(x, observed, moments))

    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        members = x.shape[0]
        to_members, to_truth = np.empty((members, members)), np.empty(members)
        ranks = np.empty(members + 1, np.int64)
        sums = self.core.ensemble_scores(x, truth, to_members, to_truth, ranks)
        squared_error, variance, crps, absolute = sums
        return ScoreSums(squared_error, variance, crps, absolute, to_members, to_truth, ranks)

    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        self.core.lorenz96(x, out, dt, steps, forcing)

    def navier_stokes(self, x: Array, out: Array, scheme: ProjectionScheme, steps: int) -> None:
        self.core.navier_stokes(x, out, scheme, steps)

    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        self.core.normals(key, batch, step, out)

    def all_finite(self, x: Array) -> bool:
        return bool(self.core.all_finite(x))
