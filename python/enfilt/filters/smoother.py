"""What smoothers share: a filter that looks back, and what it remembers of the cycles before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from . import rerun
from .base import EnsembleFilter
from .cycle import Array, Cycle, Times, times
from .rerun import Span


class Found(NamedTuple):
    """What becomes of the past in a cycle.

    Attributes
    ----------
    earlier : list of ndarray
        The ensembles before the one of this cycle, the latest first.
    spans : list
        What lies between them, from that of this cycle on.
    start : ndarray or None
        As in `Past`.
    """

    earlier: list[Array]
    spans: list[Span]
    start: Array | None = None


@dataclass
class Past:
    """What a smoother remembers, which its analyses write to no more.

    Attributes
    ----------
    ensembles : list of ndarray, (B, N, D)
        Those of this cycle and of those before, the latest first, as all observations have it.
    spans : list
        What lies between each of these and the one before it, the latest first.
    start : ndarray, (B, N, D), or None
        The first ensemble of the window as the next analysis begins with it, where it is widened.
    batched : bool
        Whether the caller's ensembles had a batch axis.
    found : Found, optional
        What an analysis under way has found. None: nothing was observed.
    """

    ensembles: list[Array] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    start: Array | None = None
    batched: bool = False
    found: Found | None = None


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
    def _settled(self) -> Array | None:
        past = self._past.ensembles
        return past[-1] if len(past) > self._depth else None

    @property
    def _ensembles(self) -> int:
        # those of the past, and their successors
        return 2 * (self._depth + 1) + 2

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
        told = {"past": kept, "spans": list(past.spans), "start": start, "batched": past.batched}
        return super().state() | told

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        past = self._past
        past.ensembles, past.spans = list(state["past"]), list(state["spans"])
        past.start, past.batched = state["start"], state["batched"]

    def _run(self, cycle: Cycle, target: Array | None, shape: tuple[int, ...]) -> Array:
        past = self._past
        self._follow(cycle.forecast, cycle.previous)
        past.found = None
        analysis = super()._run(cycle, target, shape)
        found = past.found or self._unobserved(cycle.forecast, cycle.previous, cycle.between)
        self._keep(analysis.reshape(cycle.forecast.shape), found, len(shape) == 3)
        return analysis

    def skip(
        self,
        forecast: npt.ArrayLike,
        *,
        previous: npt.ArrayLike | None = None,
        between: tuple[Any, Any] | None = None,
    ) -> None:
        ensemble = _checks.ensemble("forecast", forecast)
        batched, before = ensemble.ndim == 3, None
        if previous is not None:
            before = _checks.shaped(
                "previous", previous, ensemble.shape, ensemble.dtype, "the shape of forecast"
            )
        elif self._needs_previous:
            raise ValueError("previous is missing: expected the analysis of the cycle before")
        if not batched:
            ensemble, before = ensemble[None], None if before is None else before[None]
        self._follow(ensemble, before)
        found = self._unobserved(ensemble, before, times("between", between))
        self._keep(ensemble, found, batched)

    def _follow(self, forecast: Array, previous: Array | None) -> None:
        """Forget the past of another ensemble."""
        past = self._past
        if past.ensembles and not self._goes_on(forecast, previous):
            past.ensembles, past.spans, past.start = [], [], None

    def _goes_on(self, forecast: Array, previous: Array | None) -> bool:
        """Whether an analysis follows the one before, of which `previous` is then the result."""
        last, xp = self._past.ensembles[0], _arrays.namespace(forecast)
        if last.shape != forecast.shape or last.dtype != forecast.dtype:
            return False
        return previous is None or bool(xp.array_equal(previous, last))

    def _keep(self, now: Array, found: Found, batched: bool) -> None:
        past = self._past
        past.ensembles = [now.copy(), *found.earlier][: self._depth + 1]
        past.spans, past.start = found.spans[: self._depth], found.start
        past.found, past.batched = None, batched

    def _unobserved(self, forecast: Array, previous: Array | None, between: Times | None) -> Found:
        """Return what becomes of the past in a cycle without observations."""
        past = self._past
        if previous is None or not self._runs_model:
            return Found(past.ensembles, [], past.start)
        known, _, spans = self._window(forecast, previous, between)
        return Found(known[len(known) - len(spans) :], spans, past.start)

    def _window(
        self, forecast: Array, previous: Array, between: Times | None
    ) -> tuple[list[Array], Array, list[Span]]:
        """Return the ensembles of the window before this cycle, the latest first.

        Then the one it begins with, as wide as the analysis takes it, and what lies between it and
        the observations, cycle by cycle, the latest first. Of those that know `previous`.
        """
        past = self._past
        known = past.ensembles[: self._depth] or [previous]
        start = known[-1] if past.start is None else past.start
        # of observations of the same time again, no time has passed
        still = bool(np.array_equal(forecast, previous))
        passed = rerun.spans(self, self._memory, between, still)
        return known, start, passed + past.spans[: len(known) - 1]

    @staticmethod
    def _keep_unobserved(cycle: Cycle, known: list[Array], earlier: list[Array]) -> None:
        """Give the past of those ensembles that nothing was observed of back what it was."""
        unobserved = _arrays.namespace(cycle.y).isnan(cycle.y).all(axis=-1)
        for before, found in zip(known[len(known) - len(earlier) :], earlier, strict=True):
            cycle.backend.copy_where(unobserved, before, found)
