"""What a backend computes, and the plain structures that it is asked with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import lenff, letkf
from .block_function import BlockFunction
from .lenff import ListedFlow
from .letkf import LocalLists, LocalObservations, LocalWindow

if TYPE_CHECKING:
    from .inflation import InflationProblem, InnovationSums
    from .reduced import ReducedProblem

Array = npt.NDArray[Any]


class Stage(NamedTuple):
    """One moment of an affine path; a sequence of stages is an array with these columns.

    The components are mu_j = a1 x1_j + a0 x0_j with precision 2 `half_precision`, the field is
    ``ratio z_i + sum_j w_ij (b1 x1_j + b0 x0_j)``.
    """

    a1: float
    a0: float
    half_precision: float
    ratio: float
    b1: float
    b0: float
    remaining: float
    strength: float


class ObservedComponents(NamedTuple):
    """Observations that kernels evaluate themselves, components in increasing order.

    `kind` and `parameter` name a component-wise function (`enfilt.operators.Pointwise`), y is
    (m,) or (B, m) with NaN for a missing one, `precision` (1,) or (m,) is 1/r^2. `function` is
    that of the kind "function".
    """

    kind: str
    parameter: float
    offset: int
    stride: int
    size: int
    indices: npt.NDArray[np.int64] | None
    y: Array
    precision: Array
    function: BlockFunction | None = None

    def of(self, batch: int) -> ObservedComponents:
        """Return the observations of one ensemble of a batch."""
        return self if self.y.ndim == 1 else self._replace(y=self.y[batch])

    @property
    def components(self) -> slice | npt.NDArray[np.int64]:
        """The components observed, as an index into the last axis."""
        if self.indices is not None:
            return self.indices
        return slice(self.offset, self.offset + (self.size - 1) * self.stride + 1, self.stride)


@dataclass(frozen=True)
class FlowProblem:
    """A whole analysis of the flow filter, for a backend that has it in one piece.

    Attributes
    ----------
    x1, x0 : ndarray, (B, N, D)
        Forecast and previous analysis; x0 is None where the path does not use it.
    start_width : float
        s(0).
    start : ndarray of int64, (B, N), or None
        The row whose conditional path member i starts on; None: its own.
    noise : ndarray, (B, N, D), or None
        Standard normals for the start; None: Philox with `key`.
    stages : ndarray of float64, (steps, 8) or for Heun (steps + 1, 8)
        Rows are `Stage`.
    log_weights : ndarray of float64, (B, N), or None
        l_j.
    gains : ndarray of float64, (B, stages, N, N), or None
        Of the covariance guidance, in ensemble space.
    observed : ObservedComponents or None
        Where guidance needs the observations in the steps.
    """

    x1: Array
    x0: Array | None
    start_width: float
    start: npt.NDArray[np.int64] | None
    noise: Array | None
    key: int
    stages: npt.NDArray[np.float64]
    heun: bool
    log_weights: npt.NDArray[np.float64] | None
    gains: npt.NDArray[np.float64] | None
    observed: ObservedComponents | None


class DiffusionStep(NamedTuple):
    """One step of a reverse diffusion; a schedule of them is an array with these columns.

    With the components at ``centre x1_j`` of precision 2 `half_precision`, the score is
    ``ratio x_i + sum_j w_ij pull x1_j - damping grad J(x_i)``, clipped, and the step
    ``x_i <- keep x_i + gain score_i + spread xi_i``.
    """

    centre: float
    half_precision: float
    ratio: float
    pull: float
    damping: float
    keep: float
    gain: float
    spread: float


@dataclass(frozen=True)
class DiffusionProblem:
    """A whole analysis of the score filter, for a backend that has it in one piece.

    Attributes
    ----------
    x1 : ndarray, (B, N, D)
        Forecast.
    noise : ndarray, (B, steps + 1, N, D), or (B, 1, N, D) where no step has a spread, or None
        Standard normals of the start and of each step; None: Philox with `key`, step 0 for the
        start and k + 1 for step k.
    schedule : ndarray of float64, (steps, 8)
        Rows are `DiffusionStep`.
    score_limit : float
        Infinite: the score is not clipped.
    paired : bool
        Whether a member is drawn to its own component only, in place of the softmax over all.
    standardize : bool
        Whether the start is made to have mean 0 and standard deviation 1 over the members.
    observed : ObservedComponents
    batch : int
        Index of the first of these ensembles in the batch that the draws are numbered in.
    """

    x1: Array
    noise: Array | None
    key: int
    schedule: npt.NDArray[np.float64]
    score_limit: float
    paired: bool
    standardize: bool
    observed: ObservedComponents
    batch: int = 0


class ProjectionScheme(NamedTuple):
    """How 2-D flow on n x n cells of a periodic square is stepped, x along rows of cells.

    `forcing` (n,) is of u, a number for each row; `iterations` are of the pressure in each step.
    """

    n: int
    spacing: float
    dt: float
    viscosity: float
    iterations: int
    forcing: Array

    def factors(self) -> tuple[Any, ...]:
        """Return dt / (2 h), viscosity dt / h^2, h / (8 dt) and dt, as the fields' dtype."""
        h, kind = self.spacing, self.forcing.dtype.type
        numbers = (self.dt / (2 * h), self.viscosity * self.dt / h**2, h / (8 * self.dt), self.dt)
        return tuple(kind(a) for a in numbers)


