"""Forecasts of a state on many ranks: by members, each whole on one rank, or by halos."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..models import Lorenz96
from .halo import Messages, Parts
from .ranks import Ranks

Array = npt.NDArray[Any]

# Steps of Lorenz-96 between messages, and how far one of them reaches back and ahead: Runge and
# Kutta's evaluates a tendency of reach 2 and 1 four times.
_STEPS, _BELOW, _ABOVE = 16, 8, 4


def by_members(ranks: Ranks, parts: Parts, part: Array) -> Array:
    """Return this rank's members whole, (n, D), of an ensemble whose parts (N, D of the rank) are.

    Members are shared out in order, as evenly as can be.
    """
    shares = rows_of(len(part), ranks.size)
    mine = _length(shares[ranks.rank])
    sent = np.ascontiguousarray(part)
    blocks = np.empty(mine * parts.whole, part.dtype)
    ranks.comm.Alltoallv(
        [sent, [_length(rows) * part.shape[1] for rows in shares]],
        [blocks, [mine * size for size in parts.sizes]],
    )
    parted = np.split(blocks, mine * np.cumsum(parts.sizes)[:-1])
    whole = [b.reshape(mine, size) for b, size in zip(parted, parts.sizes, strict=True)]
    return np.concatenate(whole, axis=1)


def by_space(ranks: Ranks, parts: Parts, rows: Array, members: int) -> Array:
    """Return this rank's part (N, D of the rank) of an ensemble whose members (n, D) are whole."""
    shares = rows_of(members, ranks.size)
    size = parts.sizes[ranks.rank]
    slabs = zip(parts.firsts, parts.sizes, strict=True)
    sent = np.concatenate([rows[:, first : first + n].ravel() for first, n in slabs])
    result = np.empty((members, size), rows.dtype)
    ranks.comm.Alltoallv(
        [sent, [len(rows) * n for n in parts.sizes]],
        [result, [_length(share) * size for share in shares]],
    )
    return result


def rows_of(members: int, size: int) -> list[slice]:
    """Return which members each of so many ranks has."""
    ends = [members * rank // size for rank in range(size + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _length(rows: slice) -> int:
    return int(rows.stop - rows.start)


def stepped_by_members(
    ranks: Ranks, parts: Parts, part: Array, step: Callable[[Array], Array]
) -> Array:
    """Return the part of an ensemble whose members `step` steps, (n, D) to (n, D)."""
    rows = by_members(ranks, parts, part)
    if len(rows):
        rows = step(rows)
    ranks.ready()
    return by_space(ranks, parts, rows, len(part))


class Lorenz96Ring:
    """Lorenz-96 on parts of its ring: a rank steps its own and as much beside it as steps reach.

    Parameters
    ----------
    ranks : Ranks
    parts : Parts
    steps : int
        Between messages.
    """

    def __init__(self, ranks: Ranks, parts: Parts, steps: int) -> None:
        self.ranks, self.steps = ranks, steps
        first, size = parts.firsts[ranks.rank], parts.sizes[ranks.rank]
        own = first + np.arange(size)
        sends = {}
        for q, (there, n) in enumerate(zip(parts.firsts, parts.sizes, strict=True)):
            if q != ranks.rank and n:
                wanted = there - _BELOW * steps + np.arange(n + (_BELOW + _ABOVE) * steps)
                sends[q] = np.flatnonzero(np.isin(own, wanted % parts.whole))
        self.messages = Messages(ranks, sends)
        known = self.messages.exchange(own)
        order = np.argsort(known)
        wide = first - _BELOW * steps + np.arange(size + (_BELOW + _ABOVE) * steps)
        self.columns = order[np.searchsorted(known[order], wide % parts.whole)] if size else None
        self.inside = slice(_BELOW * steps, _BELOW * steps + size)

    def step(self, model: Lorenz96, part: Array) -> Array:
        """Return the part (N, D of the rank) after `steps` steps."""
        near = self.messages.exchange(part)
        if self.columns is None:
            return part
        # a ring of its own: what is wrong about its ends does not come as far as the inside
        wide = np.ascontiguousarray(near[:, self.columns])
        stepped = replace(model, dim=wide.shape[1]).step(wide, self.steps)
        return np.ascontiguousarray(stepped[:, self.inside])


def lorenz96(ranks: Ranks, parts: Parts, model: Lorenz96, part: Array, steps: int) -> Array:
    """Return the part of an ensemble of Lorenz-96 after so many steps."""
    ring = None
    while steps:
        now = min(steps, _STEPS)
        if ring is None or ring.steps != now:
            ranks.ready()
            ring = Lorenz96Ring(ranks, parts, now)
        ranks.ready()
        part = ring.step(model, part)
        steps -= now
    return part
