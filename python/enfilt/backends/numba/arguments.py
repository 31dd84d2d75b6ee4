"""Arrays and numbers in the form that kernels take them: what stands around every call."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numba
import numpy as np

from ..problems import Array, ObservedComponents
from .blocks import TILE, Cut, cut_up
from .observed import KINDS, Observed


def threads() -> int:
    """Return how many threads Numba may use, and OMP_NUM_THREADS allows."""
    usable: int = numba.get_num_threads()
    allowed = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(usable, int(allowed)) if allowed.isdigit() and int(allowed) > 0 else usable


def fixed(array: Array) -> Array:
    """Return a read-only view: else Numba compiles a kernel anew for arrays that are read-only."""
    view = array.view()
    view.flags.writeable = False
    return view


def padded(size: int) -> int:
    """Return a number of components, rounded up to whole tiles."""
    return -(-size // TILE) * TILE


def observed_as(observed: ObservedComponents | None, x: Array) -> Observed:
    """Return observations as the kernels take them, in the dtype of `x`."""
    no_indices = np.empty(0, np.int64)
    if observed is None:
        nothing = np.empty(0, x.dtype)
        return 0, 0.0, 0, 1, fixed(no_indices), fixed(nothing), fixed(nothing), 0
    return (
        KINDS.index(observed.kind),
        float(observed.parameter),
        observed.offset,
        observed.stride,
        fixed(no_indices if observed.indices is None else observed.indices),
        fixed(observed.y),
        fixed(observed.precision),
        0 if observed.function is None else observed.function.addresses(x.dtype)[1],
    )


class Weights(NamedTuple):
    """Weights as the kernels take them: padded values, and one-hot rows known by their column."""

    values: Array
    single: Array


def weights_as(w: Array, dtype: np.dtype[Any]) -> Weights:
    """Return weights in the dtype that kernels mix with; some rows are one-hot."""
    # With the other weights together below a quarter of the last bit, the row rounds to the
    # one-hot row, and so does what it multiplies.
    negligible = np.finfo(dtype).eps / 8
    rows, largest = np.arange(len(w)), w.argmax(axis=1)
    others = np.abs(w)
    others[rows, largest] = 0
    one_hot = others.sum(axis=1) <= negligible
    one_hot &= np.abs(w[rows, largest] - 1) <= negligible
    values = np.zeros((len(w), padded(w.shape[1])), dtype)
    values[:, : w.shape[1]] = w
    return Weights(values, np.where(one_hot, largest, -1))


def cut_of(rows: int, columns: int, x: Array) -> Cut:
    """Return how the components of `x` are cut up, as `cut_up`."""
    return cut_up(rows, columns, x.shape[1], x.itemsize, threads())


def sums_of(cut: Cut, x: Array, *shape: int) -> Array:
    """Return float64 partial sums, one for each chunk; added in their order."""
    return np.zeros((-(-x.shape[1] // cut.chunk), *shape))
