"""What filters have in common that are localized whatever their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..localization import ByKind, ByVariable, FromEnsemble, Known, Taper
from ..observation import Observation
from .cycle import Cycle


@dataclass(frozen=True)
class Localized:
    """The option that has no default; as the last base of a filter, its field comes first."""

    localization: Known | FromEnsemble

    def _check_localization(self) -> None:
        check_localization(self.localization)

    def _keeps_whole_here(self) -> str:
        """Say why processes can't have a part of the state each, of the localization."""
        if isinstance(self.localization, FromEnsemble):
            return ""
        if not isinstance(self.localization, Taper):
            return f"localization={self.localization!r} is not one taper"
        if self.localization.cutoff == np.inf:
            return "its cutoff is infinite, and every component sees all: expected the ETKF"
        return ""

    def _taper(self, cycle: Cycle, b: int) -> Known:
        """Return the taper of one ensemble of the batch: that given, or what was found for it."""
        if isinstance(self.localization, FromEnsemble):
            return cycle.tapers[b]
        return self.localization


def check_localization(value: Any, *, or_none: bool = False) -> None:
    """Check that an option is a localization."""
    if (value is None and or_none) or isinstance(value, Known | FromEnsemble):
        return
    raise TypeError(
        f"localization={value!r}: expected {'None or ' if or_none else ''}an "
        f"enfilt.localization.GaspariCohn(cutoff=...), FromEnsemble(), ByVariable(...) or "
        f"ByKind(...)"
    )


def check_grid(localization: Any, obs: Observation) -> None:
    """Check that observations have the places that a localization needs."""
    if localization is None or localization.is_none(obs.grid):
        return
    grid = obs.known_grid
    if isinstance(localization, Taper):
        localization.on(grid)
    if isinstance(localization, ByVariable):
        localization.check(grid, told=obs.variables(grid.size) is not None)
    if isinstance(localization, ByKind):
        localization.numbers(obs.kinds, np.size(obs.kinds))


def tapers_of(
    obs: Observation, localization: Known, dim: int, m: int, seen: Any
) -> npt.NDArray[np.int64] | None:
    """Return by which of its tapers a localization weighs the m observations, those `seen`.

    The variables of observations, or the numbers of their kinds; None of one taper.
    """
    if isinstance(localization, Taper):
        return None
    if isinstance(localization, ByKind):
        return np.asarray(localization.numbers(obs.kinds, m)[seen])
    found = obs.variables(dim)
    assert found is not None  # the localization was checked
    return np.asarray(found[seen])
