"""Where the components of a state lie: the grids of `enfilt.grids`, the sphere, and masks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks
from ._values import Value
from .grids import (
    Embedding,
    Grid,
    Points,
    RegularGrid,
    check_places,
    chosen_components,
    places_of,
)
from .parameters import WithParameters

__all__ = [
    "EARTH_RADIUS",
    "Grid",
    "Masked",
    "Points",
    "RegularGrid",
    "Sphere",
    "WithParameters",
]

Array = npt.NDArray[Any]

#: In km.
EARTH_RADIUS = 6371.0


@dataclass(frozen=True, eq=False)
class Sphere(Value, Grid):
    """Places on a sphere of the Earth's size, by longitude and latitude, and heights above them.

    Distances and cutoffs are in km: along great circles, or through the sphere (chords). Poles and
    the date line are places like others. Heights count as a third direction, distance being the
    root of the sum of squares.

    Parameters
    ----------
    longitude, latitude : array_like
        Degrees east, any finite numbers; and north, from -90 to 90. Together with `vertical` they
        are broadcast: a grid of 48 x 96 places has latitudes (48, 1) and longitudes (96,).
    vertical : array_like or mapping of str to array_like, optional
        The height of each place, broadcast with the others, such as levels (8, 1, 1); or, with
        levels by name in `variables`, the heights of the levels (levels,), or those of each
        variable by its name.
    variables : int or mapping of str to int, optional
        Variables at each place, at least 1, in the order (variable, place). Or the number of levels
        of each, by name, ``{"u": 8, "v": 8, "ps": 1}``: components then come in the order
        (variable, level, place), a variable of few levels having the first of `vertical`.
    distance : {"great-circle", "chord"}
        How distances are measured.
    vertical_scale : float
        How many km one unit of `vertical` counts, from 1e-100 to 1e100: with 100, levels 10 km
        apart are as far as places 1,000 km apart.

    Raises
    ------
    TypeError, ValueError
        If coordinates are no finite numbers or can't be broadcast, a latitude is beyond a pole,
        or another option is out of its range.

    Notes
    -----
    ``locations=`` of observations are (longitude, latitude), and the height where places have one.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> sphere = ef.geometry.Sphere([179.0, -179.0, 0.0], [0.0, 0.0, 90.0])
    >>> sphere.distances(sphere.coordinates([0]), sphere.coordinates()).round(1)
    array([[    0. ,   222.4, 10007.5]])

    Two fields on eight levels and one at the surface:

    >>> latitude, longitude = np.linspace(-88, 88, 45)[:, None], np.arange(0, 360, 4)
    >>> levels = {"u": 8, "v": 8, "ps": 1}
    >>> atmosphere = ef.geometry.Sphere(
    ...     longitude, latitude, vertical=np.arange(8), variables=levels, vertical_scale=100.0
    ... )
    >>> atmosphere.size, atmosphere.components("ps")
    (68850, slice(64800, 68850, None))
    """

    longitude: npt.ArrayLike
    latitude: npt.ArrayLike
    vertical: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = field(default=None, kw_only=True)
    variables: int | Mapping[str, int] = field(default=1, kw_only=True)
    distance: str = field(default="great-circle", kw_only=True)
    vertical_scale: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.choice("distance", self.distance, ["great-circle", "chord"])
        _checks.number("vertical_scale", self.vertical_scale, above=1e-100, most=1e100)
        if isinstance(self.variables, Mapping):
            object.__setattr__(self, "variables", dict(self.variables))
            for name, levels in self._levels.items():
                _checks.integer(f"variables[{name!r}]", levels, 1)
            if not self._levels:
                raise ValueError("variables={}: expected the levels of at least one variable")
        else:
            _checks.integer("variables", self.variables, 1)
        given: dict[str, Any] = {"longitude": self.longitude, "latitude": self.latitude}
        if isinstance(self.vertical, Mapping):
            object.__setattr__(self, "vertical", self._checked_heights(self.vertical))
        elif self.vertical is not None:
            given["vertical"] = self.vertical
        for name, value in given.items():
            array = _checks.numbers(name, value).copy()
            check_places(name, array)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _check_latitude("latitude", np.asarray(self.latitude))
        if self._levels and "vertical" in given:
            shape, most = np.shape(given.pop("vertical")), max(self._levels.values())
            if shape != (most,):
                raise ValueError(
                    f"vertical has shape {shape}: expected {(most,)}, the heights of the levels of "
                    f"variables={self.variables}"
                )
        shapes = {name: np.shape(getattr(self, name)) for name in given}
        try:
            shape = np.broadcast_shapes(*shapes.values())
        except ValueError:
            told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ValueError(f"shapes are {told}: expected such as can be broadcast") from None
        if 0 in shape:
            raise ValueError(f"longitude and latitude have shape {shape}: expected no empty axis")

    def _checked_heights(self, heights: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
        """Return the heights of the levels of each variable."""
        if heights.keys() != self._levels.keys():
            raise ValueError(
                f"vertical has the heights of {list(heights)}: expected those of "
                f"variables={self.variables}"
            )
        found = {}
        for name, levels in self._levels.items():
            argument = f"vertical[{name!r}]"
            found[name] = _checks.numbers(argument, heights[name]).copy()
            check_places(argument, found[name])
            if found[name].shape != (levels,):
                raise ValueError(
                    f"{argument} has shape {found[name].shape}: expected {(levels,)}, a height "
                    f"for each level"
                )
        return found

    @property
    def _levels(self) -> dict[str, int]:
        """The levels of each variable; none where their number is given alone."""
        return dict(self.variables) if isinstance(self.variables, Mapping) else {}

    @functools.cached_property
    def _places(self) -> npt.NDArray[np.float64]:
        """The coordinates (n, k) of the places, without those of levels by name."""
        parts: list[Any] = [self.longitude, self.latitude]
        if self.vertical is not None and not self._levels:
            parts.append(self.vertical)
        return np.stack([a.ravel() for a in np.broadcast_arrays(*parts)], axis=-1)

    @functools.cached_property
    def _heights(self) -> npt.NDArray[np.float64] | None:
        """The height of each level of each variable, one after the other."""
        if not self._levels or self.vertical is None:
            return None
        if isinstance(self.vertical, dict):
            return np.concatenate([self.vertical[name] for name in self._levels])
        return np.concatenate([np.asarray(self.vertical)[:n] for n in self._levels.values()])

    @property
    def size(self) -> int:
        fields = self.variables if isinstance(self.variables, int) else sum(self._levels.values())
        return fields * len(self._places)

    def components(self, variable: str) -> slice:
        """Return which components a variable has, by its name."""
        if variable not in self._levels:
            raise ValueError(f"variable={variable!r}: expected one of {list(self._levels)}")
        names = list(self._levels)
        before = sum(self._levels[name] for name in names[: names.index(variable)])
        n = len(self._places)
        return slice(before * n, (before + self._levels[variable]) * n)

    @property
    def sites(self) -> int:
        return len(self._places)

    @property
    def variables_at_places(self) -> int:
        if isinstance(self.variables, int):
            return self.variables
        heights = self.vertical if isinstance(self.vertical, dict) else dict(self._levels)
        first, *others = heights.values()
        return 1 if any(not np.array_equal(first, other) for other in others) else len(heights)

    @property
    def variable_count(self) -> int:
        return self.variables if isinstance(self.variables, int) else len(self._levels)

    def variables_of(self, components: Any = slice(None)) -> npt.NDArray[np.int64]:
        if isinstance(self.variables, int):
            return super().variables_of(components)
        level = chosen_components(self.size, components) // len(self._places)
        return np.repeat(np.arange(len(self._levels)), list(self._levels.values()))[level]

    @property
    def spacing(self) -> float:
        """The distance in km between neighbours, were all places spread over the sphere."""
        places = len(np.unique(self._places[:, :2], axis=0))
        return float(EARTH_RADIUS * np.sqrt(4 * np.pi / places))

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        level, place = np.divmod(chosen_components(self.size, components), len(self._places))
        where = self._places[place]
        return where if self._heights is None else np.column_stack([where, self._heights[level]])

    def stretched(self, ratio: float) -> Grid:
        if self.vertical is None:
            return super().stretched(ratio)
        return dataclasses.replace(self, vertical_scale=ratio)

    def check_places(self, argument: str, places: Array) -> None:
        check_places(argument, places)
        _check_latitude(argument, places[:, 1])

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        a, b = places_of(self, 2 + (self.vertical is not None), a=a, b=b)
        one, other = self._inside(a), self._inside(b)
        square: npt.NDArray[np.float64] = np.zeros((len(a), len(b)))
        for i in range(3):
            square += np.subtract.outer(one[:, i], other[:, i]) ** 2
        horizontal = self._along(np.sqrt(square))
        if self.vertical is None:
            return horizontal
        result: npt.NDArray[np.float64] = np.hypot(
            horizontal, np.subtract.outer(one[:, 3], other[:, 3])
        )
        return result

    def embedding(self) -> Embedding | None:
        if type(self) is not Sphere:  # distances of its own
            return None
        if self.distance == "chord":
            return Embedding(self._inside)
        return Embedding(self._inside, None, self._measured, EARTH_RADIUS)

    def _inside(self, places: Array) -> npt.NDArray[np.float64]:
        """Return the coordinates (n, 3) of places in space, and the height as a fourth."""
        longitude, latitude = np.deg2rad(places[:, 0] % 360), np.deg2rad(places[:, 1])
        axis = EARTH_RADIUS * np.cos(latitude)
        parts = [
            axis * np.cos(longitude),
            axis * np.sin(longitude),
            EARTH_RADIUS * np.sin(latitude),
        ]
        if places.shape[1] > 2:
            parts.append(self.vertical_scale * places[:, 2])
        return np.stack(parts, axis=-1)

    def _measured(self, a: Array, b: Array, euclidean: Array) -> npt.NDArray[np.float64]:
        """Return the distances of pairs of such coordinates."""
        if a.shape[1] == 3:
            return self._along(euclidean)
        chord = np.sqrt(np.sum((a[:, :3] - b[:, :3]) ** 2, axis=1))
        result: npt.NDArray[np.float64] = np.hypot(self._along(chord), a[:, 3] - b[:, 3])
        return result

    def _along(self, chord: Array) -> npt.NDArray[np.float64]:
        """Return the distances of places by the chords between them."""
        if self.distance == "chord":
            return chord
        half = np.minimum(chord / (2 * EARTH_RADIUS), 1.0)
        result: npt.NDArray[np.float64] = 2 * EARTH_RADIUS * np.arcsin(half)
        return result


@dataclass(frozen=True, eq=False)
class Masked(Value, Grid):
    """The components of a grid that are there: those of an ocean model at sea, without the land.

    Parameters
    ----------
    grid : Grid
        The whole grid, land and sea.
    present : array_like of bool
        Where components are: one entry a site, of the shape of the grid or flat, the same for all
        variables and named levels; or one for each component of the whole grid, (D,).

    Raises
    ------
    TypeError, ValueError
        If `present` is not of booleans, of another size, or nowhere True; or is one of components
        where the grid keeps variables apart.

    Notes
    -----
    The state holds the components that are there alone, in the order of the whole grid:
    ``whole[..., masked.kept]`` is it. Places, and ``locations=`` of observations, are those of the
    whole grid.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> sea = np.array([[True, True, False], [True, False, False]])
    >>> masked = ef.geometry.Masked(ef.geometry.RegularGrid((2, 3), variables=2), sea)
    >>> masked.size, masked.kept.tolist(), masked.coordinates([2, 5]).tolist()
    (6, [0, 1, 3, 6, 7, 9], [[1.0, 0.0], [1.0, 0.0]])
    """

    grid: Grid
    present: npt.ArrayLike

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            raise TypeError(f"grid={self.grid!r}: expected a grid such as a RegularGrid or Sphere")
        present = np.array(self.present)
        if present.dtype != bool:
            raise TypeError(f"present is of dtype {present.dtype}: expected an array of booleans")
        size, sites = self.grid.size, self.grid.sites
        if present.size not in (size, sites):
            raise ValueError(
                f"present has {present.size} entries: expected {sites}, one a site of the grid, or "
                f"{size}, one a component"
            )
        if present.size > sites and self.grid.apart:
            raise ValueError(
                f"present has {present.size} entries: expected {sites}, one a site, of a grid with "
                f"between_variables=False"
            )
        if not present.any():
            raise ValueError("present is nowhere True: expected at least one component")
        present.flags.writeable = False
        object.__setattr__(self, "present", present)

    @functools.cached_property
    def kept(self) -> npt.NDArray[np.int64]:
        """The components of the whole grid that are there, (D,), in increasing order."""
        present = np.asarray(self.present).ravel()
        return np.flatnonzero(np.tile(present, self.grid.size // present.size))

    def components(self, variable: str) -> slice:
        """Return which components a variable has, by its name, where the grid names variables."""
        if not isinstance(self.grid, Sphere):
            raise TypeError(f"variable={variable!r}: {self.grid!r} has no names for its variables")
        whole = self.grid.components(variable)
        return slice(*np.searchsorted(self.kept, (whole.start, whole.stop)).tolist())

    @property
    def sites(self) -> int:
        alike = np.size(self.present) == self.grid.sites
        return int(np.count_nonzero(self.present)) if alike else self.size

    @property
    def variables_at_places(self) -> int:
        alike = np.size(self.present) == self.grid.sites
        return self.grid.variables_at_places if alike else 1

    @property
    def variable_count(self) -> int:
        return self.grid.variable_count

    def variables_of(self, components: Any = slice(None)) -> npt.NDArray[np.int64]:
        return self.grid.variables_of(self.kept[chosen_components(self.size, components)])

    @property
    def apart(self) -> bool:
        return self.grid.apart

    @property
    def least_spacing(self) -> float:
        return self.grid.least_spacing

    @property
    def size(self) -> int:
        return len(self.kept)

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        return self.grid.coordinates(self.kept[chosen_components(self.size, components)])

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        return self.grid.distances(a, b)

    def embedding(self) -> Embedding | None:
        return self.grid.embedding()

    def stretched(self, ratio: float) -> Grid:
        return Masked(self.grid.stretched(ratio), self.present)

    def check_places(self, argument: str, places: Array) -> None:
        self.grid.check_places(argument, places)


def _check_latitude(argument: str, latitude: Array) -> None:
    """Check that latitudes are from pole to pole."""
    beyond = np.abs(latitude) > 90
    if beyond.any():
        raise ValueError(
            f"{argument} holds the latitude {latitude[beyond].flat[0]}: expected degrees from -90 "
            f"to 90"
        )
