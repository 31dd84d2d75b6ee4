"""Inflation: widening an ensemble about its mean.

Each changes anomalies only, never the mean: those of the analysis, or where it is adaptive of the
forecast. With a factor of 1 or a relaxation of 0 it changes no bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks
from .observation import Observation

Array = npt.NDArray[Any]

# Components worked on at a time: temporaries stay small beside an ensemble.
_BLOCK = 1 << 14
# On a GPU a block has to be worth starting kernels for.
_DEVICE_BLOCK = 1 << 20

#: q of `Adaptive`: the standard deviation with which the factor of the cycles before is known.
MEMORY = 0.1


class Inflation(ABC):
    """Widens an ensemble in place."""

    @property
    @abstractmethod
    def is_identity(self) -> bool:
        """Whether it changes nothing."""

    @abstractmethod
    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        """Return the new anomalies from those of analysis and forecast, (N, block) each."""

    def apply(self, analysis: Array, forecast: Array) -> None:
        """Widen `analysis` (..., N, D) in place.

        Parameters
        ----------
        analysis : ndarray, (..., N, D)
            Changed in place.
        forecast : ndarray, (..., N, D)
            The forecast that it came from.
        """
        if self.is_identity:
            return
        length = _DEVICE_BLOCK if _arrays.on_device(analysis) else _BLOCK
        for index in np.ndindex(analysis.shape[:-2]):
            for start in range(0, analysis.shape[-1], length):
                block = (slice(None), slice(start, start + length))
                a, f = analysis[index][block], forecast[index][block]
                mean = a.mean(axis=0)
                a[...] = mean + self._anomalies(a - mean, f - f.mean(axis=0))


@dataclass(frozen=True)
class Multiplicative(Inflation):
    """Multiply the anomalies by a factor.

    Parameters
    ----------
    factor : float
        Above zero; 1 changes nothing.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.inflation.Multiplicative(1.5).apply(x, x.copy())
    >>> x.ravel()
    array([-1.5,  1.5])
    """

    factor: float

    def __post_init__(self) -> None:
        _checks.number("factor", self.factor, above=0)

    @property
    def is_identity(self) -> bool:
        return self.factor == 1

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        result: Array = analysis.dtype.type(self.factor) * analysis
        return result


@dataclass(frozen=True)
class RTPP(Inflation):
    """Relax the anomalies to those of the forecast: (1 - a) A_a + a A_f.

    Zhang, Snyder, Sun (2004), "Impacts of initial estimate and observation availability on
    convective-scale data assimilation with an ensemble Kalman filter", eq. 5.

    Parameters
    ----------
    relaxation : float
        a, from 0 (nothing) to 1 (the forecast's anomalies).

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.inflation.RTPP(0.5).apply(x, np.array([[-3.0], [3.0]]))
    >>> x.ravel()
    array([-2.,  2.])
    """

    relaxation: float

    def __post_init__(self) -> None:
        _checks.number("relaxation", self.relaxation, least=0, most=1)

    @property
    def is_identity(self) -> bool:
        return self.relaxation == 0

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        kind = analysis.dtype.type
        result: Array = kind(1 - self.relaxation) * analysis + kind(self.relaxation) * forecast
        return result


@dataclass(frozen=True)
class RTPS(Inflation):
    """Relax the spread to that of the forecast, component by component.

    The anomalies are multiplied by 1 + a (s_f - s_a) / s_a. Whitaker, Hamill (2012), "Evaluating
    methods to account for system errors in ensemble data assimilation", eq. 2.

    Parameters
    ----------
    relaxation : float
        a, from 0 (nothing) to 1 (the forecast's spread).

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.inflation.RTPS(0.5).apply(x, np.array([[-3.0], [3.0]]))
    >>> x.ravel()
    array([-2.,  2.])
    """

    relaxation: float

    def __post_init__(self) -> None:
        _checks.number("relaxation", self.relaxation, least=0, most=1)

    @property
    def is_identity(self) -> bool:
        return self.relaxation == 0

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        # the mean was rounded: what is left of it in the anomalies must not be widened
        centred = analysis - analysis.mean(axis=0)
        before = np.sqrt(np.sum(forecast**2, axis=0))
        after = np.sqrt(np.sum(centred**2, axis=0))
        # a component without spread has nothing to widen
        varies = after > 0
        growth = np.where(varies, (before - after) / np.where(varies, after, 1), 0)
        factor = 1 + analysis.dtype.type(self.relaxation) * growth
        result: Array = centred * factor.astype(analysis.dtype, copy=False)
        return result


@dataclass(frozen=True)
class Adaptive(Inflation):
    """Widen the forecast by a factor that the innovations tell: there is no number to choose.

    With d = y - mean h and p the ensemble's variance of h(x), a forecast whose variance is too
    small by a factor lambda has E[d_k^2] = lambda p_k + r_k^2 (Desroziers, Berre, Chapnik, Poli
    2005, "Diagnosis of observation, background and analysis-error statistics in observation
    space"; Li, Kalnay, Miyoshi 2009, "Simultaneous estimation of covariance inflation and
    observation errors within an ensemble Kalman filter"). One cycle tells

        alpha = sum_k (d_k^2/r_k^2 - 1) / sum_k p_k/r_k^2,
        v     = 2 sum_k (lambda p_k/r_k^2 + 1)^2 / (sum_k p_k/r_k^2)^2,

    v being its sampling variance for Gaussian innovations. The estimate of the cycles before
    counts with a variance q^2 that does not fall, as in Miyoshi (2011), "The Gaussian approach to
    adaptive covariance inflation and its implementation with the local ensemble transform Kalman
    filter": lambda moves by (alpha - lambda) q^2/(q^2 + v), alpha taken within two standard
    deviations of lambda, and is at least 1. The anomalies of the forecast are then multiplied by
    sqrt(lambda), before the analysis.

    The filter remembers lambda from cycle to cycle, for each ensemble of a batch, until its
    `reset`, which a twin experiment calls when a run begins; `facts` tell it as ``inflation``. It
    needs the true r: observations that are worse than `std` says count as a forecast too narrow.

    Notes
    -----
    q is 0.1 (`MEMORY`): the factor follows slow changes and averages over some ten cycles of many
    observations, or some hundred of few. Two ensembles of different size may not take turns in
    one filter without `reset`, since one factor holds for both.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.5)
    >>> filt = ef.ETKF(inflation=ef.inflation.Adaptive())
    >>> for cycle in range(50):  # errors of the forecast twice as large as its spread
    ...     forecast = 2 * rng.standard_normal(400) + rng.standard_normal((20, 400))
    ...     analysis = filt.analysis(forecast, obs.simulate(np.zeros(400), rng), obs)
    >>> bool(3.5 < filt.facts["inflation"] < 4.5)
    True
    """

    @property
    def is_identity(self) -> bool:
        return True  # of the analysis: what it widens is the forecast

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        return analysis

    def estimate(self, forecast: Array, y: Array, obs: Observation, known: float = 1.0) -> float:
        """Return lambda after the innovations of one forecast.

        Parameters
        ----------
        forecast : ndarray, (N, D)
            Not widened.
        y : ndarray, (m,)
            NaN: not observed.
        obs : Observation
        known : float
            lambda after the cycles before.
        """
        xp = _arrays.namespace(forecast)
        mean, variance = _moments(forecast, obs)
        seen = ~np.isnan(y)
        precision = xp.broadcast_to(xp.asarray(obs.precision(np.float64)), y.shape)[seen]
        ratio = variance[seen] * precision
        total = float(ratio.sum())
        if not total > 0:  # nothing is seen, or nothing can be widened
            return known
        excess = (y[seen] - mean[seen]) ** 2 * precision - 1
        deviation = float(np.sqrt(2 * ((known * ratio + 1) ** 2).sum())) / total
        moved = float(excess.sum()) / total - known
        moved = min(max(moved, -2 * deviation), 2 * deviation)
        return max(1.0, known + moved * MEMORY**2 / (MEMORY**2 + deviation**2))

    def widen(self, forecast: Array, factor: float, out: Array) -> None:
        """Write `forecast` (N, D), its variance times `factor`, to `out`."""
        out[...] = forecast
        Multiplicative(float(np.sqrt(factor))).apply(out, forecast)


def _moments(ensemble: Array, obs: Observation) -> tuple[Array, Array]:
    """Return mean and variance of h(x), (m,) each in float64, a member at a time (Welford)."""
    mean = obs.operator(ensemble[:1])[0].astype(np.float64)
    squares = np.zeros_like(mean)
    for i in range(1, len(ensemble)):
        gap = obs.operator(ensemble[i : i + 1])[0] - mean
        mean += gap / (i + 1)
        squares += gap**2 * (i / (i + 1))
    return mean, squares / (len(ensemble) - 1)


def as_inflation(value: float | Inflation) -> Inflation:
    """Return `value` as an inflation; a number is the factor of a multiplicative one."""
    if isinstance(value, Inflation):
        return value
    return Multiplicative(_checks.number("inflation", value, above=0))
