"""Weights of observations, given as an array or a sparse one, as the lists that kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..backends import LocalLists
from ._analysis import Given

Array = npt.NDArray[Any]


def everywhere(columns: int, given: Given) -> LocalLists:
    """Return the lists of components all of which see all observations, with weights of one."""
    count = given.y[given.seen].size
    found = LocalLists(0, np.array([0, count]), np.arange(count), np.ones(count))
    return _of_components(found, np.zeros(columns, np.int64), given)


def lists(
    name: str, weights: Any, columns: int, given: Given, place: npt.ArrayLike | None = None
) -> LocalLists:
    """Return weights (P, m) as lists for so many components.

    Parameters
    ----------
    name : str
        Of the argument.
    weights : array_like or scipy.sparse array, (P, m)
    columns : int
        How many components there are.
    given : Given
    place : array_like of int, (columns,), optional
        The row of each component; default: its own.
    """
    from scipy import sparse  # slow to import, and of no use to most calls

    m, matrix = given.y.size, weights
    if not sparse.issparse(weights):
        matrix = _checks.numbers(name, weights)
    elif weights.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {weights.dtype}: expected real numbers")
    rows = matrix.shape[0] if place is not None and matrix.ndim == 2 else columns
    if matrix.shape != (rows, m):
        what = "a place" if place is not None else "a component"
        raise ValueError(
            f"{name} has shape {matrix.shape}: expected ({'P' if place is not None else rows}, "
            f"{m}), {what} a row and an observation a column"
        )
    matrix = sparse.csr_array(matrix, dtype=np.float64)
    bad = np.flatnonzero(~((matrix.data >= 0) & (matrix.data <= 1)))
    if bad.size:
        row = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
        where = f"{row}, {matrix.indices[bad[0]]}"
        raise ValueError(f"{name}[{where}] is {matrix.data[bad[0]]}: expected numbers from 0 to 1")
    if not isinstance(given.seen, slice) and len(given.seen) < m:
        matrix = matrix[:, given.seen]
    if not (matrix.has_canonical_format and matrix.data.all()):
        matrix = matrix.copy()  # the caller's
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    starts, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    found = LocalLists(0, starts, indices, matrix.data)
    return found if place is None else _of_components(found, _rows(place, columns, rows), given)


def _rows(place: npt.ArrayLike, columns: int, rows: int) -> npt.NDArray[np.int64]:
    found = np.asarray(_checks.plain("place", place))
    if found.dtype.kind not in "iu":
        raise TypeError(f"place has dtype {found.dtype}: expected integers")
    if found.shape != (columns,):
        raise ValueError(f"place has shape {found.shape}: expected ({columns},), one a component")
    bad = np.flatnonzero((found < 0) | (found >= rows))
    if bad.size:
        raise ValueError(
            f"place[{bad[0]}] is {found[bad[0]]}: expected a row of weights, from 0 to {rows - 1}"
        )
    return found.astype(np.int64)


def _of_components(found: LocalLists, place: npt.NDArray[np.int64], given: Given) -> LocalLists:
    """Return the lists of places for components, each of which stands at one of them."""
    if given.backend.on_device:  # where each has one of its own
        return found.of(place)
    counts = np.bincount(place, minlength=len(found.starts) - 1)
    owners = np.concatenate([[0], np.cumsum(counts)])
    return found._replace(owners=owners, components=np.argsort(place, kind="stable"))
