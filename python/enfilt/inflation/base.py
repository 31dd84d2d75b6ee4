"""What every inflation is: it widens an ensemble in place, about its mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends
from ..backends import Backend
from ..backends.numpy import inflation as plain

Array = npt.NDArray[Any]


class Inflation(ABC):
    """Widens an ensemble in place.

    One of your own defines `is_identity` and `_anomalies`, from which `apply` makes the ensemble a
    block of components at a time, in NumPy or CuPy. Those of this module are kernels of each
    backend: one pass over memory, with the same bits on any number of threads.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> class Additive(ef.inflation.Inflation):
    ...     '''Adds the forecast's anomalies.'''
    ...     is_identity = False
    ...
    ...     def _anomalies(self, analysis, forecast):
    ...         return analysis + forecast
    >>> x = np.array([[-1.0], [1.0]])
    >>> Additive().apply(x, np.array([[4.0], [8.0]]))
    >>> x.ravel()
    array([-3.,  3.])
    """

    #: Whether a filter evaluates h of the analysis for it, which values of h(x) don't tell.
    needs_h_of_analysis: ClassVar[bool] = False
    #: Whether it widens the forecast, by its innovations, and not the analysis.
    is_of_forecast: ClassVar[bool] = False

    @property
    @abstractmethod
    def is_identity(self) -> bool:
        """Whether it changes nothing."""

    @abstractmethod
    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        """Return the new anomalies from those of analysis and forecast, (N, block) each."""

    def apply(self, analysis: Array, forecast: Array, *, backend: str = "auto") -> None:
        """Widen `analysis` (..., N, D) in place.

        Parameters
        ----------
        analysis : ndarray, (..., N, D)
            Float32 or float64, changed in place.
        forecast : ndarray, as `analysis`
            The forecast that it came from.
        backend : str
            "auto", "cpp", "numba", "numpy" or "cuda".

        Raises
        ------
        TypeError, ValueError
            If an array is of another dtype or shape, or a value is not finite; the message names
            it.
        FloatingPointError
            If finite numbers overflow. On a GPU, which would have to be waited for, neither this
            nor a value that is not finite is looked for.
        """
        shape, dtype = _in_place("analysis", analysis)
        before = _checks.shaped("forecast", forecast, shape, dtype, "as analysis", members=2)
        kernels = backends.of_arrays(backend, analysis=analysis, forecast=before)
        if 0 in shape:
            return
        work = _checks.contiguous(analysis)
        check_finite(kernels, analysis=work, forecast=before)
        if self.is_identity:
            return
        batch = (-1, *shape[-2:])
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
            self._apply(work.reshape(batch), before.reshape(batch), kernels)
        check_overflow(kernels, "analysis", work)
        if work is not analysis:
            analysis[...] = work

    def _apply(self, analysis: Array, forecast: Array, kernels: Backend) -> None:
        """Widen `analysis` (B, N, D) in place, of arrays that were checked and are contiguous."""
        for part in plain.blocks(analysis):
            for one, other in zip(analysis, forecast, strict=True):
                a, f = one[:, part], other[:, part]
                mean = a.mean(axis=0)
                a[...] = mean + self._anomalies(a - mean, f - f.mean(axis=0))


def _in_place(argument: str, value: Array) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Check an array (..., N, D) that is to be changed in place; return its shape and dtype."""
    if _checks.floating(argument, value, members=2) is not value:
        raise TypeError(
            f"{argument} is of type {type(value).__name__}: expected an array, which is changed "
            f"in place"
        )
    if value.ndim < 2:
        raise ValueError(f"{argument} has shape {value.shape}: expected (..., N, D)")
    if not (_arrays.on_device(value) or value.flags.writeable):
        raise ValueError(f"{argument} is read-only: expected an array that can be changed in place")
    return value.shape, value.dtype


def check_finite(kernels: Backend, **arrays: Array) -> None:
    """Check that arrays are finite; not on a GPU, which would have to be waited for."""
    for name, array in arrays.items():
        if not kernels.on_device:
            _checks.finite(name, array, kernels.all_finite)


def check_overflow(kernels: Backend, name: str, array: Array) -> None:
    """Check that finite numbers have stayed finite; not on a GPU."""
    if not (kernels.on_device or kernels.all_finite(array)):
        bad = _checks.first_bad(name, array)
        raise FloatingPointError(f"{bad} after inflation: expected smaller numbers, or float64")
