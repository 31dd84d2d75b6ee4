"""Inflation by one factor for all components, from the innovations of each ensemble."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _arrays
from ..backends.problems import InflationProblem
from ..inflation import Adaptive, AdaptiveRTPS, FiniteSize, Inflation, factor_after
from .cycle import Array, Cycle
from .observation_products import observation_products

#: What may have one factor for all components.
OneFactor: TypeAlias = Adaptive | AdaptiveRTPS | FiniteSize
Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def factor(inflation: OneFactor, cycle: Cycle, b: int, known: float) -> float:
    """Return the factor of one ensemble's variance, `known` being that after the last cycle."""
    if isinstance(inflation, FiniteSize):
        gram, innovation, _ = observation_products(cycle, b)
        return inflation.factor(_arrays.to_host(gram), _arrays.to_host(innovation))
    if isinstance(inflation, Adaptive) and inflation.is_changed:
        given = {} if cycle.given is None else {"observed": cycle.given[b]}
        return inflation.estimate(cycle.forecast[b], cycle.y[b], cycle.obs, known, **given)
    return factor_after(cycle.backend.innovations(*cycle.seen(b)), known)


def widened(
    inflation: Inflation, cycle: Cycle, factors: list[Vector], components: Indices | None = None
) -> Cycle:
    """Return the cycle with the variance of each ensemble's forecast times its factor.

    Values of h(x) that were given have the factors of the `components`, (m,), that they belong to.
    """
    cycle.facts["inflation"] = float(np.mean([factor.mean() for factor in factors]))
    if all((factor == 1).all() for factor in factors):
        return cycle

    def wider(ensembles: Any, factors: list[Vector]) -> Any:
        result = _arrays.namespace(ensembles).empty_like(ensembles)
        for b, factor in enumerate(factors):
            one = slice(b, b + 1)
            if isinstance(inflation, Adaptive) and inflation.is_changed:
                inflation.widen(ensembles[b], factor, result[b])
            else:
                cycle.backend.widen(ensembles[one], factor, result[one])
        return result

    given = cycle.given
    if given is not None:
        of_values = [f if f.size == 1 or components is None else f[components] for f in factors]
        given = wider(given, of_values)
    return dataclasses.replace(cycle, forecast=wider(cycle.forecast, factors), given=given)


def relax(inflation: AdaptiveRTPS, cycle: Cycle, factors: list[float], analysis: Array) -> None:
    """Relax an analysis (B, N, D) in place, and say by how much."""
    amounts = []
    # h of the analysis is the operator's, whoever gave that of the forecast
    after = dataclasses.replace(cycle, forecast=analysis, given=None)
    for b, factor in enumerate(factors):
        ratios = [part.backend.innovations(*part.seen(b)).ratio for part in (cycle, after)]
        amounts.append(inflation.relaxation(factor, *ratios))
        one = slice(b, b + 1)
        amount = np.array([amounts[-1]], analysis.dtype)
        problem = InflationProblem("rtps", amount, analysis[one], cycle.forecast[one])
        cycle.backend.inflate(problem, analysis[one])
    cycle.facts["relaxation"] = float(np.mean(amounts))
