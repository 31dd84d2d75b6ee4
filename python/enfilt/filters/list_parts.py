"""Lists of neighbours put together: from pairs, from runs of places, and of blocks as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ..backends import LocalLists

Places = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Components, and pairs, of one list: each is a call of a kernel, whose threads wait for each other.
_LONG, _PAIRS = 1 << 15, 1 << 22


def listed(
    first: int,
    count: int,
    component: Indices,
    observation: Indices,
    weight: Places,
    *,
    blocks: Indices | None = None,
) -> LocalLists:
    """Return pairs, in the order of components, as the lists of so many of them.

    Where there are blocks, each is seen as a whole.
    """
    if blocks is not None:
        component, observation, weight = _whole_blocks(component, observation, weight, blocks)
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(component, minlength=count), out=starts[1:])
    # nonzero() gives strided views
    indices = np.ascontiguousarray(observation, dtype=np.int64)
    return LocalLists(first, starts, indices, weight)


def between_blocks(parts: list[LocalLists], blocks: Indices) -> list[LocalLists]:
    """Return the lists of observations, rows of one block being alike: by their largest weights."""
    parts = [part.each() for part in parts]
    rows = [np.repeat(np.arange(len(blocks))[p.columns], np.diff(p.starts)) for p in parts]
    row, column = np.concatenate(rows), np.concatenate([p.indices for p in parts])
    weight = np.concatenate([p.weights for p in parts])
    column, row, weight = _whole_blocks(column, row, weight, blocks)
    order = np.lexsort((column, row))
    return [listed(0, len(blocks), row[order], column[order], weight[order])]


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


def joined(parts: list[LocalLists]) -> LocalLists:
    """Return lists of one after the other, of a component each, as one."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.starts) for part in parts])
    return LocalLists(
        parts[0].first,
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def merged(parts: Iterable[LocalLists]) -> Iterator[LocalLists]:
    """Yield lists of more components each."""
    waiting: list[LocalLists] = []
    components = pairs = 0
    for part in parts:
        components += len(part.starts) - 1
        pairs += len(part.indices)
        if waiting and (components > _LONG or pairs > _PAIRS):
            yield joined(waiting)
            waiting, components, pairs = [], len(part.starts) - 1, len(part.indices)
        waiting.append(part)
    if waiting:
        yield joined(waiting)


def shared(parts: Iterable[LocalLists], place: Indices, here: Indices) -> Iterator[LocalLists]:
    """Yield lists of places with the components `here`, of each of which `place` is the place."""
    if all(np.array_equal(numbers, np.arange(len(numbers))) for numbers in (place, here)):
        yield from parts  # a component is each place's own
        return
    components = here[np.argsort(place, kind="stable")]
    before = np.concatenate([[0], np.cumsum(np.bincount(place))])
    for part in parts:
        owners = before[part.first : part.first + len(part.starts)]
        there = components[owners[0] : owners[-1]]
        yield part._replace(first=0, owners=owners - owners[0], components=there)


def of_rows(lists: LocalLists, rows: Indices) -> LocalLists:
    """Return lists of some rows; without a copy of a run."""
    begin, end = int(rows[0]), int(rows[-1]) + 1
    if end - begin == len(rows) and (np.diff(rows) == 1).all():
        inside = slice(lists.starts[begin], lists.starts[end])
        starts = lists.starts[begin : end + 1] - lists.starts[begin]
        return LocalLists(0, starts, lists.indices[inside], lists.weights[inside])
    return lists.of(rows)
