"""The reduced form of a sampler: its steps run on coefficients of the ensembles' rows.

Where a step is linear in z_i, x1_j, x0_j and y, with coefficients that all components of one
precision 1/r^2 share, a point stays a combination of rows,

    z_i = sum_j p_ij A1_j + q_ij A0_j + d_i (m0 - m1) + c_i (y - m1) + b_i m1 + e_i eps_i,

with A1, A0 the anomalies of x1 and x0 about their means m1 and m0, and eps_i the normals of member
i. The weights of a step need only the Gram matrix of these rows with A1 and A0: one pass over
memory sums it, all steps run on the coefficients, one pass writes z. Here stand the steps, and both
passes in plain NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..._lifetimes import kept
from ..problems import Array, ReducedProblem, ReducedStage
from .plain import softmax, standardized

# Components worked on at a time in NumPy: the rows in float64 stay small beside an ensemble.
_BLOCK = 1 << 14


class Rows(NamedTuple):
    """Where rows stand in Gram matrices and coefficients: A1, A0, these three, then the eps_i.

    Of the eps_i a member has its own alone: its coefficients have one column for it, the last.
    """

    members: int
    drift: int
    innovation: int
    mean: int
    noise: int

    @classmethod
    def of(cls, problem: ReducedProblem) -> Rows:
        members = problem.x1.shape[1]
        spanned = members if problem.x0 is None else 2 * members
        return cls(members, spanned, spanned + 1, spanned + 2, spanned + 3)


def coefficients(problem: ReducedProblem, batch: int, grams: Array, used: Array) -> Array:
    """Run all steps; return the coefficients (groups, N, rows + 1) that z ends with.

    `grams` (groups, rows + N, A1 and A0) are the inner products of all rows with the anomalies;
    `used` says which groups have components. No product goes to BLAS, whose last bits may follow
    the number of its threads.
    """
    return _Steps(problem, batch, grams, used).run()


class _Steps:
    """The steps of one ensemble, on the groups that have components."""

    def __init__(self, problem: ReducedProblem, batch: int, grams: Array, used: Array) -> None:
        self.problem, self.batch, self.used = problem, batch, used
        self.rows = Rows.of(problem)
        self.grams = grams if used.all() else grams[used]
        self.maps = problem.maps[:, used]
        self.stages = [ReducedStage(*map(float, row)) for row in problem.stages]
        if problem.gains is not None:
            # Y_j R^-1 Y_k^T and Y_j R^-1 (y - mean)
            n, of_x1 = self.rows.members, self.grams[:, :, : self.rows.members]
            precisions = problem.precisions[used]
            self.observed = np.einsum("g,gjk->jk", precisions, of_x1[:, :n])
            self.innovation = precisions @ of_x1[:, self.rows.innovation]

    def run(self) -> Array:
        p = self.problem
        c = self._start()
        for k in range(len(self.stages) - (1 if p.heun else 0)):
            ahead = self._advance(k, c)
            c = (c + self._advance(k + 1, ahead)) / 2 if p.heun else ahead
        if self.used.all():
            return c
        everywhere = np.zeros((len(self.used), *c.shape[1:]))
        everywhere[self.used] = c
        return everywhere

    def _start(self) -> Array:
        p, rows = self.problem, self.rows
        members = np.arange(rows.members)
        at = members if p.start is None else p.start[self.batch]
        c = np.zeros((len(self.grams), rows.members, rows.noise + 1))
        c[:, members, at] = p.start_from.x1
        if p.x0 is not None:
            c[:, members, rows.members + at] = p.start_from.x0
        c[:, :, rows.drift] = p.start_from.x0
        c[:, :, rows.mean] = p.start_from.x1 + p.start_from.x0
        c[:, :, rows.noise] = p.start_from.width
        return c

    def _weights(self, k: int, c: Array) -> Array:
        """Return the weights (N, N) from |z_i - mu_j|^2 without what is the same for all j.

        That is |a_j|^2 - 2 a_j.(z_i - mean mu), with a_j the anomaly of mu_j.
        """
        p, rows, stage = self.problem, self.rows, self.stages[k]
        n = rows.members
        if p.paired:
            eye: Array = np.eye(n)
            return eye
        centred = stage.a1 * self.grams[:, :, :n]
        if p.x0 is not None:
            centred += stage.a0 * self.grams[:, :, n:]
        away = c.copy()
        away[:, :, rows.drift] -= stage.a0
        away[:, :, rows.mean] -= stage.a1 + stage.a0
        products = np.einsum("gir,grj->ij", away[:, :, : rows.noise], centred[:, : rows.noise])
        products += np.einsum("gi,gij->ij", away[:, :, rows.noise], centred[:, rows.noise :])
        squares = stage.a1 * np.einsum("gjj->j", centred[:, :n])
        if p.x0 is not None:
            squares = squares + stage.a0 * np.einsum("gjj->j", centred[:, n : 2 * n])
        logits = stage.half_precision * (2 * products - squares)
        if p.log_weights is not None:
            logits += p.log_weights[self.batch]
        w = softmax(logits)
        if p.gains is None:
            return w
        # Covariance guidance as a change of the weights: see `flow.FlowSampler` of the kernels.
        u = self.innovation - np.einsum("ik,kj->ij", w, self.observed)
        q = np.einsum("ij,lj->il", u, p.gains[self.batch, k])
        result: Array = w + q - q.mean(axis=1, keepdims=True)
        return result

    def _advance(self, k: int, c: Array) -> Array:
        rows, stage = self.rows, self.stages[k]
        w = self._weights(k, c)
        keep, pull, towards = self.maps[k].T[:, :, None]
        pull1, pull0 = pull * stage.b1, pull * stage.b0
        to: Array = keep[:, :, None] * c
        to[:, :, : rows.members] += pull1[:, :, None] * w
        if self.problem.x0 is not None:
            to[:, :, rows.members : 2 * rows.members] += pull0[:, :, None] * w
        to[:, :, rows.drift] += pull0
        to[:, :, rows.innovation] += towards
        to[:, :, rows.mean] += pull1 + pull0 + towards
        return to


def analysis(
    problem: ReducedProblem,
    out: Array,
    normals: Callable[[int, int, int, Array], None],
    total: Callable[[Array], Array],
) -> None:
    """Run a whole analysis in plain NumPy, writing (B, N, D) to `out`.

    `normals` and `total` are those of a `Backend`, the first of the state.
    """
    for batch in range(len(out)):
        noise = _noise(problem, batch, normals)
        grams, used = _grams(problem, batch, noise, total)
        c = coefficients(problem, batch, grams, used).astype(out.dtype)
        last = Rows.of(problem).noise
        for g, columns in _blocks(problem, batch):
            rows = _rows(problem, batch, noise, g, columns, out.dtype)
            out[batch][:, columns] = c[g, :, :last] @ rows[:last] + c[g, :, last:] * rows[last:]


def _noise(
    problem: ReducedProblem, batch: int, normals: Callable[[int, int, int, Array], None]
) -> Array:
    noise: Array
    if problem.noise is None:
        noise = np.empty(problem.x1.shape[1:], problem.x1.dtype)
        normals(problem.key, problem.batch + batch, 0, noise)
    else:
        noise = problem.noise[batch]
    return standardized(noise) if problem.standardize else noise


def _blocks(problem: ReducedProblem, batch: int) -> Iterator[tuple[int, Array]]:
    """Yield the groups and their components, some at a time."""
    dim = problem.x1.shape[-1]
    weight = np.zeros(dim)
    if problem.observed is not None:
        observed = problem.observed.of(batch)
        weight[observed.components] = np.where(np.isnan(observed.y), 0, observed.precision)
    for g, precision in enumerate(problem.precisions):
        components = np.flatnonzero(weight == precision)
        for first in range(0, components.size, _BLOCK):
            yield g, components[first : first + _BLOCK]


def _rows(
    problem: ReducedProblem,
    batch: int,
    noise: Array,
    g: int,
    columns: Array,
    dtype: npt.DTypeLike,
) -> Array:
    """Return all rows of these components in `dtype`, which are of group `g`."""
    x1 = problem.x1[batch][:, columns]
    mean = x1.mean(axis=0).astype(dtype)
    innovation = np.zeros_like(mean)
    if problem.observed is not None and problem.precisions[g] > 0:
        observed = problem.observed.of(batch)
        y = np.zeros(problem.x1.shape[-1], dtype)
        y[observed.components] = observed.y
        innovation = y[columns] - mean
    anomalies, drift = [x1.astype(dtype) - mean], np.zeros_like(mean)
    if problem.x0 is not None:
        x0 = problem.x0[batch][:, columns]
        mean0 = x0.mean(axis=0).astype(dtype)
        anomalies.append(x0.astype(dtype) - mean0)
        drift = mean0 - mean
    return np.concatenate(
        [*anomalies, drift[None], innovation[None], mean[None], noise[:, columns].astype(dtype)]
    )


def _grams(
    problem: ReducedProblem, batch: int, noise: Array, total: Callable[[Array], Array]
) -> tuple[Array, Array]:
    rows, groups = Rows.of(problem), len(problem.precisions)
    parts: list[list[Array]] = [[] for _ in range(groups)]
    if not problem.paired:  # whose weights need none
        for g, columns in _blocks(problem, batch):
            all_rows = _rows(problem, batch, noise, g, columns, np.float64)
            parts[g].append(all_rows @ all_rows[: rows.drift].T)
    nothing = np.zeros((rows.noise + rows.members, rows.drift))
    grams = np.array([compensated_sum([nothing, *part]) for part in parts])
    used = np.array([problem.paired or len(part) > 0 for part in parts])
    sums = total(np.concatenate([grams.ravel(), used]))
    return sums[: grams.size].reshape(grams.shape), sums[grams.size :] > 0


def compensated_sum(parts: Iterable[Array]) -> Array:
    """Return the sum of arrays as if once rounded, by Neumaier (1974).

    A distance is the small difference of large sums over components: adding up a hundred parts of
    them one by one would lose more digits than all that was added up to make the parts.
    """
    total, lost = np.zeros(()), np.zeros(())
    for part in parts:
        after = total + part
        larger = np.abs(total) >= np.abs(part)
        lost = lost + np.where(larger, (total - after) + part, (part - after) + total)
        total = after
    return total + lost


def distinct(values: Array, most: int) -> list[Any]:
    """Return the distinct values, in the order in which they come; at most one more than `most`."""

    def searched() -> list[Any]:
        found: list[Any] = []
        left = values
        while left.size and len(found) <= most:
            found.append(left[0])
            left = left[left != left[0]]
        return found

    # of the precisions of an observation, which are asked for in each analysis
    return searched() if values.flags.writeable else kept(values, ("distinct", most), searched)
