"""Observations near a part of a state: those of its rank, and of others as far as a taper reaches.

Which ones these are follows from the places alone and is found once; an analysis then sends what
they say, and h of them anew as often as a filter evaluates it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..grids import Grid, RegularGrid, chosen_components
from ..localization import Taper
from ..observation import Observation
from ..operators import Operator
from .ranks import Ranks

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PartOfGrid(Grid):
    """The places of components `first` .. `first + count` of a grid."""

    grid: Grid
    first: int
    count: int

    @property
    def size(self) -> int:
        return self.count

    @property
    def variable_count(self) -> int:
        return self.grid.variable_count

    @property
    def apart(self) -> bool:
        return self.grid.apart

    @property
    def least_spacing(self) -> float:
        return self.grid.least_spacing

    def variables_of(self, components: Any = slice(None)) -> npt.NDArray[np.int64]:
        return self.grid.variables_of(self._of_all(components))

    def embedding(self) -> Any:
        return self.grid.embedding()

    def stretched(self, ratio: float) -> Grid:
        return PartOfGrid(self.grid.stretched(ratio), self.first, self.count)

    def check_places(self, argument: str, places: Array) -> None:
        self.grid.check_places(argument, places)

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        return self.grid.coordinates(self._of_all(components))

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        return self.grid.distances(a, b)

    def _of_all(self, components: Any) -> npt.NDArray[np.int64]:
        return self.first + chosen_components(self.count, components)


class Parts(NamedTuple):
    """Which components of a state each rank has: the first, and how many."""

    firsts: list[int]
    sizes: list[int]

    @classmethod
    def of(cls, sizes: list[int]) -> Parts:
        """Return the parts of these sizes, one behind the other."""
        return cls([sum(sizes[:rank]) for rank in range(len(sizes))], sizes)

    @property
    def whole(self) -> int:
        """How many components the state has."""
        return sum(self.sizes)

    def grid(self, whole: Grid, rank: int) -> PartOfGrid:
        """Return the places of one part; of an empty one, some place."""
        return PartOfGrid(whole, min(self.firsts[rank], whole.size - 1), max(1, self.sizes[rank]))


def places_of(obs: Observation, grid: Grid, first: int, dim: int) -> npt.NDArray[np.float64]:
    """Return the places (m, k) of a rank's observations on the grid of the whole state."""
    if obs.locations is not None:
        found: npt.NDArray[np.float64] = obs.locations
        return found
    stand = np.arange(dim)[obs.stands_at(dim)]
    return grid.coordinates(first + stand)


class Messages:
    """What goes from rank to rank: some of the last axis of arrays.

    Parameters
    ----------
    ranks : Ranks
    sends : dict of int to ndarray of int
        Which of this rank's go to each other rank.
    """

    def __init__(self, ranks: Ranks, sends: dict[int, npt.NDArray[np.int64]]) -> None:
        self.ranks = ranks
        counts = ranks.comm.alltoall([len(sends.get(q, ())) for q in range(ranks.size)])
        self.sends = {q: chosen for q, chosen in sends.items() if len(chosen)}
        self.receives = {q: int(n) for q, n in enumerate(counts) if n}

    def exchange(self, own: Array) -> Array:
        """Return values (..., m) of this rank and those that others send, rank by rank."""
        comm, rank = self.ranks.comm, self.ranks.rank
        found = {q: np.empty((*own.shape[:-1], n), own.dtype) for q, n in self.receives.items()}
        requests = [comm.Irecv(array, source=q) for q, array in found.items()]
        sent = {q: np.ascontiguousarray(own[..., i]) for q, i in self.sends.items()}
        requests += [comm.Isend(array, dest=q) for q, array in sent.items()]
        for request in requests:
            request.Wait()
        found[rank] = own
        joined: Array = np.concatenate([found[q] for q in sorted(found)], axis=-1)
        return joined


