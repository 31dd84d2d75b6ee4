"""Operators that apply one scalar function to every component."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from .base import Array, Operator, Pointwise, states, weights

__all__ = ["Arctan", "Identity", "Power", "Sigmoid", "Tanh"]


class Everywhere(Operator):
    """A scalar function and its derivative, applied to all components."""

    def size(self, dim: int) -> int:
        return dim

    @abstractmethod
    def derivative(self, x: Array) -> Array:
        """Return the derivative of the scalar function, component by component."""

    def vjp(self, x: Array, u: Array) -> Array:
        x = states(x)
        u = weights(x, u, x.shape[-1])
        result: Array = self.derivative(x) * u
        return result

    @abstractmethod
    def _kernel(self) -> tuple[str, float]:
        """Return the function's name in the kernels and its parameter."""

    def pointwise(self, dim: int) -> Pointwise:
        kind, parameter = self._kernel()
        return Pointwise(kind, parameter, slice(0, dim, 1))


@dataclass(frozen=True)
class Identity(Everywhere):
    """Observe the state itself, h(x) = x.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Identity()(np.array([1.0, 2.0]))
    array([1., 2.])
    """

    def __call__(self, x: Array) -> Array:
        return states(x).copy()

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64]:
        return np.eye(dim)

    def derivative(self, x: Array) -> Array:
        return np.ones_like(x)

    def _kernel(self) -> tuple[str, float]:
        return "identity", 0.0


@dataclass(frozen=True)
class Arctan(Everywhere):
    """Observe h(x) = arctan(x), which saturates for large states.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Arctan()(np.array([0.0, 1.0])) / np.pi
    array([0.  , 0.25])
    """

    def __call__(self, x: Array) -> Array:
        result: Array = np.arctan(states(x))
        return result

    def derivative(self, x: Array) -> Array:
        result: Array = 1 / (1 + x * x)
        return result

    def _kernel(self) -> tuple[str, float]:
        return "arctan", 0.0


@dataclass(frozen=True)
class Tanh(Everywhere):
    """Observe h(x) = tanh(x).

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Tanh()(np.array([0.0, 100.0]))
    array([0., 1.])
    """

    def __call__(self, x: Array) -> Array:
        result: Array = np.tanh(states(x))
        return result

    def derivative(self, x: Array) -> Array:
        h = np.tanh(x)
        result: Array = (1 - h) * (1 + h)
        return result

    def _kernel(self) -> tuple[str, float]:
        return "tanh", 0.0


@dataclass(frozen=True)
class Sigmoid(Everywhere):
    """Observe h(x) = 1 / (1 + exp(-alpha x)).

    Parameters
    ----------
    alpha : float
        Steepness, not zero.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Sigmoid(alpha=2.0)(np.array([0.0, 100.0]))
    array([0.5, 1. ])
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if _checks.number("alpha", self.alpha) == 0:
            raise ValueError("alpha=0: expected another number (h would not depend on x)")

    def __call__(self, x: Array) -> Array:
        # 1/(1 + e^-a) = (1 + tanh(a/2))/2: no overflow on either side
        # (float(): a NumPy scalar would carry its dtype into the result)
        result: Array = 0.5 + 0.5 * np.tanh((0.5 * float(self.alpha)) * states(x))
        return result

    def derivative(self, x: Array) -> Array:
        h = self(x)
        result: Array = float(self.alpha) * h * (1 - h)
        return result

    def _kernel(self) -> tuple[str, float]:
        return "sigmoid", float(self.alpha)


@dataclass(frozen=True)
class Power(Everywhere):
    """Observe h(x) = x^p for an integer p, and ``|x|^p sign(x)`` for any other.

    Parameters
    ----------
    p : float
        Exponent, above zero.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Power(3)(np.array([-2.0, 2.0]))
    array([-8.,  8.])
    >>> ef.operators.Power(0.5)(np.array([-4.0, 4.0]))
    array([-2.,  2.])
    """

    p: float

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("p", self.p, above=0, most=64)

    @property
    def _is_integer(self) -> bool:
        return float(self.p).is_integer()

    def __call__(self, x: Array) -> Array:
        x = states(x)
        if self._is_integer:
            return _array(x ** int(self.p))
        return _array(np.abs(x) ** float(self.p) * np.sign(x))

    def derivative(self, x: Array) -> Array:
        p = float(self.p)
        if self._is_integer:
            return _array(p * x ** (int(p) - 1))
        # p < 1 has a vertical tangent at zero, where NumPy warns of a division by zero
        return _array(p * np.abs(x) ** (p - 1))

    def _kernel(self) -> tuple[str, float]:
        return "power_integer" if self._is_integer else "power_real", float(self.p)


def _array(value: Any) -> Array:
    """Return an array also of a number, which is what NumPy makes of arrays without axes."""
    result: Array = _arrays.namespace(value).asarray(value)
    return result
