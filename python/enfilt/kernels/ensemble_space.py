"""Analyses in the space of the ensemble: N x N matrices, then linear combinations of the members.

One pass over the observations makes the matrices, one over the state writes the combinations.
With anomalies A = x - mean (N, D) and Y = h(x) - mean (N, m) and the innovation d = y - mean h(x),
everything follows from Y R^-1 Y^T and Y R^-1 d: no matrix of D x m or m x m is made, and beside
the result only blocks that are small beside an ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]

# Multiply-adds of a block's product with an N x N matrix. BLAS runs so few on the calling thread:
# on a busy machine its threads, started anew in each block, wait for each other a hundred times
# longer than they compute. The block fits in the cache, too.
_BLOCK = 1 << 18
# Components of a block on a GPU, large enough to be worth starting kernels for.
_DEVICE_BLOCK = 1 << 20


class Products(NamedTuple):
    """What one pass over the observations sums up, in float64.

    Attributes
    ----------
    gram : ndarray, (N, N)
        Y R^-1 Y^T.
    innovation : ndarray, (N,)
        Y R^-1 d.
    perturbations : ndarray, (N, N), or None
        Rows (r eps_i) R^-1 Y^T, where standard normals eps were given.
    """

    gram: Matrix
    innovation: Matrix
    perturbations: Matrix | None

    def everywhere(self, total: Callable[[Array], Array]) -> Products:
        """Return the products of all parts of the state, `total` being that of a `Backend`."""
        found = [part for part in self if part is not None]
        sums = total(_arrays.namespace(self.gram).concatenate([part.ravel() for part in found]))
        ends = np.cumsum([part.size for part in found])
        parts = [
            sums[end - part.size : end].reshape(part.shape)
            for part, end in zip(found, ends, strict=True)
        ]
        return Products(*parts, *[None] * (len(self) - len(parts)))


class Spectrum(NamedTuple):
    """C = (N-1) I + Y R^-1 Y^T = V diag(values) V^T (Hunt et al. 2007, eq. 21)."""

    values: Matrix
    vectors: Matrix

    def power(self, exponent: float) -> Matrix:
        """Return C to a power."""
        result: Matrix = (self.vectors * self.values**exponent) @ self.vectors.T
        return result

    def transform(self) -> Matrix:
        """Return T = sqrt(N-1) C^-1/2, symmetric (eq. 24)."""
        return float(np.sqrt(len(self.values) - 1)) * self.power(-0.5)


def spectrum(gram: Matrix) -> Spectrum:
    """Return the eigenvalues and eigenvectors of (N-1) I + gram, of order N."""
    members = len(gram)
    xp = _arrays.namespace(gram)
    values, vectors = xp.linalg.eigh((members - 1) * xp.eye(members) + gram)
    return Spectrum(values, vectors)


def blocks(size: int, members: int, *, on_device: bool = False) -> Iterator[slice]:
    """Yield slices of an axis of `size` that are small beside an ensemble, whatever N."""
    length = _DEVICE_BLOCK if on_device else max(256, _BLOCK // members**2)
    for first in range(0, size, length):
        yield slice(first, min(first + length, size))


def in_parts(values: Array) -> Iterator[tuple[slice, Array]]:
    """Yield parts of the observations, and h(x) of each."""
    for part in blocks(values.shape[1], len(values), on_device=_arrays.on_device(values)):
        yield part, values[:, part]


def products(
    parts: Iterable[tuple[slice, Array]],
    y: Array,
    precision: Array,
    members: int,
    normals: Array | None = None,
) -> Products:
    """Sum what the observations say in the space of the ensemble; missing ones drop out.

    Parameters
    ----------
    parts : iterable of slice and ndarray, (N, k)
        Parts of the observations, in their order, and h(x) of each.
    y, precision : ndarray, (m,)
        Observations, with NaN where there are none, and 1/r^2.
    members : int
        N.
    normals : ndarray, (N, m), optional
        eps of the perturbed observations.
    """
    xp = _arrays.namespace(y)
    gram, innovation = xp.zeros((members, members)), xp.zeros(members)
    perturbations = None if normals is None else xp.zeros((members, members))
    for part, h in parts:
        values = h.astype(np.float64)
        mean = values.mean(axis=0)
        values -= mean
        missing = xp.isnan(y[part])
        weight = xp.where(missing, 0.0, precision[part])
        weighted = values * weight
        gram += weighted @ values.T
        innovation += weighted @ xp.where(missing, 0.0, y[part] - mean)
        if perturbations is not None and normals is not None:
            perturbations += (normals[:, part] * np.sqrt(weight)) @ values.T
    return Products(gram, innovation, perturbations)


def combine(x: Array, coefficients: Matrix, out: Array) -> None:
    """Write mean + coefficients A to `out`, (N, D), a block of components at a time.

    Parameters
    ----------
    x : ndarray, (N, D)
        The members, A = x - mean.
    coefficients : ndarray, (N, N)
        Row i makes member i.
    out : ndarray, (N, D)
        Overlaps `x` not at all, or is `x`.
    """
    mixing = coefficients.astype(x.dtype)
    for part in blocks(x.shape[1], len(x), on_device=_arrays.on_device(x)):
        block = x[:, part]
        # float64: a mean off by a rounding of float32 would move every member alike
        mean = block.mean(axis=0, dtype=np.float64).astype(x.dtype)
        out[:, part] = mean + mixing @ (block - mean)
