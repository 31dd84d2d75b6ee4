"""The cycle of forecast and analysis, with a truth or without."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, progress
from ..filters import EnsembleFilter
from ..filters.cycle import Times
from ..observation import Observation
from .checkpoint import Checkpoints
from .records import Records
from .sink import Writer, opened
from .stepping import NotFiniteError, Stepping

Array = npt.NDArray[Any]

log = logging.getLogger("enfilt")


class Seen(NamedTuple):
    """What is assimilated in one cycle.

    Attributes
    ----------
    time : float, or what the observations have
    y : ndarray, (m,), or None
        None: nothing is observed.
    obs : Observation, or None
    observed : ndarray, (N, m), or None
        h(x) of the forecast, where it was given.
    """

    time: Any
    y: Array | None
    obs: Observation | None
    observed: Array | None = None


class Course(ABC):
    """What a filter is cycled through: it steps ensembles, is observed, and keeps scores.

    Attributes
    ----------
    stepping : Stepping
    total : int or None
        Cycles, where that is known.
    shown : str
        The score that the progress bar tells.
    kept : int or None
        Of how many last cycles rows are kept; None: of all.
    between : Times or None
        Of the last analysis and of the forecast, where models have times.
    comm : enfilt.mpi.Distributed, optional
        Ranks that have a part of the state each; None: all of it is here.
    """

    stepping: Stepping
    total: int | None
    shown: str
    kept: int | None = None
    between: Times | None = None
    comm: Any = None

    def own(self, whole: Array) -> Array:
        """Return what is here of states (..., D)."""
        return whole

    def whole(self, part: Array) -> Array:
        """Return the states (..., D) of which this part is here."""
        return part

    def write(self, file: Callable[[], None]) -> None:
        """Write a file, where this process does."""
        file()

    @abstractmethod
    def begin(self) -> Array:
        """Return the ensemble that the first cycle begins with, to be written to later."""

    @abstractmethod
    def advance(self, cycle: int) -> bool:
        """Go on to the next cycle, and return whether there is one."""

    @abstractmethod
    def forecast(self, cycle: int, analysis: Array, out: Array) -> Array:
        """Return the forecast of a cycle, which may be written to `out`, or `analysis` itself."""

    @abstractmethod
    def observe(self, cycle: int, forecast: Array) -> Seen:
        """Return what is assimilated in a cycle."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what it needs to go on, between two cycles: something that pickles."""

    @abstractmethod
    def restore(self, state: dict[str, Any], cycles: int, ensemble: Array | None) -> None:
        """Go on after so many cycles, where `state` was told, and the analysis was `ensemble`."""

    @abstractmethod
    def record(
        self, seen: Seen, forecast: Array, analysis: Array, filt: EnsembleFilter | None
    ) -> dict[str, Any]:
        """Return what is kept of a cycle, which the filter has done."""


