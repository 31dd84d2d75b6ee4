"""Factors of the forecast's variance from its innovations: what `Adaptive` estimates.

In two levels: an amount for each variable with memory, and about it a factor for each component,
from the innovations near it in this cycle alone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..inflation import MEMORY, excess_after
from .places import WINDOW, Places, Windows

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: What is known of a variable's factor before any innovation: it exceeds one by the sampling noise,
#: give or take so much, and what is learned of it fades over so many cycles.
DEVIATION, LASTING = 0.1, 100.0
#: What is known of a variable is not taken to be surer than that innovations are so many standard
#: deviations from it.
SURPRISE = 6.0
#: An ensemble is narrowed only where it were too wide for observation errors of so small a part of
#: the variance that is said, too; and in one cycle to no less than such a part of its variance.
SURE, LEAST_FACTOR = 0.25, 0.1
#: So large a share of a variable's components has to be observed for that.
SURPRISING = 0.9
#: The standard deviation of the factors of places about that of their variable, to begin with and
#: at least; and how well this is known. It is an average of some `_SCATTER_CYCLES` cycles.
SCATTER, LEAST_SCATTER, SCATTER_KNOWN = 0.3, 0.1, 0.3
_SCATTER_CYCLES = 10
#: A place's factor is at most so many times its variable's.
MOST = 4.0
#: An observation that is farther off than so many standard deviations, and would be were the
#: forecast as wide as it may become, is an outlier where its place is not astray, and unless there
#: was one at its component a cycle before.
OUTLIER = 4.0
#: A place is astray where more than half of what is observed about it is farther off than so many
#: standard deviations.
FAR = 2.0


@dataclass(frozen=True)
class Innovations:
    """What the observations of one ensemble say of its spread; missing ones are left out.

    Attributes
    ----------
    excess : ndarray, (k,)
        d^2/r^2 - 1.
    ratio : ndarray, (k,)
        p/r^2.
    cells : ndarray of int, (k,)
        Where each is, or next to, among fields (V, n).
    numbers : ndarray of int, (k,)
        Which of the m observations they are.
    """

    excess: Vector
    ratio: Vector
    cells: Indices
    numbers: Indices

    def chosen(self, which: Flags) -> Innovations:
        """Return some of them."""
        every: tuple[Any, ...] = (self.excess, self.ratio, self.cells, self.numbers)
        return Innovations(*(values[which] for values in every))


class NearSums:
    """Sums of innovations over the window about each component, those of its own variable.

    Attributes
    ----------
    found : Innovations
    present : ndarray of bool, (V, n)
        Where there are components.
    shape : tuple of int
        (V, n), of all sums.
    excess, ratio, count : ndarray, (V, n)
    """

    def __init__(self, found: Innovations, windows: Windows, present: Flags) -> None:
        self.found, self._windows, self.present = found, windows, present
        self.shape: tuple[int, int] = present.shape
        every = (found.excess, found.ratio, np.ones_like(found.ratio))
        placed = np.stack([self.placed(values) for values in every])
        self.excess, self.ratio, self.count = windows.sums(placed)

    def placed(self, values: Vector) -> Vector:
        """Return values (k,) of observations, summed at each component, (V, n)."""
        size = self.shape[0] * self.shape[1]
        total = np.bincount(self.found.cells, values, size).astype(float)
        return total.reshape(self.shape)

    def of(self, values: Vector, power: int = 1) -> Vector:
        """Return the sums, (V, n), of values (k,) of observations."""
        return self._windows.sums(self.placed(values), power)

    @functools.cached_property
    def told(self) -> Flags:
        """Where something is observed, (V, n): transforms round, and sums of nothing are not 0."""
        result: Flags = (self.count > 1e-9) & (self.ratio > 1e-9 * self.found.ratio.max(initial=0))
        return result & self.present


def astray(near: NearSums, level: Vector) -> Flags:
    """Return where, (V, n), most of what is observed is far from what spread and error allow."""
    found = near.found
    expected = level.ravel()[found.cells] * found.ratio + 1
    far = found.excess + 1 > FAR**2 * expected
    result: Flags = near.told & (near.of(far.astype(float)) > near.count / 2)
    return result


def outliers(near: NearSums, level: Vector, lost: Flags, before: Indices) -> Flags:
    """Return which innovations, (k,), no widening of the forecast explains.

    `lost`, (V, n), tells which places are astray, `before` the components of the outliers of the
    cycle before.
    """
    found = near.found
    widest = MOST * level.ravel()[found.cells] * found.ratio + 1
    far = (found.excess + 1 > OUTLIER**2 * widest) & ~lost.ravel()[found.cells]
    if far.any():
        far &= ~np.isin(found.cells, before)
    result: Flags = far
    return result


def shares(placed: Vector, window: Vector, places: Places, weights: Vector) -> Vector:
    """Return the sum over all distances, by weights (U, V, count), over that over a window, (U,).

    On the average: of values (V, n), and of sums (U, n) over the windows.
    """
    pairs = places.pairs
    within = window[:, pairs.anchors].mean(axis=1)
    by_distance = np.stack([pairs.sums(values).mean(axis=0) for values in placed])
    total = np.einsum("vd,uvd->u", by_distance, weights)
    result: Vector = np.where(within > 0, total / np.where(within > 0, within, 1), 0)
    return result


def correlated(near: NearSums, places: Places, square: Vector) -> Vector:
    """Return sum_l corr_kl^2 p_l/r_l^2 about each observation k, (k,), itself included.

    Of its own variable; about each place it is taken in proportion to the sum over its window.
    `square`, (V, count), is corr^2 by distance.
    """
    found = near.found
    variables = near.shape[0]
    weights = np.zeros((variables, *square.shape))
    weights[range(variables), range(variables)] = square
    part = shares(near.placed(found.ratio), near.ratio, places, weights)
    sums = (part[:, None] * near.ratio).ravel()
    result: Vector = np.maximum(sums[found.cells], found.ratio)
    return result


def innovation_squares(found: Innovations, factor: Vector, others: Vector) -> Vector:
    """Return half the variance of d_k^2/r_k^2 and of what it shares with others, (k,).

    sum_l (lambda corr_kl p_l/r_l^2 + delta_kl)^2: the errors of a forecast are correlated, so many
    innovations tell less of its variance than as many that are independent.
    """
    result: Vector = factor**2 * found.ratio * others + 2 * factor * found.ratio + 1
    return result


def sampling_noise(near: NearSums, others: Vector, places: Places, taper: Vector) -> Vector:
    """Return (N - 1) t, (V, n): what noise in a tapered gain adds to the variance of a component.

    Counted in parts of that variance. A gain from N members has errors, by which white noise moves
    a component in proportion to its own standard deviation over sqrt(N - 1), so that the
    observations about it add

        t_c = sum_k rho_ck^2 s_k/(N - 1),  s_k = p_k/(r_k^2 + sum_l corr_kl^2 p_l).

    Sums over all distances are those about the anchors, on the average; about each component they
    are taken in proportion to the sums over its window.

    Parameters
    ----------
    near : NearSums
    others : ndarray, (k,)
        As `correlated` has it.
    places : Places
    taper : ndarray, (V, V, count)
        rho by pair of variables and distance.
    """
    signal = near.found.ratio / (1 + others)
    placed, window = near.placed(signal), np.maximum(near.of(signal), 0)
    # of a window, each variable counts as its observations do
    strength = (taper**2)[..., 0]
    window = strength @ window
    result: Vector = window * shares(placed, window, places, taper**2)[:, None]
    return result


@dataclass(frozen=True)
class Amounts:
    """How much the factors of variables, 1 + a t, exceed one.

    Attributes
    ----------
    mean, variance : ndarray, (V,)
        What is known of a.
    """

    mean: Vector
    variance: Vector

    @classmethod
    def by_noise(cls, near: NearSums, noise: Vector) -> Amounts:
        """Return what is known before any innovation, t being the sampling noise (V, n)."""
        found, (variables, n) = near.found, noise.shape
        variable = found.cells // n
        total = np.bincount(variable, noise.ravel()[found.cells] * found.ratio, variables)
        weight = np.bincount(variable, found.ratio, variables)
        mean = total / np.where(weight > 0, weight, 1)
        return cls(np.ones(variables), (DEVIATION / np.maximum(mean, DEVIATION / 100)) ** 2)

    @classmethod
    def unknown(cls, variables: int) -> Amounts:
        """Return those of filters whose sampling noise is not known: t is one for them."""
        return cls(np.zeros(variables), np.full(variables, MEMORY**2))

    def faded(self, start: Amounts) -> Amounts:
        """Return what is left a cycle later, between what was known and the `start`."""
        fade = 1 - 1 / LASTING
        mean = start.mean + fade * (self.mean - start.mean)
        return Amounts(mean, start.variance + fade**2 * (self.variance - start.variance))

    def after(self, near: NearSums, noise: Vector, others: Vector) -> Amounts:
        """Return what is known after the innovations, t being `noise`, (V, n)."""
        found, (variables, n) = near.found, noise.shape
        variable = found.cells // n
        t = noise.ravel()[found.cells]
        factor = 1 + self.mean[variable] * t
        squares = innovation_squares(found, factor, others)
        every = (found.excess - found.ratio, t * found.ratio, squares)
        excess, ratio, total = (np.bincount(variable, values, variables) for values in every)
        known = np.where(ratio > 0, ratio, 1)
        # what is known was wrong where innovations contradict it: then it counts for less
        # (single outliers that are believed contradict nothing)
        most = OUTLIER**2 * (factor * found.ratio + 1) - 1
        usual = np.bincount(variable, np.minimum(found.excess, most) - found.ratio, variables)
        apart = (usual / known - self.mean) ** 2 / SURPRISE**2 - 2 * total / known**2
        # but not where some components are unobserved: a factor that innovations ask for once and
        # again widens those for good, as no analysis narrows them
        numbers = near.present.sum(axis=1)
        observed = np.bincount(variable, minlength=variables) >= SURPRISING * numbers
        gives_way = observed & (ratio > 0)
        variance = np.where(gives_way, np.maximum(self.variance, apart), self.variance)
        return Amounts(*excess_after(self.mean, variance, excess, ratio, total))


def too_wide(near: NearSums, others: Vector) -> Vector:
    """Return the factors, (V,), of variables whose spread is certainly too wide; else one.

    Innovations are smaller than their spread alone, by `SURPRISE` standard deviations, and were
    the variance of observation errors a fraction `SURE` of what is said: a wide start about a good
    mean, which the analysis would narrow only over many cycles.
    """
    found, (variables, n) = near.found, near.shape
    variable = found.cells // n
    square, ratio = (
        np.bincount(variable, values, variables)
        for values in (found.excess + 1 - SURE, found.ratio)
    )
    factor = np.ones(variables)
    for _ in range(5):  # how sure this is depends on the factor itself
        each = innovation_squares(found, factor[variable], others)
        deviation = np.sqrt(2 * np.bincount(variable, each, variables))
        bound = (square + SURPRISE * deviation) / np.where(ratio > 0, ratio, 1)
        factor = np.where(ratio > 0, np.clip(bound, LEAST_FACTOR, factor), 1)
    return factor


class LocalFactors:
    """What the innovations near each component tell of its factor by themselves.

    Attributes
    ----------
    level : ndarray, (V, n)
        The factors that they are held against.
    """

    def __init__(self, near: NearSums, level: Vector, others: Vector) -> None:
        factor = level.ravel()[near.found.cells]
        squares = near.of(innovation_squares(near.found, factor, others), power=2)
        safe = np.where(near.told, near.ratio, 1)
        self.level = level
        self._variance = 2 * np.maximum(squares, 0) / safe**2
        self._factor = near.excess / safe
        finite = np.isfinite(self._factor) & np.isfinite(self._variance) & (self._variance > 0)
        self._told = near.told & finite

    def scatter(self, known: Vector) -> Vector:
        """Return the variance of true factors about their level, (V,), after that of before."""
        v = np.where(self._told, self._variance, np.inf)
        square = np.minimum((self._factor - self.level) ** 2 / v, 25)  # one outlier is no scatter
        places = np.maximum(self._told.sum(axis=1), 1)
        precision = (1 / v).sum(axis=1) / places
        safe = np.where(precision > 0, precision, 1)
        # of as many windows as lie apart
        deviation = np.sqrt(4 * WINDOW / places) / safe
        limit = 2 * deviation
        moved = np.clip((square.sum(axis=1) / places - 1) / safe - known, -limit, limit)
        gain = SCATTER_KNOWN**2 / (SCATTER_KNOWN**2 + deviation**2) / _SCATTER_CYCLES
        new = np.maximum(known + gain * moved, LEAST_SCATTER**2)
        result: Vector = np.where((precision > 0) & np.isfinite(new), new, known)
        return result

    def drawn(self, scatter: Vector) -> Vector:
        """Return the factors, (V, n), drawn to their level by what is known of their scatter."""
        gain = scatter[:, None] / (scatter[:, None] + np.where(self._told, self._variance, 1))
        least = np.minimum(self.level, 1)
        local = np.clip(self.level + (self._factor - self.level) * gain, least, MOST * self.level)
        result: Vector = np.where(self._told, local, self.level)
        return result
