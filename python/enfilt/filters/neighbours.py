"""Which observations a component sees: windows of a regular grid, or lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import LocalLists, LocalWindow
from ..grids import Grid, Points, RegularGrid
from ..localization import GaspariCohn
from ..observation import Observation

Places = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Components of one list, and pairs of component and observation where all are looked at: their
# temporaries stay small beside an ensemble.
_COMPONENTS = 1024
# On a GPU a list has to be worth starting kernels for.
_DEVICE_COMPONENTS = 1 << 16
_PAIRS = 1 << 20


def placed(obs: Observation, dim: int, m: int, localization: GaspariCohn) -> Observation:
    """Return the observations with places of their own where a localization is none.

    Wherever they are, all of the `dim` components see all of the `m` observations alike.
    """
    if not localization.is_none(obs.grid):
        return obs
    known = obs.pointwise(dim) is not None
    return obs.at(RegularGrid((dim,)), None if known else np.zeros((m, 1)))


def window(grid: RegularGrid, localization: GaspariCohn) -> LocalWindow:
    """Return the places about a component within the cutoff, the same for all of a regular grid.

    Parameters
    ----------
    grid : RegularGrid
        The grid, of one variable.
    localization : GaspariCohn
        The taper.
    """
    axes = []
    for n in grid.shape:
        # more than the axis at most: a reach without end is no integer
        reach = int(min(localization.cutoff / grid.spacing, n)) + 1
        if grid.periodic:
            before, behind = min(reach, (n - 1) // 2), min(reach, n // 2)
        else:
            before = behind = min(reach, n - 1)
        axes.append(np.arange(-before, behind + 1))
    offsets = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    centre = np.zeros((1, len(axes)))
    weights = localization.weight(grid.distances(centre, grid.spacing * offsets)[0])
    kept = weights > 0
    offsets, weights = offsets[kept], weights[kept]
    if len(axes) == 1:
        offsets = np.insert(offsets, 0, 0, axis=1)
    return LocalWindow(
        rows=grid.shape[0] if len(axes) == 2 else 1,
        columns=grid.shape[-1],
        periodic=grid.periodic,
        offsets=np.ascontiguousarray(offsets, dtype=np.int64),
        weights=np.ascontiguousarray(weights),
    )


def common_window(obs: Observation, dim: int, localization: GaspariCohn) -> LocalWindow | None:
    """Return the window that all components share where observations stand at components.

    None where they don't share one: another grid, several variables, or locations of their own.
    """
    grid = obs.state_grid(dim)
    if type(grid) is not RegularGrid or grid.variables > 1 or obs.locations is not None:
        return None
    return window(grid, localization)


def lists(
    grid: Grid,
    places: Places,
    localization: GaspariCohn,
    *,
    of: Places | None = None,
    blocks: Indices | None = None,
    on_device: bool = False,
) -> Iterator[LocalLists]:
    """Yield, for runs of components, the observations that each of them sees.

    They are found by a tree, unless all are within the cutoff or the grid measures distances its
    own way: then all distances are looked at, some components at a time.

    Parameters
    ----------
    grid : Grid
        Of the components.
    places : ndarray, (m, k)
        Where the observations lie.
    localization : GaspariCohn
        The taper.
    of : ndarray, (n, k), optional
        Other places that observations are looked for about; default: those of the components.
    blocks : ndarray of int64, (m,), optional
        The block that each observation belongs to. A block is seen as a whole, by the weight of
        that of its observations which is nearest (the largest).
    on_device : bool
        Whether the lists are for a GPU, on which they are longer.
    """
    size = grid.size if of is None else len(of)
    near = _tree(grid, places, localization)
    length = _DEVICE_COMPONENTS if on_device else _COMPONENTS
    if near is None:
        length = max(1, min(length, _PAIRS // len(places)))
    for first in range(0, size, length):
        count = min(length, size - first)
        chosen = slice(first, first + count)
        where = grid.coordinates(chosen) if of is None else of[chosen]
        if near is not None:
            component, observation, distance = near(where)
            weight = localization.weight(distance)
            kept = np.flatnonzero(weight > 0)
            kept = kept[np.lexsort((observation[kept], component[kept]))]
            component, observation, weight = component[kept], observation[kept], weight[kept]
        else:
            table = localization.weight(grid.distances(where, places))
            component, observation = np.nonzero(table > 0)
            weight = table[component, observation]
        if blocks is not None:
            component, observation, weight = _whole_blocks(component, observation, weight, blocks)
        yield _listed(first, count, component, observation, weight)


def between_blocks(parts: list[LocalLists], blocks: Indices) -> list[LocalLists]:
    """Return the lists of observations, rows of one block being alike: by their largest weights."""
    rows = [p.first + np.repeat(np.arange(len(p.starts) - 1), np.diff(p.starts)) for p in parts]
    row, column = np.concatenate(rows), np.concatenate([p.indices for p in parts])
    weight = np.concatenate([p.weights for p in parts])
    column, row, weight = _whole_blocks(column, row, weight, blocks)
    order = np.lexsort((column, row))
    return [_listed(0, len(blocks), row[order], column[order], weight[order])]


def _listed(
    first: int, count: int, component: Indices, observation: Indices, weight: Places
) -> LocalLists:
    """Return pairs, in the order of components, as the lists of so many of them."""
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(component, minlength=count), out=starts[1:])
    # nonzero() gives strided views
    indices = np.ascontiguousarray(observation, dtype=np.int64)
    return LocalLists(first, starts, indices, weight)


def _whole_blocks(
    component: Indices, observation: Indices, weight: Places, blocks: Indices
) -> tuple[Indices, Indices, Places]:
    """Return pairs of component and observation such that a component sees blocks as a whole."""
    if not len(component):
        return component, observation, weight
    _, block = np.unique(blocks, return_inverse=True)
    sizes = np.bincount(block)
    key = component * len(sizes) + block[observation]
    order = np.argsort(key, kind="stable")
    key = key[order]
    begins = np.flatnonzero(np.insert(np.diff(key) != 0, 0, True))
    component, seen = np.divmod(key[begins], len(sizes))
    counts = sizes[seen]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = np.repeat((np.cumsum(sizes) - sizes)[seen], counts)
    observation = np.argsort(block, kind="stable")[start + within]
    component = np.repeat(component, counts)
    weight = np.repeat(np.maximum.reduceat(weight[order], begins), counts)
    order = np.lexsort((observation, component))
    return component[order], observation[order], weight[order]


def _tree(grid: Grid, places: Places, localization: GaspariCohn) -> Any:
    """Return a search for pairs within the cutoff, or None where a tree is of no use."""
    regular = type(grid) is RegularGrid
    if localization.cutoff == np.inf or not (regular or type(grid) is Points):
        return None
    from scipy.spatial import cKDTree  # slow to import, and of no use to most analyses

    period = None
    if isinstance(grid, RegularGrid) and grid.periodic:
        period = grid.spacing * np.array(grid.shape, dtype=float)
    unit: Places | None = None
    if isinstance(grid, RegularGrid) and not grid.between_variables:
        # variables farther from each other than any places that are looked for
        unit = np.array([2 * localization.cutoff, *[1.0] * len(grid.shape)])
        # longer than the axis of variables: they are no ring
        period = period if period is None else np.insert(period, 0, (grid.variables + 1) * unit[0])

    def tree(points: Places) -> Any:
        points = points if unit is None else points * unit
        if period is None:
            return cKDTree(points)
        inside = points % period
        # the remainder of a tiny negative number rounds to the period itself
        return cKDTree(np.where(inside < period, inside, 0.0), boxsize=period)

    observations = tree(places)

    def near(where: Places) -> tuple[Any, Any, Any]:
        pairs = tree(where).sparse_distance_matrix(
            observations, localization.cutoff, output_type="ndarray"
        )
        if unit is not None:
            pairs = pairs[where[pairs["i"], 0] == places[pairs["j"], 0]]
        return pairs["i"], pairs["j"], pairs["v"]

    return near
