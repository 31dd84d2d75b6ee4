"""What a case of the benchmark is: a size, a problem, and what ours is timed beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Size:
    """Sizes of a problem: N, D, steps and dtype.

    Raises
    ------
    TypeError, ValueError
        If a number is too small, or the dtype is not float32 or float64.
    """

    members: int
    dim: int
    steps: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _checks.integer("members", self.members, 2)
        _checks.integer("dim", self.dim, 1)
        _checks.integer("steps", self.steps, 1)
        _checks.float_dtype("dtype", self.dtype)

    @property
    def bytes(self) -> int:
        """Bytes of one ensemble."""
        return self.members * self.dim * np.dtype(self.dtype).itemsize

    def replace(self, changes: Mapping[str, Any]) -> Size:
        """Return the size with some of it changed.

        Raises
        ------
        ValueError
            If a name is not known; the message gives the nearest.
        """
        names = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            _checks.choice("size", name, names)
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Peer:
    """A form of the same computation that one would use instead.

    Attributes
    ----------
    name : str
    make : callable
        Loads, converts and compiles; returns the call that is timed. What it raises is the row's
        note: a peer that can't run is not an error.
    needs : str
        Package without which there is no peer; empty: NumPy alone.
    target : float or None
        How many times as fast ours has to be at the case's own size.
    same_result : bool
        Whether the result is to be ours to rounding; where it is not, `note` says what it is.
    note : str or callable
        Stands in the row; called after timing, and not with ``quick``, where it is measured.
    """

    name: str
    make: Callable[[], Callable[[], Any]]
    needs: str = ""
    target: float | None = None
    same_result: bool = True
    note: str | Callable[[], str] = ""


@dataclass(frozen=True)
class Limit:
    """A time that ours is held against: seconds as a function of the triad's bytes a second."""

    name: str
    seconds: Callable[[float], float]
    target: float | None = None


@dataclass(frozen=True)
class Problem:
    """A case at one size.

    Attributes
    ----------
    ours : callable
        Called with an array for the result, or with None, as `analysis(out=)`.
    beside : tuple of Peer or Limit
    base : callable or None
        What is not to count: the time is that of `ours` less that of `base`, over `parts`.
    parts : int
    """

    ours: Callable[[Array | None], Array]
    beside: tuple[Peer | Limit, ...] = ()
    base: Callable[[Array | None], Array] | None = None
    parts: int = 1


@dataclass(frozen=True)
class Case:
    """A computation that is timed beside others.

    Attributes
    ----------
    name : str
        In the shell.
    title : str
    size : Size
        Where its targets hold.
    quick : Size
        Small: a second or so with all that it is timed beside.
    prepare : callable
        From a size to the problem.
    moved : callable
        From a size to the fewest bytes that memory has to move: what the floor is made from.
    floor_target : float or None
        Which part of ours the floor has to be.
    sweeps : tuple of str
        Which of ``dim``, ``members``, ``steps``, ``threads`` a plot is drawn over.
    """

    name: str
    title: str
    size: Size
    quick: Size
    prepare: Callable[[Size], Problem]
    moved: Callable[[Size], float]
    floor_target: float | None = None
    sweeps: tuple[str, ...] = ("dim", "members", "threads")
