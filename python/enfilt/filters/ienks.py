"""The iterative ensemble Kalman smoother."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import _arrays, _checks
from ..kernels import ensemble_space
from ..observation import Observation
from .cycle import Array, Cycle, Times
from .ienkf import IEnKF
from .smoother import Found, Smoother

__all__ = ["IEnKS"]


@dataclass(frozen=True)
class IEnKS(Smoother, IEnKF):
    """The iterative ensemble Kalman smoother (IEnKS): an `IEnKF` whose window has several cycles.

    Bocquet, Sakov (2014), "An iterative ensemble Kalman smoother", with single assimilation of
    observations: those of this cycle are fitted by the ensemble of `lag` cycles ago, through the
    model that runs all of them again in each Gauss-Newton step. What is found is run to now, and
    the window moves on by one cycle. With ``lag=1`` it is the `IEnKF`. `smoothed` holds the
    ensembles of the window.

    Parameters
    ----------
    model, steps_per_cycle, iterations, wtol, method, inflation, backend
        As of the `IEnKF`. The inflation widens the analysis, and the ensemble that the next window
        starts with.
    lag : int
        How many cycles the window has, at least 1. A run takes that many cycles to fill it.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the smoother is made.

    Notes
    -----
    `previous` is needed. Where it is not the analysis that was returned last, the window starts
    anew from it. The model is run for `lag` cycles in each iteration, so that an analysis costs as
    much as that many of the `IEnKF`'s. ``observed=`` is for a window of one cycle alone: the runs
    of a longer one don't move it.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.Lorenz96(dim=8, dt=0.05)
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.1)
    >>> twin = ef.TwinExperiment(model, obs, cycles=20, steps_per_cycle=4, initial_mean="truth")
    >>> smoother = ef.IEnKS(model, steps_per_cycle=4, lag=3, inflation=1.02)
    >>> result = twin.run(smoother, members=12, seed=0)
    >>> bool(result.summary(last=10)["rmse.analysis"] < 0.1), len(smoother.smoothed)
    (True, 4)
    """

    lag: int = field(default=5, kw_only=True)

    _name: ClassVar[str] = "ienks"

    def _check_options(self) -> None:
        super()._check_options()
        _checks.integer("lag", self.lag, 1)

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> IEnKS:
        return cls(model, steps_per_cycle)

    @property
    def _depth(self) -> int:
        return self.lag

    def _unobserved(self, forecast: Array, previous: Array | None, between: Times | None) -> Found:
        found = super()._unobserved(forecast, previous, between)
        start, spans = found.start, found.spans
        if start is not None and len(spans) == self.lag:  # the window moves on
            moved = [self._run_again(one, spans[-1:]) for one in start]
            found = found._replace(start=_arrays.namespace(start).stack(moved))
        return found

    def _update(self, cycle: Cycle, out: Array) -> None:
        if self.lag > 1 and cycle.given is not None:
            raise TypeError(
                "observed is given, which the runs of a longer window don't move: expected "
                "lag=1, or an operator"
            )
        assert cycle.previous is not None
        known, start, spans = self._window(cycle.forecast, cycle.previous, cycle.between)
        whole = spans[::-1]
        begun, start, wider = self._started(cycle, start, whole)
        xp = _arrays.namespace(start)
        runs = [xp.empty_like(start)]
        for b, ensemble in enumerate(start):
            forecast = cycle.forecast[b]
            if wider or len(spans) > 1:  # what widens the ensemble is not in the caller's
                forecast = self._run_again(ensemble, whole)
            found = self._fit(begun, b, ensemble, whole, forecast)
            ensemble_space.combine(ensemble, found, runs[0][b])
        unobserved = xp.isnan(cycle.y).all(axis=-1)
        cycle.backend.copy_where(unobserved, start, runs[0])
        for span in whole:
            runs.append(xp.stack([self._run_again(one, [span]) for one in runs[-1]]))
        out[...] = runs[-1]
        # the latest first; of those that the next window begins with, the first is widened
        earlier = runs[-2::-1]
        begin = None
        if min(len(runs), self.lag) > 1:
            index = min(len(earlier), self.lag - 1) - 1
            begin = earlier[index].copy()
            prior = known[min(index, len(known) - 1)]
            self._inflate(dataclasses.replace(cycle, forecast=prior), begin)
            cycle.backend.copy_where(unobserved, earlier[index], begin)
        self._keep_unobserved(cycle, known, earlier)
        self._past.found = Found(earlier, spans, begin)
