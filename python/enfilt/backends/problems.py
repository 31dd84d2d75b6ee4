"""What a backend is asked with: plain structures of arrays that were checked.

The compiled core reads them by the names of their fields (cpp/bindings/arrays.hpp).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .block_function import BlockFunction

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]

#: In the order of `enfilt::Inflate` in cpp/include/enfilt/problem.hpp.
INFLATIONS = ("multiplicative", "rtpp", "rtps")


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


@dataclass(frozen=True)
class InflationProblem:
    """Ensembles that are widened about their means.

    A member moves by `amount` times a_j (kind "multiplicative"; a factor of the anomalies less 1),
    f_j - a_j ("rtpp", a relaxation), or a_j (s_f - s_a)/s_a ("rtps", a relaxation), with the
    anomalies a of `x`, f of `forecast`, and their spreads s.

    Attributes
    ----------
    kind : str
    amount : ndarray, (1,) or (D,)
        In the dtype of x; a component whose amount is 0 keeps every bit.
    x : ndarray, (B, N, D)
    forecast : ndarray, (B, N, D), or None
        Not used by the kind "multiplicative".
    """

    kind: str
    amount: Array
    x: Array
    forecast: Array | None = None


class InnovationSums(NamedTuple):
    """Sums over what is observed, with d = y - mean h(x) and the ensemble's variance p of h(x).

    Attributes
    ----------
    seen : float
        How many observations are there.
    ratio, squares : float
        sum p/r^2 and sum (p/r^2)^2.
    misfit : float
        sum d^2/r^2.
    """

    seen: float
    ratio: float
    squares: float
    misfit: float


class ReducedStage(NamedTuple):
    """One evaluation of the weights, w_ij = softmax_j(-half_precision |z_i - a1 x1_j - a0 x0_j|^2).

    What they mix is ``b1 x1_j + b0 x0_j``.
    """

    a1: float
    a0: float
    half_precision: float
    b1: float
    b0: float


class ReducedMap(NamedTuple):
    """A step of a group: ``z_i <- keep z_i + pull sum_j w_ij (b1 x1_j + b0 x0_j) + towards y``."""

    keep: float
    pull: float
    towards: float


class StartFrom(NamedTuple):
    """The start, ``z(0)_i = x1 x1_j + x0 x0_j + width eps_i``."""

    x1: float
    x0: float
    width: float


@dataclass(frozen=True)
class ReducedProblem:
    """A whole analysis by a sampler whose steps are linear.

    Attributes
    ----------
    x1, x0 : ndarray, (B, N, D)
        Forecast and previous analysis; x0 is None where it is not used.
    start_from : StartFrom
    start : ndarray of int64, (B, N), or None
        The row j that member i starts on; None: its own.
    noise : ndarray, (B, N, D), or None
        Standard normals of the start; None: Philox with `key`.
    batch : int
        Index of the first of these ensembles in the batch that the draws are numbered in.
    standardize : bool
        Whether the normals are made to have mean 0 and standard deviation 1 over the members.
    stages : ndarray of float64, (steps, 5) or for Heun (steps + 1, 5)
        Rows are `ReducedStage`.
    maps : ndarray of float64, (stages, groups, 3)
        Rows are `ReducedMap`, of a step of Euler's method each.
    paired : bool
        Whether member i is drawn to its own row only, in place of the softmax.
    log_weights : ndarray of float64, (B, N), or None
    gains : ndarray of float64, (B, stages, N, N), or None
        Of the covariance guidance, in ensemble space.
    precisions : ndarray of float64, (groups,)
        The distinct 1/r^2; the first is 0, of components that are not observed.
    observed : ObservedComponents or None
        None: there is one group.
    """

    x1: Array
    x0: Array | None
    start_from: StartFrom
    start: npt.NDArray[np.int64] | None
    noise: Array | None
    key: int
    batch: int
    standardize: bool
    stages: npt.NDArray[np.float64]
    maps: npt.NDArray[np.float64]
    heun: bool
    paired: bool
    log_weights: npt.NDArray[np.float64] | None
    gains: npt.NDArray[np.float64] | None
    precisions: npt.NDArray[np.float64]
    observed: ObservedComponents | None


class LocalWindow(NamedTuple):
    """The places that every component of a regular grid sees about it, and their weights.

    Attributes
    ----------
    rows, columns : int
        Of the grid; their product is D.
    periodic : bool
    offsets : ndarray of int64, (n, 2)
        Rows and columns away; on a periodic grid no place stands twice.
    weights : ndarray of float64, (n,)
        rho, above zero.
    """

    rows: int
    columns: int
    periodic: bool
    offsets: npt.NDArray[np.int64]
    weights: Matrix


class LocalLists(NamedTuple):
    """The observations that places see, each for all components that are there.

    Place i sees ``indices[starts[i]:starts[i + 1]]`` with the weights rho of the same slice, above
    zero. Components ``components[owners[i]:owners[i + 1]]`` are there; or, where these are None,
    the component ``first + i`` alone.
    """

    first: int
    starts: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    weights: Matrix
    owners: npt.NDArray[np.int64] | None = None
    components: npt.NDArray[np.int64] | None = None

    @property
    def columns(self) -> slice | npt.NDArray[np.int64]:
        """The components, those of one place after the other."""
        if self.components is None:
            return slice(self.first, self.first + len(self.starts) - 1)
        return self.components

    def each(self) -> LocalLists:
        """Return a list for each of `columns`."""
        if self.owners is None:
            return self
        place = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.owners))
        one = np.arange(len(place) + 1)
        return self.of(place)._replace(owners=one, components=self.components)

    def of(self, places: npt.NDArray[np.int64]) -> LocalLists:
        """Return the lists of some places, without their components."""
        counts = np.diff(self.starts)[places]
        starts = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(starts[-1]) + np.repeat(self.starts[places] - starts[:-1], counts)
        return LocalLists(0, starts, self.indices[at], self.weights[at])


class PlacesNear(NamedTuple):
    """A search for observations that are less than a distance from places.

    Attributes
    ----------
    where, seen : ndarray, (n, k) and (m, k)
        The places, and those of observations, as an `Embedding` of the grid has them.
    period : ndarray, (k,), or None
        Of axes whose ends are joined, else 0.
    radius : float
        Of a sphere whose first three axes these are; 0: none.
    reach : float
        The distance.
    most : int
        Of more pairs nothing is told.
    """

    where: Matrix
    seen: Matrix
    period: Matrix | None
    radius: float
    reach: float
    most: int


class TaperedPairs(NamedTuple):
    """Pairs of places and observations, and what they weigh.

    Attributes
    ----------
    chosen : ndarray of int64, or None
        Of which of the places lists are wanted; None: all.
    starts, indices, distances : ndarray of int64, int32, float64
        The observations near one place after the other.
    numbers : ndarray of int64
        Of each observation in the lists, or -1.
    step : bool
        Whether all weights within the cutoff are one.
    cutoffs, amplitudes : ndarray, (1,) or one an observation in the lists
    """

    chosen: npt.NDArray[np.int64] | None
    starts: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    distances: Matrix
    numbers: npt.NDArray[np.int64]
    step: bool
    cutoffs: Matrix
    amplitudes: Matrix


@dataclass(frozen=True)
class LocalObservations:
    """What the observations of one ensemble say.

    Missing ones are left out; on a GPU, where the host does not know which they are, their
    innovations are NaN.

    Attributes
    ----------
    values : ndarray, (N, m)
        h(x); float64 of decorrelated values.
    y : ndarray, (m,)
    precision : ndarray, (m,)
        1/r^2, in the dtype of the ensemble.
    made : list
        What a backend has made of them.
    """

    values: Array
    y: Array
    precision: Array
    made: list[Any] = field(default_factory=list)

    @functools.cached_property
    def mean(self) -> Matrix:
        """Mean h(x), (m,)."""
        result: Matrix = self.values.mean(axis=0, dtype=np.float64)
        return result

    @functools.cached_property
    def anomalies(self) -> Array:
        """Of h(x), an observation a row: (m, N)."""
        xp = _arrays.namespace(self.values)
        result: Array = xp.ascontiguousarray(
            self.values.T - self.mean[:, None], self.precision.dtype
        )
        return result

    @functools.cached_property
    def innovation(self) -> Array:
        """Of the observations, y - mean h(x): (m,)."""
        xp = _arrays.namespace(self.values)
        result: Array = xp.ascontiguousarray(self.y - self.mean, self.precision.dtype)
        return result

    @functools.cached_property
    def rows(self) -> Array:
        """Anomalies and innovation behind them, each over r sqrt(N - 1): (m, N + 1)."""
        members = self.anomalies.shape[1]
        factor = np.sqrt(self.precision / (members - 1))[:, None]
        xp = _arrays.namespace(self.anomalies)
        rows: Array = xp.empty((len(factor), members + 1), self.anomalies.dtype)
        np.multiply(self.anomalies, factor, out=rows[:, :-1])
        np.multiply(self.innovation[:, None], factor, out=rows[:, -1:])
        return rows

    @functools.cached_property
    def power(self) -> Matrix:
        """Sums of squares of the anomalies in `rows`, (m,)."""
        scaled = self.rows[:, :-1]
        result: Matrix = np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64)
        return result


@dataclass(frozen=True)
class ListedFlow:
    """An analysis of the LEnFF where each place has a list of observations.

    Attributes
    ----------
    pseudo_times : ndarray of float64, (steps,)
        w_k.
    y : ndarray, (m,)
        What holds a value; on a GPU, where the host does not know which does, with NaN.
    precision : ndarray of float64, (m,)
        1/r^2.
    of_state, of_values, of_observations : sequence of LocalLists
        What components see; what values of h(x) that move along see; and what the observations
        see that these became where correlated errors were taken apart.
    observe : callable, optional
        From states (N, D), h(x) of what holds a value, (N, m).
    values : ndarray, (N, m), optional
        In its place, h(x) that moves along.
    decorrelate : callable, optional
        Takes values (N, m) apart.
    observed : ObservedComponents, optional
        How a kernel evaluates h itself, where it can; in another order, and with what is missing.
    components : ndarray of int64, (m,), optional
        Of which components what holds a value is h.
    """

    pseudo_times: npt.NDArray[np.float64]
    y: Array
    precision: npt.NDArray[np.float64]
    of_state: Sequence[LocalLists]
    of_values: Sequence[LocalLists]
    of_observations: Sequence[LocalLists]
    observe: Callable[[Array], Array] | None = None
    values: Array | None = None
    decorrelate: Callable[[Array], Array] | None = None
    observed: ObservedComponents | None = None
    components: npt.NDArray[np.int64] | None = None

    def seen(self, x: Array, moving: Array | None) -> Array:
        """Return what is compared with y, (N, m)."""
        values = moving
        if values is None:
            assert self.observe is not None  # in place of `values`
            values = self.observe(x)
        return values if self.decorrelate is None else self.decorrelate(values)
