"""The Kalman filter itself: exact for linear dynamics and observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, quality
from ..inflation import Inflation
from ..observation import Observation
from .base import EnsembleFilter
from .cycle import Array, Cycle

__all__ = ["KalmanFilter"]

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KalmanFilter(EnsembleFilter):
    """The Kalman filter: mean and covariance of a linear Gaussian problem.

    Kalman (1960), "A new approach to linear filtering and prediction problems". The reference
    that ensemble filters are held against: `forecast_moments` and `analysis_moments` carry a mean
    (D,) and a covariance (D, D), with matrices of D x D and D x m: for small problems.

    `analysis` makes the same update of an ensemble: mean and covariance (with N - 1) of the
    result are those that `analysis_moments` makes of the forecast's, for any N. The anomalies
    move by the gain of the square root filter, A (I - K' H)^T with
    K' = P H^T S^-1/2 (S^1/2 + R^1/2)^-1, S = H P H^T + R (Whitaker, Hamill 2002, "Ensemble data
    assimilation without perturbed observations", eq. 10). An ensemble of more than D members so
    stands for mean and covariance, and a linear model carries them on exactly: in a twin
    experiment this is the Kalman filter. It draws nothing.

    Parameters
    ----------
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor. For ensembles only.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        All give the same.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Examples
    --------
    A position and a velocity, the position observed:

    >>> import numpy as np, enfilt as ef
    >>> kf = ef.KalmanFilter()
    >>> obs = ef.Observation(ef.operators.Subset([0]), std=1.0)
    >>> drift = np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> mean, covariance = kf.forecast_moments(np.array([0.0, 1.0]), np.eye(2), drift)
    >>> mean, covariance = kf.analysis_moments(mean, covariance, [2.5], obs)
    >>> mean
    array([2. , 1.5])
    """

    inflation: float | Inflation = 1.0

    _takes_observed: ClassVar[bool] = True
    _takes_cupy: ClassVar[bool] = True

    def _check_options(self) -> None:
        pass

    @_arrays.as_it_came
    def forecast_moments(
        self,
        mean: npt.ArrayLike,
        covariance: npt.ArrayLike,
        propagator: npt.ArrayLike,
        *,
        error: npt.ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Carry mean and covariance over a linear model: F m, F P F^T + Q.

        Parameters
        ----------
        mean : array_like, (D,)
            m.
        covariance : array_like, (D, D)
            P, symmetric.
        propagator : array_like, (D, D)
            F. A model's is ``model.step(np.eye(D), steps).T``.
        error : array_like, (D, D), optional
            Q, the covariance of the model's error; None: the model is perfect.

        Returns
        -------
        mean : ndarray, (D,)
        covariance : ndarray, (D, D)
            In the dtype of `mean`.

        Raises
        ------
        TypeError, ValueError
            If a shape or a dtype does not fit, or a value is not finite.
        FloatingPointError
            If finite numbers overflow.
        """
        m, p = _moments(mean, covariance)
        f = _square("propagator", propagator, m)
        q = 0.0 if error is None else _square("error", error, m)
        with np.errstate(over="ignore", invalid="ignore"):  # `_finite` says it better
            result = f @ p @ f.T + q
            return _finite("propagator", (f @ m).astype(m.dtype), result)

    @_arrays.as_it_came
    def analysis_moments(
        self,
        mean: npt.ArrayLike,
        covariance: npt.ArrayLike,
        y: npt.ArrayLike,
        obs: Observation,
    ) -> tuple[Array, Array]:
        """Assimilate observations: m + K (y - H m), (I - K H) P, K = P H^T (H P H^T + R)^-1.

        Parameters
        ----------
        mean : array_like, (D,)
            Of the forecast.
        covariance : array_like, (D, D)
            Of the forecast, symmetric.
        y : array_like, (m,)
            Observations; NaN: not observed.
        obs : Observation
            A linear operator, and the error.

        Returns
        -------
        mean : ndarray, (D,)
        covariance : ndarray, (D, D)
            In the dtype of `mean`; computed in float64, by Joseph's form, which stays positive.

        Raises
        ------
        TypeError, ValueError
            If a shape or a dtype does not fit, a value is not finite, or h is not linear.
        FloatingPointError
            If finite numbers overflow.
        """
        m, p = _moments(mean, covariance)
        if not isinstance(obs, Observation):
            raise TypeError(f"obs={obs!r}: expected an enfilt.Observation")
        size = len(_matrix(obs, m.size))
        values = _checks.shaped(
            "y", y, (size,), m.dtype, "one an observation", missing=True, rounded=True
        )
        obs.check_seen(values)
        if np.isinf(values).any():
            raise ValueError("y is infinite: expected finite values, or NaN for missing")
        values = self._screened(obs, values, m, p)
        h, values, r = _observed_matrix(obs, values, m.size)
        with np.errstate(over="ignore", invalid="ignore"):  # `_finite` says it better
            try:
                gain = np.linalg.solve(h @ p @ h.T + np.diag(r**2), h @ p).T
            except np.linalg.LinAlgError as error:
                raise ValueError(
                    f"covariance plus that of the observations is {error}: expected a covariance "
                    f"matrix without negative eigenvalues"
                ) from error
            innovation = values - h @ m
            keep = np.eye(m.size) - gain @ h
            updated = keep @ p @ keep.T + (gain * r**2) @ gain.T
            return _finite("y", (m + gain @ innovation).astype(m.dtype), updated)

    def _screened(self, obs: Observation, y: Array, mean: Array, covariance: Matrix) -> Array:
        """Return y without what the quality control rejects, and remember what that was."""
        self._memory.flags, self._memory.facts = None, {}
        if obs.quality is None:
            return y
        h = _matrix(obs, mean.size)
        with np.errstate(over="ignore", invalid="ignore"):  # `_finite` says it better
            spread = np.sqrt(np.maximum(np.sum(h @ covariance * h, axis=1), 0))
            y, flags = quality.screened(obs.quality, y, h @ mean, spread, obs.r)
        self._memory.flags, self._memory.facts = flags, quality.counts(flags)
        return y

    def _update(self, cycle: Cycle, out: Array) -> None:
        for b, forecast in enumerate(cycle.forecast):
            y = cycle.y[b]
            x = forecast.astype(np.float64)
            mean = x.mean(axis=0)
            x -= mean
            if cycle.backend.on_device:
                seen, innovation, r = _all_observed(cycle, b, x, mean)
            elif cycle.given is None:
                h, values, r = _observed_matrix(cycle.obs, y, x.shape[1])
                seen, innovation = x @ h.T, values - h @ mean
            else:
                seen, values, r = _decorrelated(cycle.obs, cycle.given[b].astype(np.float64), y)
                innovation = values - seen.mean(axis=0)
                seen -= seen.mean(axis=0)
            # scaled by R^-1/2, so that R is the identity
            cross = x.T @ (seen / r) / (len(x) - 1)
            linalg = _arrays.namespace(x).linalg
            values, vectors = linalg.eigh((seen / r).T @ (seen / r) / (len(x) - 1))
            spread = np.maximum(values, 0.0) + 1
            gain = (cross @ vectors / spread) @ vectors.T / r
            root = np.sqrt(spread)
            reduced = (cross @ vectors / (root * (root + 1))) @ vectors.T / r
            shift = gain @ innovation
            out[b] = mean + shift + x - seen @ reduced.T


def _all_observed(cycle: Cycle, b: int, x: Array, mean: Array) -> tuple[Array, Array, Array]:
    """Return anomalies of h(x), innovation and r of all observations of an ensemble on a GPU.

    Those of which the host does not know that they are missing have an infinite error.
    """
    y, xp = cycle.y[b].astype(np.float64), _arrays.namespace(x)
    if cycle.given is None:
        h = xp.asarray(_matrix(cycle.obs, x.shape[1]))
        seen, expected = x @ h.T, h @ mean
    else:
        seen = cycle.given[b].astype(np.float64)
        expected = seen.mean(axis=0)
        seen -= expected
    missing = xp.isnan(y)
    r = xp.where(missing, np.inf, _arrays.beside(x, cycle.obs.r))
    return seen, xp.where(missing, 0.0, y - expected), r


def _moments(mean: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[Array, Array]:
    m = _checks.floating("mean", mean)
    if m.ndim != 1 or m.size == 0:
        raise ValueError(f"mean has shape {m.shape}: expected (D,)")
    _checks.finite("mean", m)
    p = _square("covariance", covariance, m)
    if not np.allclose(p, p.T, rtol=1e-5, atol=1e-6 * float(np.abs(p).max())):
        raise ValueError("covariance is not symmetric: expected a covariance matrix")
    return m, p


def _square(name: str, value: Any, mean: Array) -> Matrix:
    """Check a matrix (D, D) in the dtype of the mean; return it in float64."""
    array = _checks.shaped(name, value, (mean.size, mean.size), mean.dtype, "a row a component")
    _checks.finite(name, array)
    return array.astype(np.float64)


def _finite(name: str, mean: Array, covariance: Matrix) -> tuple[Array, Array]:
    """Check the moments that finite ones led to; return them in the dtype of the mean."""
    result = _symmetric(covariance).astype(mean.dtype)
    if not (np.isfinite(mean).all() and np.isfinite(result).all()):
        raise FloatingPointError(
            f"mean, covariance and {name} overflow in {mean.dtype}: expected smaller numbers"
        )
    return mean, result


def _symmetric(matrix: Matrix) -> Matrix:
    return (matrix + matrix.T) / 2


def _matrix(obs: Observation, dim: int) -> Matrix:
    """Return H.

    Raises
    ------
    ValueError
        If h is not linear.
    """
    matrix = obs.h.as_matrix(dim)
    if matrix is None:
        raise ValueError(
            f"operator={obs.operator!r} is not linear: expected Identity, a choice of components, "
            f"or Linear (ETKF takes any operator)"
        )
    obs.told_size(dim)  # checks the entries of std
    return matrix


def _observed_matrix(obs: Observation, y: Array, dim: int) -> tuple[Matrix, Array, Matrix]:
    """Return H, y and r of the observations that hold a value, decorrelated."""
    rows, y, r = _decorrelated(obs, _matrix(obs, dim).T, y)
    return rows.T, y, r


def _decorrelated(obs: Observation, values: Matrix, y: Array) -> tuple[Matrix, Array, Matrix]:
    """Return values (n, m) of the observations that hold one, with y and r, decorrelated."""
    seen, transform = ~np.isnan(y), obs.decorrelation(y)
    if transform is not None:
        values, y = transform(values), transform(y)
    return values[:, seen], y[seen], np.broadcast_to(obs.r, y.shape)[seen]
