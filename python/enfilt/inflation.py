"""Inflation: widening an analysis ensemble about its mean.

Each changes the anomalies of the analysis only, never its mean; with a factor of 1 or a
relaxation of 0 it changes no bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks

Array = npt.NDArray[Any]

# Components worked on at a time: temporaries stay small beside an ensemble.
_BLOCK = 1 << 14


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
        for index in np.ndindex(analysis.shape[:-2]):
            for start in range(0, analysis.shape[-1], _BLOCK):
                block = (slice(None), slice(start, start + _BLOCK))
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
        growth = np.divide(before - after, after, out=np.zeros_like(after), where=after > 0)
        result: Array = centred * (1 + analysis.dtype.type(self.relaxation) * growth)
        return result


def as_inflation(value: float | Inflation) -> Inflation:
    """Return `value` as an inflation; a number is the factor of a multiplicative one."""
    if isinstance(value, Inflation):
        return value
    return Multiplicative(_checks.number("inflation", value, above=0))
