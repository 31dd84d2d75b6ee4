"""Tapers by pair of variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..grids import Grid
from .taper import Taper


@dataclass(frozen=True)
class ByVariable:
    """Tapers by pair of variables, of components of one variable and observations of another.

    What `FromEnsemble` finds on a grid of several variables: correlations of one reach farther
    than those of another, and those between variables are weaker than those within. It can be
    given as well, to the same filters; the grid has to be one of as many variables,
    and observations tell theirs by the component that they depend on most (or, of variables that
    the grid keeps apart, by the first coordinate of their place).

    Parameters
    ----------
    tapers : sequence of sequences of Taper
        V x V: that of components of the one and observations of the other.
    amplitudes : sequence of sequences of float
        V x V: the weight at distance 0, from 0 to 1; with 0 the one does not see the other.

    Raises
    ------
    TypeError, ValueError
        If they are not V x V tapers and V x V numbers from 0 to 1.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> own, other = ef.localization.GaspariCohn(4.0), ef.localization.GaspariCohn(2.0)
    >>> taper = ef.localization.ByVariable(((own, other), (other, own)), ((1.0, 0.5), (0.5, 1.0)))
    >>> taper.weight([0.0, 0.0, 2.0], [0, 1, 1], [0, 0, 1]).round(4)
    array([1.    , 0.5   , 0.2083])
    """

    tapers: Sequence[Sequence[Taper]]
    amplitudes: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        amplitudes = _checks.numbers("amplitudes", self.amplitudes)
        if amplitudes.ndim != 2 or not 0 < amplitudes.shape[0] == amplitudes.shape[1]:
            raise ValueError(f"amplitudes has shape {amplitudes.shape}: expected (V, V)")
        if not ((amplitudes >= 0) & (amplitudes <= 1)).all() or not amplitudes.any():
            raise ValueError(
                f"amplitudes={self.amplitudes!r}: expected numbers from 0 to 1, not all of them 0"
            )
        rows = self.tapers if isinstance(self.tapers, list | tuple) else ()
        square = all(isinstance(row, list | tuple) and len(row) == len(rows) for row in rows)
        if len(rows) != len(amplitudes) or not square:
            raise ValueError(
                f"tapers={self.tapers!r}: expected a sequence of {len(amplitudes)} rows of as many "
                f"tapers, as amplitudes"
            )
        if not all(isinstance(taper, Taper) for row in rows for taper in row):
            raise TypeError(f"tapers={self.tapers!r}: expected a Taper or GaspariCohn in all rows")
        if any(t.vertical is not None or t.most is not None for row in rows for t in row):
            raise ValueError(
                f"tapers={self.tapers!r}: expected none with vertical= or most=; the distance of a "
                f"grid is one for all variables (vertical_scale= of a Sphere)"
            )
        # frozen: a taper is looked up by its value
        object.__setattr__(self, "tapers", tuple(map(tuple, rows)))
        object.__setattr__(self, "amplitudes", tuple(map(tuple, amplitudes.tolist())))

    @property
    def cutoff(self) -> float:
        """The longest of all cutoffs: beyond it all weights are zero."""
        return max(
            taper.cutoff
            for row, sizes in zip(self.tapers, self.amplitudes, strict=True)
            for taper, size in zip(row, sizes, strict=True)
            if size > 0
        )

    def weight(
        self, distance: npt.ArrayLike, of: npt.ArrayLike, by: npt.ArrayLike
    ) -> npt.NDArray[np.float64]:
        """Return the weights at distances.

        Parameters
        ----------
        distance : array_like, (...,)
        of, by : array_like of int, broadcastable to `distance`
            The variables of components, and of what observes them.
        """
        d = np.asarray(distance, np.float64)
        of, by = np.broadcast_to(of, d.shape), np.broadcast_to(by, d.shape)
        result = np.zeros_like(d)
        for u, v in np.argwhere(self.amplitudes):
            chosen = (of == u) & (by == v)
            result[chosen] = self.amplitudes[u][v] * self.tapers[u][v].weight(d[chosen])
        return result

    def table(self, distances: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the weights of all pairs of variables at distances (k,), (V, V, k)."""
        every = np.arange(len(self.tapers))
        d = np.broadcast_to(np.asarray(distances), (len(every), len(every), np.size(distances)))
        return self.weight(d, every[:, None, None], every[:, None])

    def on(self, grid: Grid) -> Grid:
        """Return the grid of which the weights are by distance: the same."""
        return grid

    def is_none(self, grid: Any) -> bool:
        """Return False: variables differ."""
        return False

    def check(self, grid: Any, *, told: bool) -> None:
        """Check that a grid has these variables, and that observations tell theirs.

        Parameters
        ----------
        grid : object
            That of the state, as an `Observation` takes it.
        told : bool
            Whether each observation tells its variable.
        """
        if not isinstance(grid, Grid) or grid.variable_count != len(self.tapers):
            raise ValueError(
                f"grid={grid!r}: expected a grid of {len(self.tapers)} variables, those of the "
                f"localization"
            )
        if not told:
            raise ValueError(
                "locations do not tell the variable of an observation, on which the localization "
                "depends: expected an operator that chooses or interpolates components, or a grid "
                "with between_variables=False"
            )
