"""Where the components of a state lie: what localization measures distances on."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks
from ._values import Value

__all__ = ["Grid", "Points", "RegularGrid"]

Array = npt.NDArray[Any]

#: The largest coordinate: squares of distances are numbers.
_FARTHEST = 1e100


@dataclass(frozen=True)
class Embedding:
    """Coordinates in which a tree finds what is near: no distance is shorter than theirs.

    Attributes
    ----------
    inside : callable
        From places (n, k) to coordinates (n, j); of variables kept apart, without the variable.
    period : ndarray, (j,), optional
        Where ends are joined, the length of each axis, or 0.
    measured : callable, optional
        From coordinates (n, j) of both ends of pairs, and their Euclidean distances (n,), to
        their distances; None: these are.
    radius : float
        Of the sphere that the first three coordinates lie on, where distances are along its great
        circles; or 0.
    """

    inside: Callable[[Array], Array]
    period: Array | None = None
    measured: Callable[[Array, Array, Array], Array] | None = None
    radius: float = 0.0

    def tree(self, coordinates: Array) -> Any:
        """Return the tree of coordinates (n, j)."""
        from scipy.spatial import cKDTree  # slow to import, and of no use to most analyses

        return cKDTree(coordinates, boxsize=self.period)

    def distances(self, a: Array, b: Array, euclidean: Array) -> Array:
        """Return the distances (n,) of pairs of coordinates."""
        return euclidean if self.measured is None else self.measured(a, b, euclidean)


class Grid(ABC):
    """Places of components, and the distance between places.

    A grid of your own has the abstract methods. Distances then are all computed; those of the
    library's own are found by a tree.
    """

    @property
    def variables_at_places(self) -> int:
        """Number of variables that share all places, in whose order the components come."""
        return 1

    @property
    def variable_count(self) -> int:
        """Number of variables, V, whether they share their places or not."""
        return self.variables_at_places

    def variables_of(self, components: Any = slice(None)) -> npt.NDArray[np.int64]:
        """Return the variable (n,) of components, from 0; -1 of one that has no place."""
        each = self.size // self.variables_at_places
        return chosen_components(self.size, components) // each

    @property
    def sites(self) -> int:
        """Number of sites that components of one variable and level stand at, then of the next."""
        return self.size // self.variables_at_places

    @property
    def apart(self) -> bool:
        """Whether different variables are infinitely far, and places begin with a variable."""
        return False

    @property
    def least_spacing(self) -> float:
        """The distance between neighbours, along the axis where it is shortest."""
        return float(np.min(getattr(self, "spacing", 1.0)))

    def embedding(self) -> Embedding | None:
        """Return coordinates for a tree; None where distances are only known by `distances`."""
        return None

    def stretched(self, ratio: float) -> Grid:
        """Return the grid with distances in which one unit of height counts `ratio`.

        Raises
        ------
        ValueError
            If the grid has no heights.
        """
        raise ValueError(
            f"vertical: a cutoff of heights needs a Sphere with vertical=, or a RegularGrid of "
            f"three axes, not {self!r}"
        )

    def check_places(self, argument: str, places: Array) -> None:
        """Check that coordinates (n, k) are places."""
        check_places(argument, places)

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
        Points along each axis, one, two or three of them.
    periodic : bool or tuple of bool
        Whether the ends are joined, of all axes or of each. Default: they are.
    spacing : float or tuple of float
        Distance between neighbours, along all axes or each, from 1e-100 to 1e100; cutoffs are in
        its unit.
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

    A channel that is closed to the north and south, in km:

    >>> channel = ef.grids.RegularGrid((4, 10), periodic=(False, True), spacing=(50.0, 100.0))
    >>> channel.distances(channel.coordinates([0]), channel.coordinates([9, 30]))
    array([[100., 150.]])
    """

    shape: tuple[int, ...]
    periodic: bool | tuple[bool, ...] = True
    spacing: float | tuple[float, ...] = 1.0
    variables: int = 1
    between_variables: bool = True

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if not isinstance(self.shape, tuple | list):
            raise TypeError(f"shape={self.shape!r}: expected a tuple of one to three integers")
        object.__setattr__(self, "shape", tuple(self.shape))
        if not 1 <= len(self.shape) <= 3:
            raise ValueError(f"shape={self.shape}: expected one to three axes")
        for n in self.shape:
            _checks.integer("shape", n, 1)
        for periodic in self._by_axis("periodic"):
            if not isinstance(periodic, bool | np.bool_):
                raise TypeError(
                    f"periodic={self.periodic!r}: expected True or False, of all axes or each"
                )
        for spacing in self._by_axis("spacing"):
            _checks.number("spacing", spacing, above=1e-100, most=_FARTHEST)
        if not isinstance(self.between_variables, bool | np.bool_):
            raise TypeError(f"between_variables={self.between_variables!r}: expected True or False")
        _checks.integer("variables", self.variables, 1)

    def _by_axis(self, option: str) -> tuple[Any, ...]:
        """Return an option of each axis."""
        value = getattr(self, option)
        if not isinstance(value, tuple | list):
            return (value,) * len(self.shape)
        if len(value) != len(self.shape):
            raise ValueError(
                f"{option}={value!r} has {len(value)} entries: expected one, or one for each axis "
                f"of shape={self.shape}"
            )
        object.__setattr__(self, option, tuple(value))
        return tuple(value)

    @property
    def joined(self) -> tuple[bool, ...]:
        """Whether the ends of each axis are joined."""
        return tuple(map(bool, self._by_axis("periodic")))

    @property
    def spacings(self) -> npt.NDArray[np.float64]:
        """The distance between neighbours along each axis."""
        return np.array(self._by_axis("spacing"), dtype=np.float64)

    @property
    def period(self) -> npt.NDArray[np.float64]:
        """The length of each axis whose ends are joined; 0 of others."""
        return np.where(self.joined, self.spacings * self.shape, 0.0)

    @property
    def variables_at_places(self) -> int:
        return self.variables

    @property
    def apart(self) -> bool:
        return not self.between_variables

    def embedding(self) -> Embedding | None:
        if type(self) is not RegularGrid:  # distances of its own
            return None
        period, joined = self.period, np.array(self.joined)

        def inside(places: Array) -> Array:
            where = places[:, -len(joined) :].copy()
            within = where[:, joined] % period[joined]
            # the remainder of a tiny negative number rounds to the period itself
            where[:, joined] = np.where(within < period[joined], within, 0.0)
            return where

        return Embedding(inside, period if joined.any() else None)

    def stretched(self, ratio: float) -> Grid:
        if len(self.shape) < 3 or self.embedding() is None:
            return super().stretched(ratio)
        return _Stretched(self, ratio)

    @property
    def size(self) -> int:
        return int(self.variables * np.prod(self.shape))

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        chosen = chosen_components(self.size, components)
        variable, point = np.divmod(chosen, int(np.prod(self.shape)))
        place = self.spacings * np.stack(np.unravel_index(point, self.shape), axis=-1).astype(float)
        return place if self.between_variables else np.column_stack([variable, place])

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        axes = len(self.shape)
        a, b = places_of(self, axes if self.between_variables else axes + 1, a=a, b=b)
        gap = a[:, None, -axes:] - b[None, :, -axes:]
        for axis in np.flatnonzero(self.joined):
            period = self.period[axis]
            along = gap[..., axis]
            along -= period * np.rint(along / period)  # to the nearest of all images
        result: npt.NDArray[np.float64] = np.sqrt(np.sum(gap**2, axis=-1))
        if not self.between_variables:
            result[a[:, None, 0] != b[None, :, 0]] = np.inf
        return result