class Halo(Messages):
    """Which observations go from rank to rank.

    Parameters
    ----------
    ranks : Ranks
    parts : Parts
    grid : Grid
        Of the whole state.
    where : ndarray, (m, k)
        The places of this rank's observations.
    std : ndarray, (m,)
        Their r.
    reach : float
        A component sees what is nearer.
    """

    def __init__(
        self,
        ranks: Ranks,
        parts: Parts,
        grid: Grid,
        where: npt.NDArray[np.float64],
        std: npt.NDArray[np.float64],
        reach: float,
    ) -> None:
        others = [rank for rank in range(ranks.size) if rank != ranks.rank]
        near = {q: np.flatnonzero(_near(grid, parts, q, where, reach)) for q in others}
        super().__init__(ranks, near)
        self.reach = reach
        self.places = self.exchange(np.ascontiguousarray(where.T)).T
        self.std = self.exchange(std)

    @property
    def count(self) -> int:
        """How many observations there are, this rank's own among them."""
        return len(self.std)


def _near(grid: Grid, parts: Parts, rank: int, where: Array, reach: float) -> Any:
    """Return which places may be nearer to components of a rank than `reach`: along axis 0."""
    size, first = parts.sizes[rank], parts.firsts[rank]
    if not size:
        return np.zeros(len(where), bool)
    if type(grid) is not RegularGrid or grid.variables > 1:
        return np.ones(len(where), bool)
    row = grid.size // grid.shape[0]
    low, high = (grid.spacings[0] * (d // row) for d in (first, first + size - 1))
    along = where[:, 0]
    gap = np.maximum(np.maximum(low - along, along - high), 0)
    if grid.joined[0]:
        period = grid.period[0]
        into = (along - low) % period  # from `low` on, once around
        gap = np.where(into <= high - low, 0, np.minimum(into - (high - low), period - into))
    return gap < reach


def reach_of(taper: Taper) -> float:
    """Return how far along any axis a taper is above zero."""
    return max(taper.cutoff, taper.vertical or 0.0)


class Gathered(Operator):
    """h of a rank's own observations, and of those near it that other ranks evaluate.

    A call sends and receives, so all ranks make as many: `times`.
    """

    def __init__(self, halo: Halo, own: Observation, count: int, times: int) -> None:
        self.halo, self.own, self.count, self.left = halo, own, count, times

    def __repr__(self) -> str:
        return repr(self.own.operator)

    def size(self, dim: int) -> int:
        return max(1, self.halo.count)

    def __call__(self, x: Array) -> Array:
        values: Array = np.zeros((len(x), 0), x.dtype)
        if self.count:
            try:
                values = self.own.observe(x, self.count).astype(x.dtype, copy=False)
            except BaseException:
                self.left = 0  # the error's text may ask for h, and no one would answer
                raise
        if self.left:
            self.left -= 1
            self.halo.ranks.ready()
            values = self.halo.exchange(np.ascontiguousarray(values))
        return _padded(values, self.size(0))

    def answer(self, x: Array) -> None:
        """Call as often as is left: others wait for it, where nothing is seen here."""
        while self.left:
            self(x)


def _padded(values: Array, count: int) -> Array:
    """Return values (N, m) with zeros up to so many, where there is none."""
    if values.shape[-1] >= count:
        return values
    more = np.zeros((*values.shape[:-1], count - values.shape[-1]), values.dtype)
    return np.concatenate([values, more], axis=-1)


def observation(halo: Halo, grid: PartOfGrid, operator: Operator | None) -> Observation:
    """Return the observations near a part of a state; where there is none, one that is missing."""
    std, places = halo.std, halo.places
    if not halo.count:
        std, places = np.ones(1), grid.coordinates([0])
    return Observation(operator, std=std, grid=grid, locations=places)


def observed(halo: Halo, y: Array) -> Array:
    """Return y (m,) of the observations near a part of a state."""
    found = halo.exchange(y)
    return found if len(found) else np.full(1, np.nan, y.dtype)
