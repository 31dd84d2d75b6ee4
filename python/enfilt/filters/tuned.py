"""What filters that tune themselves keep from one analysis to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .._values import same
from ..grids import Grid
from ..observation import Observation
from ..parameters import split
from . import neighbours
from .places import Places
from .spread_factors import Amounts
from .taper_range import Candidates, Moments

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tuning:
    """What is remembered of one ensemble from one analysis to the next.

    Attributes
    ----------
    grid : Grid, optional
        Where; None: of no geometry.
    moments : Moments, optional
        Those that a taper from the ensemble follows from.
    factor : float, optional
        That of all components, where there is no geometry.
    amounts : Amounts, optional
        Those of the variables.
    scatter : ndarray, (V,), optional
        The variance of the factors of places about that of their variable.
    astray : ndarray of int, (V, n), optional
        In how many cycles, up to the last, each component was astray.
    outliers : ndarray of int64
        The components whose observations were outliers in the last cycle.
    """

    grid: Grid | None = None
    moments: Moments | None = None
    factor: float | None = None
    amounts: Amounts | None = None
    scatter: Vector | None = None
    astray: Indices | None = None
    outliers: Indices = field(default_factory=lambda: np.zeros(0, np.int64))


class Geometry:
    """What follows from the places of components and observations alone.

    Attributes
    ----------
    obs : Observation
        Those whose places they are.
    places : Places
    candidates : Candidates
        Cutoffs to choose from.
    components : ndarray of int64, (m,)
        The component that each observation is of, or the nearest one of its variable.
    cells : ndarray of int64, (m,)
        Where that is among fields (variables, n) on the places.
    order : ndarray of int64, (m,)
        That in which kernels take them.
    variables : int
        How many have observations of their own; 1 where observations do not tell theirs.
    between : bool
        Whether components of one variable see observations of another.
    present : ndarray of bool, (variables, n)
        Where there are components.

    Made of a state of `dim` components and `count` observations; what still holds of the one
    `before` is kept.
    """

    def __init__(self, obs: Observation, dim: int, count: int, before: Geometry | None) -> None:
        whole, where = obs.places(dim, count)
        grid, _ = split(whole)
        if before is None or not same(before.places.grid, grid):
            self.places: Places = Places(grid)
            self.candidates: Candidates = Candidates(self.places)
        else:
            self.places, self.candidates = before.places, before.candidates
        self.obs = obs
        self.between = not grid.apart
        stand, told = neighbours.components(obs, dim), obs.variables(dim)
        self.order = np.arange(0)
        if stand is not None:
            self.components = stand
            self.order = np.argsort(self.components, kind="stable")
            self.cells = self.places.cells[stand]
            self.variables = self.places.variables
        elif told is not None:
            at = self.places.nearest(where, told)
            self.components = self.places.components[told, at]
            self.cells = self.places.size * told + at
            self.variables = self.places.variables
        else:
            self.cells = at = self.places.nearest(where)
            self.components = self.places.components[:, at].max(axis=0)
            self.variables = 1
        self.present = self.places.present
        if self.variables == 1:
            self.present = np.atleast_2d(self.present.any(axis=0))
