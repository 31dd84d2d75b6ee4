"""A Gaussian prior: the forecast's mean and covariance, with closed-form posterior means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..localization import Taper
from ..parameters import WithParameters
from .base import Array, Estimate, FittedPrior, Noising, Prior, Setting, check_forecast


@dataclass(frozen=True)
class GaussianPrior(Prior):
    """The Gaussian of the forecast's mean and covariance.

    The image of a nonlinear observation operator joins in by its own mean and its covariance with
    the state: statistical linearization, as in the ensemble Kalman filter.

    Parameters
    ----------
    localization : Taper, "diagonal" or None
        None: the sample covariance (with N - 1) as it stands; where N is at most D everything
        happens in the space of the ensemble. A taper multiplies it by weights that fall with
        distance, which needs the grid of the state and matrices of D x D. "diagonal": the
        variances alone.

    Raises
    ------
    TypeError
        If `localization` is anything else.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> members = np.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])
    >>> fitted = ef.priors.GaussianPrior().fit(members)
    >>> fitted.posterior_mean(np.array([[3.0, 0.0]]), ef.priors.Noising(1.0, 1.0))
    array([[1., 1.]])
    >>> alone = ef.priors.GaussianPrior(localization="diagonal").fit(members)
    >>> alone.posterior_mean(np.array([[3.0, 0.0]]), ef.priors.Noising(1.0, 1.0))
    array([[1.5, 0. ]])
    """

    localization: Taper | str | None = None

    def __post_init__(self) -> None:
        value = self.localization
        if not (value is None or isinstance(value, Taper) or value == "diagonal"):
            raise TypeError(
                f"localization={value!r}: expected an enfilt.localization.GaspariCohn, "
                f"'diagonal' or None"
            )
        if isinstance(value, Taper):
            value.counts_none()

    def fit(
        self,
        forecast: Array,
        rng: np.random.Generator | None = None,
        setting: Setting = Setting(),  # noqa: B008 - frozen
    ) -> FittedPrior:
        forecast = check_forecast(forecast, setting)
        members, dim = forecast.shape
        x = setting.rotated(forecast).astype(np.float64)
        g = None if setting.image is None else setting.image.astype(np.float64)
        moments: _Moments
        if self.localization == "diagonal":
            moments = _Diagonal(x, g)
        elif isinstance(self.localization, Taper) and not self.localization.is_none(setting.grid):
            if setting.grid is None:
                raise ValueError(
                    "grid is missing: a localized prior needs the places of the components; give "
                    "Observation(..., grid=model.grid), or their coordinates (D, k)"
                )
            if isinstance(setting.grid, WithParameters):
                raise ValueError(
                    f"grid={setting.grid!r}: expected a geometry without parameters, as a "
                    f"localized prior has no covariance with what has no place"
                )
            places = setting.grid.coordinates()
            distances = self.localization.on(setting.grid).distances(places, places)
            taper = self.localization.weight(distances)
            moments = _Dense(forecast.astype(np.float64), g, taper, setting.basis)
        elif members <= dim:
            moments = _InEnsemble(x, g)
        else:
            moments = _Dense(x, g, 1.0, None)
        state = x.mean(axis=0)
        return _Gaussian(state, None if g is None else g.mean(axis=0), moments)


class _Moments(ABC):
    """Covariances of state, image and noised state, as linear maps of rows."""

    @abstractmethod
    def gain(self, d: Array, noising: Noising) -> tuple[Array, Array | None]:
        """Return S_xt S_tt^-1 d and S_gt S_tt^-1 d for each row d of (M, D)."""

    @abstractmethod
    def transpose(self, u: Array, v: Array, noising: Noising) -> Array:
        """Return S_tt^-1 (S_tx u + S_tg v) for rows u, v of (M, D)."""


class _Gaussian(FittedPrior):
    def __init__(self, state: Array, image: Array | None, moments: _Moments) -> None:
        self.state, self.image, self.moments = state, image, moments
        self.dim = len(state)

    def estimate(self, x: Array, noising: Noising) -> Estimate:
        expected = noising.scale * self.state
        if self.image is not None:
            expected = expected + noising.image_scale * self.image
        state, image = self.moments.gain(x.astype(np.float64) - expected, noising)
        both = None
        if self.image is not None and image is not None:
            both = (self.image + image).astype(x.dtype)
        return Estimate((self.state + state).astype(x.dtype), both)

    def pullback(self, x: Array, noising: Noising, state: Array, image: Array) -> Array:
        u, v = state.astype(np.float64), image.astype(np.float64)
        return self.moments.transpose(u, v, noising).astype(x.dtype)


def _anomalies(x: Array) -> Array:
    """Return anomalies whose Gram matrix over members is the covariance."""
    result: Array = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    return result


class _Diagonal(_Moments):
    def __init__(self, x: Array, g: Array | None) -> None:
        a = _anomalies(x)
        b = np.zeros_like(a) if g is None else _anomalies(g)
        self.image = g is not None
        self.xx, self.xg, self.gg = (np.sum(p * q, axis=0) for p, q in ((a, a), (a, b), (b, b)))

    def _ratios(self, noising: Noising) -> tuple[Array, Array]:
        a, b = noising.scale, noising.image_scale
        xt, gt = a * self.xx + b * self.xg, a * self.xg + b * self.gg
        total = a * xt + b * gt + noising.variance
        return xt / total, gt / total

    def gain(self, d: Array, noising: Noising) -> tuple[Array, Array | None]:
        state, image = self._ratios(noising)
        return state * d, image * d if self.image else None

    def transpose(self, u: Array, v: Array, noising: Noising) -> Array:
        state, image = self._ratios(noising)
        result: Array = state * u + image * v
        return result


class _InEnsemble(_Moments):
    """N members span the covariance: the solve is N x N, by the Woodbury identity."""

    def __init__(self, x: Array, g: Array | None) -> None:
        self.x = _anomalies(x)
        self.g = None if g is None else _anomalies(g)

    def _noised(self, noising: Noising) -> tuple[Array, Array]:
        """Return T C^-1 for the anomalies T of the noised state, and (I + T C^-1 T^T)^-1."""
        t = self.x * noising.scale
        if self.g is not None:
            t = t + noising.image_scale * self.g
        weighted = t / noising.variance
        # by eigenvalues: never singular, however large the spread beside the noise
        values, vectors = np.linalg.eigh(weighted @ t.T)
        return weighted, (vectors / (1 + np.maximum(values, 0))) @ vectors.T

    def gain(self, d: Array, noising: Noising) -> tuple[Array, Array | None]:
        weighted, inverse = self._noised(noising)
        coefficients = (d @ weighted.T) @ inverse
        return coefficients @ self.x, None if self.g is None else coefficients @ self.g

    def transpose(self, u: Array, v: Array, noising: Noising) -> Array:
        weighted, inverse = self._noised(noising)
        values = u @ self.x.T
        if self.g is not None:
            values += v @ self.g.T
        result: Array = (values @ inverse) @ weighted
        return result


class _Dense(_Moments):
    def __init__(self, x: Array, g: Array | None, taper: Any, basis: Array | None) -> None:
        a = _anomalies(x)
        b = None if g is None else _anomalies(g)

        def tapered(p: Array, q: Array) -> Array:
            full: Array = taper * (p.T @ q)
            return full if basis is None else basis.T @ full @ basis

        self.xx = tapered(a, a)
        self.xg = None if b is None else tapered(a, b)
        self.gg = None if b is None else tapered(b, b)

    def _blocks(self, noising: Noising) -> tuple[Array, Array | None, Array]:
        """Return S_tx, S_tg and S_tt."""
        a, b = np.broadcast_to(noising.scale, len(self.xx))[:, None], noising.image_scale
        tx = a * self.xx
        tg = None
        if self.xg is not None and self.gg is not None:
            tx = tx + b * self.xg.T
            tg = a * self.xg + b * self.gg
        tt = tx * a[:, 0] if tg is None else tx * a[:, 0] + b * tg
        tt = tt + np.diag(np.broadcast_to(noising.variance, len(tt)))
        return tx, tg, tt

    def gain(self, d: Array, noising: Noising) -> tuple[Array, Array | None]:
        tx, tg, tt = self._blocks(noising)
        w = np.linalg.solve(tt, d.T).T
        return w @ tx, None if tg is None else w @ tg

    def transpose(self, u: Array, v: Array, noising: Noising) -> Array:
        tx, tg, tt = self._blocks(noising)
        values = u @ tx.T
        if tg is not None:
            values = values + v @ tg.T
        return np.ascontiguousarray(np.linalg.solve(tt, values.T).T)
