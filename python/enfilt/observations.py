"""Observations of many times, from a table: one row each."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from . import _checks, _columns
from ._values import Value, by_content, same
from .geometry import Grid, Sphere
from .observation import Observation
from .operators import Linear
from .operators._lattice import Lattice, whole
from .quality import Quality

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@by_content
class Window(NamedTuple):
    """The observations of one analysis.

    Attributes
    ----------
    time : float, numpy.datetime64, or what the table has
        When the analysis is.
    y : ndarray, (m,)
        NaN: missing.
    obs : Observation
    """

    time: Any
    y: Array
    obs: Observation


@dataclass(frozen=True, eq=False, repr=False)
class Observations(Value, Sequence[Window]):
    """Observations of many times, by windows of time: a sequence of (time, y, obs).

    `from_frame` makes them of a table. Windows without observations are not among them.

    Attributes
    ----------
    times : ndarray, (windows,)
        Of the analyses, increasing.
    bounds : ndarray of int64, (windows + 1,)
        Where the observations of a window begin and end among all, (n,).
    row : ndarray of int64, (n,)
        Which row of the table each observation is.
    variable : ndarray of int64, (n,)
        The number of its variable, or of its kind where there is no operator.
    place : ndarray, (n, k)
    value : ndarray, (n,)
        NaN: missing.
    error : ndarray, (n,)
        Standard deviations.
    facts : dict of str to int
        What became of the table's rows: ``used``, with a value, or ``missing``, without; left out
        as of a ``kind`` that maps to None, ``early``, before the first window, ``outside`` the
        grid, or ``duplicate``.
    geometry, interpolate, vectors, quality
        As `from_frame` was given them.
    kinds : sequence
        What variables, or kinds, are called, by their numbers; empty where there is one alone that
        has no name.

    Examples
    --------
    >>> import enfilt as ef
    >>> table = {"time": [0, 0, 6], "value": [1.0, 2.0, 0.5], "error": [0.1, 0.1, 0.2]}
    >>> ef.Observations.from_frame(table)
    Observations(3 from 0.0 to 6.0, in 2 windows)
    """

    times: Array
    bounds: Indices
    row: Indices
    variable: Indices
    place: Vector
    value: Array
    error: Vector
    facts: Mapping[str, int]
    geometry: Grid | None = None
    interpolate: bool = True
    vectors: Collection[Any] = ()
    quality: Quality | None = None
    kinds: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for name in ("times", "bounds", "row", "variable", "place", "value", "error"):
            getattr(self, name).flags.writeable = False

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        geometry: Grid | None = None,
        *,
        window: Any = None,
        start: Any = None,
        align: str = "centre",
        kinds: Mapping[Any, Any] | None = None,
        places: Sequence[str] | None = None,
        outside: str = "error",
        vectors: Collection[Any] = (),
        interpolate: bool = True,
        quality: Quality | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> Observations:
        """Make observations of a table.

        Parameters
        ----------
        frame : pandas.DataFrame, xarray.Dataset, or mapping of str to array_like, (n,)
            A row an observation, in any order, with the columns ``time``, ``kind``, ``value``,
            ``error`` (its standard deviation), and those of `places`. ``kind`` may be left out
            where there is only one. A dataset may have dimensions, such as (time, station): all
            their combinations are rows.
        geometry : Grid, optional
            Where the components of the state are, as `operators.interpolate` takes it. None: h(x)
            is given to each analysis, ``observed=``, and `obs` have no operator.
        window : float, str, timedelta, optional
            The length of windows: a number where times are numbers, in their unit, else such as
            ``"6h"``. None: each time in the table has a window of its own.
        start : float, datetime, or str, optional
            The first analysis. Others follow at a distance of `window`. Default: the earliest time.
        align : {"centre", "end"}
            Where in its window an analysis is, at time t: observations are those after
            t - window/2 up to t + window/2, or after t - window up to t. Both have their ends.
        kinds : mapping, optional
            The variable of `geometry` that a kind observes, ``{"temperature": "t"}``. Those that
            are not in it observe the variable of their own name; None leaves a kind out.
        places : sequence of str, optional
            The columns of the coordinates, in their order. Default: on a sphere ``longitude``,
            ``latitude`` and, where it has heights, ``vertical``.
        outside : {"error", "leave out"}
            What to do with places outside of the grid, or on land where it is masked. A latitude
            beyond a pole, and a coordinate that is not finite, are errors in any case.
        vectors : collection of str or int
            As of `operators.interpolate`.
        interpolate : bool
            False: `obs` have no operator, as without a geometry, but know their locations.
        quality : Quality, optional
            That of all observations, ``ef.quality.GrossError(...)``.
        dtype : dtype
            Of the values, float32 or float64, as the ensemble's.

        Returns
        -------
        Observations

        Raises
        ------
        ImportError
            If `window` is a text and pandas, which reads it, is not installed.
        TypeError, ValueError
            If `frame` is no table or lacks a column, a time, kind or place is missing, a value is
            infinite, an error is not above zero, a kind is no variable of `geometry` (the message
            lists these), a place is outside the grid, or an option is out of its range. What is
            wrong with a row is said with its number, from 0.

        Notes
        -----
        *Missing values*, NaN, stay in y as NaN, and count as not observed in the analysis: with
        the same stations in each window neighbours are searched for once.

        *Duplicates.* Rows that are equal in all columns are one observation, reported twice. Rows
        that are equal but for their values or errors are two measurements, and both count.

        *Order.* In a window observations are ordered by variable, place, and time; `rows` tells
        which rows of the table they are. Windows one after the other of the same kinds, places and
        errors share one `obs`.

        Examples
        --------
        >>> import numpy as np, enfilt as ef
        >>> table = {
        ...     "time": [0.0, 0.1, 5.9, 6.2, 12.0],
        ...     "kind": ["level", "level", "flow", "level", "level"],
        ...     "x": [1.5, 3.0, 2.0, 1.5, 1.5],
        ...     "value": [0.3, np.nan, 1.2, 0.4, 0.2],
        ...     "error": [0.1, 0.1, 0.3, 0.1, 0.1],
        ... }
        >>> ring = ef.geometry.RegularGrid((8,), variables=2)
        >>> observations = ef.Observations.from_frame(
        ...     table, ring, window=6.0, kinds={"level": 0, "flow": 1}, places=["x"]
        ... )
        >>> forecast, filt = np.random.default_rng(0).standard_normal((9, 16)), ef.LEnFF()
        >>> for time, y, obs in observations:
        ...     analysis = filt.analysis(forecast, y, obs)
        ...     print(time, y)
        0.0 [0.3 nan]
        6.0 [0.4 1.2]
        12.0 [0.2]
        """
        _checks.choice("align", align, ["centre", "end"])
        _checks.choice("outside", outside, ["error", "leave out"])
        kind = _checks.float_dtype("dtype", dtype)
        Observation(None, 1.0, quality=quality)  # checks it
        if geometry is not None and not isinstance(geometry, Grid):
            raise TypeError(
                f"geometry is of type {type(geometry).__name__}: expected one of enfilt.geometry"
            )
        lattice = Lattice(geometry) if geometry is not None and interpolate else None
        if lattice is not None:
            lattice.vectors("vectors", vectors)
        names = _columns.of_places(geometry, places)
        columns = _columns.read(frame, ["time", "value", "error", *names], optional=["kind"])
        clock = _columns.Clock(columns["time"], window, start, align)
        variable, kinds_there = _columns.variables(columns, lattice, kinds)
        away = {"kind": variable < 0, "early": clock.window < 0}
        row = np.flatnonzero(~(away["kind"] | away["early"]))
        facts: dict[str, Any] = {
            "kind": np.count_nonzero(away["kind"]),
            "early": np.count_nonzero(away["early"] & ~away["kind"]),
        }
        value, error, *place = (
            _columns.numbers(columns, name)[row] for name in ("value", "error", *names)
        )
        _columns.check_values(value, error, row)
        variable, where = (
            variable[row],
            np.stack(place, axis=-1) if place else np.zeros((len(row), 0)),
        )
        where, off = _located(geometry, lattice, where, variable, row, outside)
        # the last key is the first to be ordered by
        keys = [error, value, clock.since[row], *where.T[::-1], variable, clock.window[row], off]
        order = np.lexsort(keys)[: np.count_nonzero(~off)]
        facts["outside"] = len(row) - len(order)
        known = np.stack([key[order] for key in keys])
        before, after = known[:, :-1], known[:, 1:]
        again = np.all((before == after) | (np.isnan(before) & np.isnan(after)), axis=0)
        order = order[np.concatenate([[True], ~again])] if len(order) else order
        facts["duplicate"] = np.count_nonzero(again)
        facts["missing"] = np.count_nonzero(np.isnan(value[order]))
        facts["used"] = len(order) - facts["missing"]
        facts = {name: int(count) for name, count in facts.items()}
        if not len(order):
            raise ValueError(f"frame has no observation that is left, of its rows {facts}")
        windows, first = np.unique(clock.window[row[order]], return_index=True)
        return cls(
            times=clock.times(windows),
            bounds=np.append(first, len(order)),
            row=row[order],
            variable=variable[order],
            place=where[order],
            value=value[order].astype(kind),
            error=error[order],
            facts=facts,
            geometry=geometry,
            interpolate=interpolate,
            vectors=tuple(vectors),
            quality=quality,
            kinds=kinds_there,
        )

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, index: int) -> Window: ...

    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...

    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self._window(k) for k in range(len(self))[index]]
        return self._window(range(len(self))[index])

    def __repr__(self) -> str:
        return (
            f"Observations({len(self.value)} from {self.times[0]} to {self.times[-1]}, in "
            f"{len(self)} windows)"
        )

    def rows(self, window: int) -> Indices:
        """Return which rows of the table the observations of a window are, (m,), from 0.

        Parameters
        ----------
        window : int
            Its number.

        Examples
        --------
        >>> import enfilt as ef
        >>> table = {"time": [0, 1, 0], "value": [1.0, 2.0, 0.5], "error": [0.1, 0.1, 0.1]}
        >>> ef.Observations.from_frame(table).rows(0)
        array([2, 0])
        """
        return self.row[self._part(window)]

    def _part(self, window: int) -> slice:
        """Return which of all observations are those of a window."""
        window = range(len(self))[window]
        return slice(int(self.bounds[window]), int(self.bounds[window + 1]))

    @functools.cached_property
    def _lattice(self) -> Lattice:
        return Lattice(self.geometry)

    @property
    def _has_heights(self) -> bool:
        known = whole(self.geometry)
        wanted = isinstance(known, Sphere) and known.vertical is not None
        return wanted and self.place.shape[1] == 3

    @functools.cached_property
    def _last(self) -> list[tuple[list[Array], Observation]]:
        """What the last `obs` was made of, and itself."""
        return []

    def _window(self, window: int) -> Window:
        part = self._part(window)
        made_of: list[Any] = [self.variable[part], self.place[part], self.error[part]]
        if not (self._last and same(self._last[0][0], made_of)):
            self._last[:] = [(made_of, self._observation(*made_of))]
        return Window(self.times[window], self.value[part], self._last[0][1])

    def _observation(self, variable: Indices, place: Vector, error: Vector) -> Observation:
        operator, locations = None, place if place.shape[1] else None
        if self.geometry is not None and self.interpolate:
            vectors = self._lattice.vectors("vectors", self.vectors)
            operator = Linear(self._lattice.matrix(place, variable, vectors))
            locations = self._lattice.at(place, variable)
        # by them statistics are kept apart
        names = np.array(self.kinds, object)[variable] if len(self.kinds) else None
        return Observation(
            operator,
            error,
            grid=self.geometry,
            locations=locations,
            quality=self.quality,
            kinds=names,
            heights=place[:, -1] if self._has_heights else None,
        )


def _located(
    geometry: Grid | None,
    lattice: Lattice | None,
    places: Vector,
    variable: Indices,
    row: Indices,
    outside: str,
) -> tuple[Vector, npt.NDArray[np.bool_]]:
    """Return places, and which of them are outside the grid, if they may be."""
    if geometry is None or not len(places):
        _checks.finite("places", places)
        return places, np.zeros(len(places), bool)
    k = whole(geometry).coordinates([0]).shape[1]
    if lattice is not None:
        names = lattice.coordinates(variable)
        k = len(names)
        if names[-1] == "height" and places.shape[1] == k - 1:
            places = np.column_stack([places, np.full(len(places), np.nan)])
    if places.shape[1] != k:
        raise ValueError(f"places names {places.shape[1]} columns: expected {k}")
    if lattice is None:
        geometry.check_places("places", places)
        return places, np.zeros(len(places), bool)
    places, off = lattice.located(places, variable)
    wrong = off >= 0
    if outside == "leave out":
        wrong &= lattice.impossible(places, off)
    for i in np.flatnonzero(wrong)[:1]:
        raise lattice.refusal(f"row {row[i]} of frame", places[i], variable[i], off[i])
    return places, off >= 0
