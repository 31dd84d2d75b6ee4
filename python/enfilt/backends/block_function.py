"""A component-wise function of the user's as kernels take it: C functions of blocks of numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .numba.scalar_functions import Block

Array = npt.NDArray[Any]
Scalar = Callable[[Any], Any]


class BlockFunction(NamedTuple):
    """A scalar function and its derivative, compiled by Numba when they are first asked for.

    Attributes
    ----------
    h : callable
        Of one number.
    dh : callable or None
        Its derivative.
    """

    h: Scalar
    dh: Scalar | None

    def compiled(self, dtype: npt.DTypeLike) -> Block:
        """Return the C functions for arrays of `dtype`, float32 or float64.

        Raises
        ------
        ImportError
            If Numba is not there.
        TypeError
            If Numba can't compile them.
        """
        from .numba.scalar_functions import block  # Numba is an extra

        return block(self.h, self.dh, np.dtype(dtype))

    def addresses(self, dtype: npt.DTypeLike) -> tuple[int, int]:
        """Return where ``(x, n, h)`` and ``(x, n, h, slope)`` stand; slope is 0 without `dh`."""
        values, linearize = self.compiled(dtype)
        return values.address, linearize.address

    def values(self, x: Array) -> Array:
        """Return h(x) of an array of any shape."""
        return self._call(x, 1)[0]

    def linearize(self, x: Array) -> tuple[Array, Array]:
        """Return h(x) and the derivative there."""
        value, slope = self._call(x, 2)
        return value, slope

    def _call(self, x: Array, results: int) -> list[Array]:
        x = np.ascontiguousarray(x, dtype=x.dtype if x.dtype == np.float32 else np.float64)
        out = [np.empty_like(x) for _ in range(results)]
        pointers = [ctypes.c_void_p] * results
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t, *pointers)
        address = self.addresses(x.dtype)[results - 1]
        function(address)(x.ctypes.data, x.size, *(a.ctypes.data for a in out))
        return out
