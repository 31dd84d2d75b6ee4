"""What a run keeps of its cycles: a row each, in arrays that grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Records:
    """Rows of named values, a column each: as compact as arrays, as long as a run goes on.

    A value is a number or an array; all of one name have one shape. What a row has no value for is
    NaN. The first rows may be dropped; others keep their numbers.

    Attributes
    ----------
    count : int
        Rows there have been.
    dropped : int
        How many of these are no longer there.

    Examples
    --------
    >>> records = Records()
    >>> records.append({"time": 0.0}), records.append({"time": 0.5, "steps": 3.0})
    (None, None)
    >>> records.arrays()["steps"]
    array([nan,  3.])
    """

    def __init__(self) -> None:
        self.count = self.dropped = 0
        self._columns: dict[str, Array] = {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row: whole, or, where an interrupt comes in between, not at all."""
        held = self.count - self.dropped
        missing = dict.fromkeys(self._columns.keys() - row.keys(), np.nan)
        for name, given in (*row.items(), *missing.items()):
            value = np.asarray(given)
            column = self._columns.get(name)
            if column is None:
                column = np.empty((max(16, held + 1), *value.shape), value.dtype)
                if held:
                    column[:held] = np.nan
            else:
                # a row may need more than those before it did: 0.5 after 0, an hour after a day
                dtype = _common(column.dtype, value.dtype)
                if held == len(column) or dtype != column.dtype:
                    length = 2 * held if held == len(column) else len(column)
                    column = np.empty((length, *column.shape[1:]), dtype)
                    column[:held] = self._columns[name][:held]
            column[held] = value
            self._columns[name] = column
        self.count += 1

    def keep(self, most: int | None) -> None:
        """Drop the first rows, so that at least the `most` last ones stay, and not twice as many.

        None: all stay.
        """
        held = self.count - self.dropped
        if most is not None and held >= 2 * most:
            kept = {}
            for name, column in self._columns.items():
                kept[name] = np.empty_like(column)
                kept[name][:most] = column[held - most : held]
            # at once, as far as an interrupt can tell
            self._columns, self.dropped = kept, self.count - most

    def arrays(self, upto: int | None = None, most: int | None = None) -> dict[str, Array]:
        """Return the columns, copied: of the rows before number `upto`, the `most` last ones."""
        end = (self.count if upto is None else upto) - self.dropped
        begin = 0 if most is None else max(0, end - most)
        return {name: column[begin:end].copy() for name, column in self._columns.items()}

    def state(self) -> dict[str, Any]:
        """Return all there is, for `restore`."""
        return {"count": self.count, "dropped": self.dropped, "columns": self.arrays()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.count, self.dropped = state["count"], state["dropped"]
        self._columns = {name: array.copy() for name, array in state["columns"].items()}


def _common(one: np.dtype[Any], other: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype that holds the values of both."""
    if one == other:
        return one
    try:
        return np.result_type(one, other)
    except TypeError:
        return np.dtype(object)
