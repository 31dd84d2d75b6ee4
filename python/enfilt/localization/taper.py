"""Localization: a weight that falls with distance and is zero beyond a cutoff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..grids import Grid

Array = npt.NDArray[Any]


def _gaspari_cohn(distance: Array, cutoff: float) -> Array:
    # eq. 4.10 with half-width c = cutoff/2; r = distance/c runs to 2
    r = 2 * distance / cutoff
    inner = 1 + r**2 * (-5 / 3 + r * (5 / 8 + r * (1 / 2 - r / 4)))
    safe = np.maximum(r, 1.0)
    outer = 4 + safe * (-5 + safe * (5 / 3 + safe * (5 / 8 + safe * (-1 / 2 + safe / 12))))
    outer = outer - 2 / (3 * safe)
    return np.where(r < 1, inner, np.maximum(outer, 0.0))


def _step(distance: Array, cutoff: float) -> Array:
    return np.ones_like(distance)


#: Shapes by name: the weights at distances below the cutoff.
SHAPES: dict[str, Callable[[Array, float], Array]] = {"gaspari-cohn": _gaspari_cohn, "step": _step}


@dataclass(frozen=True)
class Taper:
    """A weight that falls with distance to zero at a cutoff.

    Parameters
    ----------
    cutoff : float
        Distance, in the unit of the grid, at and beyond which the weight is exactly zero; above
        zero. Infinite: no localization, the weight is one everywhere, and nothing is asked for the
        places of components or observations (but by a shape of yours, and on a grid with
        ``between_variables=False``, whose variables stay apart).
    shape : {"gaspari-cohn", "step"} or callable
        How the weight falls within the cutoff: as that of `GaspariCohn`, or not at all; a callable
        maps distances to weights from 0 to 1.
    vertical : float, optional
        The cutoff straight up and down, where it is another: in the unit of the heights of a
        `Sphere`, or along the first axis of a `RegularGrid` of three. A place that is z higher then
        counts as (cutoff/vertical) z away, so that a component sees an ellipsoid.
    most : int, optional
        The largest number of observations that a place sees: of more, those of the largest weights,
        the first of equals. For the `LETKF` and the `LEnFF`, where errors are not correlated.
    horizontal : float, optional
        `cutoff` by another name, as one writes it beside `vertical`.

    Raises
    ------
    TypeError, ValueError
        If a cutoff is not above zero, the shape is not known, or `cutoff` and `horizontal` are
        given both, or neither.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.localization.Taper(4.0, "step").weight(np.array([0.0, 2.0, 4.0]))
    array([1., 1., 0.])
    >>> ef.localization.Taper(horizontal=2500.0, vertical=8.0)
    Taper(cutoff=2500.0, shape='gaspari-cohn', vertical=8.0, most=None)
    """

    cutoff: float = None  # type: ignore[assignment]  # a number, once it is made
    shape: str | Callable[[Array], Array] = "gaspari-cohn"
    vertical: float | None = None
    most: int | None = field(default=None, kw_only=True)
    horizontal: InitVar[float | None] = None

    def __post_init__(self, horizontal: float | None) -> None:
        if (self.cutoff is None) == (horizontal is None):
            raise ValueError(
                f"cutoff={self.cutoff!r} and horizontal={horizontal!r}: expected one of the two"
            )
        name = "cutoff"
        if horizontal is not None:
            name = "horizontal"
            object.__setattr__(self, "cutoff", horizontal)
        _checks.python_numbers(self)
        if self.cutoff != np.inf:
            _checks.number(name, self.cutoff, above=0)
        if self.vertical is not None:
            _checks.number("vertical", self.vertical, above=0)
            if self.cutoff == np.inf:
                raise ValueError(f"vertical={self.vertical}: expected a finite {name} beside it")
        if self.most is not None:
            _checks.integer("most", self.most, 1)
        if not callable(self.shape):
            _checks.choice("shape", self.shape, SHAPES)

    def counts_none(self) -> Taper:
        """Return the taper, for those who look at all observations.

        Raises
        ------
        ValueError
            If it has a largest number of them.
        """
        if self.most is not None:
            raise ValueError(
                f"localization={self!r}: expected one without most=, which is for the LETKF and "
                f"the LEnFF"
            )
        return self

    def on(self, grid: Grid) -> Grid:
        """Return the grid of which the weights are by distance.

        Raises
        ------
        ValueError
            If heights have a cutoff of their own, and the grid has no heights.
        """
        return grid if self.vertical is None else grid.stretched(self.cutoff / self.vertical)

    def is_none(self, grid: Any) -> bool:
        """Return whether all weights are one, wherever components and observations lie.

        Parameters
        ----------
        grid : Grid, array_like or None
            That of the state, as an `Observation` takes it: distances may be infinite on one of
            the user's, or between variables kept apart.
        """
        if self.cutoff < np.inf or callable(self.shape) or self.most is not None:
            return False
        if isinstance(grid, Grid):
            apart = grid.apart and grid.variable_count > 1
            return grid.embedding() is not None and not apart
        return True

    def weight(self, distance: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the weight at distances, of their shape.

        Raises
        ------
        TypeError, ValueError
            If a distance is not at least 0 (infinite is allowed), or a callable shape returns no
            numbers, another shape, or a weight that is not from 0 to 1; the message gives weight
            and distance.
        """
        d = _checks.numbers("distance", distance)
        if not (d >= 0).all():
            first = d[~(d >= 0)].flat[0]
            raise ValueError(f"distance holds {first}: expected numbers of at least 0")
        if callable(self.shape):
            weight = _checks.numbers("what shape returned", self.shape(d))
            if weight.shape != d.shape:
                raise ValueError(
                    f"shape returned weights of shape {weight.shape} for distances of shape "
                    f"{d.shape}: expected the same, a weight each"
                )
            within = d < self.cutoff
            bad = np.flatnonzero(within & ~((weight >= 0) & (weight <= 1)))
            if bad.size:
                found, at = weight.flat[bad[0]], d.flat[bad[0]]
                raise ValueError(
                    f"shape returned {found} at distance {at}: expected weights from 0 to 1"
                )
            return np.where(within, weight, 0.0)
        inside = d < self.cutoff  # also without one: variables kept apart are infinitely far
        weight = np.zeros_like(d)
        # few of many distances are inside, and the taper costs more than to choose them
        unbounded = self.cutoff == np.inf
        weight[inside] = 1.0 if unbounded else SHAPES[self.shape](d[inside], float(self.cutoff))
        return weight


@dataclass(frozen=True)
class GaspariCohn(Taper):
    """The taper of compact support that most of the field uses.

    Gaspari, Cohn (1999), "Construction of correlation functions in two and three dimensions", eq.
    4.10. Their half-width is cutoff/2; DAPPER's ``loc_rad`` r is a cutoff of 3.64 r.

    Parameters
    ----------
    cutoff, vertical, most, horizontal
        As of a `Taper`.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> taper = ef.localization.GaspariCohn(cutoff=4.0)
    >>> taper.weight(np.array([0.0, 2.0, 4.0])).round(4)
    array([1.    , 0.2083, 0.    ])
    """

    shape: str = field(default="gaspari-cohn", init=False, repr=False)
