"""Analyses in the space of the ensemble: N x N matrices, then linear combinations of the members.

One pass over the observations makes the matrices, one over the state writes the combinations.
With anomalies A = x - mean (N, D) and Y = h(x) - mean (N, m) and the innovation d = y - mean h(x),
everything follows from Y R^-1 Y^T and Y R^-1 d: no matrix of D x m or m x m is made, and beside
the result only blocks that are small beside an ensemble.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays
from ..backends import ObservedComponents
from ..backends.numpy.plain import observe
from .cycle import Array, Cycle

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


def _observed(x: Array, cycle: Cycle, m: int, given: Array | None) -> Iterator[tuple[slice, Array]]:
    """Yield parts of the observations, in their own order, and h(x) of each, or those `given`."""
    form = cycle.obs.pointwise(x.shape[-1]) if given is None else None
    if form is None:
        h = cycle.obs.observe(x, m) if given is None else given
        for part in blocks(m, len(x), on_device=_arrays.on_device(x)):
            yield part, h[:, part]
        return
    chosen = form.components
    if not isinstance(chosen, slice):
        chosen = _arrays.beside(x, chosen)
    for part in blocks(m, len(x), on_device=_arrays.on_device(x)):
        if isinstance(chosen, slice):
            offset, indices = chosen.start + part.start * chosen.step, None
        else:
            offset, indices = 0, chosen[part]
        stride = chosen.step if isinstance(chosen, slice) else 1
        size = part.stop - part.start
        empty = x[0, :0]
        yield (
            part,
            observe(
                x,
                ObservedComponents(
                    form.kind,
                    form.parameter,
                    offset,
                    stride,
                    size,
                    indices,
                    empty,
                    empty,
                    form.function,
                ),
            ),
        )


def observation_products(
    cycle: Cycle,
    b: int,
    ensemble: Array | None = None,
    normals: Array | None = None,
    values: Array | None = None,
) -> Products:
    """Sum what the observations say in the space of the ensemble; missing ones drop out.

    Those with correlated errors are decorrelated first (`Observation.decorrelation`).

    Parameters
    ----------
    cycle : Cycle
        The analysis.
    b : int
        Which ensemble of the batch.
    ensemble : ndarray, (N, D), optional
        Another ensemble than the forecast to take h of.
    normals : ndarray, (N, m), optional
        eps of the perturbed observations.
    values : ndarray, (N, m), optional
        h(x) of that ensemble, where it is known.
    """
    x = cycle.forecast[b] if ensemble is None else ensemble
    if values is None and ensemble is None and cycle.given is not None:
        values = cycle.given[b]
    y = cycle.y[b]
    decorrelation = cycle.obs.decorrelation(y)
    if decorrelation is not None:
        h = cycle.obs.observe(x, y.size) if values is None else values
        values, y = decorrelation(h), decorrelation(y)
    members = len(x)
    xp = _arrays.namespace(x)
    precision = _arrays.beside(x, cycle.obs.precision(np.float64))
    precision = xp.broadcast_to(precision, y.shape)
    gram, innovation = xp.zeros((members, members)), xp.zeros(members)
    perturbations = None if normals is None else xp.zeros((members, members))
    for part, h in _observed(x, cycle, y.size, values):
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
