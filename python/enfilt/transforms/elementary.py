"""Transforms by elementary functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import _checks
from .base import Array, Transform


@dataclass(frozen=True)
class Log(Transform):
    """z = log(x + offset), for variables that are never negative.

    Parameters
    ----------
    offset : float
        At least 0. Without one, values have to be above zero, and stay so. With one, zeros are
        allowed: what the analysis takes below zero, it sets to zero. It is in the unit of the
        variable, a value that counts as small.

    Raises
    ------
    TypeError, ValueError
        If it is no such number.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> log = ef.transforms.Log()
    >>> log.inverse(log.forward(np.array([0.5, 20.0])) - 3).round(3)
    array([0.025, 0.996])
    """

    offset: float = 0.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("offset", self.offset, least=0)

    @property
    def domain(self) -> str:  # type: ignore[override]
        return "at least 0" if self.offset else "above 0 (or Log(offset=...))"

    def inside(self, x: Array) -> npt.NDArray[np.bool_]:
        return x >= 0 if self.offset else x > 0

    def forward(self, x: Array) -> Array:
        result: Array = np.log(x + x.dtype.type(self.offset))
        return result

    def inverse(self, z: Array) -> Array:
        kind = z.dtype.type
        least = 0.0 if self.offset else np.finfo(z.dtype).tiny
        with np.errstate(over="ignore"):  # what is no number is said by the analysis
            result: Array = np.maximum(np.exp(z) - kind(self.offset), kind(least))
        return result

    def slope(self, z: Array) -> Array:
        with np.errstate(over="ignore"):
            x = np.exp(z)
        return np.where(x > z.dtype.type(self.offset), x, 0).astype(z.dtype)


@dataclass(frozen=True)
class Logit(Transform):
    """z = log((x - lower)/(upper - x)), for variables between two bounds, such as a fraction.

    Values have to be inside the bounds, and stay so. Where some are at a bound, as no cloud or full
    cover, `RankGaussian` takes them.

    Parameters
    ----------
    lower, upper : float
        The bounds.

    Raises
    ------
    TypeError, ValueError
        If they are no numbers, or not one below the other.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> logit = ef.transforms.Logit(0, 100)
    >>> logit.inverse(logit.forward(np.array([50.0, 90.0])) + 1).round(1)
    array([73.1, 96.1])
    """

    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        check_bounds(self.lower, self.upper)

    @property
    def domain(self) -> str:  # type: ignore[override]
        return f"above {self.lower} and below {self.upper}"

    def inside(self, x: Array) -> npt.NDArray[np.bool_]:
        kind = x.dtype.type
        result: npt.NDArray[np.bool_] = (x > kind(self.lower)) & (x < kind(self.upper))
        return result

    def forward(self, x: Array) -> Array:
        kind = x.dtype.type
        result: Array = np.log(x - kind(self.lower)) - np.log(kind(self.upper) - x)
        return result

    def inverse(self, z: Array) -> Array:
        low, high = z.dtype.type(self.lower), z.dtype.type(self.upper)
        with np.errstate(over="ignore"):
            x = low + (high - low) / (1 + np.exp(-z))
        result: Array = np.clip(x, np.nextafter(low, high), np.nextafter(high, low))
        return result

    def slope(self, z: Array) -> Array:
        kind = z.dtype.type
        decay = np.exp(-np.abs(z))
        result: Array = kind(self.upper - self.lower) * decay / (1 + decay) ** 2
        return result


def check_bounds(lower: float | None, upper: float | None) -> None:
    """Check the bounds of a variable, either of which may be missing."""
    for name, value in (("lower", lower), ("upper", upper)):
        if value is not None:
            _checks.number(name, value)
    if lower is not None and upper is not None and not lower < upper:
        raise ValueError(f"lower={lower!r}, upper={upper!r}: expected the first below the second")