class Loop:
    """One filter on its way through a course.

    Parameters
    ----------
    course : Course
    filt : EnsembleFilter, or None
        None: a free run.
    rng : numpy.random.Generator
        Of the filter.
    show : bool, optional
        Show a progress bar after two seconds; None: only on a terminal.
    checkpoints : Checkpoints, optional
        Where the run is written down, and taken up from with `resume`.
    resume : bool
    sinks : tuple
        Where forecasts and analyses go.

    Attributes
    ----------
    records, facts : Records
        A row each cycle that was completed.
    ensemble : ndarray, (N, D), or None
        The last analysis.
    stopped : str
        Why the run ended before its last cycle; empty where it did not.
    """

    def __init__(
        self,
        course: Course,
        filt: EnsembleFilter | None,
        rng: np.random.Generator,
        show: bool | None,
        checkpoints: Checkpoints | None = None,
        resume: bool = False,
        sinks: tuple[Any, Any] = (None, None),
    ) -> None:
        self.course, self.filt, self.rng, self.show = course, filt, rng, show
        self.checkpoints, self.sinks = checkpoints, sinks
        self.writers: list[Writer | None] = []
        self.records, self.facts = Records(), Records()
        self.ensemble: Array | None = None
        self.stopped = ""
        if filt is not None:
            filt.reset()
        state = checkpoints.read() if checkpoints is not None and resume else None
        if state is not None:
            self._restore(state)

    def run(self) -> None:
        """Go through all cycles.

        What stops a run is kept in `stopped`, and is a warning, too.
        """
        label = "free run" if self.filt is None else self.filt.describe()
        bar = progress.bar(self.course.total, label, self.show, self.records.count)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # `Stepping.check` says it better
                self._cycles(bar)
        except KeyboardInterrupt:
            self.stopped = "interrupted"
        except NotFiniteError as error:
            self.stopped = str(error)
            level = _checks.users_level()
            warnings.warn(f"the run ends: {error}", RuntimeWarning, stacklevel=level)
        finally:
            bar.close()
            for writer in self.writers:
                if writer is not None:
                    writer.close()

    def told_facts(self) -> dict[str, Array]:
        """Return the facts of the cycles that were completed, by name."""
        # an interrupt may fall between the two; a cycle without observations has no facts
        told = self.facts.arrays(self.records.count, self.course.kept)
        return {name: told[name] for name in sorted(told) if not np.isnan(told[name]).all()}

    def _cycles(self, bar: Any) -> None:
        course = self.course
        if self.ensemble is None:
            forecast = analysis = course.begin()
        else:
            forecast, analysis = course.stepping.xp.empty_like(self.ensemble), self.ensemble
        spare = course.stepping.xp.empty_like(forecast)
        cycle = self.records.count
        self.writers = [opened(sink, analysis, cycle) for sink in self.sinks]
        while course.advance(cycle):
            with course.stepping.may_blow_up():
                begin = time.perf_counter()
                forecast = course.forecast(cycle, analysis, forecast)
                course.stepping.wait()
                between = time.perf_counter()
                seen = course.observe(cycle, forecast)
                start = time.perf_counter()
                updated = self._analysis(cycle, forecast, seen, analysis, spare)
                end = time.perf_counter()
                # three ensembles take turns; in cycle 0 the forecast may be its own `previous`
                alone = analysis is not forecast
                spare = analysis if alone else course.stepping.xp.empty_like(forecast)
                analysis = updated
                row = course.record(seen, forecast, analysis, self.filt)
            row |= {"seconds": end - start, "seconds_forecast": between - begin}
            self._keep(row, analysis, seen)
            self._tell(bar, row)
            self._write(seen.time, (forecast, analysis), row)
            cycle += 1
            course.stepping.cycle = cycle
            if self.checkpoints is not None and self.checkpoints.is_due(cycle):
                self._write_checkpoint(cycle)
        if self.checkpoints is not None and self.checkpoints.known != cycle > 0:
            self._write_checkpoint(cycle)

    def _write_checkpoint(self, cycle: int) -> None:
        assert self.checkpoints is not None  # else none is due
        state = self._state()  # to which all ranks add their part
        self.course.write(functools.partial(self.checkpoints.write, cycle, state))
        self.checkpoints.known = cycle

    def _state(self) -> dict[str, Any]:
        """Return all that another run needs to go on where this one is, between two cycles."""
        return {
            "cycles": self.records.count,
            "ensemble": None
            if self.ensemble is None
            else _arrays.to_host(self.course.whole(self.ensemble)),
            "filter": None if self.filt is None else self.filt.state(),
            "rng": self.rng.bit_generator.state,
            "records": self.records.state(),
            "facts": self.facts.state(),
            "course": self.course.state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on where another run was."""
        cycles = state["cycles"]
        if self.filt is not None:
            self.filt.restore(state["filter"])
        self.rng.bit_generator.state = state["rng"]
        self.records.restore(state["records"])
        self.facts.restore(state["facts"])
        if state["ensemble"] is not None:
            ensemble = self.course.stepping.xp.asarray(state["ensemble"])
            self.ensemble = self.course.own(ensemble)
        self.course.stepping.cycle = cycles
        self.course.restore(state["course"], cycles, self.ensemble)

    def _analysis(
        self, cycle: int, forecast: Array, seen: Seen, previous: Array, spare: Array
    ) -> Array:
        """Return the analysis, which may be written to `spare`."""
        stepping, filt = self.course.stepping, self.filt
        between: dict[str, Any]
        between = {"between": self.course.between} if filt is not None and filt._runs_model else {}
        if filt is None or seen.y is None or seen.obs is None:
            if filt is not None:
                filt.skip(forecast, previous=previous, **between)
            spare[...] = forecast
            return spare
        own = type(filt).analysis is EnsembleFilter.analysis  # it looks at its result
        options: dict[str, Any] = {"previous": previous, "rng": self.rng, "out": spare, **between}
        analyse: Callable[..., Array] = filt.analysis
        if seen.observed is not None:
            options["observed"] = seen.observed
        if self.course.comm is not None:
            options["comm"] = self.course.comm
        elif own and cycle > 0 and seen.observed is None:
            # what the model and the last analysis have made was looked at then
            analyse = filt._analysis_of_finite
        updated = analyse(forecast, seen.y, seen.obs, **options)
        stepping.wait()
        if stepping.on_device or not own:
            stepping.check(updated, "analysis")
        return updated

    def _keep(self, row: dict[str, Any], analysis: Array, seen: Seen) -> None:
        """Keep what a cycle has come to; last its row, by which it counts as completed."""
        observed = self.filt is not None and seen.y is not None
        facts = self.filt.facts if self.filt is not None and observed else {}
        self.facts.append({name: float(value) for name, value in facts.items()})
        self.ensemble = analysis
        self.records.append(row)
        for records in (self.facts, self.records):
            records.keep(self.course.kept)

    def _write(self, time: Any, ensembles: tuple[Array, Array], row: dict[str, Any]) -> None:
        """Give forecast and analysis to their sinks."""
        names = ("forecast_to", "analysis_to")
        for name, writer, ensemble in zip(names, self.writers, ensembles, strict=True):
            if writer is not None:
                numbers = {score: row[score] for score in row if np.ndim(row[score]) == 0}
                del numbers["time"]
                scores = {score: float(value) for score, value in numbers.items()}
                try:
                    writer.append(time, _arrays.to_host(ensemble), scores)
                except OSError as error:
                    raise OSError(
                        error.errno,
                        f"{name} can't be written after cycle {self.records.count}: "
                        f"{error.strerror or error}",
                    ) from error

    def _tell(self, bar: Any, row: dict[str, Any]) -> None:
        score = float(row[self.course.shown])
        name = self.course.shown.removesuffix("_analysis")
        bar.set_postfix({name: f"{score:.4g}"}, refresh=False)
        bar.update()
        if log.isEnabledFor(logging.INFO):
            log.info(
                "cycle %d, time %s: %s %.4g, forecast %.3g s, analysis %.3g s",
                self.records.count - 1,
                row["time"],
                name,
                score,
                row["seconds_forecast"],
                row["seconds"],
            )
