"""The iterative localized flow filter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from .. import _checks
from ..observation import Observation
from . import rerun
from .cycle import Array, Cycle
from .lenff import LEnFF
from .rerun import Rerun
from .smoother import Found, Smoother
from .taper_range import FREEDOM

__all__ = ["ILEnFF"]


@dataclass(frozen=True)
class _OfWindow(LEnFF):
    """A flow filter of observations at the end of a window.

    What they see has grown within it, in few directions: as they repeat each other, more of them
    than of a forecast's may count.
    """

    _freedom: ClassVar[float] = 2 * FREEDOM


@dataclass(frozen=True)
class ILEnFF(Smoother):
    """The localized flow filter with the model run again in each of its steps.

    The observations of this cycle move the ensemble of `lag` cycles ago, as a `LEnFF` moves a
    forecast, in steps of pseudo-time: by the localized covariance of its members with h of what
    the model makes of them, for which it runs them again in every step. So the observations see a
    model that is linear for the length of one small step, not of a whole cycle; it is the idea of
    Bocquet, Sakov (2014), "An iterative ensemble Kalman smoother", with localization, and
    without a gradient or a minimization. What is found is run to now.

    Parameters
    ----------
    model : Model or callable
        From `enfilt.models`, or ``(ensemble, steps) -> ensemble``; without model noise.
    steps_per_cycle : int or None
        Model steps between two analyses, as of the `IEnKF`; None: `model` is a function of times.
    filt : LEnFF
        The filter whose taper, inflation and steps these are. Default: ``LEnFF()``, which has
        nothing to tune.
    lag : int
        How many cycles the window has, at least 1.
    backend : str
        As of the filter; "auto": the filter's own.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    `previous` is needed, and so is a place for each observation. Observations are taken to be near
    what they see `lag` cycles before: in a flow that carries things along, a cutoff has to hold the
    way that they go in that time, and a short window is better than a long one. The model runs
    `lag` cycles in each of the filter's steps, once for its innovations, and once for the result.

    `smoothed` holds the ensembles of the window.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.Lorenz96(dim=40, dt=0.05)
    >>> obs = ef.Observation(ef.operators.Every(2), std=0.5, grid=model.grid)
    >>> twin = ef.TwinExperiment(model, obs, cycles=20, steps_per_cycle=4, initial_mean="truth")
    >>> result = twin.run(ef.ILEnFF(model, steps_per_cycle=4), members=20, seed=0)
    >>> bool(result.summary(last=10)["rmse.analysis"] < 0.5)
    True
    """

    model: Rerun
    steps_per_cycle: int | None
    filt: LEnFF = LEnFF()  # noqa: RUF009 - frozen, and replaced by a copy
    lag: int = 1

    _flow: _OfWindow = field(init=False, repr=False, compare=False)

    _name: ClassVar[str] = "ilenff"
    _runs_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.filt, LEnFF):
            raise TypeError(f"filt={self.filt!r}: expected an LEnFF")
        for name, default in (("inflation", 1.0), ("parameter_inflation", None)):
            if getattr(self, name) != default:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: expected it to be given to the filter"
                )
        backend = self.filt.backend if self.backend == "auto" else self.backend
        object.__setattr__(self, "filt", dataclasses.replace(self.filt, backend=backend))
        options = {f.name: getattr(self.filt, f.name) for f in fields(LEnFF) if f.init}
        object.__setattr__(self, "_flow", _OfWindow(**options))
        super().__post_init__()

    def _check_options(self) -> None:
        rerun.check(self, self.model, self.steps_per_cycle)
        _checks.integer("lag", self.lag, 1)

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> ILEnFF:
        return cls(model, steps_per_cycle)

    @property
    def _depth(self) -> int:
        return self.lag

    @property
    def _needs_previous(self) -> bool:
        return True

    def _calls_back(self, cycle: Cycle) -> bool:
        return True

    def _check_observation(self, obs: Observation) -> None:
        self.filt._check_observation(obs)

    def reset(self) -> None:
        super().reset()
        self._flow.reset()

    def state(self) -> dict[str, Any]:
        return super().state() | {"inner": self._flow.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._flow.restore(state["inner"])

    def _update(self, cycle: Cycle, out: Array) -> None:
        assert cycle.previous is not None
        known, start, spans = self._window(cycle.forecast, cycle.previous, cycle.between)
        whole, sizes = spans[::-1], (start.shape[-1], cycle.y.shape[-1])
        obs = rerun.through(cycle.obs, self.model, whole, *sizes)
        runs = [self._flow.analysis(start, cycle.y, obs, rng=cycle.rng)]
        for span in whole:
            runs.append(np.stack([rerun.run(self.model, [span], one) for one in runs[-1]]))
        out[...] = runs[-1]
        cycle.facts.update(self._flow.facts)
        earlier = runs[-2::-1]
        self._keep_unobserved(cycle, known, earlier)
        self._past.found = Found(earlier, spans)
