"""Linear observation operators given as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .base import Array, Operator


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """Observe h(x) = H x.

    Parameters
    ----------
    matrix : array_like or scipy.sparse matrix, (m, D)
        H. A sparse one stays sparse. It is used in the dtype of the ensemble.

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
            try:
                matrix = np.array(matrix, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise TypeError(f"matrix can't be read as an array of numbers: {error}") from None
            matrix.flags.writeable = False
        else:
            matrix = matrix.tocsr()
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"matrix has shape {matrix.shape}: expected (m, D)")
        data = matrix.data if hasattr(matrix, "tocsr") else matrix
        if not np.issubdtype(data.dtype, np.number) or not np.isfinite(data).all():
            raise ValueError("matrix holds values that are not finite numbers")
        object.__setattr__(self, "matrix", matrix)

    def size(self, dim: int) -> int:
        if self.matrix.shape[1] != dim:
            raise ValueError(
                f"matrix has shape {self.matrix.shape}: expected {dim} columns, one a component"
            )
        return int(self.matrix.shape[0])

    def __call__(self, x: Array) -> Array:
        return _apply(self.matrix, x)

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64]:
        self.size(dim)
        dense = self.matrix.toarray() if hasattr(self.matrix, "toarray") else self.matrix
        return np.array(dense, dtype=np.float64)

    def vjp(self, x: Array, u: Array) -> Array:
        return _apply(self.matrix.T, u)


def _apply(matrix: Any, x: Array) -> Array:
    """Return matrix @ each row of x, in the dtype of x."""
    rows = x.reshape(-1, x.shape[-1])
    xp = _arrays.namespace(x)
    if _arrays.on_device(x):
        if hasattr(matrix, "tocsr"):
            raise TypeError(
                "matrix is sparse, which does not run on CuPy arrays: expected a dense one"
            )
        matrix = xp.asarray(matrix)
    product = xp.asarray((matrix.astype(x.dtype, copy=False) @ rows.T).T)
    result: Array = xp.ascontiguousarray(product).reshape(*x.shape[:-1], matrix.shape[0])
    return result
