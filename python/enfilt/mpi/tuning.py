"""Filters that tune themselves, on parts of a state: all ranks come to the same taper and factors.

What these follow from is brought together: the innovation and the variance of each observation,
and the members at those of the components that covariances are sampled at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import backends
from ..filters import one_factor, self_tuning
from ..filters.base import EnsembleFilter
from ..filters.cycle import Cycle
from ..filters.tuned import Geometry
from ..grids import Grid
from ..inflation import Adaptive
from ..localization import FromEnsemble
from ..observation import Observation
from .ranks import Ranks

Array = npt.NDArray[Any]


def tunes(filt: EnsembleFilter) -> bool:
    """Return whether a localized filter takes its taper or factors of components from the cycle."""
    inflation = filt._inflation
    local = isinstance(inflation, Adaptive) and inflation.local is not False
    return isinstance(getattr(filt, "localization", None), FromEnsemble) or local


class Everything(NamedTuple):
    """All observations of all ranks.

    Attributes
    ----------
    obs : Observation
    counts : list of int
        How many each rank has.
    """

    obs: Observation
    counts: list[int]

    @classmethod
    def of(
        cls, ranks: Ranks, grid: Grid, where: npt.NDArray[np.float64], std: npt.NDArray[np.float64]
    ) -> Everything:
        """Return them, each rank giving places (m, k) and r (m,) of its own."""
        found = ranks.comm.allgather((where, std))
        places, errors = (np.concatenate(part) for part in zip(*found, strict=True))
        obs = Observation(None, std=errors, grid=grid, locations=places)
        return cls(obs, [len(part) for _, part in found])

    def own(self, rank: int) -> slice:
        """Return the observations of a rank among all."""
        first = sum(self.counts[:rank])
        return slice(first, first + self.counts[rank])


class _Columns:
    """Some columns of an ensemble (N, D), or of a member (D,), by their numbers in it."""

    def __init__(self, values: Array, chosen: npt.NDArray[np.int64]) -> None:
        self.values, self.chosen = values, chosen

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[_Columns]:
        return (_Columns(row, self.chosen) for row in self.values)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple):  # (..., columns)
            found: Array = self.values[..., np.searchsorted(self.chosen, index[1])]
            return found
        return _Columns(self.values[index], self.chosen)


class _Ensembles:
    """A batch of one, (1, N, D), of which some columns are known."""

    def __init__(self, columns: _Columns, dim: int) -> None:
        self.columns, self.shape = columns, (1, len(columns), dim)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> _Columns:
        return self.columns


class _Kernels:
    """The backend of a cycle whose innovations are known."""

    def __init__(self, moments: Array) -> None:
        self.moments = moments

    def innovations(self, x: Any, observed: Any, moments: Array) -> None:
        moments[...] = self.moments


@dataclass(frozen=True)
class _Whole(Cycle):
    """The cycle of all ranks; its h(x) is not here, and what follows from it is."""

    def values(self, b: int) -> Array:
        return np.zeros((0, 0))


def tuned(
    filt: EnsembleFilter,
    cycle: Cycle,
    count: int,
    ranks: Ranks,
    everything: Everything,
    first: int,
) -> tuple[EnsembleFilter, Cycle, dict[str, float]]:
    """Return the filter with what was found, a rank's cycle widened, and facts.

    Parameters
    ----------
    filt : EnsembleFilter
    cycle : Cycle
        Of the rank's part.
    count : int
        How many observations the rank has.
    ranks : Ranks
    everything : Everything
    first : int
        The rank's first component.
    """
    memory, obs = filt._memory, everything.obs
    x, y = cycle.forecast[0], cycle.y[0][:count]
    moments = np.empty((2, count), x.dtype)
    if count:
        own = backends.get(cycle.backend.name)
        own.innovations(cycle.values(0), cycle.obs.of_values(y), moments)
    grid = obs.known_grid
    if memory.geometry is None or memory.geometry.obs is not obs:
        memory.geometry = Geometry(obs, grid.size, sum(everything.counts), memory.geometry)
    known = memory.geometry
    places = known.places
    sampled = np.union1d(places.pairs.anchors, places.pairs.partners.ravel())
    columns = np.unique(places.components[0][sampled])
    inside = columns[(columns >= first) & (columns < first + x.shape[1])] - first
    ranks.ready()
    parts = ranks.comm.allgather((x[:, inside], y, moments))
    ensemble, all_y, all_moments = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    localization: Any = getattr(filt, "localization", None)
    adaptive = filt._inflation if isinstance(filt._inflation, Adaptive) else None
    whole: Any = {
        "forecast": _Ensembles(_Columns(ensemble, columns), grid.size),
        "backend": _Kernels(all_moments),
        "previous": None,
        "noise": None,
        "given": None,
    }
    shared = {f.name: getattr(cycle, f.name) for f in dataclasses.fields(cycle)}
    one = _Whole(**{**shared, **whole, "y": all_y[None], "obs": obs, "facts": {}, "tapers": {}})
    found, factors = self_tuning.in_geometry(known, localization, adaptive, memory, one)
    facts = dict(found.facts)
    changed: dict[str, Any] = {}
    if found.tapers:
        changed["localization"] = found.tapers[0]
    if adaptive is not None:
        changed["inflation"] = 1.0
        part = factors[0]
        if part.size > 1:
            part = part[first : first + x.shape[1]]
        y = cycle.y.copy()
        y[0, :count] = found.y[0][everything.own(ranks.rank)]
        cycle = one_factor.widened(adaptive, dataclasses.replace(cycle, y=y), [part])
        facts["inflation"] = float(factors[0].mean())
    tuned_filter = dataclasses.replace(filt, **changed)
    tuned_filter._memory.lists = memory.lists
    memory.tuning |= found.tuning
    return tuned_filter, cycle, facts
