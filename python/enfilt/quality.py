"""Quality control: which observations an analysis does not believe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks

__all__ = ["Flag", "GrossError", "Quality"]

Array = npt.NDArray[Any]


class Flag(IntEnum):
    """What became of an observation: the entries of `EnsembleFilter.flags`.

    Examples
    --------
    >>> import enfilt as ef
    >>> ef.quality.Flag(2).name
    'REJECTED'
    """

    USED = 0
    MISSING = 1
    REJECTED = 2


class Quality(ABC):
    """A check of observations against the forecast, ``Observation(..., quality=...)``.

    One of your own has the method `rejects`. What it rejects counts as not observed in that
    analysis, as NaN in y does, and the filter's `flags` and `facts` say so.
    """

    @abstractmethod
    def rejects(self, departure: Array, spread: Array, std: Array) -> Array:
        """Return which observations are not to be used.

        Parameters
        ----------
        departure : ndarray of float64, (m,)
            y minus the mean of h(x) over the members; NaN where y is missing.
        spread : ndarray of float64, (m,)
            The standard deviation of h(x) over the members, with N - 1.
        std : ndarray of float64, (m,)
            r, that of the error.

        Returns
        -------
        ndarray of bool, (m,)
        """


@dataclass(frozen=True)
class GrossError(Quality):
    """Reject what is farther from the forecast than spread and error explain.

    That is, where ``|y - mean of h(x)| > threshold * sqrt(spread^2 + r^2)``, the root being what
    the departure of a good observation has for a standard deviation, if the ensemble is right. One
    in 370 good ones is beyond three of them, one in 16,000 beyond four. An ensemble that has lost
    the truth, or is too narrow by far, finds the observations that could bring it back gross:
    where `facts` tell of many that were rejected, look at the ensemble.

    Parameters
    ----------
    threshold : float
        Above zero.

    Raises
    ------
    TypeError, ValueError
        If `threshold` is out of its range.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> check = ef.quality.GrossError(threshold=4.0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.5, quality=check)
    >>> filt, forecast = ef.ETKF(), np.random.default_rng(0).standard_normal((10, 4))
    >>> analysis = filt.analysis(forecast, np.array([0.3, np.nan, -1.0, 50.0]), obs)
    >>> filt.facts
    {'used': 2.0, 'missing': 1.0, 'rejected': 1.0}
    >>> filt.flags
    array([0, 1, 0, 2], dtype=int8)
    """

    threshold: float = 3.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("threshold", self.threshold, above=0)

    def rejects(self, departure: Array, spread: Array, std: Array) -> Array:
        xp = _arrays.namespace(departure)
        result: Array = xp.abs(departure) > self.threshold * xp.sqrt(spread**2 + std**2)
        return result


def screened(check: Quality, y: Array, mean: Array, spread: Array, std: Array) -> tuple[Array, Any]:
    """Return y (m,) with NaN where it is rejected, and the flags of all observations.

    Parameters
    ----------
    mean, spread : ndarray of float64, (m,)
        Of h(x).
    std : ndarray of float64, (m,) or ()

    Returns
    -------
    y : ndarray, (m,)
    flags : numpy.ndarray of int8, (m,)
        On the CPU.

    Raises
    ------
    TypeError
        If a check of the user's returns no flags.
    """
    xp = _arrays.namespace(y)
    missing = xp.isnan(y)
    std = xp.broadcast_to(_arrays.beside(y, std), y.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        found = check.rejects(y.astype(np.float64) - mean, spread, std)
    if getattr(found, "shape", None) != y.shape or found.dtype != np.bool_:
        raise TypeError(
            f"quality={check!r} returned {getattr(found, 'dtype', type(found).__name__)} of shape "
            f"{getattr(found, 'shape', ())}: expected bool, {y.shape}, one an observation"
        )
    flags = np.where(_arrays.to_host(found), Flag.REJECTED, Flag.USED).astype(np.int8)
    flags[_arrays.to_host(missing)] = Flag.MISSING
    return xp.where(found, xp.asarray(np.nan, dtype=y.dtype), y), flags


def counts(flags: npt.NDArray[np.int8]) -> dict[str, float]:
    """Return how many observations have each flag, by its name in small letters."""
    return {flag.name.lower(): float(np.count_nonzero(flags == flag)) for flag in Flag}
