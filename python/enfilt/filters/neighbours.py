"""Which observations a component sees: windows of a regular grid, or lists."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from .. import backends
from ..backends import LocalLists, LocalWindow
from ..backends.problems import PlacesNear
from ..grids import Embedding, Grid, RegularGrid
from ..localization import ByVariable, Known, Taper
from ..observation import Observation
from ..parameters import WithParameters
from . import list_parts
from .reach import warn

Places = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Components of one list, and pairs of component and observation where all are looked at: their
# temporaries stay small beside an ensemble.
_COMPONENTS = 1024
# On a GPU a list has to be worth starting kernels for.
_DEVICE_COMPONENTS = 1 << 16
_PAIRS = 1 << 20
# Pairs of one list on a regular grid, where nothing is looked for.
_ENTRIES, _DEVICE_ENTRIES = 1 << 19, 1 << 25
_NOTHING = (np.zeros(0, np.int64), np.zeros(0))


def placed(obs: Observation, dim: int, m: int, localization: Known) -> Observation:
    """Return the observations with places of their own where a localization is none.

    Wherever they are, all of the `dim` components see all of the `m` observations alike.
    """
    if not localization.is_none(obs.grid):
        return obs
    known = obs.stands_at(dim) is not None
    return obs.at(RegularGrid((dim,)), None if known else np.zeros((m, 1)))


# Of as many grids and tapers as one process is likely to go between: a small analysis would spend
# a quarter of its time on making its window anew.
@functools.lru_cache(maxsize=32)
def window(grid: RegularGrid, localization: Taper) -> LocalWindow:
    """Return the places about a component within the cutoff, the same for all of a regular grid.

    It is made once for a grid and a taper: its arrays are not to be written to.

    Parameters
    ----------
    grid : RegularGrid
        The grid, of one variable and one or two axes, whose ends are joined on all or none.
    localization : Taper
        The taper.
    """
    offsets, weights = _reach(grid, localization)
    if len(grid.shape) == 1:
        offsets = np.insert(offsets, 0, 0, axis=1)
    offsets, weights = np.ascontiguousarray(offsets), np.ascontiguousarray(weights)
    for array in (offsets, weights):
        array.flags.writeable = False
    return LocalWindow(
        rows=grid.shape[0] if len(grid.shape) == 2 else 1,
        columns=grid.shape[-1],
        periodic=all(grid.joined),
        offsets=offsets,
        weights=weights,
    )


def _reach(grid: RegularGrid, localization: Taper) -> tuple[Indices, Places]:
    """Return the places about a component within the cutoff, as steps (n, axes), and weights."""
    axes = []
    for n, spacing, joined in zip(grid.shape, grid.spacings, grid.joined, strict=True):
        # more than the axis at most: a reach without end is no integer
        reach = int(min(localization.cutoff / spacing, n)) + 1
        if joined:
            before, behind = min(reach, (n - 1) // 2), min(reach, n // 2)
        else:
            before = behind = min(reach, n - 1)
        axes.append(np.arange(-before, behind + 1))
    offsets = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    centre = np.zeros((1, len(axes)))
    weights = localization.weight(grid.distances(centre, grid.spacings * offsets)[0])
    kept = weights > 0
    return offsets[kept].astype(np.int64), weights[kept]


def common_window(obs: Observation, dim: int, localization: Taper) -> LocalWindow | None:
    """Return the window that all components share where observations stand at components.

    None where they don't share one: another grid, several variables, or locations of their own.
    """
    grid = obs.state_grid(dim)
    if type(grid) is not RegularGrid or grid.variables > 1 or obs.locations is not None:
        return None
    if len(grid.shape) > 2 or len(set(grid.joined)) > 1:
        return None  # where no axis is the vertical, either
    if localization.most is not None:
        return None
    found = window(grid, localization)
    everywhere = [
        n if joined else 2 * n - 1 for n, joined in zip(grid.shape, grid.joined, strict=True)
    ]
    if len(found.weights) == np.prod(everywhere):
        warn(localization, found.weights)
    return found


def components(obs: Observation, dim: int) -> Indices | None:
    """Return the components (m,) that observations stand at; None where they have other places."""
    stand = obs.stands_at(dim)
    if obs.locations is not None or stand is None:
        return None
    found: Indices = np.arange(dim)[stand]
    return found


def in_windows(
    grid: RegularGrid,
    localization: Taper | ByVariable,
    of: Indices,
    seen: Indices,
    blocks: Indices | None = None,
    on_device: bool = False,
) -> Iterator[LocalLists]:
    """Yield the lists of components `of` a regular grid, where observations stand at `seen`.

    Nothing is searched for. The other arguments are those of `KeptLists.of`.
    """
    entries = _DEVICE_ENTRIES if on_device else _ENTRIES
    for part in _on_grid(grid, localization, of, seen, entries):
        if blocks is None:
            yield part
            continue
        count = len(part.starts) - 1
        row = np.repeat(np.arange(count), np.diff(part.starts))
        yield list_parts.listed(part.first, count, row, part.indices, part.weights, blocks=blocks)


def length(on_device: bool) -> int:
    """Return how many components a list has at most."""
    return _DEVICE_COMPONENTS if on_device else _COMPONENTS


def is_window(grid: Grid) -> TypeGuard[RegularGrid]:
    """Return whether lists of observations at components are read off windows of a grid."""
    return type(grid) is RegularGrid


def near(
    grid: Grid,
    places: Places,
    reach: float,
    of: Callable[[Any], Places],
    size: int,
    most: int = _COMPONENTS,
) -> Iterator[tuple[int, Places, Indices, Indices, Places]]:
    """Yield pairs of places that are less than a distance apart, run by run of the first ones.

    Of each run its first number and its places (n, k); and for each pair, in order, the place
    within the run, the one that was looked for, and their distance.

    Parameters
    ----------
    grid : Grid
    places : ndarray, (m, k)
        Those looked for.
    reach : float
        The distance.
    of : callable
        From a slice to the places about which.
    size : int
        How many these are.
    most : int
        At most so many at a time.
    """
    search = _search(grid, places, reach)
    if search is None:
        most = max(1, min(most, _PAIRS // len(places)))
    for first in range(0, size, most):
        where = of(slice(first, min(first + most, size)))
        if search is None:
            table = grid.distances(where, places)
            i, j = np.nonzero(table < reach)
            yield first, where, i, j, table[i, j]
            continue
        starts, indices, distances = search.pairs(where)
        i = np.repeat(np.arange(len(where)), np.diff(starts))
        yield first, where, i, indices.astype(np.int64), distances


def pairs(grid: Grid, places: Places, reach: float, where: Places, most: int) -> Any:
    """Return pairs as `near` does, of all of `where` (n, k); None where they are more than `most`.

    Where the pairs of each place begin (n + 1,); then the places that were looked for, and their
    distances.
    """
    search = _search(grid, places, reach)
    if search is not None and search.core is not None:
        return search.pairs(where, most)
    counts = np.zeros(len(where), np.int64)
    indices, distances = [np.zeros(0, np.int32)], [np.zeros(0)]
    size = 0
    for first, about, i, j, distance in near(grid, places, reach, where.__getitem__, len(where)):
        size += len(i)
        if size > most:
            return None
        counts[first : first + len(about)] = np.bincount(i, minlength=len(about))
        indices.append(j.astype(np.int32))
        distances.append(distance)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return starts, np.concatenate(indices), np.concatenate(distances)


def _on_grid(
    grid: RegularGrid,
    localization: Taper | ByVariable,
    of: Indices,
    seen: Indices,
    length: int,
) -> Iterator[LocalLists]:
    """Yield the lists of components `of` (n,), where observations stand at components too.

    Of a run of one variable, all components see the same window, and of it what is observed.
    """
    single = dataclasses.replace(grid, variables=1, between_variables=True)
    size = single.size
    number = np.full((grid.variables, size), -1)
    number[np.divmod(seen, size)] = np.arange(len(seen))
    looked_at = np.flatnonzero((number >= 0).any(axis=1))
    variable, place = np.divmod(of, size)
    ends = np.flatnonzero(np.diff(variable, append=-1)) + 1
    first = 0
    for end in ends.tolist():
        windows = []
        for v in looked_at.tolist():
            taper, amplitude = _between(grid, localization, int(variable[first]), v)
            if amplitude > 0:
                windows.append((v, amplitude, *_reach(single, taper)))
        count = sum(len(weights) for *_, weights in windows)
        step = max(1, length // max(1, count))
        for start in range(first, end, step):
            chosen = place[start : min(start + step, end)]
            yield _in_windows(single, chosen, start, number, windows)
        first = end


def _between(
    grid: RegularGrid, localization: Taper | ByVariable, of: int, by: int
) -> tuple[Taper, float]:
    """Return the taper of components of one variable and observations of another, and its size."""
    if isinstance(localization, ByVariable):
        return localization.tapers[of][by], localization.amplitudes[of][by]
    return localization, float(of == by or grid.between_variables)


def _in_windows(
    grid: RegularGrid,
    places: Indices,
    first: int,
    number: Indices,
    windows: list[tuple[int, float, Indices, Places]],
) -> LocalLists:
    """Return the lists of components of one variable, those from `first` on.

    `number` (V, n) holds the observation at each place, or -1.
    """
    found, weights = [], []
    shape, ends = np.array(grid.shape), ~np.array(grid.joined)
    where = np.stack(np.unravel_index(places, grid.shape), axis=-1)[:, None]
    for v, amplitude, offsets, tapered in windows:
        at = where + offsets
        inside = at % shape
        observation = number[v][np.ravel_multi_index(tuple(np.moveaxis(inside, -1, 0)), grid.shape)]
        observation[(at != inside)[..., ends].any(axis=-1)] = -1
        found.append(observation)
        weights.append(amplitude * tapered)
    if not found:
        return LocalLists(first, np.zeros(len(places) + 1, np.int64), *_NOTHING)
    weight = np.concatenate(weights)
    # sums are taken in the order of the observations, as where these have places of their own
    keys = np.concatenate(found, axis=1) * len(weight) + np.arange(len(weight))
    keys.sort(axis=1)
    observations, chosen = np.divmod(keys, len(weight))
    kept = observations >= 0
    starts = np.zeros(len(places) + 1, np.int64)
    np.cumsum(kept.sum(axis=1), out=starts[1:])
    return LocalLists(first, starts, observations[kept], weight[chosen[kept]])


class _Search:
    """Looks for places within a distance: in the compiled core, or by SciPy's tree."""

    def __init__(self, grid: Grid, embedding: Embedding, places: Places, reach: float) -> None:
        self._embedding, self._reach, self._apart = embedding, reach, grid.apart
        self._places, self._seen = places, self._coordinates(places)
        self.core = backends.core()
        if self.core is None:
            self._tree = self._periodic.tree(self._seen)

    @functools.cached_property
    def _periodic(self) -> Embedding:
        """With an axis more where variables are apart; it is no ring."""
        period = self._embedding.period
        if not self._apart or period is None:
            return self._embedding
        return dataclasses.replace(self._embedding, period=np.append(period, 0.0))

    def _coordinates(self, points: Places) -> Places:
        inside = self._embedding.inside(points)
        if self._apart:
            # variables farther from each other than any places that are looked for
            inside = np.column_stack([inside, 2 * self._reach * points[:, 0]])
        return np.ascontiguousarray(inside)

    def pairs(self, where: Places, most: int = 1 << 62) -> Any:
        """Return pairs as the function does."""
        about, embedding = self._coordinates(where), self._periodic
        if self.core is not None:
            period, radius = embedding.period, embedding.radius
            search = PlacesNear(about, self._seen, period, radius, self._reach, most)
            return self.core.near_pairs(search)
        found = embedding.tree(about).sparse_distance_matrix(
            self._tree, self._reach, output_type="ndarray"
        )
        i, j = found["i"], found["j"]
        distance = embedding.distances(about[i], self._seen[j], found["v"])
        inside = np.flatnonzero(distance < self._reach)
        inside = inside[np.argsort(i[inside] * np.int64(len(self._seen)) + j[inside])]
        starts = np.searchsorted(i[inside], np.arange(len(where) + 1))
        return starts, j[inside].astype(np.int32), distance[inside]


def _search(grid: Grid, places: Places, reach: float) -> _Search | None:
    """Return a search for pairs within the cutoff, or None where one is of no use."""
    found = grid.embedding()
    return None if reach == np.inf or found is None else _Search(grid, found, places, reach)


def parameter_lists(grid: WithParameters, observations: int, *, each: bool) -> LocalLists:
    """Return the list of parameters, which see all of so many observations.

    With `each`, every parameter has one of its own.
    """
    first, parameters = grid.placed.size, grid.count
    rows = parameters if each else 1
    starts = observations * np.arange(rows + 1)
    indices = np.tile(np.arange(observations), rows)
    found = LocalLists(first, starts, indices, np.full(len(indices), float(grid.weight)))
    if each:
        return found
    components = np.arange(first, first + parameters)
    return found._replace(owners=np.array([0, parameters]), components=components)


def distinct(places: Places) -> tuple[Places, Indices]:
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
