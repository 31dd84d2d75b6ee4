"""Observations on their way into a cycle."""

from __future__ import annotations

import dataclasses

from ..grids import Grid
from ..observation import Observation


class Gridded:
    """Gives observations the grid of a model, where they have none.

    The same observations become the same object, by which filters know what they have found out.
    """

    def __init__(self, grid: Grid | None) -> None:
        self._grid = grid
        self._known: list[tuple[Observation, Observation]] = []

    def __call__(self, obs: Observation) -> Observation:
        """Return the observations with a grid."""
        if self._grid is None or obs.grid is not None:
            return obs
        for given, found in self._known:
            if given is obs:
                return found
        found = dataclasses.replace(obs, grid=self._grid)
        self._known = [*self._known[-_KEPT:], (obs, found)]
        return found


#: So many observations that take turns are kept.
_KEPT = 15
