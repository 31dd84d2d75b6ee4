"""Linear observation operators given as a matrix."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from .._lifetimes import kept
from .._values import Value
from .base import Array, Operator, weights

__all__ = ["Linear"]


@dataclass(frozen=True, eq=False)
class Linear(Value, Operator):
    """Observe h(x) = H x.

    Parameters
    ----------
    matrix : array_like or scipy.sparse matrix, (m, D)
        H. A sparse one stays sparse. It is used in the dtype of the ensemble, and on CuPy arrays
        kept on their GPU from the first use on.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> mean = ef.operators.Linear(np.full((1, 4), 0.25))
    >>> mean(np.array([1.0, 2.0, 3.0, 6.0]))
    array([3.])
    """

    matrix: Any

    def __post_init__(self) -> None:
        matrix = self.matrix
        if not hasattr(matrix, "tocsr"):
            matrix = _checks.numbers("matrix", matrix).copy()
            matrix.flags.writeable = False
        else:
            matrix = matrix.tocsr()
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"matrix has shape {matrix.shape}: expected (m, D)")
        data = matrix.data if hasattr(matrix, "tocsr") else matrix
        if data.dtype.kind not in "fiu" or not np.isfinite(data).all():
            raise ValueError("matrix holds values that are not finite real numbers")
        object.__setattr__(self, "matrix", matrix)

    @functools.cached_property
    def _leading(self) -> npt.NDArray[np.int64]:
        return np.asarray(abs(self.matrix).argmax(axis=1), np.int64).ravel()

    def size(self, dim: int) -> int:
        if self.matrix.shape[1] != dim:
            raise ValueError(
                f"matrix has shape {self.matrix.shape}: expected {dim} columns, one a component"
            )
        return int(self.matrix.shape[0])

    def __call__(self, x: Array) -> Array:
        x = _checks.floating("x", x, members=2)  # of integers H would lose its fractions
        if not x.ndim or x.shape[-1] != self.matrix.shape[1]:
            raise ValueError(
                f"x has shape {x.shape}: expected (..., {self.matrix.shape[1]}), as the columns of "
                f"matrix"
            )
        return _apply(self._beside(x), x)

    def leading(self, dim: int) -> npt.NDArray[np.int64]:
        self.size(dim)
        return self._leading

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64]:
        self.size(dim)
        dense = self.matrix.toarray() if hasattr(self.matrix, "toarray") else self.matrix
        return np.array(dense, dtype=np.float64)

    def vjp(self, x: Array, u: Array) -> Array:
        u = weights(_checks.floating("x", x, members=2), u, self.matrix.shape[0])
        return _apply(self._beside(u).T, u)

    def _beside(self, x: Array) -> Any:
        """Return H in the dtype of x, where x is; on a GPU it stays for the calls to come."""
        if not _arrays.on_device(x):
            return self.matrix.astype(x.dtype, copy=False)
        if not hasattr(self.matrix, "tocsr"):
            return _arrays.beside(x, self.matrix, x.dtype)

        def made() -> Any:
            sparse = importlib.import_module("cupyx.scipy.sparse")
            return sparse.csr_matrix(self.matrix.astype(x.dtype))

        return kept(self.matrix, (*_arrays.gpu_and_stream(x), x.dtype), made)


def _apply(matrix: Any, x: Array) -> Array:
    """Return matrix @ each row of x."""
    rows = x.reshape(-1, x.shape[-1])
    xp = _arrays.namespace(x)
    product = xp.asarray((matrix @ rows.T).T)
    result: Array = xp.ascontiguousarray(product).reshape(*x.shape[:-1], matrix.shape[0])
    return result