@dataclass(frozen=True)
class _Stretched(Grid):
    """A regular grid, distances along the first of its three axes counting `ratio` times.

    Coordinates are those of the grid.
    """

    grid: RegularGrid
    ratio: float

    @property
    def _measured(self) -> RegularGrid:
        along, *others = self.grid.spacings.tolist()
        return dataclasses.replace(self.grid, spacing=(self.ratio * along, *others))

    def _long(self, places: Array) -> Array:
        stretched = np.array(places, dtype=np.float64)
        stretched[:, -3] *= self.ratio
        return stretched

    @property
    def variables_at_places(self) -> int:
        return self.grid.variables_at_places

    @property
    def variable_count(self) -> int:
        return self.grid.variable_count

    @property
    def apart(self) -> bool:
        return self.grid.apart

    @property
    def size(self) -> int:
        return self.grid.size

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        return self.grid.coordinates(components)

    def check_places(self, argument: str, places: Array) -> None:
        self.grid.check_places(argument, places)

    def embedding(self) -> Embedding | None:
        found = self._measured.embedding()
        assert found is not None  # `RegularGrid.stretched` has asked for it
        return Embedding(lambda places: found.inside(self._long(places)), found.period)

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        return self._measured.distances(self._long(a), self._long(b))


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

    def embedding(self) -> Embedding | None:
        return Embedding(lambda places: places) if type(self) is Points else None

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        chosen = chosen_components(self.size, components)
        places = np.asarray(self.places, dtype=np.float64)
        return places[components if isinstance(components, slice) else chosen]  # a slice: no copy

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        a, b = places_of(self, np.shape(self.places)[-1], a=a, b=b)
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


def chosen_components(size: int, components: Any) -> npt.NDArray[np.int64]:
    """Return the numbers of the components that an index into (D,) chooses."""
    try:
        chosen = np.atleast_1d(np.arange(size)[components])
        if chosen.ndim > 1:
            raise ValueError("expected an integer, a slice or an array (n,)")
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"components={components!r} of D={size}: {error}") from None
    return chosen


def places_of(grid: Grid, axes: int, **places: Any) -> list[npt.NDArray[np.float64]]:
    """Check that arguments are places of so many coordinates."""
    found = []
    for name, value in places.items():
        array = _checks.numbers(name, value)
        if array.ndim != 2 or array.shape[1] != axes:
            raise ValueError(f"{name} has shape {array.shape}: expected (n, {axes})")
        grid.check_places(name, array)
        found.append(array)
    return found
