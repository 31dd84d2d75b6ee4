"""What smoothers share: a filter that looks back, and what it remembers of the cycles before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .. import _arrays
from .base import EnsembleFilter
from .cycle import Array, Cycle


@dataclass
class Past:
    """What a smoother remembers, which its analyses write to no more.

    Attributes
    ----------
    ensembles : list of ndarray, (B, N, D)
        Those of this cycle and of those before, the latest first, as all observations have it.
    start : ndarray, (B, N, D), or None
        The first ensemble of the window as the next analysis begins with it, where it is widened.
    batched : bool
        Whether the caller's ensembles had a batch axis.
    found : tuple of list and ndarray, optional
        What an analysis under way has found: the ensembles before the one of this cycle, the latest
        first, and `start`. None: nothing was observed.
    """

    ensembles: list[Array] = field(default_factory=list)
    start: Array | None = None
    batched: bool = False
    found: tuple[list[Array], Array | None] | None = None


@dataclass(frozen=True)
class Smoother(EnsembleFilter):
    """Base of filters that also tell what the observations of now say of the cycles before."""

    _takes_transformed: ClassVar[bool] = False

    _past: Past = field(default_factory=Past, init=False, repr=False, compare=False, kw_only=True)

    @property
    @abstractmethod
    def _depth(self) -> int:
        """How many cycles back it looks."""

    @property
    def smoothed(self) -> list[Array]:
        """The ensembles of this cycle and of those before it, given all observations up to now.

        Entry j is that of j cycles ago, (N, D) or (B, N, D); entry 0 is the analysis. Empty before
        the first analysis and after `reset`. They are copies.
        """
        found = [ensemble.copy() for ensemble in self._past.ensembles]
        return found if self._past.batched else [ensemble[0] for ensemble in found]

    def reset(self) -> None:
        super().reset()
        vars(self._past).update(vars(Past()))

    def state(self) -> dict[str, Any]:
        past = self._past
        kept = [_arrays.to_host(ensemble) for ensemble in past.ensembles]
        start = None if past.start is None else _arrays.to_host(past.start)
        return super().state() | {"past": kept, "start": start, "batched": past.batched}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        past = self._past
        past.ensembles, past.start = list(state["past"]), state["start"]
        past.batched = state["batched"]

    def _run(self, cycle: Cycle, target: Array | None, shape: tuple[int, ...]) -> Array:
        past = self._past
        if past.ensembles and not self._goes_on(cycle):
            past.ensembles, past.start = [], None
        past.found = None
        analysis = super()._run(cycle, target, shape)
        earlier, past.start = past.found or self._unobserved(cycle)
        now = analysis.reshape(cycle.forecast.shape).copy()
        past.ensembles = [now, *earlier][: self._depth + 1]
        past.found, past.batched = None, len(shape) == 3
        return analysis

    def _goes_on(self, cycle: Cycle) -> bool:
        """Whether an analysis follows the one before, of which `previous` is then the result."""
        last, xp = self._past.ensembles[0], _arrays.namespace(cycle.forecast)
        if last.shape != cycle.forecast.shape or last.dtype != cycle.forecast.dtype:
            return False
        return cycle.previous is None or bool(xp.array_equal(cycle.previous, last))

    def _unobserved(self, cycle: Cycle) -> tuple[list[Array], Array | None]:
        """Return the past, and the start of the window, after a cycle without observations."""
        past = self._past
        if not self._needs_previous:
            return past.ensembles, past.start
        known, _, cycles = self._window(cycle)
        return known[len(known) - cycles :], past.start

    def _window(self, cycle: Cycle) -> tuple[list[Array], Array, int]:
        """Return the ensembles of the window before this cycle, the latest first.

        Then the one it begins with, as wide as the analysis takes it, and how many cycles it is
        before the observations. Of those that know `previous`.
        """
        assert cycle.previous is not None
        known = self._past.ensembles[: self._depth] or [cycle.previous]
        start = known[-1] if self._past.start is None else self._past.start
        # of observations of the same time again, no time has passed
        passed = not bool(np.array_equal(cycle.forecast, cycle.previous))
        return known, start, len(known) - (0 if passed else 1)

    @staticmethod
    def _keep_unobserved(cycle: Cycle, known: list[Array], earlier: list[Array]) -> None:
        """Give the past of those ensembles that nothing was observed of back what it was."""
        unobserved = _arrays.namespace(cycle.y).isnan(cycle.y).all(axis=-1)
        for before, found in zip(known[len(known) - len(earlier) :], earlier, strict=True):
            cycle.backend.copy_where(unobserved, before, found)
