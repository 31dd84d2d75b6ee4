"""A twin experiment under way: the truth, what is observed of it, and ensembles against it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, metrics, progress
from ..filters import EnsembleFilter
from ..filters.cycle import Times
from ..grids import axes
from ..models import Model
from ..observation import Observation
from .cycle import Course, Loop, Seen
from .innovation_log import InnovationLog
from .observing import Gridded
from .result import SCORES, Result, Series
from .stepping import Stepping

if TYPE_CHECKING:
    from .twin import TwinExperiment

Array = npt.NDArray[Any]

# Model steps between two updates of the progress bar while the truth is spun up.
_SPINUP_CHUNK = 100


class TwinCourse(Course):
    """The truth, its observations, and ensembles against it."""

    shown = "rmse_analysis"

    def __init__(
        self, twin: TwinExperiment, members: int, seed: int | None, show: bool | None, lag: int
    ) -> None:
        self.twin, self.members, self.show = twin, members, show
        self.stepping = Stepping(_arrays.cupy() if twin.device == "cuda" else np)
        self.model, self.total = twin.model, twin.cycles
        sequence = np.random.SeedSequence(seed)
        spawned = sequence.spawn(4)
        self.innovations = InnovationLog(members, sequence.entropy) if twin.innovations else None
        self.streams = [np.random.default_rng(s) for s in spawned]
        self.gridded = Gridded(getattr(self.model, "grid", None))
        self.truth: Array | None = None
        self.last: tuple[Array, Array] | None = None  # truth and analysis of the last cycle
        self.lag, self.truths = lag, deque[Array](maxlen=lag + 1)  # those of a smoother's window
        self.obs: Observation | None = None  # of the last cycle in which there was one

    def begin(self) -> Array:
        truth_rng, _, ensemble_rng, _ = self.streams
        self.truth = self._spin_up(truth_rng)
        return self._initial_ensemble(self.whole(self.truth), ensemble_rng)

    def advance(self, cycle: int) -> bool:
        if cycle == self.twin.cycles:
            return False
        if cycle:
            assert self.truth is not None
            steps = self.twin.steps_per_cycle
            self.truth = self._step("truth", self.truth[None], steps, self.streams[0])[0]
        return True

    def forecast(self, cycle: int, analysis: Array, out: Array) -> Array:
        steps = self.twin.steps_per_cycle
        if isinstance(self.model, Model):
            length = steps * self.model.dt
            self.between = Times(max(0, cycle - 1) * length, cycle * length)
        if not cycle:
            return analysis
        return self._step("forecast", analysis, steps, self.streams[2], out=out)

    def observe(self, cycle: int, forecast: Array) -> Seen:
        now = cycle * self.twin.steps_per_cycle * getattr(self.model, "dt", 1.0)
        given = self.twin.observed_in(cycle)
        if given is None:
            return Seen(now, None, None)
        assert self.truth is not None
        self.obs = self.gridded(given)
        return Seen(now, self.obs.simulate(self.whole(self.truth), self.streams[1]), self.obs)

    def state(self) -> dict[str, Any]:
        return {
            "truth": None if self.truth is None else _arrays.to_host(self.whole(self.truth)),
            "truths": [_arrays.to_host(self.whole(truth)) for truth in self.truths],
            "streams": [rng.bit_generator.state for rng in self.streams],
            "innovations": None if self.innovations is None else self.innovations.state(),
        }

    def restore(self, state: dict[str, Any], cycles: int, ensemble: Array | None) -> None:
        for rng, known in zip(self.streams, state["streams"], strict=True):
            rng.bit_generator.state = known
        if self.innovations is not None:
            self.innovations.restore(state["innovations"])
        if state["truth"] is None or ensemble is None:
            return
        self.truth = self.own(self.stepping.xp.asarray(state["truth"]))
        self.last = self.truth, ensemble
        truths = (self.stepping.xp.asarray(truth) for truth in state["truths"])
        self.truths.extend(self.own(truth) for truth in truths)
        given = self.twin.observed_in(cycles - 1)
        self.obs = None if given is None else self.gridded(given)

    def record(
        self, seen: Seen, forecast: Array, analysis: Array, filt: EnsembleFilter | None
    ) -> dict[str, Any]:
        truth = self.truth
        assert truth is not None
        whole = self.whole(truth)
        track = slice(0, min(self.twin.track, whole.size))
        tracked = self._tracked(analysis, track)
        values: dict[str, Any] = {
            "time": seen.time,
            "truth": _arrays.to_host(whole[track].copy()),
            "mean": _arrays.to_host(tracked.mean(axis=0)),
            "deviation": _arrays.to_host(tracked.std(axis=0, ddof=1)),
        }
        for kind, ensemble in (("forecast", forecast), ("analysis", analysis)):
            scores = self._score(ensemble, truth)
            values |= {f"{name}_{kind}": getattr(scores, name) for name in SCORES}
        self.truths.append(truth)
        settled = None if filt is None else filt._settled
        if settled is not None:  # what a smoother says of the first of these for the last time
            found = metrics.score(settled[0], self.truths[0])._asdict()
            values |= {f"{name}_smoothed": np.asarray(found[name], float) for name in SCORES}
        if self.innovations is not None:
            cycle = self.stepping.cycle
            self.innovations.record(cycle, seen, forecast, analysis, filt)
        self.last = truth, analysis
        return values

    def _tracked(self, analysis: Array, track: slice) -> Array:
        """Return the components (N, n) whose course is kept."""
        return analysis[:, track]

    def _score(self, ensemble: Array, truth: Array) -> metrics.Scores:
        return metrics.score(ensemble, truth)

    def _spin_up(self, rng: np.random.Generator) -> Array:
        twin = self.twin
        if twin.initial_state is not None:
            start = _checks.numbers("initial_state", twin.initial_state)
            if start.ndim != 1:
                raise ValueError(f"initial_state has shape {start.shape}: expected (D,)")
        else:  # a callable model without one was refused when the experiment was made
            assert isinstance(self.model, Model)
            start = self.model.initial_state(rng)
        first = twin.observed_in(0)
        if first is not None:
            first.told_size(start.size)
        state: Array = self.own(self.stepping.xp.asarray(start.astype(twin.dtype)[None]))
        with progress.bar(twin.spinup, "spin-up", self.show) as bar:
            done = 0
            while done < twin.spinup:
                steps = min(_SPINUP_CHUNK, twin.spinup - done)
                state = self._step("truth", state, steps, rng)
                done += steps
                bar.update(steps)
        self.stepping.check(state, "truth")  # a user's own, that no model has stepped
        truth: Array = state[0]
        return truth

    def _initial_ensemble(self, truth: Array, rng: np.random.Generator) -> Array:
        twin = self.twin
        if twin.initial_ensemble is not None:
            given = _checks.numbers("initial_ensemble", twin.initial_ensemble)
            if given.shape != (self.members, truth.size):
                raise ValueError(
                    f"initial_ensemble has shape {given.shape}: expected "
                    f"{(self.members, truth.size)}, a member a row"
                )
            given = given.astype(truth.dtype)
            _checks.finite("initial_ensemble", given)
            ensemble: Array = self.own(self.stepping.xp.array(given))
            return ensemble
        mean: Array
        if isinstance(twin.initial_mean, str):
            mean = truth if twin.initial_mean == "truth" else self.stepping.xp.zeros_like(truth)
        else:
            mean = self.stepping.xp.asarray(
                _checks.numbers("initial_mean", twin.initial_mean), dtype=truth.dtype
            )
            if mean.shape != truth.shape:
                raise ValueError(
                    f"initial_mean has shape {mean.shape}: expected {truth.shape}, as the state"
                )
        std = np.asarray(twin.initial_std)
        if std.ndim and std.shape != truth.shape:
            raise ValueError(
                f"initial_std has shape {std.shape}: expected one number or {truth.shape}"
            )
        ensemble = self.stepping.xp.empty((self.members, self.own(truth).size), truth.dtype)
        for row in ensemble:  # a member at a time: the draws stay small beside the ensemble
            draws = (std * rng.standard_normal(truth.size)).astype(row.dtype)
            row[:] = self.own(mean + self.stepping.xp.asarray(draws))
            if not self.stepping.xp.isfinite(row).all():
                raise ValueError(
                    f"initial_mean and initial_std={twin.initial_std} make members that are not "
                    f"finite in {row.dtype}: expected smaller numbers"
                )
        return ensemble

    def _step(
        self,
        name: str,
        ensemble: Array,
        steps: int,
        rng: np.random.Generator,
        out: Array | None = None,
    ) -> Array:
        """Return an ensemble after some steps, checked where the model has not done it itself."""
        if isinstance(self.model, Model):
            return self.stepping.model_steps(self.model, name, ensemble, steps, rng, out)
        with self.stepping.may_blow_up():
            returned = self.model(ensemble, steps)
        return self.stepping.returned(returned, ensemble, name)

    def result(self, loop: Loop, filt: EnsembleFilter, seed: int | None) -> Result:
        """Return what a run has left behind."""
        arrays = loop.records.arrays()
        # without a cycle: no rows, but as many axes as ever
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(SCORES, (0,))
        shapes["rank_histogram"] = (0, self.members + 1)
        series = {
            name: Series(
                arrays.pop(f"{name}_forecast", np.empty(shapes[name])),
                arrays.pop(f"{name}_analysis", np.empty(shapes[name])),
                self._smoothed(arrays.pop(f"{name}_smoothed", np.full(shapes[name], np.nan))),
            )
            for name in SCORES
        }
        plain = dict.fromkeys(("time", "seconds", "seconds_forecast"), (0,))
        courses = dict.fromkeys(("truth", "mean", "deviation"), (0, 0))
        info = {
            "model": repr(self.model),
            "operator": self.twin.operators,
            "filter": filt.describe(),
            "members": int(self.members),  # int(): NumPy's integers can't be written as JSON
            "seed": "none" if seed is None else int(seed),
            "cycles": int(self.twin.cycles),
            "steps_per_cycle": int(self.twin.steps_per_cycle),
            "dtype": str(np.dtype(self.twin.dtype)),
            "grid": list(axes(self.model.grid)) if isinstance(self.model, Model) else [],
        }
        kept: dict[str, Any] = {
            name: arrays.get(name, np.empty(shape)) for name, shape in (plain | courses).items()
        }
        field, observed = self._last_field()
        return Result(
            **(series | kept),
            field=field,
            observed=observed,
            facts=loop.told_facts(),
            info=info,
            stopped=loop.stopped,
            ensemble=np.empty((0, 0)) if loop.ensemble is None else loop.ensemble,
            innovations=None
            if self.innovations is None
            else self.innovations.result(0, loop.records.count),
        )

    def _smoothed(self, told: Array) -> Array | None:
        """Return scores that were told `lag` cycles later by the cycles that they are of."""
        if not self.lag:
            return None
        found = np.full(told.shape, np.nan)
        found[: len(told) - self.lag] = told[self.lag :]
        return found if found.ndim == 1 else np.nan_to_num(found).astype(np.int64)

    def _last_field(self) -> tuple[Array, Array]:
        """Return truth, mean and deviation of the model's field, and the places observed on it."""
        nothing = np.empty((0, 0, 0)), np.empty((0, 2))
        if self.last is None or not isinstance(self.model, Model):
            return nothing
        if len(axes(self.model.grid)) != 2:  # what would be copied from a GPU may be large
            return nothing
        truth, analysis = map(_arrays.to_host, self.last)
        true = self.model.field(truth[None])
        if true is None:
            return nothing
        members = self.model.field(analysis)
        assert members is not None  # where one state has a field, all have
        field = np.stack([true[0], members.mean(axis=0), members.std(axis=0, ddof=1)])
        form = None if self.obs is None else self.obs.pointwise(truth.size)
        if form is None:
            return field, nothing[1]
        points = np.unique(np.arange(truth.size)[form.components] % true[0].size)
        return field, np.stack(np.unravel_index(points, true[0].shape), axis=-1).astype(float)
