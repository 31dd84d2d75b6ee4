"""The iterative ensemble Kalman filter."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import _arrays, _checks
from ..kernels import ensemble_space
from ..observation import Observation
from . import knobs, parameters, rerun
from .base import EnsembleFilter
from .cycle import Array, Cycle
from .observation_products import observation_products
from .rerun import Rerun, Span

__all__ = ["IEnKF"]


@dataclass(frozen=True)
class IEnKF(EnsembleFilter):
    """The iterative ensemble Kalman filter (IEnKF) with a lag of one cycle.

    Sakov, Oliver, Bertino (2012), "An iterative EnKF for strongly nonlinear systems"; in the
    space of the ensemble as in Bocquet, Sakov (2012), "Combining inflation-free and iterative
    ensemble Kalman filters for strongly nonlinear systems". The observations of this cycle are
    fitted by the *previous* analysis ensemble: with its mean x0 and anomalies A0, Gauss-Newton
    steps minimize over w

        (N-1)/2 |w|^2 + 1/2 |y - h(M(x0 + w A0))|^2_R^-1,

    the model M re-run in each. The result is the forecast of the ensemble found. For linear M and
    h it is the ETKF's.

    Parameters
    ----------
    model : Model or callable
        M, from `enfilt.models`, or ``(ensemble, steps) -> ensemble``; without model noise.
    steps_per_cycle : int or None
        Model steps between the previous analysis and the observations, where nobody tells the
        times of both. An assimilation does, and then cycles may be of any length for a model of
        `enfilt.models`; for another model they have to be of one. None: `model` is a function of
        times, ``(ensemble, start, stop, rng) -> ensemble``, as that of an `Assimilation`.
    iterations : int
        Gauss-Newton steps at most, at least 1. With one, this is the smoothing form of the ETKF.
    wtol : float
        The iteration stops where a step of w is of a root mean square below this.
    method : {"transform", "bundle"}
        Sensitivities from an ensemble that is as wide as the analysis (``transform``), or from
        one so narrow that they are derivatives (``bundle``; anomalies scaled by the cube root of
        the working precision's rounding).
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor. One that follows from innovations
        (`Adaptive`, `FiniteSize`) widens the ensemble that the iteration starts from, by the
        innovations of what the model makes of it; it costs a run of the model more.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        All give the same.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    `previous` is needed. Where the forecast equals it, no time has passed between them (cycle 0
    of a twin experiment) and M is the identity. Two ensembles more than the result are held.

    Values given as ``observed=`` are those of the forecast. In the iteration they move as the
    members do, by the same combinations: the model is run for the result alone, and one iteration
    is enough.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.Lorenz96(dim=8, dt=0.05)
    >>> previous = 3 + np.random.default_rng(0).standard_normal((12, 8))
    >>> forecast = model.step(previous, 4)
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.1)
    >>> y = forecast[0]
    >>> filt = ef.IEnKF(model, steps_per_cycle=4)
    >>> analysis = filt.analysis(forecast, y, obs, previous=previous)
    >>> bool(ef.metrics.rmse(analysis, y) < 0.2)
    True
    """

    model: Rerun
    steps_per_cycle: int | None
    iterations: int = 10
    wtol: float = 1e-5
    method: str = "transform"

    _name: ClassVar[str] = "ienkf"
    _takes_observed: ClassVar[bool] = True
    _takes_cupy: ClassVar[bool] = True
    _takes_transformed: ClassVar[bool] = False
    _runs_model: ClassVar[bool] = True

    def _check_options(self) -> None:
        rerun.check(self, self.model, self.steps_per_cycle)
        _checks.integer("iterations", self.iterations, 1)
        _checks.number("wtol", self.wtol, above=0)
        _checks.choice("method", self.method, ["transform", "bundle"])

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> IEnKF:
        return cls(model, steps_per_cycle)

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {"inflation": knobs.factor()}

    @property
    def _needs_previous(self) -> bool:
        return True

    def _calls_back(self, cycle: Cycle) -> bool:
        return True  # the model, last of all

    def _adapted(self, cycle: Cycle) -> Cycle:
        # what widens a forecast widens the ensemble that the iteration starts from: `_started`
        return cycle if self._inflation.is_of_forecast else super()._adapted(cycle)

    def _started(
        self, cycle: Cycle, start: Array, spans: Sequence[Span]
    ) -> tuple[Cycle, Array, bool]:
        """Return an ensemble (B, N, D) so long before the observations as its fit begins with it.

        With the cycle, of which observations may be left out, and whether the ensemble is another.
        """
        if not self._inflation.is_of_forecast:
            return cycle, start, False
        dim, observations = start.shape[-1], cycle.y.shape[-1]
        obs = rerun.through(cycle.obs, self.model, spans, dim, observations)
        seen = dataclasses.replace(cycle, forecast=start, previous=None, obs=obs)
        apart = parameters.count(cycle.obs, dim)
        found = parameters.not_widened(seen, super()._adapted(seen), apart)
        wide = dataclasses.replace(cycle, y=found.y, given=found.given)
        return wide, found.forecast, found.forecast is not start

    def _update(self, cycle: Cycle, out: Array) -> None:
        assert cycle.previous is not None  # `_needs_previous`
        # whether no time has passed; on a GPU the host waits here
        pairs = zip(cycle.forecast, cycle.previous, strict=True)
        still = [bool(np.array_equal(*pair)) for pair in pairs]
        spans = [rerun.spans(self, self._memory, cycle.between, one) for one in still]
        begun, starts, wider = self._started(cycle, cycle.previous, max(spans, key=len))
        for b, start in enumerate(starts):
            forecast = self._run_again(start, spans[b]) if wider else cycle.forecast[b]
            found = self._fit(begun, b, start, spans[b], forecast)
            ensemble_space.combine(start, found, out[b])
            out[b] = self._run_again(out[b], spans[b])

    def _fit(
        self, cycle: Cycle, b: int, start: Array, spans: Sequence[Span], forecast: Array
    ) -> Array:
        """Return the coefficients, (N, N), of an ensemble that fits the observations.

        It starts so long before these; `forecast` is what becomes of it as it is.
        """
        members = len(start)
        xp = _arrays.namespace(start)
        identity, w = xp.eye(members), xp.zeros(members)
        narrow = float(np.cbrt(np.finfo(start.dtype).eps))
        scaling = inverse = identity
        if self.method == "bundle":
            scaling, inverse = narrow * identity, identity / narrow
        ensemble = forecast
        given = None if cycle.given is None else cycle.given[b]
        values = None if given is None else given.copy()
        trial = xp.empty_like(start)
        for k in range(self.iterations):
            # the given forecast is the run of the first transform
            if k or self.method == "bundle":
                if given is not None and values is not None:
                    ensemble_space.combine(given, w + scaling, values)
                else:
                    ensemble_space.combine(start, w + scaling, trial)
                    ensemble = self._run_again(trial, spans)
            gram, innovation, _ = observation_products(cycle, b, ensemble, values=values)
            # sensitivities of the observations to w: anomalies with the scaling taken out
            gram, innovation = inverse @ gram @ inverse, inverse @ innovation
            spectrum = ensemble_space.spectrum(gram)
            step = spectrum.power(-1) @ (innovation - (members - 1) * w)
            w = w + step
            transform = spectrum.transform()
            if self.method == "transform":
                scaling, inverse = transform, spectrum.power(0.5) / np.sqrt(members - 1)
            if np.sqrt(np.mean(step**2)) < self.wtol:
                break
        result: Array = w + transform
        return result

    def _run_again(self, ensemble: Array, spans: Sequence[Span]) -> Array:
        return rerun.run(self.model, spans, ensemble)
