"""What a sink is: a file that the ensembles of a run go to, or a function that is given them."""

from __future__ import annotations

import datetime
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._values import Value
from ..state import Layout
from ..state.layout import Coordinate

Array = npt.NDArray[Any]

#: What times are counted in that are dates.
_SINCE = "microseconds since 1970-01-01 00:00:00"
#: Marks files that a sink wrote, which the next run may overwrite.
SOURCE = "enfilt"


class Writer(ABC):
    """A sink that a run writes to."""

    @abstractmethod
    def append(self, time: Any, ensemble: Array, scores: Mapping[str, float]) -> None:
        """Write what a cycle has come to."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End the writing; nothing may be open after it."""


@dataclass(frozen=True, eq=False)
class Sink(Value, ABC):
    """A file that ensembles are written to, with dimensions time and member and those of a state.

    Parameters
    ----------
    path : path
        Of the file. One that is no sink's is not overwritten.
    layout : Layout, optional
        Which components are which variable, with coordinates and attributes
        (`state.Layout.from_dataset`). Default: one variable ``state`` of all components.
    attributes : mapping of str to mapping, optional
        Attributes of variables beside those of the layout, such as
        ``{"t": {"standard_name": "air_temperature", "units": "K"}}``.
    time_units : str, optional
        Of times that are numbers, such as ``"hours since 2026-01-01"``.

    Raises
    ------
    TypeError, ValueError
        If an option does not fit; when a run begins, if `layout` is of other states.
    """

    path: str | os.PathLike[str]
    layout: Layout | None = None
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)
    time_units: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike):
            raise TypeError(f"path={self.path!r}: expected a path")
        if not isinstance(self.layout, Layout | None):
            raise TypeError(f"layout={self.layout!r}: expected an enfilt.state.Layout, or None")
        unknown = set(self.attributes) - {*self.variables}
        if unknown:
            raise ValueError(f"attributes of {sorted(unknown)}: expected some of {self.variables}")

    @property
    def variables(self) -> list[str]:
        """The names of the variables."""
        return ["state"] if self.layout is None else list(self.layout.variables)

    @property
    def member(self) -> str:
        """What the dimension of members is called."""
        return "realization" if self.layout is None else self.layout.member

    def check(self, dim: int) -> None:
        """Check that it is for states of `dim` components."""
        if self.layout is not None and self.layout.size != dim:
            raise ValueError(
                f"layout of the sink {str(self.path)!r} has {self.layout.size} components: "
                f"expected {dim}, those of the ensemble"
            )

    def dims(self, name: str, dim: int) -> dict[str, int]:
        """Return the dimensions of a variable of states of `dim` components, without members."""
        return {"component": dim} if self.layout is None else dict(self.layout.variables[name])

    def attributes_of(self, name: str) -> dict[str, Any]:
        """Return the attributes of a variable."""
        own = {} if self.layout is None else self.layout.variable_attrs.get(name, {})
        return dict(own) | dict(self.attributes.get(name, {}))

    def parts(self, state: Array) -> Iterator[tuple[str, Array]]:
        """Yield the variables of one state (D,)."""
        if self.layout is None:
            yield "state", state
            return
        for name in self.layout.variables:
            yield name, self.layout.field(name, state)

    def coordinates(self, members: int) -> dict[str, Coordinate]:
        """Return the coordinates but time: dimensions, values, attributes."""
        attributes = {"standard_name": "realization", "units": "1"}
        found: dict[str, Coordinate] = {
            self.member: ((self.member,), np.arange(members), attributes)
        }
        if self.layout is not None:
            for name, (dims, values, attrs) in self.layout.coords.items():
                if self.member not in dims and name != "time" and values.dtype.kind in "fiu":
                    found[name] = dims, values, dict(attrs)
        return found

    def encoded(self, time: Any) -> tuple[float | int, dict[str, Any]]:
        """Return a time as a number, and the attributes of its variable."""
        if isinstance(time, np.datetime64 | datetime.datetime):
            if isinstance(time, datetime.datetime) and time.tzinfo is not None:
                time = time.astimezone(datetime.UTC).replace(tzinfo=None)
            number = int(np.datetime64(time, "us").astype(np.int64))
            return number, {"units": _SINCE, "calendar": "proleptic_gregorian"}
        if hasattr(time, "calendar"):  # of cftime
            import cftime

            calendar = str(time.calendar)
            return int(cftime.date2num(time, _SINCE, calendar)), {
                "units": _SINCE,
                "calendar": calendar,
            }
        return float(time), {} if self.time_units is None else {"units": self.time_units}

    @abstractmethod
    def open(self, shape: tuple[int, int], dtype: np.dtype[Any], cycles: int) -> Writer:
        """Return a writer that goes on after so many cycles."""

    def refuse(self, what: str) -> FileExistsError:
        """Return the error of a file that must not be overwritten."""
        return FileExistsError(
            f"path={str(self.path)!r} {what}: expected one that is not there yet, or that a sink "
            f"has written"
        )


class _Calling(Writer):
    """Gives the ensembles to a function."""

    def __init__(self, function: Callable[[Any, Array], Any]) -> None:
        self._function = function

    def append(self, time: Any, ensemble: Array, scores: Mapping[str, float]) -> None:
        seen = ensemble.view()
        seen.flags.writeable = False
        self._function(time, seen)


def check(**sinks: Any) -> None:
    """Check the sinks of a run, by the names of their arguments."""
    paths: dict[Path, str] = {}
    for name, sink in sinks.items():
        if isinstance(sink, Sink):
            other = paths.setdefault(Path(sink.path).absolute(), name)
            if other != name:
                raise ValueError(f"{name} and {other} are one file: expected another path")
        elif sink is not None and not callable(sink):
            raise TypeError(
                f"{name}={sink!r}: expected enfilt.sinks.Zarr(path), NetCDF(path), a function "
                f"(time, ensemble), or None"
            )


def opened(sink: Any, ensemble: Array, cycles: int) -> Writer | None:
    """Return the writer of a sink."""
    if sink is None:
        return None
    if isinstance(sink, Sink):
        members, dim = ensemble.shape
        return sink.open((members, dim), ensemble.dtype, cycles)
    return _Calling(sink)