class ScoreSums(NamedTuple):
    """Sums over components from which the scores of an ensemble follow.

    Attributes
    ----------
    squared_error : float
        sum_d (mean_d - truth_d)^2
    variance : float
        sum_d of the variance over members, with N - 1
    crps : float
        sum_d of the empirical CRPS
    absolute : float
        sum_d of the mean over members of |x_jd - truth_d|
    to_members : ndarray, (N, N)
        |x_j - x_k|^2
    to_truth : ndarray, (N,)
        |x_j - truth|^2
    ranks : ndarray of int64, (N + 1,)
        How many components have k members below the truth.
    """

    squared_error: float
    variance: float
    crps: float
    absolute: float
    to_members: npt.NDArray[np.float64]
    to_truth: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int64]


class Backend(ABC):
    """Kernels on arrays that were checked: contiguous, of one floating dtype, finite."""

    name: str
    #: Whether arrays are CuPy's, on a GPU.
    on_device = False
    #: Whether `flow_analysis` exists; where not, the sampler runs step by step in NumPy.
    has_flow_analysis = False
    #: Whether `flow_analysis` takes the gains of the covariance guidance.
    has_flow_gains = True
    #: Whether `letkf_window` exists; where not, the LETKF makes lists of observations.
    has_letkf_window = False
    #: Whether `lenff_window` exists; where not, the localized flow filter makes lists.
    has_lenff_window = False
    #: Whether `diffusion_analysis` exists; where not, as above.
    has_diffusion_analysis = False

    def __reduce__(self) -> tuple[Any, ...]:
        from . import get  # the backend of a name there, where it is unpickled

        return get, (self.name,)

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
        """Run a whole analysis of the flow filter, writing (B, N, D) to `out`."""
        raise TypeError(f"the backend {self.name!r} has no fused flow analysis")

    def diffusion_analysis(self, problem: DiffusionProblem, out: Array) -> None:
        """Run a whole analysis of the score filter, writing (B, N, D) to `out`."""
        raise TypeError(f"the backend {self.name!r} has no fused reverse diffusion")

    def reduced_analysis(self, problem: ReducedProblem, out: Array) -> None:
        """Run a whole analysis in reduced form, writing (B, N, D) to `out`."""
        from . import reduced  # its plain form is written in terms of this module

        reduced.analysis(problem, out)

    def letkf_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        rotation: Array | None,
        out: Array,
    ) -> None:
        """Write the LETKF's analysis of (N, D) on a regular grid to `out`, before inflation."""
        raise TypeError(f"the backend {self.name!r} has no LETKF on grids")

    def lenff_window(
        self,
        x: Array,
        window: LocalWindow,
        observed: ObservedComponents,
        pseudo_times: npt.NDArray[np.float64],
        out: Array,
    ) -> None:
        """Write the LEnFF's analysis of (N, D) on a regular grid to `out`, before inflation."""
        raise TypeError(f"the backend {self.name!r} has no localized flow filter on grids")

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

    @abstractmethod
    def misfit(self, x: Array, observed: ObservedComponents) -> Array:
        """Return J(x_i), (N,) in float64."""

    @abstractmethod
    def anomaly_grams(self, x: Array, observed: ObservedComponents) -> tuple[Array, Array]:
        """Return A A^T and Y R^-1 Y^T, (N, N) in float64, for the anomalies of x and h(x)."""

    def inflate(self, problem: InflationProblem, out: Array) -> None:
        """Write ensembles widened about their means, (B, N, D), to `out`, which may be its `x`."""
        from . import inflation  # its plain form is written in terms of this module

        inflation.inflate(problem, out)

    def widen(self, x: Array, factor: npt.NDArray[np.float64], out: Array) -> None:
        """Write x (B, N, D) to `out`, the variance of components times factor, (1,) or (D,)."""
        from .inflation import InflationProblem

        amount = (factor - 1) / (np.sqrt(factor) + 1)  # the root less 1, also where it is near 1
        self.inflate(InflationProblem("multiplicative", amount.astype(x.dtype), x), out)

    def innovations(
        self, x: Array, observed: ObservedComponents, moments: Array | None = None
    ) -> InnovationSums:
        """Return what the innovations of an ensemble (N, D) tell of its variance, in one pass.

        `moments`, (2, m) in the dtype of x where it is given, gets d = y - mean h(x) and the
        variance p of h(x), in the order of `observed`, NaN where y is.
        """
        from . import inflation

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
