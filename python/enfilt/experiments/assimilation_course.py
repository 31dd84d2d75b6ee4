"""An assimilation under way: windows, the model between them, and departures."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from .. import _arrays
from ..filters import EnsembleFilter
from ..filters.cycle import Times
from ..models import Model
from ..observation import Observation
from .assimilation_result import AssimilationResult
from .cycle import Course, Loop, Seen
from .innovation_log import InnovationLog
from .observing import Gridded
from .stepping import Stepping

if TYPE_CHECKING:
    from .assimilation import Assimilation

Array = npt.NDArray[Any]

#: So near to a whole number of steps, in steps, a window may be.
_AT_STEP = 1e-6


class AssimilationCourse(Course):
    """Windows of observations, and an ensemble on its way from one to the next."""

    shown = "chi_square"

    def __init__(self, run: Assimilation, ensemble: Array, seed: int | None) -> None:
        self.run, self.model = run, run.model
        self.stepping = Stepping(_arrays.namespace(ensemble))
        self.given = ensemble
        self.members = len(ensemble)
        sequence = np.random.SeedSequence(seed)
        # as in a twin experiment, whose truth and observations have the first two
        _, _, of_model, of_filter = sequence.spawn(4)
        self.rng, self.filter_rng = map(np.random.default_rng, (of_model, of_filter))
        windows = run.observations  # a generator has no length
        self.total: int | None = len(windows) if isinstance(windows, Sized) else None
        self.gridded = Gridded(getattr(self.model, "grid", None))
        self.windows: Iterator[Any] | None = None
        self.window: tuple[Any, Any, Any, Any] = (None, None, None, None)
        self.now, self.kept = run.start, run.keep
        self.innovations = InnovationLog(
            self.members, sequence.entropy, tuple(run.levels), run.keep
        )

    def begin(self) -> Array:
        copied: Array = self.stepping.xp.array(self.given, order="C")
        del self.given
        return copied

    def state(self) -> dict[str, Any]:
        return {
            "now": self.now,
            "rng": self.rng.bit_generator.state,
            "innovations": self.innovations.state(),
            "model": self.model.save() if _remembers(self.model) else None,
        }

    def restore(self, state: dict[str, Any], cycles: int, ensemble: Array | None) -> None:
        self.now = state["now"]
        self.rng.bit_generator.state = state["rng"]
        self.innovations.restore(state["innovations"])
        if _remembers(self.model):
            self.model.load(state["model"])

    def _windows(self, cycle: int) -> Iterator[Any]:
        """Return the windows from one cycle on."""
        windows = self.run.observations
        if isinstance(windows, Sequence):
            return (windows[k] for k in range(cycle, len(windows)))
        return itertools.islice(windows, cycle, None)

    def advance(self, cycle: int) -> bool:
        if self.windows is None:
            self.windows = self._windows(cycle)
        try:
            given = next(self.windows)
        except StopIteration:
            return False
        self.window = self._checked(cycle, given)
        return True

    def _checked(self, cycle: int, given: Any) -> tuple[Any, Any, Any, Any]:
        """Return a window, checked as far as the filter does not do it."""
        try:
            time, y, obs, *observed = given
        except (TypeError, ValueError):
            observed = [None, None]
        if len(observed) > 1:
            raise TypeError(
                f"window {cycle} of observations is {given!r}: expected (time, y, obs) or "
                f"(time, y, obs, observed)"
            )
        if y is not None and not isinstance(obs, Observation):
            raise TypeError(f"obs of window {cycle} is {obs!r}: expected an enfilt.Observation")
        try:
            late = self.now is None or bool(time >= self.now)
        except TypeError as error:
            raise TypeError(
                f"time of window {cycle} is {time!r}, after {self.now!r}: {error}"
            ) from None
        if not late:
            raise ValueError(
                f"time of window {cycle} is {time!r}, after {self.now!r}: expected times that rise"
            )
        return time, y, obs, observed[0] if observed else None

    def forecast(self, cycle: int, analysis: Array, out: Array) -> Array:
        start, stop = self.now, self.window[0]
        self.now = stop
        first = start is None or (not cycle and self.run.start is None)
        self.between = Times(stop if first else start, stop, isinstance(self.model, Model))
        if first:
            return analysis
        if isinstance(self.model, Model):
            if out is analysis:
                out = self.stepping.xp.empty_like(analysis)
            steps = self._steps(self.model, cycle, start, stop)
            return self.stepping.model_steps(self.model, "forecast", analysis, steps, self.rng, out)
        returned = self.model(analysis, start, stop, self.rng)
        return self.stepping.returned(returned, analysis, "forecast")

    @staticmethod
    def _steps(model: Model, cycle: int, start: Any, stop: Any) -> int:
        """Return how many steps of a model of the library's lie between two times."""
        try:
            steps = float(stop - start) / model.dt
        except TypeError:
            raise TypeError(
                f"time of window {cycle} is {stop!r}, but {type(model).__name__} counts time in "
                f"numbers: expected such, or model= a function (ensemble, start, stop, rng) that "
                f"calls {type(model).__name__}.step"
            ) from None
        if abs(steps - round(steps)) > _AT_STEP * max(1.0, abs(steps)):
            raise ValueError(
                f"time of window {cycle} is {stop!r}, {steps:.6g} steps of dt={model.dt} after "
                f"{start!r}: expected a whole number of them"
            )
        return round(steps)

    def observe(self, cycle: int, forecast: Array) -> Seen:
        time, y, obs, observed = self.window
        if y is None or _is_empty(y):
            return Seen(time, None, None)
        if callable(observed):
            observed = observed(forecast)
        return Seen(time, y, self.gridded(obs), observed)

    def record(
        self, seen: Seen, forecast: Array, analysis: Array, filt: EnsembleFilter | None
    ) -> dict[str, Any]:
        cycle = self.stepping.cycle
        found = self.innovations.record(cycle, seen, forecast, analysis, filt)
        track = slice(0, self.run.track)
        return {
            "time": _moment(seen.time),
            "rmse": found.rmse,
            "chi_square": found.chi_square,
            "mean": _arrays.to_host(analysis[:, track].mean(axis=0)),
            "deviation": _arrays.to_host(analysis[:, track].std(axis=0, ddof=1)),
        }

    def result(
        self, loop: Loop, filt: EnsembleFilter | None, seed: int | None
    ) -> AssimilationResult:
        """Return what a run has left behind."""
        count = loop.records.count
        arrays = loop.records.arrays(most=self.kept)
        begin = count - len(arrays.get("time", ()))
        ensemble = loop.ensemble
        if ensemble is None:
            ensemble = self.stepping.xp.empty((0, 0))
        return AssimilationResult(
            time=arrays.get("time", np.empty(0)),
            innovations=self.innovations.result(begin, count),
            seconds=arrays.get("seconds", np.empty(0)),
            seconds_forecast=arrays.get("seconds_forecast", np.empty(0)),
            mean=arrays.get("mean", np.empty((0, 0))),
            deviation=arrays.get("deviation", np.empty((0, 0))),
            ensemble=ensemble,
            facts=loop.told_facts(),
            info={
                "model": repr(self.model),
                "filter": "none" if filt is None else filt.describe(),
                "members": self.members,
                "seed": "none" if seed is None else int(seed),
                "dtype": str(ensemble.dtype),
            },
            stopped=loop.stopped,
        )


def _remembers(model: Any) -> TypeGuard[Any]:
    """Whether a model has a state of its own."""
    return all(callable(getattr(model, name, None)) for name in ("save", "load"))


def _moment(time: Any) -> Any:
    """Return a time as arrays hold it best."""
    if isinstance(time, datetime.datetime) and time.tzinfo is None:
        return np.datetime64(time, "us")
    return time


def _is_empty(y: Any) -> bool:
    """Return whether observations are none; what is no array of numbers the filter will say."""
    size = getattr(y, "size", None)
    return size == 0 if isinstance(size, int) else isinstance(y, list | tuple) and not y
