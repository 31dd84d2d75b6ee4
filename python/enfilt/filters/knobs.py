"""What of a filter is tuned: options that follow from a number each, and where to look for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..grids import RegularGrid
from ..inflation import RTPS, Adaptive
from ..localization import FromEnsemble, GaspariCohn, Taper
from ..observation import Observation


@dataclass(frozen=True)
class Knob:
    """An option of a filter that follows from a number, or is one of a few other values.

    Attributes
    ----------
    label : str
        What the number is, such as ``cutoff``.
    low, high : float
        Where to look for it.
    usual : float
        What is tried first.
    make : callable
        From the number to the option's value.
    log : bool
        Whether it is searched on a logarithmic scale.
    others : dict
        Values of the option that need no number, by the names that stand for them among the
        numbers: a search tries which is best.
    """

    label: str
    low: float
    high: float
    usual: float
    make: Callable[[float], Any] = float
    log: bool = False
    others: dict[str, Any] = field(default_factory=dict, hash=False)

    def option(self, value: float | str) -> Any:
        """Return the option's value at a number, or that of a name."""
        return self.others[value] if isinstance(value, str) else self.make(value)

    def __post_init__(self) -> None:
        object.__setattr__(self, "usual", min(max(self.usual, self.low), self.high))


#: Knobs by the name of the option that each sets.
Knobs = dict[str, Knob]


def rtps(usual: float = 0.3) -> Knob:
    """Return relaxation to the spread of the forecast, from none to all of it."""
    return Knob("RTPS", 0.0, 1.0, usual, RTPS)


def relaxed_or_adaptive(usual: float = 0.3) -> Knob:
    """Return relaxation to the spread of the forecast, or inflation from the innovations."""
    return replace(rtps(usual), others={"Adaptive": Adaptive()})


def factor(usual: float = 1.02) -> Knob:
    """Return multiplicative inflation."""
    return Knob("inflation", 1.0, 1.5, usual)


def taper(model: Any, obs: Observation, usual: float) -> Knob:
    """Return the cutoff of a localization, as `cutoff` does, or a taper from the ensemble."""
    return replace(cutoff(model, obs, usual), others={"FromEnsemble": FromEnsemble()})


def cutoff(
    model: Any,
    obs: Observation,
    usual: float,
    make: Callable[[Taper], Any] | None = None,
) -> Knob:
    """Return the cutoff of a localization, in grid spacings.

    It is sought from 2 to 64 spacings of the observations on a line, from 1.5 to 6 on a plane
    (where 6 already have some 110 observations of one variable within them), and up to half the
    domain.

    Parameters
    ----------
    model : Model
        Its grid gives the spacing.
    obs : Observation
        How far apart the observations are.
    usual : float
        What is tried first on a line, in spacings of the observations; on a plane 3.
    make : callable, optional
        From the localization to the option's value; None: it is the value.
    """
    grid = model.grid
    if isinstance(grid, RegularGrid):
        axes = len(grid.shape)
        m = obs.told_size(grid.size) or grid.size
        apart = max(1.0, (grid.size / m) ** (1 / axes))  # in grid spacings
        half = max(2.0, max(grid.shape) / 2)
    else:  # places: what is observed is taken to be a spacing apart
        axes, apart = 1, 1.0
        extent = float(np.ptp(grid.coordinates(), axis=0).max())
        half = max(2.0, extent / grid.least_spacing)
    least, most, first = (2.0, 64.0, usual) if axes == 1 else (1.5, 6.0, 3.0)
    high = min(most * apart, half)
    return Knob(
        "cutoff",
        low=min(least * apart, half / 2),
        high=high,
        usual=min(first * apart, high),
        make=_Cutoff(grid.least_spacing, make),
        log=True,
    )


@dataclass(frozen=True)
class _Cutoff:
    """From a cutoff in grid spacings to the option's value: a knob pickles, as all values do."""

    spacing: float
    make: Callable[[Taper], Any] | None

    def __call__(self, spacings: float) -> Any:
        found = GaspariCohn(rounded(spacings * self.spacing))
        return found if self.make is None else self.make(found)


def rounded(value: float, digits: int = 3) -> float:
    """Return a number to so many digits: as it is shown is as it is used."""
    if value == 0 or not np.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
