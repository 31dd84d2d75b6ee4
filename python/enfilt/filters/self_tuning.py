"""Taper and inflation from the ensemble and its innovations, as an analysis begins."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._values import same
from ..inflation import Adaptive, AdaptiveRTPS, Inflation
from ..localization import ByVariable, FromEnsemble, Taper
from . import one_factor, spread_factors, taper_range
from .cycle import Array, Cycle, Memory
from .one_factor import OneFactor
from .spread_factors import Amounts, Innovations, LocalFactors, NearSums
from .taper_range import Moments
from .tuned import Geometry, Tuning

Vector = npt.NDArray[np.float64]

#: So many cycles one after the other that a place is astray, it has lost the truth.
LOST = 3


def geometry(memory: Memory, cycle: Cycle) -> Geometry | None:
    """Return the geometry of what is observed, or None where there is none."""
    obs = cycle.obs
    if not obs.tells_places(cycle.forecast.shape[-1]):
        return None
    if memory.geometry is None or memory.geometry.obs is not obs:
        memory.geometry = _geometry(cycle, memory.geometry)
    return memory.geometry


def _geometry(cycle: Cycle, before: Geometry | None = None) -> Geometry:
    return Geometry(cycle.obs, cycle.forecast.shape[-1], cycle.y.shape[-1], before)


def adapted(
    inflation: Inflation, localization: Any, memory: Memory, cycle: Cycle, freedom: float
) -> Cycle:
    """Return the cycle with tapers from the ensembles, and the forecast widened by innovations.

    `freedom` is how many degrees of freedom for signal places may get per member.
    """
    from_ensemble = isinstance(localization, FromEnsemble)
    adaptive = inflation if isinstance(inflation, Adaptive) else None
    if adaptive is not None and (adaptive.local is False or adaptive.is_changed):
        adaptive = None
    known = None
    if from_ensemble or adaptive is not None:
        known = geometry(memory, cycle)
    if known is None and (from_ensemble or (adaptive is not None and adaptive.local)):
        known = _geometry(cycle)  # the error that it raises says what is missing
    if known is not None:
        cycle = _Tuned(known, localization, adaptive, memory, cycle, freedom).cycle()
        if adaptive is not None:
            return cycle
    if not isinstance(inflation, one_factor.OneFactor):
        return cycle
    factors = [_one_factor(inflation, memory, cycle, b) for b in range(len(cycle.forecast))]
    if isinstance(inflation, AdaptiveRTPS):  # its turn comes after the analysis
        cycle.facts["inflation"] = float(np.mean(factors))
        return cycle
    return one_factor.widened(inflation, cycle, [np.array([factor]) for factor in factors])


def in_geometry(
    known: Geometry,
    localization: Any,
    inflation: Adaptive | None,
    memory: Memory,
    cycle: Cycle,
) -> tuple[Cycle, list[Vector]]:
    """Return the cycle with tapers and without outliers, and the factors (D,) of its ensembles."""
    freedom = taper_range.FREEDOM
    return _Tuned(known, localization, inflation, memory, cycle, freedom).found()


def _one_factor(inflation: OneFactor, memory: Memory, cycle: Cycle, b: int) -> float:
    """Return the factor of all components of one ensemble, and keep it."""
    known = memory.tuning.get(b, Tuning()).factor
    factor = one_factor.factor(inflation, cycle, b, 1.0 if known is None else known)
    cycle.tuning[b] = dataclasses.replace(cycle.tuning.get(b, Tuning()), factor=factor)
    return factor


def relaxed(inflation: AdaptiveRTPS, cycle: Cycle, analysis: Array) -> None:
    """Relax the analysis (B, N, D) of a cycle that was `adapted`, in place."""
    factors = [cycle.tuning[b].factor or 1.0 for b in range(len(analysis))]
    one_factor.relax(inflation, cycle, factors, analysis)


def _cutoffs(tapers: list[Taper | ByVariable]) -> dict[str, float]:
    """Return the cutoffs that were found, as facts: each variable's own, and the longest."""
    apart = [taper for taper in tapers if isinstance(taper, ByVariable)]
    if not apart:
        return {"cutoff": float(np.mean([taper.cutoff for taper in tapers]))}
    own = np.mean([[row[v].cutoff for v, row in enumerate(t.tapers)] for t in apart], axis=0)
    found = {f"cutoff of variable {v}": float(cutoff) for v, cutoff in enumerate(own)}
    return {"cutoff": float(own.max())} | found


