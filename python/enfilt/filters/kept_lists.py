"""The lists of `neighbours`, kept from one analysis of a filter to the next.

They follow from places, taper and the pattern of missing values, and take longer to make than many
an analysis. What is looked for is looked for once a place, however many components are there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._values import same
from ..backends import LocalLists
from ..grids import Grid
from ..localization import ByVariable, GaspariCohn
from . import neighbours
from .neighbours import Indices, Places

#: The most bytes that a filter keeps of lists, and as many of the pairs that they are chosen from.
KEPT = 1 << 28
# Where a taper reaches farther than the one before, the next may do so, too.
_HEADROOM = 1.25
# Runs of components that share the lists of as many places are so long at least: shorter ones are
# copied.
_SHORT = 64
# Components, and pairs, of one list: each is a call of a kernel, whose threads wait for each other.
_LONG, _PAIRS = 1 << 15, 1 << 22
# Places weighed at a time: temporaries stay small.
_ROWS = 1 << 12


class KeptLists:
    """What components see of observations, by places, taper, and what is missing.

    What was made last is kept, up to `KEPT` bytes: lists, and the pairs of places and their
    distances, of which a shorter cutoff or fewer observations choose. Where these are more, they
    are made anew in each analysis, some components at a time.
    """

    def __init__(self) -> None:
        self._lists: list[tuple[tuple[Any, ...], list[LocalLists]]] = []
        self._pairs: list[_Pairs] = []

    def of(
        self,
        grid: Grid,
        places: Places,
        seen: Any,
        localization: GaspariCohn | ByVariable,
        *,
        values: bool = False,
        blocks: Indices | None = None,
        at: tuple[Indices, Indices] | None = None,
        on_device: bool = False,
    ) -> Iterable[LocalLists]:
        """Return lists as `neighbours.lists` does, of those of the places (m, k) that are `seen`.

        With `values`, they are those of what is seen itself, which moves along, and not of
        components. The other arguments are those of `neighbours.lists`, of which `blocks` and `at`
        count what is seen.
        """
        chosen = np.arange(len(places))[seen]
        key = (grid, places[seen], localization, values, blocks, at, on_device)
        for known, found in self._lists:
            if same(known, key):
                return found
        made: Iterator[LocalLists] | list[LocalLists] | None = None
        if at is None or not neighbours.is_window(grid):
            pairs = self._searched(grid, places, chosen, localization.cutoff, values)
            if pairs is not None:
                made = pairs.lists(chosen, localization, blocks, at, on_device)
        if made is None:
            made = _merged(
                neighbours.lists(
                    grid,
                    places[seen],
                    localization,
                    of=places[seen] if values else None,
                    blocks=blocks,
                    at=at,
                    on_device=on_device,
                )
            )
        return self._kept(key, made)

    def _kept(self, key: tuple[Any, ...], made: Iterable[LocalLists]) -> Iterator[LocalLists]:
        """Yield lists as they are made, and keep them unless they are too many."""
        found: list[LocalLists] = []
        size, owner = 0, None
        for part in made:
            if size <= KEPT:
                base = part.indices if part.indices.base is None else part.indices.base
                size += part.starts.nbytes + (0 if base is owner else 2 * base.nbytes)
                owner = base
                found.append(part)
                if size > KEPT:
                    found = []
            yield part
        if size > KEPT:
            return
        kept = [(key, found)]
        for other in self._lists:
            size += _bytes(other[1])
            if size > KEPT:
                break
            kept.append(other)
        self._lists = kept

    def _searched(
        self, grid: Grid, places: Places, chosen: Indices, cutoff: float, values: bool
    ) -> _Pairs | None:
        """Return pairs that hold what is asked for, or None where they are too many."""
        reach, looked_for = cutoff, chosen
        for i, known in enumerate(self._pairs):
            if not known.same_places(grid, places, values):
                continue
            if not known.complete:
                if known.reach <= cutoff and np.isin(known.observations, chosen).all():
                    return None
            elif known.reach >= cutoff and np.isin(chosen, known.observations).all():
                return known
            else:
                reach = known.reach if known.reach >= cutoff else _HEADROOM * cutoff
                looked_for = np.union1d(known.observations, chosen)
            del self._pairs[i]
            break
        found = _Pairs.searched(grid, places, looked_for, reach, values)
        if not found.complete and (reach > cutoff or len(looked_for) > len(chosen)):
            found = _Pairs.searched(grid, places, chosen, cutoff, values)
        # those of components, and those of values that move along
        self._pairs = [found, *self._pairs[:1]]
        return found if found.complete else None


@dataclass(frozen=True)
class _Pairs:
    """Pairs of places and observations within a distance, once for all components at one place.

    Attributes
    ----------
    grid, places, values
        Whose pairs, as in `KeptLists.of`.
    observations : ndarray of int64
        Those of `places` that were looked for.
    reach : float
        The distance.
    complete : bool
        Whether all pairs are here; they are not where they are too many.
    row : ndarray of int64, (n,)
        The place of each component, or of each of `observations`.
    starts : ndarray of int64, (places + 1,)
    indices : ndarray of int32
        The observations of one place after the other, in order, as numbers of `places`.
    distances : ndarray
        As `indices`.
    """

    grid: Grid
    places: Places
    values: bool
    observations: Indices
    reach: float
    complete: bool
    row: Indices
    starts: Indices
    indices: npt.NDArray[np.int32]
    distances: Places

    @classmethod
    def searched(
        cls, grid: Grid, places: Places, observations: Indices, reach: float, values: bool
    ) -> _Pairs:
        seen, place = _distinct(places[observations])
        where, row = (seen, place) if values else _distinct(grid.coordinates(slice(None)))
        copies = np.bincount(place)
        order, before = np.argsort(place, kind="stable"), np.cumsum(copies) - copies
        each = len(seen) == len(observations)
        counts = np.zeros(len(where), np.int64)
        indices, distances = [np.zeros(0, np.int32)], [np.zeros(0)]
        size, complete = 0, True
        for first, about, i, j, distance in neighbours.near(
            grid, seen, reach, where.__getitem__, len(where)
        ):
            size += int(copies[j].sum())
            if size * (4 + 8) > KEPT:
                complete, indices, distances = False, indices[:1], distances[:1]
                break
            if not each:  # observations at one place
                repeats = copies[j]
                i, j = np.repeat(i, repeats), np.repeat(j, repeats)
                distance = np.repeat(distance, repeats)
                begins = np.flatnonzero(np.diff(i * len(seen) + j, prepend=-1))
                number = np.diff(begins, append=len(i))
                within = np.arange(len(i)) - np.repeat(begins, number)
                j = order[before[j] + within]
                sort = np.argsort(i * len(observations) + j)
                j, distance = j[sort], distance[sort]
            counts[first : first + len(about)] = np.bincount(i, minlength=len(about))
            indices.append(observations[j].astype(np.int32))
            distances.append(distance)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(
            grid,
            places,
            values,
            observations,
            reach,
            complete,
            row,
            starts,
            np.concatenate(indices),
            np.concatenate(distances),
        )

    def same_places(self, grid: Grid, places: Places, values: bool) -> bool:
        """Return whether these are pairs of the same places."""
        return self.values is values and same((self.grid, self.places), (grid, places))

    def lists(
        self,
        chosen: Indices,
        localization: GaspariCohn | ByVariable,
        blocks: Indices | None,
        at: tuple[Indices, Indices] | None,
        on_device: bool,
    ) -> Iterator[LocalLists]:
        """Yield the lists of components, of the observations `chosen`, with a shorter taper."""
        variable = by = None
        if isinstance(localization, ByVariable):
            of = self.places[chosen] if self.values else self.grid.coordinates(slice(None))
            stand = (None, None) if at is None else at
            variable = neighbours.variables(self.grid, of, stand[0])
            by = neighbours.variables(self.grid, self.places[chosen], stand[1])
        length = max(_LONG, neighbours.length(on_device))
        rows = self.row
        if self.values and len(chosen) < len(rows):
            rows = rows[np.searchsorted(self.observations, chosen)]
        new = np.zeros(len(rows), bool)
        if variable is not None:
            new = np.diff(variable, prepend=-1) != 0
        step = new | (np.diff(rows, prepend=-1) != 1)
        if np.count_nonzero(step) * _SHORT > len(step):
            step, length = new, neighbours.length(on_device)
        step[0] = True
        begins = np.flatnonzero(step).tolist()
        weighted, of_variable = None, -1
        for begin, end in zip(begins, [*begins[1:], len(step)], strict=True):
            now = -1 if variable is None else int(variable[begin])
            if weighted is None or now != of_variable:
                weight = functools.partial(self._weight, localization, now, by)
                weighted, of_variable = self._weighted(chosen, weight, blocks), now
            for first in range(begin, end, length):
                yield _of_rows(weighted, first, rows[first : min(first + length, end)])

    @staticmethod
    def _weight(
        localization: GaspariCohn | ByVariable,
        of: int,
        by: Indices | None,
        distance: Places,
        observation: Indices,
    ) -> Places:
        """Return the weights of components of a variable and observations at distances."""
        if isinstance(localization, GaspariCohn):
            return localization.weight(distance)
        assert by is not None
        return localization.weight(distance, of, by[observation])

    def _weighted(
        self,
        chosen: Indices,
        weight: Callable[[Places, Indices], Places],
        blocks: Indices | None,
    ) -> LocalLists:
        """Return the lists of all places."""
        number = np.full(len(self.places), -1)
        number[chosen] = np.arange(len(chosen))
        parts, rows = [], len(self.starts) - 1
        for first in range(0, rows, _ROWS):
            last = min(first + _ROWS, rows)
            inside = slice(self.starts[first], self.starts[last])
            row = np.repeat(np.arange(last - first), np.diff(self.starts[first : last + 1]))
            observation, distance = number[self.indices[inside]], self.distances[inside]
            if len(chosen) < len(self.observations):
                kept = observation >= 0
                row, observation, distance = row[kept], observation[kept], distance[kept]
            weights = weight(distance, observation)
            if not (kept := weights > 0).all():
                row, observation, weights = row[kept], observation[kept], weights[kept]
            count = last - first
            parts.append(neighbours.listed(first, count, row, observation, weights, blocks=blocks))
        return _joined(parts)


def _merged(parts: Iterable[LocalLists]) -> Iterator[LocalLists]:
    """Yield lists of more components each."""
    waiting: list[LocalLists] = []
    components = pairs = 0
    for part in parts:
        components += len(part.starts) - 1
        pairs += len(part.indices)
        if waiting and (components > _LONG or pairs > _PAIRS):
            yield _joined(waiting)
            waiting, components, pairs = [], len(part.starts) - 1, len(part.indices)
        waiting.append(part)
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[LocalLists]) -> LocalLists:
    """Return lists of one after the other as one."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.starts) for part in parts])
    return LocalLists(
        parts[0].first,
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def _of_rows(lists: LocalLists, first: int, rows: Indices) -> LocalLists:
    """Return lists of components from `first` on, those of some rows; without a copy of a run."""
    begin, end = int(rows[0]), int(rows[-1]) + 1
    if end - begin == len(rows) and (np.diff(rows) == 1).all():
        inside = slice(lists.starts[begin], lists.starts[end])
        starts = lists.starts[begin : end + 1] - lists.starts[begin]
        return LocalLists(first, starts, lists.indices[inside], lists.weights[inside])
    counts = np.diff(lists.starts)[rows]
    starts = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(starts[-1]) + np.repeat(lists.starts[rows] - starts[:-1], counts)
    return LocalLists(first, starts, lists.indices[at], lists.weights[at])


def _distinct(places: Places) -> tuple[Places, Indices]:
    """Return the places (n, k) without repeats, in their order, and the number of each there."""
    order = np.lexsort(places.T)
    new = np.ones(len(places), bool)
    ordered = places[order]
    np.any(ordered[1:] != ordered[:-1], axis=1, out=new[1:])
    first = order[new]  # the sort is stable: each is the first of its repeats
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    number = np.empty(len(places), np.int64)
    number[order] = rank[np.cumsum(new) - 1]
    return places[np.sort(first)], number


def _bytes(parts: list[LocalLists]) -> int:
    """Return how much memory lists take; what several share counts once."""
    owners = {}
    for part in parts:
        for array in part.starts, part.indices, part.weights:
            owner = array if array.base is None else array.base
            owners[id(owner)] = owner.nbytes
    return sum(owners.values())
