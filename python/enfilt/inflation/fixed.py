"""Inflation by a number of the user's."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import _arrays, _checks
from ..backends import Backend
from ..backends.numpy import inflation as plain
from ..backends.problems import InflationProblem
from .base import Array, Inflation


class _Formula(Inflation):
    """An inflation that the backends have a kernel for."""

    _kind: ClassVar[str]

    @property
    @abstractmethod
    def _amount(self) -> float:
        """That of `enfilt.backends.problems.InflationProblem`."""

    @property
    def is_identity(self) -> bool:
        return self._amount == 0

    def _problem(self, analysis: Array, forecast: Array) -> InflationProblem:
        amount = np.array([self._amount], analysis.dtype)
        return InflationProblem(self._kind, amount, analysis, forecast)

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        widened: Array = _arrays.namespace(analysis).empty_like(analysis)
        plain.inflate(self._problem(analysis[None], forecast[None]), widened[None])
        return widened

    def _apply(self, analysis: Array, forecast: Array, kernels: Backend) -> None:
        if type(self)._anomalies is not _Formula._anomalies:  # those of a subclass of the user's
            super()._apply(analysis, forecast, kernels)
        else:
            kernels.inflate(self._problem(analysis, forecast), analysis)


@dataclass(frozen=True)
class Multiplicative(_Formula):
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

    _kind = "multiplicative"

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("factor", self.factor, above=0)

    @property
    def _amount(self) -> float:
        return self.factor - 1


@dataclass(frozen=True)
class RTPP(_Formula):
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

    _kind = "rtpp"

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("relaxation", self.relaxation, least=0, most=1)

    @property
    def _amount(self) -> float:
        return self.relaxation


@dataclass(frozen=True)
class RTPS(_Formula):
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

    _kind = "rtps"

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("relaxation", self.relaxation, least=0, most=1)

    @property
    def _amount(self) -> float:
        return self.relaxation


def as_inflation(value: float | Inflation) -> Inflation:
    """Return `value` as an inflation; a number is the factor of a multiplicative one."""
    if isinstance(value, Inflation):
        return value
    return Multiplicative(_checks.number("inflation", value, above=0))
