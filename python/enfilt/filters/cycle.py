"""One analysis as filters see it, and what they remember from one to the next."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, quality
from ..backends import Backend, ObservedComponents
from ..localization import ByVariable, Taper
from ..observation import Observation
from .kept_lists import KeptLists
from .tuned import Geometry, Tuning

Array = npt.NDArray[Any]


class Times(NamedTuple):
    """The times of an analysis and of the next, for filters that run the model again.

    Attributes
    ----------
    start, stop : float, numpy.datetime64, or what the observations have
    of_model : bool
        Whether they are times of a model of `enfilt.models`, whose steps they then tell.
    """

    start: Any
    stop: Any
    of_model: bool = True


def times(argument: str, value: Any) -> Times | None:
    """Check that `value` is a time and a later one, or the same, or None."""
    if value is None or isinstance(value, Times):
        return value
    try:
        start, stop = value
        late = bool(stop >= start)
    except (TypeError, ValueError):
        late = False
    if not late:
        raise ValueError(f"{argument}={value!r}: expected (start, stop), the earlier time first")
    return Times(start, stop)


@dataclass
class Memory:
    """What a filter remembers from one analysis to the next; its options stay frozen.

    Attributes
    ----------
    facts : dict
        What the last analysis says of itself.
    tuning : dict
        What filters that tune themselves remember, by the index in the batch.
    geometry : Geometry, optional
        What follows from the places of components and observations alone.
    lists : KeptLists
        Which observations components see.
    flags : ndarray of int8, (m,) or (B, m), optional
        What became of each observation in the last analysis, where `obs` has a quality control.
    length : float or timedelta, optional
        How long the cycles are, of filters that run a model whose steps have no length.
    """

    facts: dict[str, float] = field(default_factory=dict)
    tuning: dict[int, Tuning] = field(default_factory=dict)
    geometry: Geometry | None = None
    lists: KeptLists = field(default_factory=KeptLists)
    flags: npt.NDArray[np.int8] | None = None
    length: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # these are made again
        return vars(self) | {"geometry": None, "lists": KeptLists()}


@dataclass(frozen=True)
class Cycle:
    """One analysis, checked: what a filter works on.

    Attributes
    ----------
    forecast, previous : ndarray, (B, N, D)
        `previous` is None where it was not given.
    y : ndarray, (B, m)
        NaN: not observed.
    obs : Observation
    noise : ndarray or None
        (B, ...) with the filter's own shape behind; None: draw from `rng`.
    rng : numpy.random.Generator
    backend : Backend
    given : ndarray, (B, N, m), or None
        h(x), where it was given.
    facts : dict
        What the analysis says of itself, numbers by name: filled by the filter.
    tapers : dict
        Those found from the ensembles, by the index in the batch.
    tuning : dict
        What `Memory` keeps of this cycle.
    flags : ndarray of int8, (m,), or (B, m) of a batch, or None
        What became of each observation, where `obs` has a quality control.
    between : Times or None
        Of `previous` and `forecast`, where they were told.
    """

    forecast: Array
    previous: Array | None
    y: Array
    obs: Observation
    noise: Array | None
    rng: np.random.Generator
    backend: Backend
    given: Array | None = None
    facts: dict[str, float] = field(default_factory=dict)
    tapers: dict[int, Taper | ByVariable] = field(default_factory=dict)
    tuning: dict[int, Tuning] = field(default_factory=dict)
    flags: npt.NDArray[np.int8] | None = None
    between: Times | None = None

    def screened(self, batched: bool) -> Cycle:
        """Return the cycle without the observations that the quality control of `obs` rejects.

        `batched` tells whether the flags are to be those of a batch.
        """
        check = self.obs.quality
        if check is None:
            return self
        pairs = []
        for b, y in enumerate(self.y):
            with np.errstate(over="ignore", invalid="ignore"):  # the filter says it better
                h = self.values(b)
                mean = h.mean(axis=0, dtype=np.float64)
                # member by member: no second ensemble of float64 is made
                square = sum((row - mean) ** 2 for row in h)
                spread = (square / (len(h) - 1)) ** 0.5
            pairs.append(quality.screened(check, y, mean, spread, self.obs.r))
        flags = np.stack([flags for _, flags in pairs])
        self.facts.update(quality.counts(flags))
        y = _arrays.namespace(self.y).stack([y for y, _ in pairs])
        return dataclasses.replace(self, y=y, flags=flags if batched else flags[0])

    @functools.cached_property
    def key(self) -> int:
        """The key of all counter-based draws of this analysis."""
        return int(self.rng.integers(2**64, dtype=np.uint64))

    def misfit(self, b: int) -> Array:
        """Return J of the forecast members of one ensemble of the batch, (N,) in float64."""
        if self.observed is None and (self.given is None or self.obs.is_correlated):
            return self.backend.total(self.obs.misfit_of_values(self.values(b), self.y[b]))
        return self.backend.misfit(*self.seen(b))

    def values(self, b: int) -> Array:
        """Return h(x) of the forecast of one ensemble of the batch, contiguous, (N, m)."""
        if self.given is not None:
            given: Array = self.given[b]
            return given
        return _checks.contiguous(self.obs.observe(self.forecast[b], self.y.shape[-1]))

    def seen(self, b: int) -> tuple[Array, ObservedComponents]:
        """Return what kernels take: one ensemble of the batch, or its h(x), and what is seen.

        Correlations of errors are left out.
        """
        if self.observed is not None:
            return self.forecast[b], self.observed.of(b)
        return self.values(b), self.obs.of_values(self.y[b])

    def normals(self, b: int, shape: tuple[int, int], scratch: Array | None = None) -> Array:
        """Return `noise` of one ensemble, or standard normals of `shape` drawn in its place.

        They are drawn into the memory of `scratch`, contiguous, where that is large enough.
        """
        if self.noise is not None:
            given: Array = self.noise[b]
            return given
        count = shape[0] * shape[1]
        if scratch is None or scratch.size < count:
            scratch = self.backend.empty(shape, self.forecast.dtype)
        draws = scratch.reshape(-1)[:count].reshape(shape)
        self.backend.normals(self.key, b, 0, draws)
        return draws

    @functools.cached_property
    def observed(self) -> ObservedComponents | None:
        """The observations as the kernels take them, or None where they can't, or need not."""
        if self.given is not None:
            return None
        found = self.obs.components(self.forecast.shape[-1], self.y)
        return found if found is not None and found.kind in self.backend.kinds else None
