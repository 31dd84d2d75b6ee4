"""The reduced form of a sampler on CuPy arrays: `reduced` says what it is.

Which components hold an observation is not known on the host, so a group is a mask over all
components and not a list of its own. Products are float64 and cuBLAS's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import _arrays
from .base import Array
from .reduced import ReducedProblem, Rows, coefficients
from .reference import standardized

# Components worked on at a time: their rows in float64, 63 for 20 members, are 130 MB.
_BLOCK = 1 << 18

#: Fills (N, D) with normals.
Draw = Callable[[int, int, int, Array], None]


def analysis(problem: ReducedProblem, draw: Draw, out: Array) -> None:
    """Run a whole analysis, writing (B, N, D) to `out`, which holds the noise meanwhile."""
    for batch in range(len(out)):
        # what a block of `out` holds is read before the block is written
        noise = _noise(problem, batch, draw, out[batch])
        spread = _spread_observations(problem, batch)
        grams = _grams(problem, batch, noise, spread)
        used = np.ones(len(problem.precisions), bool)
        c = coefficients(problem, batch, grams, used)
        last = Rows.of(problem).noise
        for part, rows, masks in _blocks(problem, batch, noise, spread):
            written = 0
            for g, mask in enumerate(masks):
                moved = c[g, :, :last] @ rows[:last] + c[g, :, last:] * rows[last:]
                written = written + mask * moved
            out[batch][:, part] = written.astype(out.dtype)  # type: ignore[attr-defined]


def _noise(problem: ReducedProblem, batch: int, draw: Draw, memory: Array) -> Array:
    if problem.noise is None:
        draw(problem.key, problem.batch + batch, 0, memory)
        noise = memory
    else:
        noise = problem.noise[batch]
    if not problem.standardize:
        return noise
    for part in _parts(noise.shape[1]):
        memory[:, part] = standardized(noise[:, part])
    return memory


def _spread_observations(problem: ReducedProblem, batch: int) -> tuple[Array, Array] | None:
    """Return y and 1/r^2 of every component, 0 where nothing is observed."""
    if problem.observed is None:
        return None
    observed = problem.observed.of(batch)
    xp = _arrays.namespace(problem.x1)
    chosen: Any = observed.components
    if not isinstance(chosen, slice):
        chosen = xp.asarray(chosen)
    dim, dtype = problem.x1.shape[-1], observed.y.dtype
    y, precision = xp.zeros(dim, dtype), xp.zeros(dim, dtype)
    missing = xp.isnan(observed.y)
    y[chosen] = xp.where(missing, 0, observed.y)
    precision[chosen] = xp.where(missing, 0, xp.asarray(observed.precision))
    return y, precision


def _parts(dim: int) -> Iterator[slice]:
    for first in range(0, dim, _BLOCK):
        yield slice(first, min(first + _BLOCK, dim))


def _blocks(
    problem: ReducedProblem, batch: int, noise: Array, spread: tuple[Array, Array] | None
) -> Iterator[tuple[slice, Array, list[Any]]]:
    """Yield parts of the components, all rows of them in float64, and a mask a group."""
    xp = _arrays.namespace(problem.x1)
    for part in _parts(problem.x1.shape[-1]):
        x1 = problem.x1[batch][:, part].astype(np.float64)
        mean = x1.mean(axis=0)
        innovation, masks = xp.zeros_like(mean), [1.0] * len(problem.precisions)
        if spread is not None:
            y, precision = (a[part] for a in spread)
            innovation = xp.where(precision > 0, y - mean, 0)
            # the distinct precisions are of the same dtype as those of the components
            masks = [(precision == p).astype(np.float64) for p in problem.precisions]
        anomalies, drift = [x1 - mean], xp.zeros_like(mean)
        if problem.x0 is not None:
            x0 = problem.x0[batch][:, part].astype(np.float64)
            mean0 = x0.mean(axis=0)
            anomalies.append(x0 - mean0)
            drift = mean0 - mean
        lines = [drift[None], innovation[None], mean[None], noise[:, part].astype(np.float64)]
        yield part, xp.concatenate([*anomalies, *lines]), masks


def _grams(
    problem: ReducedProblem, batch: int, noise: Array, spread: tuple[Array, Array] | None
) -> Array:
    """Return the inner products of all rows with the anomalies, (groups, rows + N, A1 and A0)."""
    xp, rows = _arrays.namespace(problem.x1), Rows.of(problem)
    shape = (len(problem.precisions), rows.noise + rows.members, rows.drift)
    # added up as if once rounded, by Neumaier (1974), as `reduced.compensated_sum` says why
    total, lost = xp.zeros(shape), xp.zeros(shape)
    if not problem.paired:  # whose weights need none
        for _, lines, masks in _blocks(problem, batch, noise, spread):
            part = xp.stack([(lines * mask) @ lines[: rows.drift].T for mask in masks])
            after = total + part
            larger = abs(total) >= abs(part)
            lost += xp.where(larger, (total - after) + part, (part - after) + total)
            total = after
    grams: Array = total + lost
    return grams
