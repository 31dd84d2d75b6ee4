"""R, the covariance of correlated observation errors: its blocks, and what undoes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: How far, over r_i r_j, R_ij and R_ji may be apart: rounding of float32.
_SYMMETRIC = 1e-6
# Larger blocks are worth a call of their own.
_SMALL = 32


@dataclass(frozen=True)
class Transform:
    """A linear map of observations, block by block: y_B -> T_B y_B; others stay as they are.

    Attributes
    ----------
    blocks : list of (ndarray of int64, (k, b), ndarray, (k, b, b))
        The observations of k blocks of one size, and their matrices.
    of : ndarray of int64, (m,)
        A number of the block that each observation belongs to.
    """

    blocks: list[tuple[Indices, Matrix]]
    of: Indices

    def __call__(self, values: Array) -> Matrix:
        """Return T v for values (..., m), in float64."""
        return self._applied(values, lambda matrix, v: matrix @ v)

    def adjoint(self, values: Array) -> Matrix:
        """Return T^T v."""
        return self._applied(values, lambda matrix, v: matrix.swapaxes(1, 2) @ v)

    def inverse(self, values: Array) -> Matrix:
        """Return T^-1 v, T being lower triangular."""
        return self._applied(values, _solve)

    def among(self, seen: Indices, size: int) -> Transform:
        """Return the same map where of `size` observations those that are `seen` alone are left."""
        position = np.zeros(size, np.int64)
        position[seen] = np.arange(len(seen))
        blocks = [(position[chosen], matrices) for chosen, matrices in self.blocks]
        return Transform(blocks, self.of[seen])

    def _applied(self, values: Array, product: Any) -> Matrix:
        *lead, m = values.shape
        rows = values.astype(np.float64).reshape(math.prod(lead), m)  # a copy
        for chosen, matrices in self.blocks:
            moved = product(matrices, rows[:, chosen].transpose(1, 2, 0))
            rows[:, chosen] = moved.transpose(2, 0, 1)
        return rows.reshape(values.shape)


class ErrorCovariance:
    """R = S C S, checked: deviations S = diag(r), and correlations C in blocks.

    Observations belong to one block where they are correlated, also by way of others. The errors
    of y' = T y with T = S C^-1/2 S^-1 are not correlated, and of the same size r as before.

    Attributes
    ----------
    std : ndarray, (m,)
        r.
    """

    def __init__(self, value: Any) -> None:
        from scipy import sparse  # slow to import, and of no use to most analyses

        matrix: Any = value
        if not sparse.issparse(value):
            matrix = _checks.numbers("covariance", value)
        elif value.dtype.kind not in "fiu":
            raise TypeError(f"covariance has dtype {value.dtype}: expected real numbers")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.shape[0]:
            raise ValueError(
                f"covariance has shape {matrix.shape}: expected (m, m), a row an observation"
            )
        if sparse.issparse(value):
            matrix = sparse.csr_array(value, dtype=np.float64)
            matrix.sum_duplicates()
        self.std = self._deviations(matrix)
        correlations: Any
        if isinstance(matrix, np.ndarray):
            correlations = matrix / self.std[:, None] / self.std
        else:
            scale = sparse.diags_array(1 / self.std)
            correlations = scale @ matrix @ scale
        self._check_symmetric(correlations, matrix)
        self._blocks = _connected(correlations)
        self._correlations = []
        for block in self._blocks:
            dense = correlations[block][:, block]
            dense = dense.toarray() if sparse.issparse(dense) else dense
            self._correlations.append((dense + dense.T) / 2)
        self._kept: dict[bool, tuple[bytes, Transform]] = {}
        self._whole = {False: self._roots(symmetric=False)}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_kept": {}}  # it is made again

    @staticmethod
    def _deviations(matrix: Any) -> Matrix:
        stored = matrix if isinstance(matrix, np.ndarray) else matrix.data
        if not np.isfinite(stored).all():
            raise ValueError(f"{_first_bad(matrix)}: expected finite values")
        variance = matrix.diagonal()
        bad = np.flatnonzero(~((variance >= 1e-300) & (variance <= 1e300)))
        if bad.size:
            raise ValueError(
                f"covariance[{bad[0]}, {bad[0]}]={variance[bad[0]]}: expected variances above "
                f"zero, from 1e-300 to 1e300"
            )
        result: Matrix = np.sqrt(variance)
        return result

    @staticmethod
    def _check_symmetric(correlations: Any, matrix: Any) -> None:
        far = np.nonzero(abs(correlations - correlations.T) > _SYMMETRIC)
        if far[0].size:
            i, j = (int(index[0]) for index in far)
            raise ValueError(
                f"covariance is not symmetric: covariance[{i}, {j}]={matrix[i, j]}, but "
                f"covariance[{j}, {i}]={matrix[j, i]}"
            )

    @property
    def is_diagonal(self) -> bool:
        """Whether nothing is correlated."""
        return not self._blocks

    def marginal(self, seen: Indices) -> Matrix:
        """Return R of some of the observations, (k, k)."""
        full = np.diag(self.std**2)
        for block, correlation in zip(self._blocks, self._correlations, strict=True):
            r = self.std[block]
            full[np.ix_(block, block)] = correlation * r[:, None] * r
        result: Matrix = full[np.ix_(seen, seen)]
        return result

    def transform(self, missing: Flags, *, symmetric: bool = False) -> Transform:
        """Return T of the observations that are not `missing`, (m,): that of the marginal of R.

        C^-1/2 is the inverse of the Cholesky factor, or with `symmetric` the symmetric root, which
        does not depend on the order of observations. What was made last is kept.
        """
        pattern = missing.tobytes()
        kept = self._kept.get(symmetric)
        if kept is None or kept[0] != pattern:
            kept = self._kept[symmetric] = pattern, self._transform(missing, symmetric)
        return kept[1]

    def _transform(self, missing: Flags, symmetric: bool) -> Transform:
        if symmetric not in self._whole:
            self._whole[symmetric] = self._roots(symmetric=symmetric)
        of = np.arange(len(self.std))
        by_size: dict[int, list[tuple[Indices, Matrix]]] = {}
        whole = zip(self._blocks, self._correlations, self._whole[symmetric], strict=True)
        for block, correlation, root in whole:
            parts = [(block, root)]
            if missing[block].any():
                # without those that are missing a block may fall to pieces
                left = np.flatnonzero(~missing[block])
                pieces = [left[part] for part in _connected(correlation[np.ix_(left, left)])]
                roots = [_root(correlation[np.ix_(part, part)], symmetric) for part in pieces]
                parts = [(block[part], root) for part, root in zip(pieces, roots, strict=True)]
            for chosen, root in parts:
                of[chosen], r = chosen[0], self.std[chosen]
                by_size.setdefault(len(chosen), []).append((chosen, root * r[:, None] / r))
        stacks = (zip(*found, strict=True) for found in by_size.values())
        return Transform([(np.stack(chosen), np.stack(roots)) for chosen, roots in stacks], of)

    def _roots(self, *, symmetric: bool) -> list[Matrix]:
        """Return C^-1/2 of every block."""
        found = []
        for block, correlation in zip(self._blocks, self._correlations, strict=True):
            try:
                found.append(_root(correlation, symmetric))
            except np.linalg.LinAlgError:
                least = float(np.linalg.eigvalsh(correlation)[0])
                some = ", ".join(map(str, block[:6])) + (", ..." if len(block) > 6 else "")
                raise ValueError(
                    f"covariance is not positive definite: the correlations of observations "
                    f"{some} have the eigenvalue {least:.3g}, expected all above zero (and above "
                    f"rounding: two observations with the same error are one)"
                ) from None
        return found


def _connected(correlations: Any) -> list[Indices]:
    """Return the blocks of more than one observation, also correlated by way of others."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    count, found = connected_components(sparse.csr_array(correlations != 0), directed=False)
    sizes = np.bincount(found, minlength=count)
    ordered = np.split(np.argsort(found, kind="stable"), np.cumsum(sizes)[:-1])
    return [block for block in ordered if len(block) > 1]


