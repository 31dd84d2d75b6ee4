"""Tables of pandas, xarray, or plain arrays: their columns, and the windows of their times."""

from __future__ import annotations

import datetime
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks
from .geometry import Grid, Sphere
from .operators._lattice import Lattice, whole

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: So near to the end of a window, of its length, a time is at it: (0.4 - 0.1) / 0.1 is beyond 3.
_AT_END = 1e-9


def read(frame: Any, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Return columns of a table, all of one length (n,), at least 1.

    Raises
    ------
    TypeError, ValueError
        If it is no table, or a column is missing or of another length.
    """
    dataset: Any = getattr(sys.modules.get("xarray"), "Dataset", ())
    if isinstance(frame, dataset):
        frame = frame.to_dataframe().reset_index()
    labelled = isinstance(frame, getattr(sys.modules.get("pandas"), "DataFrame", ()))
    if not labelled and not isinstance(frame, Mapping):
        raise TypeError(
            f"frame is of type {type(frame).__name__}: expected a pandas.DataFrame, an "
            f"xarray.Dataset, or a dict of columns"
        )
    for name in needed:
        if name not in frame:
            raise ValueError(
                f"frame has no column {name!r}, but {', '.join(map(str, frame))}: expected "
                f"{', '.join(needed)}"
            )
    found = {name: frame[name] for name in [*needed, *optional] if name in frame}
    if not labelled:
        found = {name: _array(name, column) for name, column in found.items()}
    shapes = {name: column.shape for name, column in found.items()}
    if len({*shapes.values()}) > 1 or len(shapes[needed[0]]) != 1 or (0,) in shapes.values():
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"frame has columns of shapes {told}: expected (n,) of all, n at least 1")
    return found


def _array(name: str, column: Any) -> Any:
    """Return a column that is none of pandas', with a mask."""
    try:
        return np.ma.asanyarray(column)
    except ValueError as error:
        raise ValueError(f"frame[{name!r}] can't be read as an array: {error}") from None


def numbers(columns: Mapping[str, Any], name: str) -> Vector:
    """Return a column as float64, (n,), with NaN where a value is missing."""
    column = columns[name]
    try:
        if column.dtype.kind in "cSUVMmb" or any(
            isinstance(value, str) for value in _objects(column)
        ):
            raise TypeError(f"it has dtype {column.dtype}")
        if hasattr(column, "to_numpy"):
            return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.array(column.astype(np.float64).filled(np.nan))
    except (TypeError, ValueError) as error:
        raise TypeError(f"frame[{name!r}] can't be read as numbers: {error}") from None


def _whole(name: str, column: Any) -> Array:
    """Return a column in which nothing is masked."""
    if np.ma.is_masked(column):
        where = int(np.argmax(np.ma.getmaskarray(column)))
        raise ValueError(f"frame[{name!r}][{where}] is masked: expected an entry")
    return np.asarray(column)


def _objects(column: Any) -> Any:
    return column if column.dtype.kind == "O" else ()


def labels(columns: Mapping[str, Any], name: str) -> tuple[list[Any], Indices]:
    """Return the different entries of a column, in their order, and which of them each is."""
    entries = _whole(name, columns[name]).tolist()
    found: dict[Any, int] = {}
    try:
        which = np.array([found.setdefault(entry, len(found)) for entry in entries])
    except TypeError as error:
        raise TypeError(f"frame[{name!r}] holds something else than labels: {error}") from None
    for entry, k in found.items():
        # pandas' NA has no truth value
        if entry is None or type(entry).__name__ == "NAType" or entry != entry:
            raise ValueError(
                f"frame[{name!r}][{np.argmax(which == k)}] is missing: expected a label"
            )
    return list(found), which


def of_places(geometry: Grid | None, places: Sequence[str] | None) -> list[str]:
    """Return the columns of coordinates."""
    if places is not None:
        if isinstance(places, str) or not all(isinstance(name, str) for name in places):
            raise TypeError(f"places={places!r}: expected names of columns, such as ['x', 'y']")
        return list(places)
    geometry = whole(geometry)
    if isinstance(geometry, Sphere):
        return ["longitude", "latitude", "vertical"][: 2 + (geometry.vertical is not None)]
    if geometry is not None:
        raise ValueError("places is missing: expected the columns of coordinates, such as ['x']")
    return []


def variables(
    columns: Mapping[str, Any], lattice: Lattice | None, kinds: Any
) -> tuple[Indices, tuple[Any, ...]]:
    """Return the number of the variable of each row, or of its kind, and their names.

    -1: a row is left out. There are no names where nothing tells variables apart.
    """
    if not isinstance(kinds, Mapping | None):
        raise TypeError(f"kinds={kinds!r}: expected variables by kind, {{'temperature': 't'}}")
    if "kind" not in columns:
        if lattice is not None and len(lattice.names) > 1:
            raise ValueError(
                f"frame has no column 'kind': expected the variables {lattice.names}, or kinds= of "
                f"them"
            )
        names = () if lattice is None else tuple(lattice.names)
        return np.zeros(len(columns["time"]), np.int64), names
    entries, which = labels(columns, "kind")
    codes: list[int] = []
    known: dict[Any, int] = {}
    for k, entry in enumerate(entries):
        variable = (kinds or {}).get(entry, entry)
        if variable is None:
            codes.append(-1)
        elif lattice is None:
            codes.append(known.setdefault(variable, len(known)))
        else:
            mapped = entry in (kinds or {})
            first = np.argmax(which == k)
            argument = f"kinds[{entry!r}]" if mapped else f"frame['kind'][{first}]"
            codes.append(lattice.code(argument, variable))
    names = tuple(known) if lattice is None else tuple(lattice.names)
    return np.array(codes, np.int64)[which], names


def check_values(value: Vector, error: Vector, row: Indices) -> None:
    """Check values, and the errors of those that are not missing."""
    infinite = np.flatnonzero(np.isinf(value))
    if infinite.size:
        raise ValueError(
            f"frame['value'][{row[infinite[0]]}] is infinite: expected finite values, or NaN for "
            f"missing"
        )
    unknown = np.isnan(error) & np.isnan(value)
    bad = np.flatnonzero(~(unknown | ((error >= 1e-150) & (error <= 1e150))))
    if bad.size:
        raise ValueError(
            f"frame['error'][{row[bad[0]]}]={error[bad[0]]}: expected finite standard deviations "
            f"above zero, from 1e-150 to 1e150"
        )


class Clock:
    """The windows that times are in: numbers, dates of NumPy's, or dates of another kind.

    Attributes
    ----------
    window : ndarray of int64, (n,)
        The window of each time; below 0: before the first.
    since : ndarray of float64, (n,)
        The times, as they follow each other.
    """

    def __init__(self, column: Any, length: Any, start: Any, align: str) -> None:
        times = _whole("time", column)
        if times.dtype.kind in "iuf":
            times = times.astype(np.float64)
        if times.dtype.kind not in "fMO" or any(isinstance(t, str) for t in _objects(times)):
            raise TypeError(
                f"frame['time'] has dtype {times.dtype}: expected numbers, or dates such as "
                f"pandas.to_datetime(frame['time'])"
            )
        dates = times.dtype.kind == "O"
        missing = [t is None or t != t for t in times] if dates else ~np.isfinite(times)
        if np.any(missing):
            k = int(np.argmax(missing))
            raise ValueError(f"frame['time'][{k}] is {times[k]}: expected a time")
        try:
            self._times: Array | None = None
            self._begin = times.min() if start is None else _begin(times, start)
            if length is None:
                found, which = np.unique(times, return_inverse=True)
                self.since = which.astype(np.float64)
                self.window = which - int(np.count_nonzero(found < self._begin))
                self._times = found[found >= self._begin]
                return
            self._length = _length(times, length)
            if dates:  # pandas refuses to take one of its own from an array of others
                apart = np.array([t - self._begin for t in times], "timedelta64[us]")
            else:
                apart = times - self._begin
            self.since = apart / self._length
        except (TypeError, OverflowError) as error:
            raise TypeError(
                f"frame['time'], start={start!r} and window={length!r} don't go together: {error}"
            ) from None
        late = self.since - (0.5 if align == "centre" else 0.0)
        exact = np.rint(late)
        late = np.where(np.abs(late - exact) < _AT_END, exact, late)
        self.window = np.ceil(late).astype(np.int64)

    def times(self, windows: Indices) -> Array:
        """Return the times of the analyses of windows."""
        if self._times is not None:
            return self._times[windows]
        if isinstance(self._begin, np.datetime64 | float):
            return np.asarray(self._begin + windows * self._length)
        step = self._length.astype("timedelta64[us]").item()
        return np.array([self._begin + int(k) * step for k in windows], object)


def _begin(times: Array, start: Any) -> Any:
    """Return the first time, of the kind of others."""
    if times.dtype.kind == "O":
        return start
    if times.dtype.kind == "f":
        return _checks.number("start", start)
    if getattr(start, "tzinfo", None) is not None:
        raise TypeError("start has a time zone, and times have none")
    try:
        begin = np.datetime64(start)
    except ValueError as error:
        raise ValueError(f"start={start!r}: expected a date ({error})") from None
    if np.isnat(begin):
        raise ValueError(f"start={start!r}: expected a date")
    return begin


def _length(times: Array, length: Any) -> Any:
    """Return the length of windows, above 0."""
    if times.dtype.kind == "f":
        return _checks.number("window", length, above=0)
    if isinstance(length, str):
        try:
            length = importlib.import_module("pandas").Timedelta(length)
        except ImportError:
            raise ImportError(
                f"window={length!r} is read by pandas, which is not installed: expected a "
                f"numpy.timedelta64, or pip install 'enfilt[io]'"
            ) from None
        except ValueError as error:
            raise ValueError(
                f"window={length!r}: expected a length such as '6h' ({error})"
            ) from None
    if not isinstance(length, np.timedelta64 | datetime.timedelta):
        raise TypeError("dates have windows such as '6h'")
    found = np.timedelta64(length)
    if not found > np.timedelta64(0):
        raise ValueError(f"window={length!r}: expected a length above 0")
    return found
