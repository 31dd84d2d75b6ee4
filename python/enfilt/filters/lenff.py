"""The localized ensemble flow filter."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..backends import lenff
from ..backends.lenff import LocalStep
from ..grids import Grid, RegularGrid
from ..localization import GaspariCohn
from ..observation import Observation
from . import knobs, neighbours
from .base import Array, Cycle, EnsembleFilter


@dataclass(frozen=True)
class _Localized:
    """The option that has no default; as the last base, its field comes first."""

    localization: GaspariCohn


@dataclass(frozen=True)
class LEnFF(EnsembleFilter, _Localized):
    r"""The localized ensemble flow filter (LEnFF).

    Members flow in pseudo-time tau from the forecast (0) to the analysis (1) by the ensemble's own
    localized covariance, each by half its own innovation and half the mean's: the Kalman-Bucy
    homotopy of Bergemann, Reich (2010), "A mollified ensemble Kalman filter", and Reich (2011), "A
    dynamical systems framework for intermittent data assimilation",

        dx_i/dtau = P_xy R^-1 (y - (h(x_i) + mean h)/2).

    It is taken in `steps` of pseudo-time w_k that grow geometrically, h evaluated anew in each:
    with anomalies A and Y of x and h(x), P_xy = rho o A^T Y/(N-1), P_yy = rho o Y^T Y/(N-1) and
    b_l = sum_l' |P_yy(l, l')|,

        dx_i(d) = sum_l P_xy(d, l) (y_l - (h_il + mean_l)/2) / (b_l + r_l^2/w_k),

    the row sum b_l bounding the step however precise the observations are. There is no
    eigenproblem, no linear system, and nothing is drawn.

    Parameters
    ----------
    localization : GaspariCohn
        The taper rho and its cutoff, in the unit of the grid. Infinite: none.
    steps : int
        Steps of pseudo-time, at least 1.
    growth : float
        The last step over the first, above zero: small steps first, where innovations are large.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    backend : {"auto", "cpp", "numba", "numpy"}
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
    """

    steps: int = 10
    growth: float = 10.0

    def _check_options(self) -> None:
        if not isinstance(self.localization, GaspariCohn):
            raise TypeError(
                f"localization={self.localization!r}: expected an "
                f"enfilt.localization.GaspariCohn(cutoff=...)"
            )
        _checks.integer("steps", self.steps, 1)
        _checks.number("growth", self.growth, above=0)

    @property
    def pseudo_times(self) -> npt.NDArray[np.float64]:
        """w_k, (steps,): growth^(k/(steps-1)), made to sum to 1."""
        weights = self.growth ** (np.arange(self.steps) / max(1, self.steps - 1))
        result: npt.NDArray[np.float64] = weights / weights.sum()
        return result

    @classmethod
    def for_experiment(cls, model: Any, steps_per_cycle: int) -> LEnFF:
        return cls(GaspariCohn(cutoff=12 * model.grid.spacing))

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {"localization": knobs.cutoff(model, obs, 12), "inflation": knobs.rtps(0.2)}

    def _check_observation(self, obs: Observation) -> None:
        if obs.grid is None:
            obs.state_grid(0)  # says what is missing, also where nothing was observed
        grid = obs.grid
        if isinstance(grid, RegularGrid) and self.localization.cutoff <= grid.spacing:
            warnings.warn(
                f"cutoff={self.localization.cutoff!r} is no longer than the grid's "
                f"spacing={grid.spacing!r}: components no longer correlate",
                stacklevel=4,
            )

    def _update(self, cycle: Cycle, out: Array) -> None:
        dim = out.shape[-1]
        window = None
        if cycle.backend.has_lenff_window:
            window = neighbours.common_window(cycle.obs, dim, self.localization)
        if window is not None and cycle.observed is not None:
            for b, x in enumerate(out):
                observed = cycle.observed.of(b)
                cycle.backend.lenff_window(
                    cycle.forecast[b], window, observed, self.pseudo_times, x
                )
            return
        grid, places = cycle.obs.places(dim)
        precision = np.broadcast_to(cycle.obs.precision(np.float64), cycle.y.shape[1:])
        for b, x in enumerate(out):
            x[...] = cycle.forecast[b]
            seen = np.flatnonzero(~np.isnan(cycle.y[b]))
            if seen.size:
                self._flow(cycle.obs, cycle.y[b], seen, precision[seen], grid, places[seen], x)

    def _flow(
        self,
        obs: Observation,
        y: Array,
        seen: npt.NDArray[np.int64],
        precision: Array,
        grid: Grid,
        places: Array,
        x: Array,
    ) -> None:
        """Move the members x (N, D) to their analysis."""
        of_state = list(neighbours.lists(grid, places, self.localization))
        of_observations = list(neighbours.lists(grid, places, self.localization, of=places))
        for w in self.pseudo_times:
            values = obs.operator(x)[:, seen].T.astype(np.float64)
            mean = values.mean(axis=1, keepdims=True)
            step = LocalStep(
                anomalies=values - mean,
                innovations=y[seen, None] - 0.5 * (values + mean),
                noise=1 / (precision * w),
            )
            bound = np.concatenate([lenff.bounds(step.anomalies, p) for p in of_observations])
            moved = x.copy()
            for part in of_state:
                stop = part.first + len(part.starts) - 1
                moved[:, part.first : stop] += lenff.increments(x, part, step, bound).T
            x[...] = moved
