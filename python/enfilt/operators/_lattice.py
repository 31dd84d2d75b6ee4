"""Grids whose points are all crossings of their axes: what linear interpolation goes by."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..geometry import Masked, RegularGrid, Sphere
from ..parameters import split

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: Rows, columns and values of the entries of a matrix.
Entries = tuple[Indices, Indices, Vector]

#: So much of a cell a place may be outside: float32 rounds coordinates by less.
_SLACK = 1e-3
#: So much of a cell from a grid point, a place is at it.
_AT_POINT = 1e-9
#: A grid ends at a gap that is wider than the next by more than this factor.
_OPEN = 1.5


@dataclass(frozen=True)
class Axis:
    """The coordinates of grid points along one axis.

    Attributes
    ----------
    name : str
    knots : ndarray, (n,)
        Increasing.
    turn : float
        Coordinates apart by this are one; 0: none are.
    closed : bool
        Whether the last point is a neighbour of the first.
    reach : tuple of float, optional
        Where the grid ends, if not at the first and last point.
    """

    name: str
    knots: Vector
    turn: float = 0.0
    closed: bool = False
    reach: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Where the grid begins and ends."""
        return self.reach or (float(self.knots[0]), float(self.knots[-1]))

    @property
    def is_one_level(self) -> bool:
        """Whether it is the height of a variable that has one value at all of them."""
        return self.name == "height" and len(self.knots) == 1

    def outside(self, values: Vector) -> Flags:
        """Return which coordinates are not on the axis."""
        bad = ~np.isfinite(values)
        if self.closed or self.is_one_level:
            return bad
        low, high = self.ends
        steps = np.diff(self.knots)
        slack = _SLACK * steps.min() if steps.size else _AT_POINT * max(1.0, abs(low))
        values = self._within(np.where(bad, low, values))
        return bad | (values < low - slack) | (values > high + slack)

    def sides(self, values: Vector) -> list[tuple[Indices, Vector]]:
        """Return the points below and above coordinates, and their weights."""
        n, knots = len(self.knots), self.knots
        if self.closed:
            knots = np.append(knots, knots[0] + self.turn)
        at = np.interp(self._within(values), knots, np.arange(len(knots)))
        nearest = np.rint(at)
        at = np.where(np.abs(at - nearest) < _AT_POINT, nearest, at)
        below = np.floor(at)
        weight, first = at - below, below.astype(np.int64)
        return [(first % n, 1 - weight), ((first + 1) % n, weight)]

    def _within(self, values: Vector) -> Vector:
        """Return coordinates on the turn that the knots are on."""
        if not self.turn:
            return values
        low, high = self.knots[0], self.knots[-1]
        begin = low if self.closed else (low + high - self.turn) / 2
        result: Vector = begin + (values - begin) % self.turn
        return result


@dataclass(frozen=True)
class Variable:
    """Where the components of one variable are.

    Attributes
    ----------
    name : str or int
    axes : list of Axis
    table : ndarray of int64
        The component in each crossing of the axes, in their order.
    """

    name: Any
    axes: list[Axis]
    table: Indices


def whole(geometry: Any) -> Any:
    """Return the grid itself of a geometry that has parameters, or of which parts are missing."""
    placed = split(geometry)[0]
    return placed.grid if isinstance(placed, Masked) else placed


