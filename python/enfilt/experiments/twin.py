"""Twin experiments: a filter against a truth that the same model made."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, _memory, backends, metrics, progress
from .._values import Value
from ..filters import EnsembleFilter
from ..grids import axes
from ..models import Model
from ..observation import Observation
from .result import SCORES, Result, Series

Array = npt.NDArray[Any]
ModelLike = Model | Callable[[Array, int], Array]

# Model steps between two updates of the progress bar while the truth is spun up.
_SPINUP_CHUNK = 100


@dataclass(frozen=True, eq=False)
class TwinExperiment(Value):
    """A model, what is observed of it, and how often.

    Truth, observation errors, initial ensemble and filter draw from four streams spawned from the
    seed: two filters run with one seed see the same truth and the same observations.

    Parameters
    ----------
    model : Model or callable
        From `enfilt.models`, or ``(ensemble, steps) -> ensemble`` on (N, D) arrays.
    obs : Observation
        Operator and error.
    cycles : int
        Analyses. The first comes at once, every later one after a forecast.
    steps_per_cycle : int
        Model steps between analyses.
    spinup : int
        Model steps of the truth before the first analysis.
    initial_mean : {"zero", "truth"} or array_like, (D,)
        Mean of the initial ensemble.
    initial_std : float
        Its standard deviation, at least 0.
    initial_state : array_like, (D,), optional
        Where the truth's spin-up starts; needed with a callable model, which has no
        ``initial_state(rng)`` of its own.
    dtype : dtype
        float32 or float64 for the whole experiment.
    track : int
        Components whose course the result keeps, the first so many.
    device : {"cpu", "cuda"}
        Where truth, ensemble and metrics live: "cuda" keeps them on CuPy's current GPU. Random
        numbers are the same, so a run differs from one on the CPU by rounding; the initial
        ensemble and the observation errors are drawn on the host and sent over.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the experiment is made.

    Examples
    --------
    >>> import enfilt as ef
    >>> model = ef.models.Lorenz96(dim=40)
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.05)
    >>> twin = ef.TwinExperiment(model, obs, cycles=3, steps_per_cycle=10, spinup=50)
    >>> result = twin.run(ef.EnFF(steps=5), members=10, seed=0)
    >>> sorted(result.summary())[:2]
    ['crps.analysis', 'crps.forecast']
    """

    model: ModelLike
    obs: Observation
    cycles: int = 80
    steps_per_cycle: int = 10
    spinup: int = 1000
    initial_mean: str | npt.ArrayLike = "zero"
    initial_std: float = 1.0
    initial_state: npt.ArrayLike | None = field(default=None, kw_only=True)
    dtype: npt.DTypeLike = field(default=np.float64, kw_only=True)
    track: int = field(default=40, kw_only=True)
    device: str = field(default="cpu", kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if not isinstance(self.model, Model) and not callable(self.model):
            raise TypeError(f"model={self.model!r}: expected a model, or a callable")
        if not isinstance(self.obs, Observation):
            raise TypeError(f"obs={self.obs!r}: expected an enfilt.Observation")
        if self.obs.operator is None:
            raise ValueError(
                "obs has operator=None: expected an operator, which makes the observations of the "
                "truth"
            )
        _checks.integer("cycles", self.cycles, 1)
        _checks.integer("steps_per_cycle", self.steps_per_cycle, 1)
        _checks.integer("spinup", self.spinup, 0)
        _checks.integer("track", self.track, 0)
        _checks.number("initial_std", self.initial_std, least=0)
        if isinstance(self.initial_mean, str):
            _checks.choice("initial_mean", self.initial_mean, ["zero", "truth"])
        _checks.float_dtype("dtype", self.dtype)
        if _checks.choice("device", self.device, ["cpu", "cuda"]) == "cuda":
            backends.check_name("device", "cuda")
        if self.initial_state is None and not isinstance(self.model, Model):
            raise ValueError("initial_state is missing: a callable model does not tell one")
        for name in ("initial_mean", "initial_state"):
            object.__setattr__(self, name, _checks.plain(name, getattr(self, name)))
        if isinstance(self.model, Model):
            self.obs.told_size(self.model.dim)

    def memory(self, members: int) -> int:
        """Return about how many bytes a run takes at its peak.

        Three ensembles take turns, an analysis may need one more and a tenth, and making the
        first states takes four of them in float64.

        Parameters
        ----------
        members : int
            N.
        """
        if isinstance(self.model, Model):
            dim = self.model.dim
        else:
            dim = np.asarray(self.initial_state).size
        ensemble = members * dim * np.dtype(self.dtype).itemsize
        return int(4.1 * ensemble) + 4 * 8 * dim

    def run(
        self,
        filt: EnsembleFilter,
        *,
        members: int,
        seed: int | None = None,
        progress: bool | None = None,
    ) -> Result:
        """Run a filter through all cycles.

        Ctrl-C, a state that is no longer finite, or a matrix of the filter that can't be solved
        with, ends the run; the completed cycles are returned, and ``result.stopped`` says why.

        Parameters
        ----------
        filt : EnsembleFilter
            The filter.
        members : int
            N, at least 2.
        seed : int, optional
            Of all random numbers; None: another run each time.
        progress : bool, optional
            Show a progress bar after two seconds; None: only on a terminal.

        Returns
        -------
        Result

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.
        MemoryError
            If the run needs more memory than is free, before it begins.
        """
        if not isinstance(filt, EnsembleFilter):
            raise TypeError(f"filt={filt!r}: expected a filter such as enfilt.EnFF()")
        members = _checks.integer("members", members, 2)
        if seed is not None:
            _checks.integer("seed", seed, 0)
        hint = "choose fewer members or a smaller model"
        if self.device == "cuda":
            _memory.check_device(_arrays.cupy(), self.memory(members), hint)
        else:
            _memory.check(self.memory(members), hint)
        return _Run(self, filt, members, seed, progress).cycle_through()


class _Run:
    """The state of one run."""

    def __init__(
        self,
        twin: TwinExperiment,
        filt: EnsembleFilter,
        members: int,
        seed: int | None,
        show: bool | None,
    ) -> None:
        self.twin, self.filt, self.members, self.seed, self.show = twin, filt, members, seed, show
        self.xp: Any = _arrays.cupy() if twin.device == "cuda" else np
        self.model = twin.model
        spawned = np.random.SeedSequence(seed).spawn(4)
        self.streams = [np.random.default_rng(s) for s in spawned]
        grid = getattr(self.model, "grid", None)
        known = twin.obs.grid is not None or grid is None
        self.obs = twin.obs if known else dataclasses.replace(twin.obs, grid=grid)
        self.records: list[dict[str, Any]] = []
        self.facts: list[dict[str, float]] = []
        filt.reset()
        self.stopped = ""
        self.last: tuple[Array, Array] | None = None  # truth and analysis of the last cycle

    def cycle_through(self) -> Result:
        bar = progress.bar(self.twin.cycles, self.filt.describe(), self.show)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # `_check` says it better
                self._cycles(bar)
        except KeyboardInterrupt:
            self._stop("interrupted")
        except _NotFiniteError as error:
            self._stop(str(error))
            warnings.warn(f"the run ends: {error}", RuntimeWarning, stacklevel=3)
        except FloatingPointError as error:  # of an ensemble that has blown up
            self._stop(f"at cycle {len(self.records)}, {error}")
            warnings.warn(f"the run ends: {self.stopped}", RuntimeWarning, stacklevel=3)
        finally:
            bar.close()
        return self._result()

    def _cycles(self, bar: Any) -> None:
        truth_rng, error_rng, ensemble_rng, filter_rng = self.streams
        truth = self._spin_up(truth_rng)
        forecast = self._initial_ensemble(truth, ensemble_rng)
        analysis, spare = forecast, self.xp.empty_like(forecast)
        own_analysis = type(self.filt).analysis is EnsembleFilter.analysis  # it looks at its result
        for cycle in range(self.twin.cycles):
            begin = time.perf_counter()
            if cycle:
                truth = self._step("truth", truth[None], self.twin.steps_per_cycle, truth_rng)[0]
                begin = time.perf_counter()
                forecast = self._step(
                    "forecast", analysis, self.twin.steps_per_cycle, ensemble_rng, out=forecast
                )
                self._wait()
            forecast_seconds = time.perf_counter() - begin
            y = self.obs.simulate(truth, error_rng)
            begin = time.perf_counter()
            # what `_step` and the last analysis have made was looked at then
            known = cycle > 0 and own_analysis
            analyse = self.filt._analysis_of_finite if known else self.filt.analysis
            updated = analyse(forecast, y, self.obs, previous=analysis, rng=filter_rng, out=spare)
            self._wait()
            analysis_seconds = time.perf_counter() - begin
            if self.twin.device == "cuda" or not own_analysis:
                self._check(updated, "analysis")
            # three ensembles take turns; in cycle 0 the forecast is its own `previous`
            spare = self.xp.empty_like(forecast) if analysis is forecast else analysis
            analysis = updated
            self._record(cycle, truth, forecast, analysis, analysis_seconds, forecast_seconds)
            bar.set_postfix(rmse=f"{self.records[-1]['rmse_analysis']:.4g}", refresh=False)
            bar.update()

    def _spin_up(self, rng: np.random.Generator) -> Array:
        twin = self.twin
        if twin.initial_state is not None:
            start = _checks.numbers("initial_state", twin.initial_state)
            if start.ndim != 1:
                raise ValueError(f"initial_state has shape {start.shape}: expected (D,)")
        else:  # a callable model without one was refused when the experiment was made
            assert isinstance(self.model, Model)
            start = self.model.initial_state(rng)
        self.obs.told_size(start.size)
        state: Array = self.xp.asarray(start.astype(twin.dtype)[None])
        with progress.bar(twin.spinup, "spin-up", self.show) as bar:
            done = 0
            while done < twin.spinup:
                steps = min(_SPINUP_CHUNK, twin.spinup - done)
                state = self._step("truth", state, steps, rng)
                done += steps
                bar.update(steps)
        self._check(state, "truth")  # a user's own, that no model has stepped
        truth: Array = state[0]
        return truth

    def _initial_ensemble(self, truth: Array, rng: np.random.Generator) -> Array:
        twin = self.twin
        mean: Array
        if isinstance(twin.initial_mean, str):
            mean = truth if twin.initial_mean == "truth" else self.xp.zeros_like(truth)
        else:
            mean = self.xp.asarray(
                _checks.numbers("initial_mean", twin.initial_mean), dtype=truth.dtype
            )
            if mean.shape != truth.shape:
                raise ValueError(
                    f"initial_mean has shape {mean.shape}: expected {truth.shape}, as the state"
                )
        ensemble: Array = self.xp.empty((self.members, truth.size), truth.dtype)
        for row in ensemble:  # a member at a time: the draws stay small beside the ensemble
            draws = (twin.initial_std * rng.standard_normal(truth.size)).astype(row.dtype)
            row[:] = mean + self.xp.asarray(draws)
            if not self.xp.isfinite(row).all():
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
            try:
                result: Array = self.model.step(ensemble, steps, rng=rng, out=out)
            except FloatingPointError as error:
                bad = str(error).replace("ensemble", name, 1)
                raise _NotFiniteError(f"at cycle {len(self.records)}, {bad}") from None
            if self.twin.device == "cuda" or type(self.model).step is not Model.step:
                self._check(result, name)
            return result
        returned: Any = self.model(ensemble, steps)
        returned = _checks.plain("what model returned", returned, members=2)
        # PyTorch, JAX and other arrays on the same device come over without a copy
        foreign = hasattr(returned, "__dlpack__") and not isinstance(returned, self.xp.ndarray)
        stepped: Array = self.xp.from_dlpack(returned) if foreign else self.xp.asarray(returned)
        if stepped.shape != ensemble.shape or stepped.dtype != ensemble.dtype:
            raise ValueError(
                f"model returned {stepped.dtype} of shape {stepped.shape} for {ensemble.dtype} of "
                f"shape {ensemble.shape}: expected the same"
            )
        self._check(stepped, name)
        return stepped

    def _check(self, ensemble: Array, name: str) -> None:
        rows = _checks.contiguous(ensemble)
        try:
            _checks.finite(name, rows, backends.of_arrays("auto", ensemble=rows).all_finite)
        except ValueError as error:
            raise _NotFiniteError(f"at cycle {len(self.records)}, {error}") from None

    def _record(
        self,
        cycle: int,
        truth: Array,
        forecast: Array,
        analysis: Array,
        analysis_seconds: float,
        forecast_seconds: float,
    ) -> None:
        track = slice(0, min(self.twin.track, truth.size))
        values: dict[str, Any] = {
            "time": cycle * self.twin.steps_per_cycle * getattr(self.model, "dt", 1.0),
            "seconds": analysis_seconds,
            "seconds_forecast": forecast_seconds,
            "truth": _arrays.to_host(truth[track].copy()),
            "mean": _arrays.to_host(analysis[:, track].mean(axis=0)),
            "deviation": _arrays.to_host(analysis[:, track].std(axis=0, ddof=1)),
        }
        for kind, ensemble in (("forecast", forecast), ("analysis", analysis)):
            scores = metrics.score(ensemble, truth)
            values |= {f"{name}_{kind}": getattr(scores, name) for name in SCORES}
        self.facts.append(self.filt.facts)
        self.last = truth, analysis
        self.records.append(values)  # one append: an interrupt finds a cycle whole or not there

    def _wait(self) -> None:
        """Wait for the device, so that what is timed has been done."""
        if self.twin.device == "cuda":
            self.xp.cuda.get_current_stream().synchronize()

    def _stop(self, reason: str) -> None:
        self.stopped = reason

    def _result(self) -> Result:
        names = self.records[0] if self.records else {}
        arrays = {name: np.array([record[name] for record in self.records]) for name in names}
        # without a cycle: no rows, but as many axes as ever
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(SCORES, (0,))
        shapes["rank_histogram"] = (0, self.members + 1)
        series = {
            name: Series(
                arrays.pop(f"{name}_forecast", np.empty(shapes[name])),
                arrays.pop(f"{name}_analysis", np.empty(shapes[name])),
            )
            for name in SCORES
        }
        plain = dict.fromkeys(("time", "seconds", "seconds_forecast"), (0,))
        courses = dict.fromkeys(("truth", "mean", "deviation"), (0, 0))
        info = {
            "model": repr(self.model),
            "operator": repr(self.obs.operator),
            "filter": self.filt.describe(),
            "members": int(self.members),  # int(): NumPy's integers can't be written as JSON
            "seed": "none" if self.seed is None else int(self.seed),
            "cycles": int(self.twin.cycles),
            "steps_per_cycle": int(self.twin.steps_per_cycle),
            "dtype": str(np.dtype(self.twin.dtype)),
            "grid": list(axes(self.model.grid)) if isinstance(self.model, Model) else [],
        }
        kept: dict[str, Any] = {
            name: arrays.get(name, np.empty(shape)) for name, shape in (plain | courses).items()
        }
        field, observed = self._last_field()
        # an interrupt may fall between the two lists; a cycle without observations has no facts
        told = self.facts[: len(self.records)]
        facts = {
            name: np.array([one.get(name, np.nan) for one in told])
            for name in sorted(set().union(*told))
        }
        return Result(
            **(series | kept),
            field=field,
            observed=observed,
            facts=facts,
            info=info,
            stopped=self.stopped,
        )

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
        form = self.obs.pointwise(truth.size)
        if form is None:
            return field, nothing[1]
        points = np.unique(np.arange(truth.size)[form.components] % true[0].size)
        return field, np.stack(np.unravel_index(points, true[0].shape), axis=-1).astype(float)


class _NotFiniteError(Exception):
    """A state of the run is no longer finite."""
