"""Fourier transforms: of CuPy arrays CuPy's, of NumPy arrays SciPy's.

NumPy's own are the same library, but SciPy's transforms several rows at once in SIMD lanes, has
threads, and before NumPy 2 it alone computes in float32.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays

Array = npt.NDArray[Any]


def _scipy_for(x: Array) -> Any:
    """Return `scipy.fft`, or None where `x` is CuPy's."""
    if _arrays.on_device(x):
        return None
    import scipy.fft  # slow to import, and of use to spectral models alone

    return scipy.fft


def threads() -> int:
    """Return how many threads may be used: the processors of this process, or OMP_NUM_THREADS."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    allowed = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    limit = int(allowed) if allowed.isdigit() else 0
    return min(usable or 1, limit) if limit > 0 else usable or 1


def complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the complex type of a real one."""
    return np.result_type(dtype, np.complex64)


def rfft(x: Array, workers: int = 1) -> Array:
    """Return the transform (..., n // 2 + 1) of real rows (..., n), in their precision."""
    if (scipy := _scipy_for(x)) is not None:
        result: Array = scipy.rfft(x, workers=workers)
        return result
    modes: Array = _arrays.namespace(x).fft.rfft(x)
    return modes.astype(complex_dtype(x.dtype), copy=False)


def irfft(v: Array, n: int, workers: int = 1) -> Array:
    """Return real rows (..., n) of their transform; wave numbers that are left out are zero."""
    if (scipy := _scipy_for(v)) is not None:
        result: Array = scipy.irfft(v, n, workers=workers)
        return result
    rows: Array = _arrays.namespace(v).fft.irfft(v, n)
    return rows.astype(v.real.dtype, copy=False)


def fft_columns(v: Array, workers: int = 1) -> Array:
    """Return the transform of complex columns: along the last axis but one."""
    if (scipy := _scipy_for(v)) is not None:
        result: Array = scipy.fft(v, axis=-2, workers=workers)
        return result
    xp = _arrays.namespace(v)
    columns: Array = xp.ascontiguousarray(xp.fft.fft(v, axis=-2), dtype=v.dtype)
    return columns


def ifft_columns(v: Array, workers: int = 1) -> Array:
    """Return the inverse of `fft_columns`."""
    if (scipy := _scipy_for(v)) is not None:
        result: Array = scipy.ifft(v, axis=-2, workers=workers)
        return result
    xp = _arrays.namespace(v)
    columns: Array = xp.ascontiguousarray(xp.fft.ifft(v, axis=-2), dtype=v.dtype)
    return columns


def good_size(n: int) -> int:
    """Return the next length, at least n, whose real transform is quick."""
    import scipy.fft

    return int(scipy.fft.next_fast_len(n, real=True))
