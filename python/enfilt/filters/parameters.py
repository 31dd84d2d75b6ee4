"""Parameters among the components of a state: not inflated as these are, and seen by all."""

from __future__ import annotations

import numpy as np

from .. import _checks
from ..backends import LocalLists
from ..inflation import Inflation
from ..observation import Observation
from ..parameters import WithParameters
from .cycle import Array, Cycle


def count(obs: Observation, dim: int) -> int:
    """Return how many components of the state, the last ones, are parameters."""
    if not isinstance(obs.grid, WithParameters):
        return 0
    obs.state_grid(dim)  # looks whether it has as many components
    return obs.grid.count


def not_widened(cycle: Cycle, adapted: Cycle, parameters: int) -> Cycle:
    """Give a forecast that was widened the parameters that it had; return its cycle."""
    if parameters and adapted.forecast is not cycle.forecast:
        adapted.forecast[..., -parameters:] = cycle.forecast[..., -parameters:]
    return adapted


def inflate(inflation: Inflation, cycle: Cycle, kept: Array, analysis: Array) -> None:
    """Give an inflated analysis the parameters that were `kept`, with an inflation of their own."""
    parameters = kept.shape[-1]
    if not inflation.is_identity:
        forecast = _checks.contiguous(cycle.forecast[..., -parameters:])
        if type(inflation).apply is not Inflation.apply:  # one of the user's
            inflation.apply(kept, forecast)
        else:
            inflation._apply(kept, forecast, cycle.backend)
    analysis[..., -parameters:] = kept


def lists(grid: WithParameters, observations: int, *, each: bool) -> LocalLists:
    """Return the list of parameters, which see all of so many observations.

    With `each`, every parameter has one of its own.
    """
    first, parameters = grid.placed.size, grid.count
    rows = parameters if each else 1
    starts = observations * np.arange(rows + 1)
    indices = np.tile(np.arange(observations), rows)
    found = LocalLists(first, starts, indices, np.full(len(indices), float(grid.weight)))
    if each:
        return found
    components = np.arange(first, first + parameters)
    return found._replace(owners=np.array([0, parameters]), components=components)
