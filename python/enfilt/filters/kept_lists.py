"""The lists of `neighbours`, kept from one analysis of a filter to the next.

They follow from places, taper and the pattern of missing values, and take longer to make than many
an analysis. What is looked for is looked for once a place, however many components are there.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import backends
from .._values import same
from ..backends import LocalLists
from ..backends.problems import TaperedPairs
from ..grids import Grid, RegularGrid
from ..localization import ByKind, ByVariable, GaspariCohn, Known, Taper
from ..parameters import WithParameters
from . import list_parts, neighbours, reach
from .neighbours import Indices, Places

#: The most bytes that a filter keeps of lists, and as many of the pairs that they are chosen from.
KEPT = 1 << 28
# Where a taper reaches farther than the one before, the next may do so, too.
_HEADROOM = 1.25
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
        localization: Known,
        *,
        values: bool = False,
        blocks: Indices | None = None,
        at: tuple[Indices, Indices] | None = None,
        by: Indices | None = None,
        own: bool = False,
        each: bool = False,
        on_device: bool = False,
    ) -> Iterable[LocalLists]:
        """Return the lists of those of the places (m, k) that are `seen`.

        Parameters
        ----------
        grid : Grid
            Of the components.
        places, seen
            Where all observations lie, (m, k), and an index of those that are looked at.
        localization : Taper, ByVariable or ByKind
            The taper.
        values : bool
            Whether the lists are those of what is seen itself, which moves along, and not of
            components.
        blocks : ndarray of int64, optional
            The block that each observation seen belongs to. A block is seen as a whole, by the
            weight of that of its observations which is nearest (the largest).
        at : tuple of two ndarray of int64, optional
            The components that the places, and the observations seen, stand at: on a regular grid
            nothing is searched for then.
        by : ndarray of int64, optional
            The variables, or the numbers of the kinds, of the observations seen, for a localization
            that goes by them.
        own : bool
            With `values` and kinds, whether the taper is that of what sees, not of what is seen.
        each : bool
            Whether each component has a list of its own; on a GPU it has.
        on_device : bool
            Whether the lists are for a GPU, on which they are longer.
        """
        if isinstance(grid, WithParameters):
            placed = at if at is None else (at[0][at[0] < grid.placed.size], at[1])
            among: dict[str, Any] = {"values": values, "blocks": blocks, "at": placed}
            among |= {"by": by, "own": own}
            parts = self.of(
                grid.placed, places, seen, localization, **among, each=each, on_device=on_device
            )
            if values:
                return parts
            apart = neighbours.parameter_lists(grid, len(places[seen]), each=each or on_device)
            return itertools.chain(parts, [apart])
        chosen = np.arange(len(places))[seen]
        key = (grid, places[seen], localization, values, blocks, at, by, own, each, on_device)
        for known, found in self._lists:
            if same(known, key):
                return found
        if at is not None and neighbours.is_window(grid) and not isinstance(localization, ByKind):
            made = _in_windows(grid, localization, at, blocks, each or on_device, on_device)
        else:
            pairs = self._searched(grid, places, chosen, localization.cutoff, values)
            near = chosen, localization.cutoff, pairs.tapers(localization, by, own)
            made = pairs.lists(*near, blocks, each or on_device, on_device)
        if isinstance(localization, Taper):
            made = reach.looked_at(made, localization, len(chosen), blocks is None)
        return self._kept(key, made)

    def _kept(self, key: tuple[Any, ...], made: Iterable[LocalLists]) -> Iterator[LocalLists]:
        """Yield lists as they are made, and keep them unless they are too many."""
        found: list[LocalLists] = []
        size, owner = 0, None
        for part in made:
            if size <= KEPT:
                base = part.indices if part.indices.base is None else part.indices.base
                size += part.starts.nbytes + (0 if base is owner else 2 * base.nbytes)
                size += sum(a.nbytes for a in part[4:] if a is not None)
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
    ) -> _Pairs:
        """Return pairs that hold what is asked for; or none of them, where they are too many."""
        # all, where few are missing: others will be the next time
        everything = np.arange(len(places))
        reach, looked_for = cutoff, everything if 2 * len(chosen) > len(places) else chosen
        for i, known in enumerate(self._pairs):
            if not known.same_places(grid, places, values):
                continue
            if not known.complete:
                if known.reach <= cutoff and np.isin(known.observations, chosen).all():
                    return known
            elif known.reach >= cutoff and np.isin(chosen, known.observations).all():
                return known
            else:
                reach = known.reach if known.reach >= cutoff else _HEADROOM * cutoff
                looked_for = np.union1d(known.observations, looked_for)
            del self._pairs[i]
            break
        found = _Pairs.searched(grid, places, looked_for, reach, values)
        if not found.complete and (reach > cutoff or len(looked_for) > len(chosen)):
            found = _Pairs.searched(grid, places, chosen, cutoff, values)
        # those of components, and those of values that move along
        self._pairs = [found, *self._pairs[:1]]
        return found


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
    where : ndarray, (n, k)
        The places, each once.
    row : ndarray of int64
        The place of each component, or of each of `observations`.
    complete : bool
        Whether all pairs are here; where they are too many, none is.
    starts : ndarray of int64, (n + 1,)
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
    where: Places
    row: Indices
    complete: bool
    starts: Indices
    indices: npt.NDArray[np.int32]
    distances: Places

    @classmethod
    def searched(
        cls, grid: Grid, places: Places, observations: Indices, reach: float, values: bool
    ) -> _Pairs:
        seen = places[observations]
        where, row = neighbours.distinct(seen if values else grid.coordinates(slice(None)))
        found = neighbours.pairs(grid, seen, reach, where, KEPT // (4 + 8))
        if found is None:
            nothing = np.zeros(len(where) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0)
            return cls(grid, places, values, observations, reach, where, row, False, *nothing)
        starts, indices, distances = found
        if len(observations) < len(places):
            indices = observations.astype(np.int32)[indices]
        pairs = starts, indices, distances
        return cls(grid, places, values, observations, reach, where, row, True, *pairs)

    def same_places(self, grid: Grid, places: Places, values: bool) -> bool:
        """Return whether these are pairs of the same places."""
        return self.values is values and same((self.grid, self.places), (grid, places))

    def lists(
        self,
        chosen: Indices,
        cutoff: float,
        tapers: Iterable[tuple[Indices | None, _Taper]],
        blocks: Indices | None,
        each: bool,
        on_device: bool,
    ) -> Iterator[LocalLists]:
        """Yield the lists of components, of the observations `chosen`, with a shorter taper."""
        rows = self.row
        if self.values and len(chosen) < len(rows):
            rows = rows[np.searchsorted(self.observations, chosen)]
        for some, taper in tapers:
            here = np.arange(len(rows)) if some is None else some
            place = rows[here]
            near = functools.partial(self._near, chosen, cutoff, taper, blocks)
            if not each:
                used = np.unique(place)
                parts = near(None if len(used) == len(self.where) else used)
                parts = (
                    iter([list_parts.joined(list(parts))])
                    if self.complete
                    else list_parts.merged(parts)
                )
                yield from list_parts.shared(parts, np.searchsorted(used, place), here)
                continue
            every = list_parts.joined(list(near(None))) if self.complete else None
            ends = np.flatnonzero(np.diff(here, append=-1) != 1) + 1
            length = neighbours.length(on_device)
            for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                for first in range(begin, end, length):
                    run = place[first : min(first + length, end)]
                    part = (
                        list_parts.joined(list(near(run)))
                        if every is None
                        else list_parts.of_rows(every, run)
                    )
                    yield part._replace(first=int(here[first]))

    def tapers(
        self, localization: Known, by: Indices | None, own: bool
    ) -> Iterator[tuple[Indices | None, _Taper]]:
        """Yield components of one taper, None for all, and their weights of what is seen."""
        if isinstance(localization, Taper):
            yield None, _Taper([localization], [1.0], None)
            return
        assert by is not None  # the filter has asked for them
        if isinstance(localization, ByVariable):
            of = by if self.values else self.grid.variables_of()
            for now in np.unique(of).tolist():
                taper = _Taper(localization.tapers[now], localization.amplitudes[now], by)
                yield np.flatnonzero(of == now), taper
        elif own:
            for now in np.unique(by).tolist():
                yield np.flatnonzero(by == now), _Taper([localization.each[now]], [1.0], None)
        else:
            yield None, _Taper(localization.each, [1.0] * len(localization.each), by)

    def _near(
        self,
        chosen: Indices,
        cutoff: float,
        taper: _Taper,
        blocks: Indices | None,
        places: Indices | None,
    ) -> Iterator[LocalLists]:
        """Yield the lists of runs of places, or of some of them."""
        core = backends.core()
        if self.complete and core is not None and taper.form is not None:
            numbers = self._numbers(chosen)
            pairs = self.starts, self.indices, self.distances
            tapered = TaperedPairs(places, *pairs, numbers, *taper.form)
            found = LocalLists(0, *core.taper_pairs(tapered))
            if blocks is not None:
                count = len(found.starts) - 1
                row = np.repeat(np.arange(count), np.diff(found.starts))
                found = list_parts.listed(0, count, row, *found[2:4], blocks=blocks)
            yield found
            return
        for first, count, row, observation, distance in self._within(chosen, cutoff, places):
            weights = taper.weight(distance, observation)
            if not (kept := weights > 0).all():
                row, observation, weights = row[kept], observation[kept], weights[kept]
            yield list_parts.listed(first, count, row, observation, weights, blocks=blocks)

    def _numbers(self, chosen: Indices) -> Indices:
        """Return the number of each place among those chosen, or -1."""
        number = np.full(len(self.places), -1)
        number[chosen] = np.arange(len(chosen))
        return number

    def _within(
        self, chosen: Indices, cutoff: float, places: Indices | None
    ) -> Iterator[tuple[int, int, Indices, Indices, Places]]:
        """Yield pairs, with observations as numbers of `chosen`, of runs of places."""
        if not self.complete:
            where = self.where if places is None else self.where[places]
            for first, about, i, j, distance in neighbours.near(
                self.grid, self.places[chosen], cutoff, where.__getitem__, len(where)
            ):
                yield first, len(about), i, j, distance
            return
        number = self._numbers(chosen)
        wanted = np.arange(len(self.where)) if places is None else places
        for first in range(0, len(wanted), _ROWS):
            run = wanted[first : first + _ROWS]
            # they increase
            inside = slice(self.starts[run[0]], self.starts[run[-1] + 1])
            row = np.full(run[-1] + 1 - run[0], -1)
            row[run - run[0]] = np.arange(len(run))
            row = np.repeat(row, np.diff(self.starts[run[0] : run[-1] + 2]))
            observation, distance = number[self.indices[inside]], self.distances[inside]
            kept = (observation >= 0) & (row >= 0)
            if not kept.all():
                row, observation, distance = row[kept], observation[kept], distance[kept]
            yield first, len(run), row, observation, distance


@dataclass(frozen=True)
class _Taper:
    """The weights of components of one variable, and observations of any.

    Attributes
    ----------
    tapers, amplitudes : sequence
        By the variable of an observation; one where all are alike.
    by : ndarray of int64, (m,), optional
        The variables of observations.
    """

    tapers: Sequence[Taper]
    amplitudes: Sequence[float]
    by: Indices | None

    def weight(self, distance: Places, observation: Indices) -> Places:
        """Return the weights at distances of observations, by their numbers."""
        if self.by is None:
            return self.tapers[0].weight(distance)
        weights, by = np.zeros_like(distance), self.by[observation]
        for v, (taper, amplitude) in enumerate(zip(self.tapers, self.amplitudes, strict=True)):
            of = by == v
            weights[of] = amplitude * taper.weight(distance[of])
        return weights

    @functools.cached_property
    def form(self) -> tuple[bool, Places, Places] | None:
        """Whether weights are one within the cutoff; cutoffs, and weights at distance 0.

        These are of each observation, or of all; None where there is a taper of the user's.
        """
        kinds = {type(taper) for taper in self.tapers}
        forms = {"step" if t.cutoff == np.inf else t.shape for t in self.tapers}
        if not kinds <= {Taper, GaspariCohn} or forms not in ({"step"}, {"gaspari-cohn"}):
            return None
        cutoffs = np.array([float(taper.cutoff) for taper in self.tapers])
        amplitudes = np.array(self.amplitudes, np.float64)
        if self.by is not None:
            cutoffs, amplitudes = cutoffs[self.by], amplitudes[self.by]
        return forms == {"step"}, cutoffs, amplitudes


def _in_windows(
    grid: RegularGrid,
    localization: Taper | ByVariable,
    at: tuple[Indices, Indices],
    blocks: Indices | None,
    each: bool,
    on_device: bool,
) -> Iterator[LocalLists]:
    """Yield the lists of components of a regular grid; variables that see alike share them."""
    of, seen = at
    apart = isinstance(localization, ByVariable) or not grid.between_variables
    rows = None
    if not each and not apart and grid.variables > 1:
        of, rows = np.unique(of % (grid.size // grid.variables), return_inverse=True)
    parts = list_parts.merged(
        neighbours.in_windows(grid, localization, of, seen, blocks, on_device)
    )
    return parts if rows is None else list_parts.shared(parts, rows, np.arange(len(rows)))


def _bytes(parts: list[LocalLists]) -> int:
    """Return how much memory lists take; what several share counts once."""
    owners = {}
    for part in parts:
        for array in part.starts, part.indices, part.weights:
            owner = array if array.base is None else array.base
            owners[id(owner)] = owner.nbytes
    return sum(owners.values())
