"""The ensemble Kalman filter: perturbed observations or deterministic, localized or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import _arrays, _checks
from ..inflation import Inflation
from ..kernels import ensemble_space
from ..localization import ByKind, FromEnsemble, Known, Taper
from ..observation import Observation
from ..parameters import split
from . import knobs
from .base import EnsembleFilter
from .cycle import Array, Cycle
from .localized import check_grid, check_localization, tapers_of
from .observation_products import observation_products

__all__ = ["EnKF"]


@dataclass(frozen=True)
class EnKF(EnsembleFilter):
    """The ensemble Kalman filter (EnKF), x + K (y + r eps - h(x)), K = P_xy (P_yy + R)^-1.

    Evensen (1994), "Sequential data assimilation with a nonlinear quasi-geostrophic model using
    Monte Carlo methods to forecast error statistics"; with perturbed observations, Burgers, van
    Leeuwen, Evensen (1998), "Analysis scheme in the ensemble Kalman filter", eq. 15. Without
    localization the gain lives in the space of the ensemble, K = A^T C^-1 Y R^-1 with
    C = (N-1) I + Y R^-1 Y^T, and no matrix of m x m or D x m is made. Localized, the covariances
    are Schur products rho o P_xy and rho o P_yy (Houtekamer, Mitchell 2001, eq. 6), P_yy an m x m
    matrix and P_xy made a block of components at a time: for problems of some 10,000 observations
    at most. R itself is not tapered, correlated or not.

    Parameters
    ----------
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    localization : Taper, FromEnsemble, ByVariable or ByKind, optional
        Taper of the covariances, given or from the ensemble; it needs
        ``Observation(..., grid=...)``. Infinite: none.
    method : {"perturbed", "denkf"}
        ``perturbed`` gives each member observations with errors of its own; ``denkf`` draws
        nothing: the mean moves by K d, the anomalies by -K Y / 2 (Sakov, Oke 2008, "A
        deterministic formulation of the ensemble Kalman filter", eq. 15).
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the random numbers come from; all give the same.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    ``noise=`` of ``perturbed`` is (N, m): eps, one an observation. They are not centred.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((100, 3))
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.1)
    >>> analysis = ef.EnKF().analysis(forecast, [1.0, 2.0, 3.0], obs, rng=0)
    >>> analysis.mean(axis=0).round(1)
    array([1., 2., 3.])
    """

    inflation: float | Inflation = 1.0
    localization: Known | FromEnsemble | None = None
    method: str = "perturbed"

    _name: ClassVar[str] = "enkf"
    _takes_observed: ClassVar[bool] = True
    _takes_cupy: ClassVar[bool] = True

    def _check_options(self) -> None:
        _checks.choice("method", self.method, ["perturbed", "denkf"])
        check_localization(self.localization, or_none=True)
        if isinstance(self.localization, Taper):
            self.localization.counts_none()

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        found = {"inflation": knobs.relaxed_or_adaptive()}
        # localized, each analysis solves with a matrix of m x m
        if (obs.told_size(model.dim) or 0) <= 3000:
            found["localization"] = knobs.taper(model, obs, 14)
        return found

    def _noise_shape_observed(self, members: int, dim: int, observations: int) -> tuple[int, ...]:
        return (members, observations if self.method == "perturbed" else dim)

    def _check_observation(self, obs: Observation) -> None:
        check_grid(self.localization, obs)

    def _keeps_off_device(self, obs: Observation) -> str:
        if self._localizes(obs):
            return (
                "its localized covariances, m x m, are tapered and solved with on the CPU "
                "(LETKF and LEnFF run on a GPU)"
            )
        return super()._keeps_off_device(obs)

    def _localizes(self, obs: Observation) -> bool:
        return self.localization is not None and not self.localization.is_none(obs.grid)

    def _update(self, cycle: Cycle, out: Array) -> None:
        if self._localizes(cycle.obs):
            cycle.obs.places(
                out.shape[-1], cycle.y.shape[-1]
            )  # may raise, so before anything is written
        for b, target in enumerate(out):
            taper = cycle.tapers.get(b, self.localization)
            if taper is None or isinstance(taper, FromEnsemble) or taper.is_none(cycle.obs.grid):
                taper = None
            normals = None
            if self.method == "perturbed":
                # the analysis comes last: until then its memory may hold the draws
                normals = cycle.normals(b, (len(target), cycle.y.shape[-1]), scratch=target)
            if taper is None:
                self._in_ensemble_space(cycle, b, normals, target)
            else:
                self._localized(cycle, b, normals, taper, target)

    def _in_ensemble_space(self, cycle: Cycle, b: int, normals: Array | None, out: Array) -> None:
        gram, innovation, perturbations = observation_products(cycle, b, normals=normals)
        members = len(gram)
        # rows (y + r eps - h(x_i)) R^-1 Y^T, or those of d - Y_i / 2
        if perturbations is not None:
            pull = innovation + perturbations - gram
        else:
            pull = innovation - gram / 2
        gain = pull @ ensemble_space.spectrum(gram).power(-1)
        eye = _arrays.namespace(gram).eye(members)
        ensemble_space.combine(cycle.forecast[b], eye + gain, out)

    def _localized(
        self,
        cycle: Cycle,
        b: int,
        normals: Array | None,
        taper: Known,
        out: Array,
    ) -> None:
        x = cycle.forecast[b]
        members, dim = x.shape
        whole, places = cycle.obs.places(dim, cycle.y.shape[-1])
        grid, weight = split(taper.on(whole))
        seen = np.flatnonzero(~np.isnan(cycle.y[b]))
        if seen.size == 0:  # of a batch, others of which hold observations
            out[...] = x
            return
        places = places[seen]

        by = tapers_of(cycle.obs, taper, dim, cycle.y.shape[-1], seen)

        def weights(where: Array, of: Any) -> Array:
            distance = grid.distances(places, where)
            if isinstance(taper, Taper):
                return taper.weight(distance)
            assert by is not None
            if isinstance(taper, ByKind):
                weight = taper.weight_of(distance, by[:, None])
                # between observations it has to be symmetric
                return weight if of is None else np.sqrt(weight * taper.weight_of(distance, of))
            return taper.weight(distance, of, by[:, None])

        values = cycle.values(b)[:, seen].astype(np.float64)
        mean = values.mean(axis=0)
        y = cycle.y[b, seen].astype(np.float64)
        values -= mean
        if normals is not None:
            pull = (y - mean) - values + cycle.obs.errors(normals, cycle.y[b])[:, seen]
        else:
            pull = (y - mean) - values / 2
        count = len(seen)
        covariance = values.T @ values / (members - 1)
        for part in ensemble_space.blocks(count, count):
            covariance[:, part] *= weights(places[part], None if by is None else by[part])
        if cycle.obs.is_correlated:
            covariance += cycle.obs.error_covariance(seen, cycle.y.shape[-1])
        else:
            std = np.broadcast_to(cycle.obs.r, cycle.y[b].shape)[seen]
            covariance[np.diag_indices(count)] += std**2
        # not Cholesky: a taper on a short ring, or a step, need not be positive definite
        solved = np.linalg.solve(covariance, pull.T).T / (members - 1)
        parts = [*ensemble_space.blocks(grid.size, max(count, members)), slice(grid.size, dim)]
        for part in parts:
            block = x[:, part].astype(np.float64)
            cross = values.T @ (block - block.mean(axis=0))
            components = np.arange(part.start, part.stop)
            if part.start < grid.size:
                of = None
                if by is not None and not isinstance(taper, ByKind):
                    of = grid.variables_of(components)
                cross *= weights(grid.coordinates(components), of)
            else:  # parameters, which have no place
                cross *= weight
            out[:, part] = block + solved @ cross
