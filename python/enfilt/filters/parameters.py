"""Parameters among the components of a state: not inflated as these are."""

from __future__ import annotations

from .. import _checks
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
