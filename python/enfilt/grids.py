"""Where the components of a state lie: what localization measures distances on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks
from ._values import Value

Array = npt.NDArray[Any]

#: The largest coordinate: squares of distances are numbers.
_FARTHEST = 1e100


class Grid(ABC):
    """Places of components, and the distance between places."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of components, D."""

    @abstractmethod
    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        """Return the coordinates (n, k) of components, given as an index into (D,)."""

    @abstractmethod
    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        """Return the distances (n, m) between places (n, k) and (m, k)."""


@dataclass(frozen=True)
class RegularGrid(Grid):
    """A grid of equal spacing along each axis, components in C order, variable after variable.

    Parameters
    ----------
    shape : tuple of int
        Points along each axis, one or two of them.
    periodic : bool
        Whether the ends are joined. Default: they are.
    spacing : float
        Distance between neighbours, from 1e-100 to 1e100; cutoffs are in its unit.
    variables : int
        Variables at each point, at least 1: a state (p, u, v) of 2-D fields has 3, and components
        in the order (variable, row, column). D is their number times the points.
    between_variables : bool
        Whether localization lets different variables correlate. They do by default, those at one
        point being at distance zero. Where not, their distance is infinite, and a place has the
        index of its variable as its first coordinate: ``locations=`` of observations then are
        (variable, row, column), rows and columns in the unit of `spacing`.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range.

    Examples
    --------
    >>> import enfilt as ef
    >>> ring = ef.grids.RegularGrid((10,))
    >>> ring.distances(ring.coordinates([0]), ring.coordinates([1, 5, 9]))
    array([[1., 5., 1.]])
    >>> flow = ef.grids.RegularGrid((4, 5), variables=3)
    >>> flow.size, flow.coordinates([7, 27, 47]).tolist()
    (60, [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    >>> apart = ef.grids.RegularGrid((4, 5), variables=3, between_variables=False)
    >>> apart.distances(apart.coordinates([7]), apart.coordinates([7, 8, 28]))
    array([[ 0.,  1., inf]])
    """

    shape: tuple[int, ...]
    periodic: bool = True
    spacing: float = 1.0
    variables: int = 1
    between_variables: bool = True

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if not isinstance(self.shape, tuple | list):
            raise TypeError(f"shape={self.shape!r}: expected a tuple of one or two integers")
        object.__setattr__(self, "shape", tuple(self.shape))
        if not 1 <= len(self.shape) <= 2:
            raise ValueError(f"shape={self.shape}: expected one or two axes")
        for n in self.shape:
            _checks.integer("shape", n, 1)
        if not isinstance(self.periodic, bool | np.bool_):
            raise TypeError(f"periodic={self.periodic!r}: expected True or False")
        if not isinstance(self.between_variables, bool | np.bool_):
            raise TypeError(f"between_variables={self.between_variables!r}: expected True or False")
        _checks.number("spacing", self.spacing, above=1e-100, most=_FARTHEST)
        _checks.integer("variables", self.variables, 1)

    @property
    def size(self) -> int:
        return int(self.variables * np.prod(self.shape))

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        chosen = _chosen(self.size, components)
        variable, point = np.divmod(chosen, int(np.prod(self.shape)))
        place = self.spacing * np.stack(np.unravel_index(point, self.shape), axis=-1).astype(float)
        return place if self.between_variables else np.column_stack([variable, place])

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        axes = len(self.shape)
        a, b = _places(axes if self.between_variables else axes + 1, a=a, b=b)
        gap = a[:, None, -axes:] - b[None, :, -axes:]
        if self.periodic:
            period = self.spacing * np.array(self.shape, dtype=float)
            gap -= period * np.rint(gap / period)  # to the nearest of all images
        result: npt.NDArray[np.float64] = np.sqrt(np.sum(gap**2, axis=-1))
        if not self.between_variables:
            result[a[:, None, 0] != b[None, :, 0]] = np.inf
        return result


@dataclass(frozen=True, eq=False)
class Points(Value, Grid):
    """Components at coordinates of the user's own, with the Euclidean distance.

    Parameters
    ----------
    places : array_like, (D, k)
        Coordinates of each component; (D,) is one coordinate.
    spacing : float
        The distance that filters count their own cutoffs in, where none is given: that between
        neighbours, on a grid. From 1e-100 to 1e100.

    Raises
    ------
    TypeError, ValueError
        If they are no numbers, of another shape, or not finite or beyond 1e100.

    Examples
    --------
    >>> import enfilt as ef
    >>> line = ef.grids.Points([0.0, 1.0, 4.0])
    >>> line.distances(line.coordinates([0]), line.coordinates())
    array([[0., 1., 4.]])
    """

    places: npt.ArrayLike
    spacing: float = 1.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        array = _checks.coordinates("places", self.places).copy()
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"places has shape {array.shape}: expected (D, k)")
        check_places("places", array)
        _checks.number("spacing", self.spacing, above=1e-100, most=_FARTHEST)
        array.flags.writeable = False
        object.__setattr__(self, "places", array)

    @property
    def size(self) -> int:
        return len(np.asarray(self.places))

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        chosen = _chosen(self.size, components)
        places = np.asarray(self.places, dtype=np.float64)
        return places[components if isinstance(components, slice) else chosen]  # a slice: no copy

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        a, b = _places(np.shape(self.places)[-1], a=a, b=b)
        result: npt.NDArray[np.float64] = np.sqrt(np.sum((a[:, None] - b[None]) ** 2, axis=-1))
        return result


def as_grid(value: Any) -> Grid:
    """Return `value` as a grid; an array is the coordinates of the components."""
    return value if isinstance(value, Grid) else Points(value)


def axes(grid: Grid) -> tuple[int, ...]:
    """Return the points along each axis of a grid; () of places without axes."""
    return grid.shape if isinstance(grid, RegularGrid) else ()


def check_places(argument: str, places: Array) -> None:
    """Check that coordinates are finite, and not so large that distances overflow."""
    _checks.finite(argument, places)
    if (largest := float(np.max(np.abs(places), initial=0.0))) > _FARTHEST:
        raise ValueError(f"{argument} reaches to {largest:.3g}: expected at most {_FARTHEST:g}")


def _chosen(size: int, components: Any) -> npt.NDArray[np.int64]:
    """Return the numbers of the components that an index into (D,) chooses."""
    try:
        chosen = np.atleast_1d(np.arange(size)[components])
        if chosen.ndim > 1:
            raise ValueError("expected an integer, a slice or an array (n,)")
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"components={components!r} of D={size}: {error}") from None
    return chosen


def _places(axes: int, **places: Any) -> list[npt.NDArray[np.float64]]:
    """Check that arguments are places of so many coordinates."""
    found = []
    for name, value in places.items():
        array = _checks.numbers(name, value)
        if array.ndim != 2 or array.shape[1] != axes:
            raise ValueError(f"{name} has shape {array.shape}: expected (n, {axes})")
        check_places(name, array)
        found.append(array)
    return found
