"""Statistics against observations over the cycles of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._values import Value
from .departures import SUMS, Statistics

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float64]

_ARRAYS = ("cycle", "group", "sums", "ranks")


@dataclass(frozen=True, eq=False)
class Innovations(Value):
    """Statistics against observations over the cycles of a run, by kind and by level.

    Attributes
    ----------
    cycles : int
        Of the run.
    groups : list of (kind, level)
        What statistics are kept apart of: kinds as the observations have them, and the numbers of
        levels; None where observations have no such thing.
    cycle, group : ndarray of int64, (rows,)
        A row is what was observed of one group in one cycle.
    sums : ndarray, (rows, len(SUMS))
    ranks : ndarray of int64, (rows, N + 1)
    edges : tuple of float
        Between the levels.
    begin : int
        The first cycle of which rows are kept.
    """

    cycles: int
    groups: list[tuple[Hashable, int | None]]
    cycle: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    sums: Vector
    ranks: npt.NDArray[np.int64]
    edges: tuple[float, ...] = ()
    begin: int = 0

    def _rows(self, last: int | None) -> npt.NDArray[np.bool_]:
        count = self.cycles if last is None else _checks.integer("last", last, 1)
        return self.cycle >= self.cycles - count

    def total(self, last: int | None = None) -> Statistics:
        """Return the statistics of all observations.

        Parameters
        ----------
        last : int, optional
            Only over so many last cycles; default: all.
        """
        return Statistics.of(self.sums[self._rows(last)].sum(axis=0))

    def by_kind(self, last: int | None = None) -> dict[Hashable, Statistics]:
        """Return the statistics of each kind of observations; see `total`."""
        return self._by(lambda group: group[0], last)

    def by_level(
        self, kind: Hashable = None, last: int | None = None
    ) -> dict[Hashable, Statistics]:
        """Return the statistics of each level, of one kind of observations or of all.

        Level k is between the edges k - 1 and k of ``Assimilation(levels=)``.
        """
        chosen = [g for g, (name, _) in enumerate(self.groups) if kind is None or name == kind]
        if not chosen and kind is not None:
            known = list(dict.fromkeys(name for name, _ in self.groups))
            raise ValueError(f"kind={kind!r}: expected one of {known}")
        found = self._by(lambda group: group[1], last, np.isin(self.group, chosen))
        return dict(sorted(found.items(), key=lambda pair: (pair[0] is None, pair[0])))

    def by_group(self, last: int | None = None) -> dict[Hashable, Statistics]:
        """Return the statistics of each kind at each level; see `total`."""
        return self._by(lambda group: group, last)

    def _by(
        self,
        name: Callable[[Any], Hashable],
        last: int | None,
        also: npt.NDArray[np.bool_] | None = None,
    ) -> dict[Hashable, Statistics]:
        rows = self._rows(last) if also is None else self._rows(last) & also
        found: dict[Hashable, Vector] = {}
        for g, group in enumerate(self.groups):
            part = self.sums[rows & (self.group == g)]
            if len(part):
                label = name(group)
                found[label] = found.get(label, np.zeros(len(SUMS))) + part.sum(axis=0)
        return {label: Statistics.of(sums) for label, sums in found.items()}

    def rank_histogram(self, last: int | None = None) -> npt.NDArray[np.int64]:
        """Return how many observations have k members, error added, below them, (N + 1,)."""
        counts: npt.NDArray[np.int64] = self.ranks[self._rows(last)].sum(axis=0)
        return counts

    def series(self, name: str) -> Vector:
        """Return one of `Statistics` of each cycle kept; NaN where nothing was observed.

        Parameters
        ----------
        name : str
            Such as ``"rmse"``, ``"chi_square"``, ``"crps"``, ``"expected"``.
        """
        _checks.choice("name", name, Statistics._fields)
        sums = np.zeros((self.cycles - self.begin, len(SUMS)))
        np.add.at(sums, self.cycle - self.begin, self.sums)
        return np.array([getattr(Statistics.of(row), name) for row in sums], np.float64)

    def arrays(self) -> dict[str, Array]:
        """Return the arrays, as files have them."""
        return {f"innovations_{name}": getattr(self, name) for name in _ARRAYS}

    def labels(self) -> dict[str, Any]:
        """Return all but the arrays, as JSON takes it."""
        names = ("cycles", "begin", "groups", "edges")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of_arrays(cls, arrays: dict[str, Any], labels: dict[str, Any]) -> Innovations:
        """Return what `arrays` and `labels` tell; its arrays are taken out of others."""
        rows: dict[str, Any] = {name: arrays.pop(f"innovations_{name}") for name in _ARRAYS}
        groups = [(kind, level) for kind, level in labels["groups"]]
        edges = tuple(labels["edges"])
        return cls(labels["cycles"], groups, begin=labels["begin"], edges=edges, **rows)

    def between(self, end: int) -> Innovations:
        """Return those of the cycles from `begin` on, and before `end`, numbers of groups kept."""
        kept = (self.cycle >= self.begin) & (self.cycle < end)
        rows = (self.cycle[kept], self.group[kept], self.sums[kept], self.ranks[kept])
        return dataclasses.replace(
            self, cycles=end, cycle=rows[0], group=rows[1], sums=rows[2], ranks=rows[3]
        )