class _Tuned:
    """One cycle, in a geometry."""

    def __init__(
        self,
        known: Geometry,
        localization: Taper | FromEnsemble | None,
        inflation: Adaptive | None,
        memory: Memory,
        cycle: Cycle,
        freedom: float,
    ) -> None:
        self._freedom = freedom
        self._known, self._localization, self._inflation = known, localization, inflation
        self._memory, self._cycle = memory, cycle
        self._members, self._y = cycle.forecast.shape[1], cycle.y.copy()

    def cycle(self) -> Cycle:
        """Return the cycle tuned."""
        cycle, factors = self.found()
        if self._inflation is None:
            return cycle
        return one_factor.widened(self._inflation, cycle, factors, self._known.components)

    def found(self) -> tuple[Cycle, list[Vector]]:
        """Return the cycle without outliers, and the factors of each ensemble, not yet widened."""
        cycle = self._cycle
        factors = [self._ensemble(b) for b in range(len(cycle.forecast))]
        if cycle.tapers:
            cycle.facts.update(_cutoffs(list(cycle.tapers.values())))
        if self._inflation is None:
            return cycle, factors
        states = [state.astray for state in cycle.tuning.values() if state.astray is not None]
        there = self._known.present
        cycle.facts["lost"] = float(np.mean([state[there] >= LOST for state in states]))
        cycle.facts["outliers"] = float(sum(state.outliers.size for state in cycle.tuning.values()))
        if cycle.facts["outliers"]:
            cycle = dataclasses.replace(cycle, y=self._y)
        return cycle, factors

    def _ensemble(self, b: int) -> Vector:
        """Return the factors of one ensemble, (D,), or ones where nothing is widened."""
        known, cycle, places = self._known, self._cycle, self._known.places
        before = self._before(b)
        moments = taper_range.moments(
            cycle.forecast[b], places, known.variables, between=known.between
        ).after(before.moments)
        found = self._innovations(b)
        if self._inflation is None:
            cycle.tapers[b] = self._taper(moments, found)
            cycle.tuning[b] = Tuning(places.grid, moments)
            return np.ones(1)
        near = NearSums(found, places.windows, known.present)
        level = np.ones(near.shape)
        if self._localization is None and before.amounts is not None:
            level += before.amounts.mean[:, None]
        astray = spread_factors.astray(near, level)
        left_out = spread_factors.outliers(near, level, astray, before.outliers)
        outliers = found.cells[left_out]
        if outliers.size:
            xp = _arrays.namespace(self._y)
            self._y[b, xp.asarray(found.numbers[left_out])] = np.nan
            found = found.chosen(~left_out)
            near = NearSums(found, places.windows, known.present)
        square = taper_range.squared_correlations(moments, self._members)
        others = spread_factors.correlated(near, places, square)
        taper: Taper | ByVariable | None
        if isinstance(self._localization, FromEnsemble):
            taper = cycle.tapers[b] = self._taper(moments, found)
        else:
            taper = self._localization
        if taper is None:
            noise = np.ones(near.shape)
            amounts = before.amounts or Amounts.unknown(known.variables)
        else:
            noise = self._noise(near, others, taper)
            start = Amounts.by_noise(near, noise)
            amounts = (before.amounts or start).faded(start)
        amounts = amounts.after(near, noise, others)
        level = 1 + amounts.mean[:, None] * noise
        level *= spread_factors.too_wide(near, others)[:, None]
        local = LocalFactors(near, level, others)
        scatter = before.scatter
        if scatter is None:
            scatter = np.full(known.variables, spread_factors.SCATTER**2)
        scatter = local.scatter(scatter)
        count = np.ones(near.shape, np.int64)
        if before.astray is not None:
            count += before.astray
        count[~astray] = 0
        cycle.tuning[b] = Tuning(places.grid, moments, None, amounts, scatter, count, outliers)
        factor = local.drawn(scatter).ravel()
        factor = factor[places.cells % factor.size]  # of all variables alike, where it is one
        # parameters, behind the others, are given back what they had: these keep the mean
        return np.append(factor, np.full(cycle.forecast.shape[-1] - factor.size, factor.mean()))

    def _before(self, b: int) -> Tuning:
        """Return what is remembered of one ensemble in this geometry."""
        before = self._memory.tuning.get(b, Tuning())
        fits = before.amounts is None or len(before.amounts.mean) == self._known.variables
        return before if fits and same(before.grid, self._known.places.grid) else Tuning()

    def _innovations(self, b: int) -> Innovations:
        """Return the innovations of one ensemble, those that are finite numbers."""
        known, cycle = self._known, self._cycle
        x, y = cycle.forecast[b], cycle.y[b]
        cells, order, xp = known.cells, np.arange(y.size), _arrays.namespace(x)
        if cycle.observed is not None and cycle.obs.locations is None:
            observed = cycle.observed.of(b)
            order = known.order
            cells = cells[order]
        else:
            x, observed = cycle.values(b), cycle.obs.of_values(y)
        moments = xp.empty((2, y.size), y.dtype)
        cycle.backend.innovations(x, observed, moments)
        departure, variance = _arrays.to_host(moments).astype(np.float64)
        excess = departure**2 * observed.precision - 1
        ratio = variance * observed.precision
        finite = np.isfinite(excess) & np.isfinite(ratio)
        return Innovations(excess, ratio, cells, order).chosen(finite)

    def _taper(self, moments: Moments, found: Innovations) -> Taper | ByVariable:
        """Return the taper of one ensemble."""
        known, members = self._known, self._members
        candidates, places, variables = known.candidates, known.places, known.variables
        best, amplitude = candidates.fit(taper_range.optimal_factor(moments, members))

        def placed(values: Vector) -> Vector:
            total = np.bincount(found.cells, values, variables * places.size).astype(float)
            return total.reshape(variables, places.size)

        wider = candidates.wider(best, taper_range.stretch(members))
        signal, most = placed(found.ratio / (found.ratio + 1)), self._freedom * members
        chosen = candidates.bounded(signal, most, wider, amplitude)
        tapers: list[list[Taper]] = [[candidates.tapers[i] for i in row] for row in chosen]
        if variables == 1:
            return tapers[0][0]
        return ByVariable(tapers, amplitude.tolist())

    def _noise(self, near: NearSums, others: Vector, taper: Taper | ByVariable) -> Vector:
        """Return t of each component, (V, n), for the filter's taper; at most 1."""
        places, variables = self._known.places, self._known.variables
        distances = places.pairs.distances
        if isinstance(taper, ByVariable):
            weights = taper.table(distances)
        else:
            seen = np.ones((variables, variables)) if self._known.between else np.eye(variables)
            weights = seen[..., None] * taper.weight(distances)
        noise = spread_factors.sampling_noise(near, others, places, weights)
        result: Vector = np.minimum(noise / (self._members - 1), 1)
        return result
