"""Observations of one cycle beside what the ensembles say of them, and what that comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks, metrics
from .._values import by_content
from ..observation import Observation

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float64]

#: What is summed over observations; statistics are made of nothing else.
SUMS = (
    "count",
    "departure",
    "square",
    "spread",
    "error",
    "chi_square",
    "crps",
    "analysed",
    "residual",
    "residual_square",
    "product",
    "gain",
    "analysis_spread",
)

#: Values of h(x) that are looked at at a time.
_BLOCK = 1 << 20
#: Of larger numbers, which are no observations of anything, squares overflow.
_LARGE = 1e150


@by_content
class Departures(NamedTuple):
    """One cycle's observations beside what the ensembles say of them, (m,); NaN: not known.

    Attributes
    ----------
    y, std : ndarray
        Observation, and r.
    forecast, forecast_variance : ndarray
        Mean and variance (with N - 1) of h(x) over the forecast.
    analysis, analysis_variance : ndarray
        Of the analysis.
    crps : ndarray
        Of y among the members of h(x) with an observation error added to each.
    rank : ndarray of int64
        How many of these are below y; -1 where y is missing.
    members : int
        N.
    """

    y: Vector
    std: Vector
    forecast: Vector
    forecast_variance: Vector
    analysis: Vector
    analysis_variance: Vector
    crps: Vector
    rank: npt.NDArray[np.int64]
    members: int

    def sums(self, chosen: Any = slice(None)) -> Vector:
        """Return the `SUMS` over some of the observations."""
        y = self.y[chosen]
        seen = ~np.isnan(y)
        part = [np.asarray(a)[chosen][seen] for a in self[1:7]]
        std, mean, variance, analysis, analysed, crps = part
        known = ~np.isnan(analysis)
        departure = y[seen] - mean
        residual = (y[seen] - analysis)[known]
        before = departure[known]
        return np.array(
            [
                np.count_nonzero(seen),
                departure.sum(),
                (departure**2).sum(),
                variance.sum(),
                (std**2).sum(),
                (departure**2 / (variance + std**2)).sum(),
                crps.sum(),
                np.count_nonzero(known),
                residual.sum(),
                (residual**2).sum(),
                (residual * before).sum(),
                ((before - residual) * before).sum(),
                analysed[known].sum(),
            ],
            np.float64,
        )

    def ranks(self, chosen: Any = slice(None)) -> npt.NDArray[np.int64]:
        """Return how many of the observations have k members below them, (N + 1,)."""
        rank = self.rank[chosen]
        return np.bincount(rank[rank >= 0], minlength=self.members + 1)


def departures(
    y: npt.ArrayLike,
    obs: Observation,
    forecast: npt.ArrayLike,
    analysis: npt.ArrayLike | None = None,
    *,
    rng: np.random.Generator | int | None = None,
) -> Departures:
    """Compare the observations of one cycle with h(x) of forecast and analysis.

    Parameters
    ----------
    y : array_like, (m,)
        NaN: missing.
    obs : Observation
        Whose error is known; the operator is not asked.
    forecast : array_like, (N, m)
        h(x) of the forecast, ``obs.h(ensemble)``.
    analysis : array_like, (N, m), optional
        h(x) of the analysis.
    rng : numpy.random.Generator, int or None
        Of the observation errors that are added to members.

    Returns
    -------
    Departures

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.

    Notes
    -----
    An observation is a draw of the truth with an error, and so a draw of the forecast only if
    members have an error, too (Hamill 2001, "Interpretation of rank histograms"): rank and CRPS are
    those among h(x_j) + e_j with e_j of R.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.5)
    >>> found = ef.diagnostics.departures([1.0, np.nan], obs, [[0.0, 1.0], [1.0, 3.0]], rng=0)
    >>> found.y - found.forecast, found.rank.shape
    (array([0.5, nan]), (2,))
    """
    if not isinstance(obs, Observation):
        raise TypeError(f"obs={obs!r}: expected an enfilt.Observation")
    before = _checks.ensemble("forecast", _numbers("forecast", forecast), batch=False)
    members, m = before.shape
    seen = _checks.numbers("y", _checks.plain("y", y, missing=True))
    if seen.shape != (m,):
        raise ValueError(f"y has shape {seen.shape}: expected ({m},), as forecast {before.shape}")
    after = None if analysis is None else _numbers("analysis", analysis)
    if after is not None and after.shape != before.shape:
        raise ValueError(f"analysis has shape {after.shape}: expected {before.shape}")
    obs._check_std(m)
    draws = _checks.generator("rng", rng)
    # correlated errors are drawn together; others some at a time, beside which h(x) is large
    step = m if obs.is_correlated else max(1, _BLOCK // members)
    rank = np.full(m, -1)
    found = np.full((6, m), np.nan)
    for first in range(0, m, step):
        part = slice(first, first + step)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not known
            x = before[:, part].astype(np.float64)
            found[1:3, part] = x.mean(axis=0), x.var(axis=0, ddof=1)
            if after is not None:
                a = after[:, part].astype(np.float64)
                found[3:5, part] = a.mean(axis=0), a.var(axis=0, ddof=1)
            x += _errors(obs, draws.standard_normal(x.shape), seen, part)
            # false of NaN, too
            usable = (np.abs(x).max(axis=0) < _LARGE) & (np.abs(seen[part]) < _LARGE)
        if usable.any():
            where = np.arange(m)[part][usable]
            x, y_there = np.ascontiguousarray(x[:, usable]), seen[where]
            found[0, where] = y_there
            found[5, where] = metrics.of_components(x, y_there).crps
            rank[where] = (x < y_there).sum(axis=0)
    return Departures(
        y=found[0],
        std=np.broadcast_to(obs.r, (m,)),
        forecast=found[1],
        forecast_variance=found[2],
        analysis=found[3],
        analysis_variance=found[4],
        crps=found[5],
        rank=rank,
        members=members,
    )


def _numbers(name: str, value: Any) -> Array:
    """Return an array of floats, without a copy where it is one."""
    array = _checks.plain(name, value)
    if isinstance(array, np.ndarray) and array.dtype in _checks.FLOAT_DTYPES:
        return array
    return _checks.numbers(name, array)


def _errors(obs: Observation, normals: Vector, y: Vector, part: slice) -> Array:
    """Return errors of some observations, made of standard normals."""
    if obs.is_correlated:
        return obs.errors(normals, np.nan_to_num(y))
    r: Vector = obs.r[part] if obs.r.ndim else obs.r
    return r * normals


@by_content
class Statistics(NamedTuple):
    """What departures say, over some observations.

    Attributes
    ----------
    number : int
        Observations with a value.
    bias, rmse : float
        Mean of y - h(x) over the forecast's mean, and the root of that of its square: the RMSE of
        the next observation.
    spread : float
        Root mean variance of h(x) over the forecast.
    expected : float
        Root mean of variance + r^2: what `rmse` is where both are right.
    chi_square : float
        Mean of (y - h(x))^2 / (variance + r^2): 1 where both are right, observation by observation.
    crps : float
        Of the next observation, error included.
    r, forecast_std, analysis_std : float
        Standard deviations of the errors of observations, of the forecast, and of the analysis, as
        departures from both tell them (Desroziers, Berre, Chapnik, Poli 2005, "Diagnosis of
        observation, background and analysis-error statistics", eq. 1-4): means of
        (y - a)(y - f), (a - f)(y - f) and (a - f)(y - a). They are right where the analysis weighs
        as it should. NaN where a mean is below zero, or the analysis is not known.
    given_r : float
        Root mean r^2, as observations have it.
    analysis_rmse, analysis_spread : float
        Of y - h(x) over the analysis, which has seen y.
    """

    number: int
    bias: float
    rmse: float
    spread: float
    expected: float
    chi_square: float
    crps: float
    r: float
    given_r: float
    forecast_std: float
    analysis_std: float
    analysis_rmse: float
    analysis_spread: float

    @classmethod
    def of(cls, sums: npt.ArrayLike) -> Statistics:
        """Return the statistics of `SUMS`."""
        s = dict(zip(SUMS, np.asarray(sums, np.float64).tolist(), strict=True))

        def mean(name: str, of: str = "count") -> float:
            return s[name] / s[of] if s[of] else math.nan

        def root(value: float) -> float:
            return math.sqrt(value) if value >= 0 else math.nan

        product = mean("product", "analysed")
        return cls(
            number=int(s["count"]),
            bias=mean("departure"),
            rmse=root(mean("square")),
            spread=root(mean("spread")),
            expected=root(mean("spread") + mean("error")),
            chi_square=mean("chi_square"),
            crps=mean("crps"),
            r=root(product),
            given_r=root(mean("error")),
            forecast_std=root(mean("gain", "analysed")),
            analysis_std=root(product - mean("residual_square", "analysed")),
            analysis_rmse=root(mean("residual_square", "analysed")),
            analysis_spread=root(mean("analysis_spread", "analysed")),
        )


def statistics(found: Departures | Iterable[Departures]) -> Statistics:
    """Return what the departures of one cycle, or of many, come to.

    Parameters
    ----------
    found : Departures, or iterable of Departures

    Examples
    --------
    A forecast whose spread is too small by half, and observations without any error:

    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=1e-6)
    >>> forecast, y = rng.standard_normal((50, 10_000)), 2 * rng.standard_normal(10_000)
    >>> found = ef.diagnostics.statistics(ef.diagnostics.departures(y, obs, forecast, rng=1))
    >>> round(found.rmse, 1), round(found.chi_square)
    (2.0, 4)
    """
    every = [found] if isinstance(found, Departures) else list(found)
    return Statistics.of(
        np.sum([one.sums() for one in every], axis=0) if every else [0] * len(SUMS)
    )
