"""The localized ensemble flow filter."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..backends import ListedFlow, LocalLists, LocalWindow
from ..grids import RegularGrid
from ..inflation import Adaptive, Inflation, as_inflation
from ..kernels.lenff import pseudo_times
from ..localization import ByKind, FromEnsemble, Known, Taper
from ..observation import Observation
from . import knobs, list_parts, neighbours
from .base import EnsembleFilter
from .cycle import Array, Cycle
from .kept_lists import KeptLists
from .localized import Localized, check_grid, tapers_of
from .one_factor import OneFactor

__all__ = ["LEnFF"]

#: `steps="auto"` is content when the last halving of the steps changed the analysis by no more than
#: this fraction of its spread, or with the most steps. One step is not among those compared: with
#: the usual growth, two are nearly the same.
SETTLED = 0.05
FEWEST_STEPS = 2
MOST_STEPS = 64

# Components compared at a time: temporaries stay small beside an ensemble. On a GPU a block has to
# be worth starting kernels for.
_BLOCK = 1 << 14
_DEVICE_BLOCK = 1 << 20

#: Takes the weights of pseudo-time and an ensemble (N, D) that the analysis is written to.
Flow = Callable[[npt.NDArray[np.float64], Array], None]


@dataclass(frozen=True)
class LEnFF(EnsembleFilter, Localized):
    r"""The localized ensemble flow filter (LEnFF).

    Members flow in pseudo-time tau from the forecast (0) to the analysis (1) by the ensemble's own
    localized covariance, each by half its own innovation and half the mean's: the Kalman-Bucy
    homotopy of Bergemann, Reich (2010), "A mollified ensemble Kalman filter", and Reich (2011), "A
    dynamical systems framework for intermittent data assimilation",

        dx_i/dtau = P_xy R^-1 (y - (h(x_i) + mean h)/2).

    It is taken in `steps` of pseudo-time w_k that grow geometrically, h evaluated anew in each:
    with anomalies A and Y of x and h(x), P_xy = rho o A^T Y/(N-1), P_yy = rho o Y^T Y/(N-1) and
    ``b_l = sum_l' |P_yy(l, l')|``,

        dx_i(d) = sum_l P_xy(d, l) (y_l - (h_il + mean_l)/2) / (b_l + r_l^2/w_k),

    the row sum b_l bounding the step however precise the observations are. There is no
    eigenproblem, no linear system, and nothing is drawn.

    Parameters
    ----------
    localization : FromEnsemble, GaspariCohn, ByVariable or ByKind
        The taper rho. By default it follows from the ensemble, cycle by cycle; or one of a cutoff
        in the unit of the grid. Infinite: none.
    steps : int or "auto"
        Steps of pseudo-time, at least 1. ``"auto"`` takes 2, 4, 8, ... steps until the last
        halving changed the analysis by at most a twentieth of its spread (`SETTLED`; both are
        root mean squares over members and the components that moved), 64 steps at most; ``facts``
        of the filter and of a twin experiment's result tell how many. It costs about twice the
        steps that it takes in the end.
    growth : float
        The last step over the first, above zero: small steps first, where innovations are large.
    inflation : float or Inflation, optional
        Widens the ensemble about its mean; a number is a factor of the analysis. Default:
        `inflation.Adaptive` beside a taper from the ensemble, none beside a given one. Without any
        option there is nothing to tune.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernels run.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    The places of components come from ``Observation(..., grid=...)``, those of observations from
    an operator that chooses components or from ``locations=``; without them `analysis` raises a
    ValueError. For a linear operator without localization mean and covariance tend to those of
    the Kalman update with the ensemble's own covariance as the steps grow, whatever N.

    Observations whose errors are correlated are taken apart first, y' = S C^-1/2 S^-1 y with
    R = S C S, by the symmetric root in each block; R of y' is the same diag(r^2). A block is
    tapered as a whole, by the largest weight of its places: that of the nearest.

    Values given as ``observed=`` move from step to step by their own localized covariance with the
    observations, as if they were components of the state.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((10, 40))
    >>> grid = ef.grids.RegularGrid((40,))
    >>> obs = ef.Observation(ef.operators.Subset([0]), std=0.1, grid=grid)
    >>> filt = ef.LEnFF(ef.localization.GaspariCohn(cutoff=5.0))
    >>> analysis = filt.analysis(forecast, [1.0], obs)
    >>> np.flatnonzero((analysis != forecast).any(axis=0))
    array([ 0,  1,  2,  3,  4, 36, 37, 38, 39])

    Nothing to tune, and what it found:

    >>> filt = ef.LEnFF()
    >>> analysis = filt.analysis(forecast, [1.0], obs)
    >>> sorted(filt.facts)
    ['cutoff', 'inflation', 'lost', 'outliers']
    """

    localization: Known | FromEnsemble = FromEnsemble()  # noqa: RUF009 - frozen
    steps: int | str = 10
    growth: float = 10.0
    inflation: float | Inflation | None = field(default=None, kw_only=True)

    _name: ClassVar[str] = "lenff"
    _takes_cupy: ClassVar[bool] = True
    _takes_observed: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = True

    @functools.cached_property
    def _inflation(self) -> Inflation:
        if self.inflation is None and isinstance(self.localization, FromEnsemble):
            return Adaptive()
        return as_inflation(1.0 if self.inflation is None else self.inflation)

    def _check_options(self) -> None:
        self._check_localization()
        if isinstance(self.steps, str):
            _checks.choice("steps", self.steps, ["auto"])
        else:
            _checks.integer("steps", self.steps, 1)
        _checks.number("growth", self.growth, above=0)

    def _keeps_whole(self) -> str:
        inflation = self._inflation
        local = isinstance(inflation, Adaptive) and inflation.local is not False
        if isinstance(inflation, OneFactor) and not local:
            return f"inflation={inflation!r} is one factor of all ranks"
        if isinstance(self.steps, str):
            return "steps='auto' looks at the analyses of all ranks"
        return self._keeps_whole_here() or super()._keeps_whole()

    @property
    def _evaluations(self) -> int:
        assert isinstance(self.steps, int)
        return self.steps

    @property
    def _cutoffs_seen(self) -> int:
        return 2  # an observation's step is bounded by those that it sees itself

    @property
    def pseudo_times(self) -> npt.NDArray[np.float64]:
        """w_k, (steps,): growth^(k/(steps-1)), made to sum to 1.

        Raises
        ------
        ValueError
            If the number of steps is chosen in each analysis.
        """
        if isinstance(self.steps, str):
            raise ValueError(f"steps={self.steps!r}: the number of steps is not known beforehand")
        return pseudo_times(self.steps, self.growth)

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> LEnFF:
        return cls()

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {
            "localization": knobs.taper(model, obs, 12),
            "inflation": knobs.relaxed_or_adaptive(0.2),
        }

    def _check_observation(self, obs: Observation) -> None:
        check_grid(self.localization, obs)
        grid, taper = obs.grid, self.localization
        if not (isinstance(taper, Taper) and isinstance(grid, RegularGrid)):
            return
        if taper.cutoff <= grid.least_spacing:
            warnings.warn(
                f"cutoff={taper.cutoff!r} is no longer than the grid's "
                f"spacing={grid.spacing!r}: components no longer correlate",
                stacklevel=4,
            )

    def _update(self, cycle: Cycle, out: Array) -> None:
        dim, m = out.shape[-1], cycle.y.shape[-1]
        shared: dict[Known, LocalWindow | _Lists | None] = {}
        taken, kept = [], self._memory.lists
        for b, x in enumerate(out):
            taper = self._taper(cycle, b)
            placed = dataclasses.replace(cycle, obs=neighbours.placed(cycle.obs, dim, m, taper))
            if taper not in shared:
                shared[taper] = self._shared(placed, taper, kept)
            found = shared[taper]
            if isinstance(found, LocalWindow):
                flow = _on_window(placed, b, found)
            else:
                flow = _on_lists(placed, b, found or _Lists.of(placed, b, taper, kept))
            if isinstance(self.steps, str):
                taken.append(self._settle(flow, cycle.forecast[b], x))
            else:
                flow(self.pseudo_times, x)
        if taken:
            cycle.facts["steps"] = max(taken)

    @staticmethod
    def _shared(cycle: Cycle, taper: Known, kept: KeptLists) -> LocalWindow | _Lists | None:
        """Return what all ensembles of a batch see by the same taper; None where each differs."""
        window, kernels = None, cycle.backend
        known = cycle.observed is not None and kernels.has(kernels.lenff_window)
        if known and isinstance(taper, Taper):
            window = neighbours.common_window(cycle.obs, cycle.forecast.shape[-1], taper)
        if window is None and kernels.on_device:  # the host does not know what is missing
            return _Lists.of(cycle, 0, taper, kept)
        return window

    def _settle(self, flow: Flow, forecast: Array, x: Array) -> int:
        """Write the analysis whose number of steps is enough; return that."""
        steps = FEWEST_STEPS
        coarse = np.empty_like(x)  # where there is no memory for it, `x` is untouched
        flow(pseudo_times(steps, self.growth), x)
        while steps < MOST_STEPS:
            steps *= 2
            coarse[...] = x
            flow(pseudo_times(steps, self.growth), x)
            if _change(x, coarse, forecast) <= SETTLED:
                break
        return steps


class _Lists(NamedTuple):
    """Which observations components, and observations, see of those that are looked at.

    Attributes
    ----------
    seen : ndarray of int64, or slice
        Those of an ensemble that hold a value; on a GPU, where the host does not know, all.
    of_state, of_values, of_observations : list of LocalLists
        What components see; what values of h(x) that move along see; and what the observations see
        that these became where correlated errors were taken apart, alike in a block.
    """

    seen: Any
    of_state: list[LocalLists]
    of_values: list[LocalLists]
    of_observations: list[LocalLists]

    @classmethod
    def of(cls, cycle: Cycle, b: int, localization: Known, kept: KeptLists) -> _Lists:
        """Make them for one ensemble, or on a GPU for all of a batch."""
        dim, m = cycle.forecast.shape[-1], cycle.y.shape[-1]
        grid, places = cycle.obs.places(dim, m)
        grid = localization.on(grid)
        components = neighbours.components(cycle.obs, dim)
        kernels = cycle.backend
        seen: Any = slice(None) if kernels.on_device else np.flatnonzero(~np.isnan(cycle.y[b]))
        if not len(places[seen]):
            return cls(seen, [], [], [])
        decorrelation = cycle.obs.decorrelation(cycle.y[b], symmetric=True)
        blocks = None if decorrelation is None else decorrelation.of[seen]
        by = tapers_of(cycle.obs, localization, dim, m, seen)

        def found(values: bool, rows: Any, own: bool = False) -> list[LocalLists]:
            at = None if components is None else (rows, components[seen])
            parts = kept.of(
                grid,
                places,
                seen,
                localization,
                values=values,
                at=at,
                blocks=blocks,
                by=by,
                own=own,
                on_device=kernels.on_device,
            )
            return [kernels.resident(part) for part in parts]

        of_state = found(False, np.arange(dim))
        if components is None:
            of_values = found(True, None)
        else:  # where all is observed, each component is an observation's place
            same = np.array_equal(components[seen], np.arange(dim))
            of_values = of_state if same else found(True, components[seen])
        bounding = of_values
        if isinstance(localization, ByKind):  # by its own taper it moves all that sees it
            bounding = found(True, None if components is None else components[seen], own=True)
        alike = bounding if blocks is None else list_parts.between_blocks(bounding, blocks)
        return cls(seen, of_state, of_values, alike)


def _on_lists(cycle: Cycle, b: int, lists: _Lists) -> Flow:
    """Return the flow of one ensemble where each place has a list of observations."""
    obs, y, forecast, m = cycle.obs, cycle.y[b], cycle.forecast[b], cycle.y.shape[-1]
    xp, seen = _arrays.namespace(forecast), lists.seen
    precision = _arrays.beside(forecast, obs.precision(np.float64))
    precision = xp.broadcast_to(precision, y.shape)[seen]
    # symmetric: no step depends on the order of observations
    decorrelation = obs.decorrelation(y, symmetric=True)
    y = y[seen]
    if decorrelation is not None:
        decorrelation = decorrelation.among(seen, m)
        y = decorrelation(y)
    observed, form = cycle.observed, obs.pointwise(forecast.shape[-1])
    problem = ListedFlow(
        pseudo_times=np.ones(1),
        y=xp.ascontiguousarray(y, forecast.dtype),
        precision=xp.ascontiguousarray(precision),
        of_state=lists.of_state,
        of_values=lists.of_values,
        of_observations=lists.of_observations,
        observe=lambda x: obs.observe(x, m)[:, seen],
        values=None if cycle.given is None else cycle.given[b][:, seen],
        decorrelate=decorrelation,
        observed=None if observed is None else observed.of(b),
        components=None if form is None else np.arange(forecast.shape[-1])[form.components][seen],
    )

    def flow(weights: npt.NDArray[np.float64], x: Array) -> None:
        x[...] = forecast
        if lists.of_state:
            cycle.backend.lenff_lists(dataclasses.replace(problem, pseudo_times=weights), x)

    return flow


def _on_window(cycle: Cycle, b: int, window: LocalWindow) -> Flow:
    """Return the flow of one ensemble on a grid all of whose components share a window."""
    assert cycle.observed is not None  # without it there is no window
    observed = cycle.observed.of(b)

    def flow(weights: npt.NDArray[np.float64], x: Array) -> None:
        cycle.backend.lenff_window(cycle.forecast[b], window, observed, weights, x)

    return flow


def _change(x: Array, coarse: Array, forecast: Array) -> float:
    """Return how far two analyses are apart, over the spread of the first."""
    apart: Any = 0.0  # on a GPU numbers that are there until the end
    variance: Any = 0.0
    length = _DEVICE_BLOCK if _arrays.on_device(x) else _BLOCK
    for start in range(0, x.shape[-1], length):
        block = (slice(None), slice(start, start + length))
        # what no observation moves would hide how others change
        moved = (x[block] != forecast[block]).any(axis=0)
        fine = x[block].astype(np.float64)
        apart = apart + (moved * (fine - coarse[block]) ** 2).sum()
        variance = variance + (moved * fine.var(axis=0, ddof=1)).sum()
    apart, variance = float(apart) / len(x), float(variance)
    if not variance > 0:  # without spread nothing but the same again is near
        return float("inf") if apart else 0.0
    return float(np.sqrt(apart / variance))