class Lattice:
    """A geometry of which the places are all crossings of its axes.

    Parameters
    ----------
    geometry : RegularGrid or Sphere
        It may be masked, and have parameters behind it.

    Raises
    ------
    TypeError, ValueError
        If it is another, or its places are not one at each crossing.
    """

    def __init__(self, geometry: Any) -> None:
        self._size = getattr(geometry, "size", 0)
        placed = split(geometry)[0]
        #: The components of the whole grid that are there; None: all are.
        self._kept = placed.kept if isinstance(placed, Masked) else None
        geometry = self._geometry = whole(geometry)
        #: How far from the pole the last parallels are, by 0 and -1, where the grid goes on.
        self._caps: dict[int, float] = {}
        if isinstance(geometry, RegularGrid):
            self._variables = self._of_grid(geometry)
        elif isinstance(geometry, Sphere):
            self._variables = self._of_sphere(geometry)
        else:
            raise TypeError(
                f"geometry is a {type(geometry).__name__}: expected a RegularGrid, or a Sphere "
                f"with one place at each crossing of its meridians and parallels"
            )
        self._codes = {variable.name: k for k, variable in enumerate(self._variables)}

    @staticmethod
    def _of_grid(grid: RegularGrid) -> list[Variable]:
        steps = zip(grid.shape, grid.spacings, grid.joined, strict=True)
        axes = [
            Axis(f"coordinate {k}", step * np.arange(n), step * n if joined else 0.0, joined)
            for k, (n, step, joined) in enumerate(steps)
        ]
        tables = np.arange(grid.size).reshape(-1, *grid.shape)
        return [Variable(k, axes, table) for k, table in enumerate(tables)]

    def _of_sphere(self, sphere: Sphere) -> list[Variable]:
        given = sphere.variables
        levels = given if isinstance(given, Mapping) else None
        count = sphere.size // (sum(given.values()) if isinstance(given, Mapping) else given)
        where = sphere.coordinates(slice(0, count))[:, : 2 if levels else 3].copy()
        where[:, 0] %= 360
        found = [np.unique(column, return_inverse=True) for column in where.T]
        shape = [len(knots) for knots, _ in found]
        table = np.full(shape if np.prod(shape) == count else 1, -1)
        if table.size == count:
            table[tuple(at for _, at in found)] = np.arange(count)
        if (table < 0).any():
            lines = zip(shape, ["longitudes", "latitudes", "heights"], strict=False)
            told = " x ".join(f"{n} {name}" for n, name in lines)
            raise ValueError(
                f"geometry has {count} places, but {told} (longitudes a turn apart are one): "
                f"expected one place at each crossing of meridians and parallels"
            )
        longitude, first = _meridians(found[0][0])
        axes = [longitude, self._parallels(found[1][0], longitude.closed)]
        axes += [Axis("height", knots) for knots, _ in found[2:]]
        table = np.roll(table, -first, axis=0)
        if levels is None:
            variables = range(sphere.size // count)
            return [Variable(k, axes, table + k * count) for k in variables]
        return _by_level(sphere, levels, axes, table)

    def _parallels(self, knots: Vector, closed: bool) -> Axis:
        """Return the latitudes, which go on to a pole that is as near as they are to each other."""
        if closed and len(knots) > 1:
            steps = np.diff(knots)
            gaps = {0: (90 + knots[0], steps[0]), -1: (90 - knots[-1], steps[-1])}
            self._caps = {end: gap for end, (gap, step) in gaps.items() if 0 < gap <= _OPEN * step}
        reach = knots[0] - self._caps.get(0, 0.0), knots[-1] + self._caps.get(-1, 0.0)
        return Axis("latitude", knots, reach=(float(reach[0]), float(reach[1])))

    @property
    def names(self) -> list[Any]:
        """The variables."""
        return list(self._codes)

    def code(self, argument: str, name: Any) -> int:
        """Return the number of a variable."""
        known = isinstance(name, str | int | np.integer) and not isinstance(name, bool)
        code = self._codes.get(name) if known else None
        if code is None:
            raise ValueError(f"{argument}={name!r}: expected one of {self.names}")
        return code

    def vectors(self, argument: str, names: Any) -> set[int]:
        """Return the numbers of the variables that are components of vectors."""
        if not isinstance(names, Collection) or isinstance(names, str):
            raise TypeError(f"{argument}={names!r}: expected some of {self.names}, in a tuple")
        return {self.code(argument, name) for name in names}

    def located(self, places: Vector, codes: Indices) -> tuple[Vector, Indices]:
        """Return places (m, k) of variables, and which axis each of them is outside of, or -1.

        It is k where no component beside a place is there. Heights that are missing, of variables
        of one level, are those of the levels.
        """
        places, off = places.copy(), np.full(len(places), -1)
        for variable, chosen in self._parts(codes):
            for k, axis in reversed([*enumerate(variable.axes)]):
                values = places[chosen, k]
                if axis.is_one_level:
                    values[np.isnan(values)] = axis.knots[0]
                    places[chosen, k] = values
                off[chosen[axis.outside(values)]] = k
        if self._kept is not None and (inside := np.flatnonzero(off < 0)).size:
            share = self._share(self._on_whole(places[inside], codes[inside], ()))
            off[inside[share < _AT_POINT]] = places.shape[1]
        return places, off

    def _share(self, matrix: Any) -> Vector:
        """Return the part of the weights of each row that is of components that are there."""
        size = abs(matrix)
        share: Vector = size[:, self._kept].sum(axis=1) / size.sum(axis=1)
        return share

    def impossible(self, places: Vector, off: Indices) -> Flags:
        """Return which places that are off an axis are on none of any grid."""
        k = np.clip(off, 0, places.shape[1] - 1)
        value = np.take_along_axis(places, k[:, None], axis=1)[:, 0]
        beyond = isinstance(self._geometry, Sphere) & (off == 1) & (np.abs(value) > 90)
        found: Flags = (off >= 0) & (~np.isfinite(value) | beyond)
        return found

    def refusal(self, label: str, place: Vector, code: int, axis: int) -> ValueError:
        """Return the error of a place, called `label`, that is outside of an axis."""
        where = ", ".join(f"{value:.10g}" for value in place)
        if axis == len(place):
            return ValueError(
                f"{label} is ({where}), on land: expected a place beside components that are there"
            )
        of = self._variables[code].axes[axis]
        low, high = of.ends
        wanted = "a finite number" if of.closed else f"from {low:.10g} to {high:.10g}"
        return ValueError(
            f"{label} is ({where}), which is outside the grid: expected {of.name} {wanted}"
        )

    def coordinates(self, codes: Indices) -> list[str]:
        """Return the names of the coordinates of places of variables.

        Raises
        ------
        ValueError
            If one has levels of which the heights are not known.
        """
        names: list[str] = []
        for variable, _ in self._parts(codes):
            if variable.table.ndim > len(variable.axes):
                raise ValueError(
                    f"variable {variable.name!r} has {variable.table.shape[-1]} levels: expected "
                    f"vertical=, their heights, of the geometry"
                )
            names = [axis.name for axis in variable.axes]
        return names

    def matrix(self, places: Vector, codes: Indices, vectors: Collection[int]) -> Any:
        """Return H, sparse, of places that were located, and are not outside."""
        matrix = self._on_whole(places, codes, vectors)
        if self._kept is not None:
            share = self._share(matrix)
            matrix = matrix[:, self._kept]
            matrix.data /= np.repeat(share, np.diff(matrix.indptr))
        matrix.resize((len(places), self._size))
        return matrix

    def _on_whole(self, places: Vector, codes: Indices, vectors: Collection[int]) -> Any:
        """Return H of the whole grid."""
        from scipy import sparse  # slow to import, and of no use to most analyses

        parts = [
            self._entries(variable, places[chosen], chosen, self._codes[variable.name] in vectors)
            for variable, chosen in self._parts(codes)
        ]
        rows, columns, values = map(np.concatenate, zip(*itertools.chain(*parts), strict=True))
        shape = len(places), self._geometry.size
        matrix = sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
        matrix.eliminate_zeros()
        return matrix

    def at(self, places: Vector, codes: Indices) -> Vector:
        """Return places as coordinates of the geometry, which may begin with the variable."""
        return np.column_stack([codes, places]) if self._geometry.apart else places

    def _parts(self, codes: Indices) -> Iterator[tuple[Variable, Indices]]:
        """Yield each variable, and which of the places are its own."""
        for code in np.unique(codes):
            yield self._variables[code], np.flatnonzero(codes == code)

    def _entries(
        self, variable: Variable, places: Vector, rows: Indices, vector: bool
    ) -> Iterator[Entries]:
        """Yield the entries of H of one variable, at places that have the given rows."""
        table, longitude = variable.table, places[:, 0]
        sides = [axis.sides(x) for axis, x in zip(variable.axes, places.T, strict=True)]
        of_grid = np.ones(len(places))
        for end, gap in self._caps.items():
            north = places[:, 1] - variable.axes[1].knots[end]
            to_pole = np.maximum(north if end else -north, 0.0) / gap
            of_grid -= to_pole
            ring = np.flatnonzero(to_pole)
            around = to_pole[ring, None] * _around(variable.axes[0], longitude[ring], vector)
            for corner in itertools.product(*sides[2:]):
                components = np.moveaxis(table[:, end], 0, -1)
                if corner:
                    components = components[tuple(at[ring] for at, _ in corner)]
                weights = around * _product(corner, np.ones(len(places)))[ring, None]
                row, component = np.broadcast_arrays(rows[ring, None], components)
                yield row.ravel(), component.ravel(), weights.ravel()
        for corner in itertools.product(*sides):
            yield rows, table[tuple(at for at, _ in corner)], _product(corner, of_grid)


def _product(corner: tuple[tuple[Indices, Vector], ...], first: Vector) -> Vector:
    """Return the weights of one corner of each cell."""
    for _, weight in corner:
        first = first * weight
    return first


def _around(axis: Axis, longitude: Vector, vector: bool) -> Vector:
    """Return the weights of the points of a parallel, (n,) or (places, n), for the pole."""
    gaps = np.diff(axis.knots, append=axis.knots[0] + axis.turn)
    mean: Vector = (gaps + np.roll(gaps, 1)) / (2 * axis.turn)
    if not vector:
        return mean
    wave: Vector = 2 * mean * np.cos(np.deg2rad(np.subtract.outer(longitude, axis.knots)))
    return wave


def _meridians(knots: Vector) -> tuple[Axis, int]:
    """Return the longitudes, increasing from 0 to 360, as an axis, and which of them comes first.

    They close, or end where the gap between two is wider than all others.
    """
    gaps = np.diff(knots, append=knots[0] + 360)
    widest = int(np.argmax(gaps))
    if len(knots) > 1 and gaps[widest] <= _OPEN * np.delete(gaps, widest).max():
        return Axis("longitude", knots, 360.0, closed=True), 0
    first = (widest + 1) % len(knots)
    turned = np.concatenate([knots[first:], knots[:first] + 360])
    return Axis("longitude", turned, 360.0), first


def _by_level(
    sphere: Sphere, levels: Mapping[str, int], axes: list[Axis], table: Indices
) -> list[Variable]:
    """Return variables that have levels of their own, of which `table` is one."""
    variables, before = [], 0
    for name, n in levels.items():
        order, of_name = np.arange(n), axes
        if sphere.vertical is not None:
            heights = sphere.coordinates((before + order) * table.size)[:, 2]
            order = np.argsort(heights)
            if not np.diff(heights[order]).all():
                raise ValueError(
                    f"geometry has a height twice among the levels of {name!r}, {heights}: "
                    f"expected each once"
                )
            of_name = [*axes, Axis("height", heights[order])]
        components = table[..., None] + (before + order) * table.size
        if sphere.vertical is None and n == 1:
            components = components[..., 0]
        variables.append(Variable(name, of_name, components))
        before += n
    return variables
