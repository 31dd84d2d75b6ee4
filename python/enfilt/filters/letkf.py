"""The local ensemble transform Kalman filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import _arrays
from ..backends import LocalWindow
from ..inflation import Adaptive, Inflation
from ..kernels.letkf import analyse, said
from ..localization import GaspariCohn, Known, Taper
from ..observation import Observation
from . import knobs, neighbours
from .base import EnsembleFilter
from .cycle import Array, Cycle
from .etkf import rotation_of, transform_ensemble
from .localized import Localized, check_grid, tapers_of
from .one_factor import OneFactor

__all__ = ["LETKF"]


@dataclass(frozen=True)
class LETKF(EnsembleFilter, Localized):
    """The local ensemble transform Kalman filter (LETKF).

    Hunt, Kostelich, Szunyogh (2007), "Efficient data assimilation for spatiotemporal chaos: a
    local ensemble transform Kalman filter". Every component of the state gets the analysis of the
    `ETKF` from the observations within the cutoff, their precisions R^-1 multiplied by a taper
    that falls with distance. A component that sees no observation keeps its forecast, bit for bit
    (or with `rotate`, the forecast rotated).

    Parameters
    ----------
    localization : Taper, FromEnsemble, ByVariable or ByKind
        The taper and its cutoff, in the unit of the grid; or one that follows from the ensemble.
        An infinite cutoff gives the `ETKF`.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    rotate : bool
        Multiply the anomalies of all components by the same random orthogonal matrix that keeps
        mean and covariance, as in the `ETKF`. `noise=` is then (N, N).
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernels run; those without one of their own loop over components in NumPy.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    Observations whose errors are correlated (``Observation(covariance=...)``) are seen as a whole:
    a block has one weight, the largest of its places', which is that of the nearest, and the
    inverse of its R is multiplied by it.

    The places of components come from ``Observation(..., grid=...)``, those of observations from
    an operator that chooses components or from ``locations=``; without them `analysis` raises a
    ValueError. Fastest are operators that choose components of a `RegularGrid` of one variable
    and apply a function of the library to each. Elsewhere h is evaluated at once, (N, m), and the
    observations near each place are looked for once, for all components there.

    float32 is computed in float32 where the local problem is conditioned so that this is
    accurate (to 2e-5 of the largest value, as tests hold), and in float64 elsewhere.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((10, 40))
    >>> grid = ef.grids.RegularGrid((40,))
    >>> obs = ef.Observation(ef.operators.Subset([0]), std=0.1, grid=grid)
    >>> filt = ef.LETKF(ef.localization.GaspariCohn(cutoff=5.0))
    >>> analysis = filt.analysis(forecast, [1.0], obs)
    >>> np.flatnonzero((analysis != forecast).any(axis=0))
    array([ 0,  1,  2,  3,  4, 36, 37, 38, 39])
    """

    inflation: float | Inflation = 1.0
    rotate: bool = False

    _name: ClassVar[str] = "letkf"
    _takes_cupy: ClassVar[bool] = True
    _takes_observed: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = True

    def _check_options(self) -> None:
        self._check_localization()
        if not isinstance(self.rotate, bool | np.bool_):
            raise TypeError(f"rotate={self.rotate!r}: expected True or False")

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> LETKF:
        # DAPPER's radius 4 of LETKF on Lorenz-96, in grid spacings
        return cls(GaspariCohn(cutoff=4 * 3.64 * model.grid.least_spacing))

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {
            "localization": knobs.taper(model, obs, 14),
            "inflation": knobs.relaxed_or_adaptive(),
        }

    def _keeps_whole(self) -> str:
        inflation = self._inflation
        local = isinstance(inflation, Adaptive) and inflation.local is not False
        if isinstance(inflation, OneFactor) and not local:
            return f"inflation={inflation!r} is one factor of all ranks"
        return self._keeps_whole_here() or super()._keeps_whole()

    @property
    def _evaluations(self) -> int:
        return 1

    def _noise_shape(self, members: int, dim: int) -> tuple[int, ...]:
        return (members, members) if self.rotate else (members, dim)

    def _check_observation(self, obs: Observation) -> None:
        check_grid(self.localization, obs)

    def _update(self, cycle: Cycle, out: Array) -> None:
        (batch, _, dim), kernels = out.shape, cycle.backend
        windows: dict[Known, LocalWindow | None] = {}
        for b in range(batch):
            rotation, taper = rotation_of(cycle, b, self.rotate), self._taper(cycle, b)
            if taper.is_none(cycle.obs.grid):
                transform_ensemble(cycle, b, rotation, out[b])
                continue
            if taper not in windows:
                windows[taper] = None
                known = cycle.observed is not None and kernels.has(kernels.letkf_window)
                if known and isinstance(taper, Taper):
                    windows[taper] = neighbours.common_window(cycle.obs, dim, taper)
            window = windows[taper]
            if window is not None and cycle.observed is not None:
                kernels.letkf_window(
                    cycle.forecast[b], window, cycle.observed.of(b), rotation, out[b]
                )
            else:
                self._from_lists(cycle, b, taper, rotation, out[b])

    def _from_lists(
        self,
        cycle: Cycle,
        b: int,
        taper: Known,
        rotation: Array | None,
        out: Array,
    ) -> None:
        x, y, kernels = cycle.forecast[b], cycle.y[b], cycle.backend
        xp = _arrays.namespace(x)
        grid, places = cycle.obs.places(x.shape[-1], y.size)
        grid = taper.on(grid)
        # on a GPU, where the host does not know which are missing, all of them
        seen: Any = slice(None) if kernels.on_device else np.flatnonzero(~np.isnan(y))
        if not len(places[seen]):  # of a batch, others of which hold observations
            out[...] = x
            return
        values, decorrelation = cycle.values(b), cycle.obs.decorrelation(y)
        if decorrelation is not None:
            values, y = decorrelation(values), decorrelation(y)
        precision: Any = _arrays.beside(x, cycle.obs.precision(x.dtype))
        precision = xp.broadcast_to(precision, y.shape)
        observations = said(values[:, seen], y[seen], precision[seen], x.dtype)
        blocks = None if decorrelation is None else decorrelation.of[seen]
        stand = neighbours.components(cycle.obs, x.shape[-1])
        at = None if stand is None else (np.arange(x.shape[-1]), stand[seen])
        parts = self._memory.lists.of(
            grid,
            places,
            seen,
            taper,
            at=at,
            blocks=blocks,
            by=tapers_of(cycle.obs, taper, x.shape[-1], y.size, seen),
            on_device=kernels.on_device,
        )
        analyse(kernels, x, parts, observations, rotation, out)
