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
    NaN.

    Attributes
    ----------
    count : int
        Rows.

    Examples
    --------
    >>> records = Records()
    >>> records.append({"time": 0.0}), records.append({"time": 0.5, "steps": 3.0})
    (None, None)
    >>> records.arrays()["steps"]
    array([nan,  3.])
    """

    def __init__(self) -> None:
        self.count = 0
        self._columns: dict[str, Array] = {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row: whole, or, where an interrupt comes in between, not at all."""
        missing = dict.fromkeys(self._columns.keys() - row.keys(), np.nan)
        for name, given in (*row.items(), *missing.items()):
            value = np.asarray(given)
            column = self._columns.get(name)
            if column is None:
                column = np.empty((max(16, self.count + 1), *value.shape), value.dtype)
                if self.count:
                    column[: self.count] = np.nan
            elif self.count == len(column):
                column = np.empty((2 * self.count, *column.shape[1:]), column.dtype)
                column[: self.count] = self._columns[name]
            column[self.count] = value
            self._columns[name] = column
        self.count += 1

    def arrays(self) -> dict[str, Array]:
        """Return the columns, copied."""
        return {name: column[: self.count].copy() for name, column in self._columns.items()}

    def restore(self, arrays: Mapping[str, Array], count: int) -> None:
        """Take over `count` rows that `arrays` gave."""
        self._columns = {name: array[:count].copy() for name, array in arrays.items()}
        self.count = count
