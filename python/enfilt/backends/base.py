"""What a backend computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .numpy import inflation, lenff, letkf, reduced
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


class Backend(ABC):
    """Kernels on arrays that were checked: contiguous, of one floating dtype, finite."""

    name: str
    #: Whether arrays are CuPy's, on a GPU.
    on_device = False
    #: Whether arrays are of the whole state, and not of a part that other processes have more of.
    alone = True
    #: The component-wise functions h that its kernels evaluate, `ObservedComponents.kind`. Others
    #: are evaluated by their operators, as those that mix components.
    kinds: frozenset[str]

    def has(self, kernel: Callable[..., None]) -> bool:
        """Return whether this backend has a kernel that not all have, given by its method.

        Such a method raises an error in this class; a backend that has the kernel defines it.
        """
        name = kernel.__name__
        return getattr(type(self), name) is not getattr(Backend, name)

    def _lacks(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"the backend {self.name!r} has no {what}")

    @abstractmethod
    def squared_distances(self, x: Array, x1: Array, x0: Array | None, stage: Stage) -> Array:
        """Return |x_i - mu_j|^2, (M, N) in float64."""

    @abstractmethod
    def pairwise_field(
        self,
        x: Array,
        x1: Array,
        x0: Array | None,
        stage: Stage,
        log_weights: Array | None,
        out: Array,
    ) -> None:
        """Write the pairwise estimator, (M, D), to `out`."""

    def flow_analysis(self, problem: FlowProblem, out: Array) -> None:
        """Run a whole analysis of the flow filter without gains, writing (B, N, D) to `out`."""
        raise self._lacks("flow analysis in one piece")

    def flow_analysis_with_gains(self, problem: FlowProblem, out: Array) -> None:
        """As `flow_analysis`, of a problem with the gains of the covariance guidance."""
        raise self._lacks("flow analysis with gains in one piece")

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        """Run a whole analysis of the score filter, writing (B, N, D) to `out`."""
        raise self._lacks("reverse diffusion in one piece")

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        """Run a whole analysis in reduced form, writing (B, N, D) to `out`."""
        reduced.analysis(problem, out, self.state_normals, self.total)

    def letkf_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        rotation: Array | None,
        out: Array,
    ) -> None:
        """Write the LETKF's analysis of (N, D) on a regular grid to `out`, before inflation."""
        raise self._lacks("LETKF on grids")

    def lenff_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        pseudo_times: npt.NDArray[np.float64],
        out: Array,
    ) -> None:
        """Write the LEnFF's analysis of (N, D) on a regular grid to `out`, before inflation."""
        raise self._lacks("localized flow filter on grids")

    def resident(self, lists: LocalLists) -> LocalLists:
        """Return lists where this backend runs."""
        return lists

    def lenff_bounds(self, rows: Array, lists: LocalLists, anomalies: Array) -> Array:
        """Return b of the columns of `lists` in a step of the LEnFF, (n,) in float64."""
        return lenff.bounds(rows, lists, anomalies)

    def lenff_moves(self, rows: Array, lists: LocalLists, anomalies: Array, gains: Array) -> Array:
        """Return how far a step of the LEnFF moves the columns of `lists`, (n, N)."""
        return lenff.moves(rows, lists, anomalies, gains)

    def lenff_lists(self, problem: ListedFlow, x: Array) -> None:
        """Move states x (N, D) from the forecast to the LEnFF's analysis, before inflation."""
        lenff.analyse_lists(problem, x, self)

    def letkf_lists(
        self,
        x: Array,
        lists: LocalLists,
        observations: LocalObservations,
        rotation: Array | None,
        out: Array,
    ) -> None:
        """Write the LETKF's analysis of the components of `lists` to their columns of `out`."""
        letkf.analyse_lists(x, lists, observations, rotation, out)

    def etkf(self, x: Array, values: Array, y: Array, precision: Array, out: Array) -> None:
        """Write the ETKF's analysis of (N, D) from h(x), (N, m), to `out`.

        `y`, (m,), holds NaN where nothing is observed, `precision` 1/r^2 in float64, (m,).
        """
        raise self._lacks("transform of an ensemble")

    @abstractmethod
    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        """Return J(x_i), (N,) in float64."""

    @abstractmethod
    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        """Return A A^T and Y R^-1 Y^T, (N, N) in float64, for the anomalies of x and h(x)."""

    def inflate(self, problem: InflationProblem, out: Array) -> None:
        """Write ensembles widened about their means, (B, N, D), to `out`, which may be its `x`."""
        inflation.inflate(problem, out)

    def widen(self, x: Array, factor: npt.NDArray[np.float64], out: Array) -> None:
        """Write x (B, N, D) to `out`, the variance of components times factor, (1,) or (D,)."""
        amount = (factor - 1) / (np.sqrt(factor) + 1)  # the root less 1, also where it is near 1
        self.inflate(InflationProblem("multiplicative", amount.astype(x.dtype), x), out)

    def innovations(
        self, x: Array, observed: ObservedComponents, moments: Array | None = None
    ) -> InnovationSums:
        """Return what the innovations of an ensemble (N, D) tell of its variance, in one pass.

        `moments`, (2, m) in the dtype of x where it is given, gets d = y - mean h(x) and the
        variance p of h(x), in the order of `observed`, NaN where y is.
        """
        return inflation.innovations(x, observed, moments)

    @abstractmethod
    def score_sums(self, x: Array, truth: Array) -> ScoreSums:
        """Return the sums behind the scores of an ensemble (N, D) against a truth (D,)."""

    @abstractmethod
    def lorenz96(self, x: Array, out: Array, dt: float, steps: int, forcing: float) -> None:
        """Step rows (M, D) of Lorenz-96; `out` may be `x`."""

    @abstractmethod
    def navier_stokes(self, x: Array, out: Array, scheme: ProjectionScheme, steps: int) -> None:
        """Step rows (M, 3 n n) of 2-D flow, fields (p, u, v); `out` may be `x`."""

    @abstractmethod
    def normals(self, key: int, batch: int, step: int, out: Array) -> None:
        """Fill (N, D) with the standard normals of (key, batch, step)."""

    def state_normals(self, key: int, batch: int, step: int, out: Array) -> None:
        """As `normals`, the columns of (N, D) being components of the state."""
        self.normals(key, batch, step, out)

    # What a backend asks other processes that have a part of the state each: here, of the whole.

    def whole(self, dim: int) -> int:
        """Return the number of components of the state that these `dim` are a part of."""
        return dim

    def total(self, sums: Array) -> Array:
        """Return sums over components or observations, added up over all parts of the state."""
        return sums

    def unobserved(self, y: Array) -> npt.NDArray[np.bool_]:
        """Return which of the ensembles have no observation, (B,), from their y (B, m)."""
        missing: Any = np.isnan(y)
        found: npt.NDArray[np.bool_] = missing.all(axis=-1)
        return found

    def picks(self, observed: ObservedComponents) -> bool:
        """Return whether observations are single components as they are."""
        return observed.kind == "identity"

    def precisions(self, observed: ObservedComponents, most: int) -> list[Any]:
        """Return the distinct 1/r^2; at most one more than `most`."""
        return reduced.distinct(observed.precision, most)

    def copy_where(self, flags: Array, x: Array, out: Array) -> None:
        """Copy those of the ensembles `x` (B, N, D) to `out` whose flag (B,) is set."""
        for index in np.flatnonzero(flags):
            out[index] = x[index]

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array without values, such as this backend runs on."""
        return np.empty(shape, dtype)

    def all_finite(self, x: Array) -> bool:
        """Return whether every number is finite."""
        # row by row: a mask of the whole array would be a quarter of an ensemble more
        return all(bool(np.isfinite(row).all()) for row in x.reshape(-1, x.shape[-1]))