def _solve(matrices: Matrix, values: Matrix) -> Matrix:
    """Return L^-1 v for stacks of lower triangular matrices (k, b, b) and values (k, b, n)."""
    from scipy.linalg import solve_triangular

    if matrices.shape[1] <= _SMALL:
        return np.asarray(np.linalg.solve(matrices, values), np.float64)
    pairs = zip(matrices, values, strict=True)
    return np.stack([solve_triangular(a, v, lower=True) for a, v in pairs])


def _first_bad(matrix: Any) -> str:
    if isinstance(matrix, np.ndarray):
        return _checks.first_bad("covariance", matrix)
    entries = matrix.tocoo()
    k = int(np.flatnonzero(~np.isfinite(entries.data))[0])
    return f"covariance[{entries.row[k]}, {entries.col[k]}] is {entries.data[k]}"


def _root(correlation: Matrix, symmetric: bool) -> Matrix:
    """Return a matrix W with W C W^T = I.

    Raises
    ------
    LinAlgError
        If C is not positive definite, or singular to rounding.
    """
    least = len(correlation) * np.finfo(np.float64).eps
    if symmetric:
        values, vectors = np.linalg.eigh(correlation)
        root: Matrix = (vectors / np.sqrt(np.maximum(values, least))) @ vectors.T
        return root
    lower = np.linalg.cholesky(correlation)
    if lower.diagonal().min() ** 2 <= least:
        raise np.linalg.LinAlgError
    from scipy.linalg.lapack import dtrtri  # a third of the work of solving with a unit matrix

    inverse, _ = dtrtri(lower.T)  # in columns, as LAPACK reads
    result: Matrix = inverse.T
    return result
