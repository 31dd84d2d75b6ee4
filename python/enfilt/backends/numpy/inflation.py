"""Inflation and what it is estimated from: the oracle.

It takes CuPy arrays as well. It works on a block of components at a time, so that nothing
of an ensemble's size is made.
"""

from __future__ import annotations

import numpy as np

from ... import _arrays
from ..problems import Array, InflationProblem, InnovationSums, ObservedComponents
from .plain import observe

_BLOCK = 1 << 14
# On a GPU a block has to be worth starting kernels for.
_DEVICE_BLOCK = 1 << 20


def blocks(x: Array) -> list[slice]:
    """Return the components of arrays such as `x` (..., D) in parts."""
    length = _DEVICE_BLOCK if _arrays.on_device(x) else _BLOCK
    return [slice(start, start + length) for start in range(0, x.shape[-1], length)]


def inflate(problem: InflationProblem, out: Array) -> None:
    """Write the widened ensembles to `out`, which may be `problem.x`."""
    p = problem
    xp = _arrays.namespace(p.x)
    amount = xp.asarray(p.amount)
    for part in blocks(p.x):
        some = amount if amount.size == 1 else amount[part]
        for b in range(len(p.x)):
            x = p.x[b][:, part]
            f = None if p.forecast is None else p.forecast[b][:, part]
            step = some * _way(p.kind, x, f)
            out[b][:, part] = xp.where(step == 0, x, x + step)  # -0 + 0 would be the other zero


def _way(kind: str, x: Array, forecast: Array | None) -> Array:
    """Return what is multiplied by the amount, (N, block)."""
    xp = _arrays.namespace(x)
    a, size = _anomalies(x)
    if kind == "multiplicative" or forecast is None:
        return a
    f, forecast_size = _anomalies(forecast)
    if kind == "rtpp":
        return f - a
    # numbers of ordinary size, which can be squared
    scaled = a / size
    after = xp.sqrt(xp.sum(scaled**2, axis=0))
    before = xp.sqrt(xp.sum((f / forecast_size) ** 2, axis=0))
    gap = before * forecast_size - after * size
    varies = after > 0  # what has no spread has nothing to widen
    result: Array = scaled * xp.where(varies, gap / xp.where(varies, after, 1), 0)
    return result


def _anomalies(x: Array) -> tuple[Array, Array]:
    """Return the anomalies of the differences to the first member, and the sum of these in size.

    They are rounded as the spread is, where differences to a mean would be as the values are.
    """
    xp = _arrays.namespace(x)
    differences = x - x[0]
    # made in the working precision, as a GPU is quick in that
    tiny = x.dtype.type(np.finfo(x.dtype).tiny)
    size = xp.sum(xp.abs(differences), axis=0) + tiny
    return differences - differences.mean(axis=0), size


def innovations(
    x: Array, observed: ObservedComponents, moments: Array | None = None
) -> InnovationSums:
    """Return the sums of an ensemble (N, D); write d and p, (2, m), to `moments`, NaN as y is."""
    xp = _arrays.namespace(x)
    # a member at a time (Welford): values of all would be an ensemble more
    mean = observe(x[:1], observed)[0].astype(np.float64)
    squares = xp.zeros_like(mean)
    for i in range(1, len(x)):
        gap = observe(x[i : i + 1], observed)[0] - mean
        mean += gap / (i + 1)
        squares += gap**2 * (i / (i + 1))
    departure = observed.y - mean
    missing = xp.isnan(departure)
    variance = squares / max(1, len(x) - 1)
    if moments is not None:
        moments[0] = departure
        moments[1] = xp.where(missing, np.nan, variance)
    precision = xp.asarray(observed.precision).astype(np.float64)
    ratio = xp.where(missing, 0, variance * precision)
    misfit = xp.where(missing, 0, departure**2 * precision)
    sums = [(~missing).sum(), ratio.sum(), (ratio**2).sum(), misfit.sum()]
    found = _arrays.to_host(xp.stack([s.astype(np.float64) for s in sums]))  # waits once
    return InnovationSums(*(float(s) for s in found))
