"""Gaussian anamorphosis: the ranks of the forecast's members, as quantiles of a Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .. import _checks
from .base import Array, Transform
from .elementary import check_bounds

Table = npt.NDArray[np.float64]

# Numbers in a temporary array: small beside an ensemble.
_BLOCK = 1 << 18
# The probability that stands for none: the score of a bound itself is a number.
_LEAST = 1e-12


@dataclass(frozen=True)
class RankGaussian(Transform):
    """z = Phi^-1(F(x)), F being the distribution of the forecast's members, and Phi of N(0, 1).

    Each component of each ensemble has a transform of its own (Gaussian anamorphosis; Amezcua, van
    Leeuwen 2014, "Gaussian anamorphosis in the analysis step of the EnKF: a joint
    state-variable/observation approach"; Grooms 2022, "A comparison of nonlinear extensions to the
    ensemble Kalman filter: Gaussian anamorphosis and two-step ensemble filters"). The member of
    rank k of N has z = Phi^-1((k - 1/2)/N), equal members their mean rank. Between members T^-1 is
    linear. Beyond the lowest, F falls evenly to a bound; without one, T^-1 goes on linearly, as of
    a Gaussian with the standard deviation of the ensemble; so above the highest.

    Parameters
    ----------
    lower, upper : float, optional
        Bounds of the variable, which members may be at.

    Raises
    ------
    TypeError, ValueError
        If they are no numbers, or not one below the other.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rain = np.array([[0.0], [0.0], [1.0], [20.0]])
    >>> ranks = ef.transforms.RankGaussian(lower=0.0).fitted(rain)
    >>> z = ranks.forward(rain)
    >>> z.ravel().round(2)
    array([-0.67, -0.67,  0.32,  1.15])
    >>> ranks.inverse(z - 1.0).ravel().round(2)
    array([0.  , 0.  , 0.  , 0.83])
    """

    lower: float | None = None
    upper: float | None = None

    is_fitted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        check_bounds(self.lower, self.upper)

    @property
    def domain(self) -> str:  # type: ignore[override]
        low = [] if self.lower is None else [f"at least {self.lower}"]
        high = [] if self.upper is None else [f"at most {self.upper}"]
        return " and ".join([*low, *high]) or Transform.domain

    def inside(self, x: Array) -> npt.NDArray[np.bool_]:
        kind = x.dtype.type
        result = np.ones(x.shape, bool)
        if self.lower is not None:
            result &= x >= kind(self.lower)
        if self.upper is not None:
            result &= x <= kind(self.upper)
        return result

    def fitted(self, forecast: Array) -> Transform:
        values = np.sort(forecast.astype(np.float64), axis=0)
        members = len(values)
        rank = np.arange(members)[:, None] + 1.0
        if (values[1:] == values[:-1]).any():
            from scipy import stats  # slow to import

            rank = stats.rankdata(values, axis=0)
        # as they are in the analysis
        scores = _quantile((rank - 0.5) / members).astype(forecast.dtype)
        return _Ranks(self, values, scores.astype(np.float64))

    def forward(self, x: Array) -> Array:
        raise self._unfitted()

    def inverse(self, z: Array) -> Array:
        raise self._unfitted()

    def slope(self, z: Array) -> Array:
        raise self._unfitted()

    def _unfitted(self) -> TypeError:
        return TypeError(f"{self!r} is made for each ensemble: expected that of fitted(forecast)")


@dataclass(frozen=True, eq=False)
class _Ranks(Transform):
    """That of one forecast.

    Attributes
    ----------
    bounds : RankGaussian
    values : ndarray, (N, n)
        The members of each component, sorted.
    scores : ndarray, (N, n) or (N, 1)
        Their z.
    """

    bounds: RankGaussian
    values: Table = field(repr=False)
    scores: Table = field(repr=False)

    def at(self, components: npt.NDArray[np.int64]) -> Transform:
        scores = self.scores if self.scores.shape[1] == 1 else self.scores[:, components]
        return _Ranks(self.bounds, self.values[:, components], scores)

    def forward(self, x: Array) -> Array:
        return self._mapped(_Block.forward, x)

    def inverse(self, z: Array) -> Array:
        return self._mapped(_Block.inverse, z)

    def slope(self, z: Array) -> Array:
        return self._mapped(_Block.slope, z)

    def _mapped(self, function: Callable[[_Block, Table], Table], array: Array) -> Array:
        """Return a function of rows, some components at a time."""
        rows = array.reshape(-1, array.shape[-1])
        result = np.empty_like(rows)
        step = max(1, _BLOCK // max(len(rows), len(self.values)))
        for first in range(0, rows.shape[1], step):
            part = slice(first, first + step)
            scores = self.scores if self.scores.shape[1] == 1 else self.scores[:, part]
            block = _Block(self.bounds.lower, self.bounds.upper, self.values[:, part], scores)
            result[:, part] = function(block, rows[:, part].astype(np.float64))
        return result.reshape(array.shape)


class _Block:
    """Some components: the graph of each is a chain of lines between members, and two tails."""

    def __init__(
        self, lower: float | None, upper: float | None, values: Table, scores: Table
    ) -> None:
        self.lower, self.upper, self.values, self.scores = lower, upper, values, scores
        deviation = scores.std(axis=0)
        # of a Gaussian's quantiles this is its standard deviation
        self._rise = values.std(axis=0) / np.where(deviation > 0, deviation, 1.0)

    def inverse(self, z: Table) -> Table:
        count = _count(self.scores, z)
        (v, s), (v_next, s_next) = self._ends(count)
        share = np.clip((z - s) / np.where(s_next > s, s_next - s, 1.0), 0, 1)
        x = v + share * (v_next - v)
        low, high = count == 0, count == len(self.values)
        tail = self._tail(self.values[0], self.scores[0], self.lower, z)
        mirrored = self._tail(-self.values[-1], -self.scores[-1], _minus(self.upper), -z)
        result: Table = np.where(low, tail, np.where(high, -mirrored, x))
        return result

    def forward(self, x: Table) -> Table:
        count = _count(self.values, x)
        (v, s), (v_next, s_next) = self._ends(count)
        share = (x - v) / np.where(v_next > v, v_next - v, 1.0)
        z = s + np.clip(share, 0, 1) * (s_next - s)
        low, high = count == 0, (count == len(self.values)) & (x > self.values[-1])
        tail = self._score(self.values[0], self.scores[0], self.lower, x)
        mirrored = self._score(-self.values[-1], -self.scores[-1], _minus(self.upper), -x)
        result: Table = np.where(low, tail, np.where(high, -mirrored, z))
        return result

    def slope(self, z: Table) -> Table:
        count = _count(self.scores, z)
        (v, s), (v_next, s_next) = self._ends(count)
        between = (v_next - v) / np.where(s_next > s, s_next - s, 1.0)
        low, high = count == 0, count == len(self.values)
        tail = self._rise + 0 * z
        below, above = tail, tail
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        if self.lower is not None:
            below = density * (self.values[0] - self.lower) / _probability(self.scores[0])
        if self.upper is not None:
            above = density * (self.upper - self.values[-1]) / _probability(-self.scores[-1])
        result: Table = np.where(low, below, np.where(high, above, between))
        return result

    def _ends(self, count: npt.NDArray[np.int64]) -> list[tuple[Table, Table]]:
        """Return value and score of the members below and above, of which so many are below."""
        members, shape = len(self.values), (len(self.values), count.shape[1])
        scores = np.broadcast_to(self.scores, shape)
        chosen = [np.maximum(count - 1, 0), np.minimum(count, members - 1)]
        return [
            (np.take_along_axis(self.values, at, 0), np.take_along_axis(scores, at, 0))
            for at in chosen
        ]

    def _tail(self, value: Table, score: Table, bound: float | None, z: Table) -> Table:
        """Return x of z below the score of the lowest member."""
        if bound is None:
            gaussian: Table = value + self._rise * (z - score)
            return gaussian
        share = np.minimum(_probability(z) / _probability(score), 1)
        result: Table = bound + (value - bound) * share
        return result

    def _score(self, value: Table, score: Table, bound: float | None, x: Table) -> Table:
        """Return z of x below the lowest member."""
        if bound is None:
            gaussian: Table = score + (x - value) / np.where(self._rise > 0, self._rise, np.inf)
            return gaussian
        share = (x - bound) / np.where(value > bound, value - bound, 1.0)
        result: Table = _quantile(_probability(score) * np.clip(share, _LEAST, 1))
        return result


def _count(nodes: Table, values: Table) -> npt.NDArray[np.int64]:
    """Return how many nodes (N, n) or (N, 1), sorted, are not above values (M, n)."""
    if nodes.shape[1] == 1:
        result: npt.NDArray[np.int64] = np.searchsorted(nodes[:, 0], values, side="right")
        return result
    result = np.zeros(values.shape, np.int64)
    for row in nodes:
        result += values >= row
    return result


def _probability(z: Table) -> Table:
    """Return Phi(z)."""
    from scipy import special  # slow to import

    result: Table = special.ndtr(z)
    return result


def _quantile(probability: Table) -> Table:
    """Return Phi^-1."""
    from scipy import special

    result: Table = special.ndtri(probability)
    return result


def _minus(bound: float | None) -> float | None:
    return None if bound is None else -bound
