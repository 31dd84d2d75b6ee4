"""The score filter: variance exploding diffusion with a prior that is learned, or the ensemble."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import _checks
from ..observation import Observation
from ..priors import EnsemblePrior, Noising, Prior
from . import knobs
from .cycle import Array, Cycle
from .prior_filter import Normals, PriorFilter, limited, needs_gradient, prior_knobs

__all__ = ["ScoreFilter"]

DAMPING: dict[str, Callable[[float], float]] = {
    "half": lambda t: max(0.0, 1 - 2 * t),
    "linear": lambda t: 1 - t,
}


@dataclass(frozen=True)
class ScoreFilter(PriorFilter):
    """The score filter (SF): reverse diffusion with the likelihood's score added.

    Bao, Zhang, Zhang (2024), "A score-based filter for nonlinear data assimilation", J. Comput.
    Phys. 514, arXiv:2306.09282. Noise grows as std(t)^2 = (sigma^(2t) - 1) / (2 ln sigma). Each
    member starts at its forecast noised to t = 1, and takes Euler-Maruyama steps
    x + dt sigma^(2t) S + sqrt(dt) sigma^t xi back to t = 0 along t = u^2, u uniform; the last one
    adds no noise. S is the prior's score plus w(t) times that of the likelihood.

    Parameters
    ----------
    prior : Prior
        Of `enfilt.priors`; the paper's is a `LearnedPrior`.
    steps : int
        At least 1.
    sigma : float
        Above 1, at most 1e100; the noise at t = 1 has the standard deviation 9.84 for 25, in units
        of the state.
    damping : {"half", "linear"} or callable
        w(t): ``half`` is max(0, 1 - 2 t), ``linear`` 1 - t; a function of t in [0, 1] returns a
        number of at least 0. Since this is no exact posterior score, neither is the analysis.
    score_limit : float, optional
        Above zero; a member whose S has a larger root mean square gets it shortened to this.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    backend : {"auto", "cpp", "numba", "numpy"}
        Where the prior's pairwise kernels run.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((20, 3))
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    >>> filt = ef.ScoreFilter(prior=ef.priors.EnsemblePrior(bandwidth=0.3), steps=50)
    >>> filt.analysis(forecast, np.array([0.5, 0.0, -0.5]), obs, rng=1).shape
    (20, 3)
    """

    prior: Prior = field(default_factory=EnsemblePrior)
    steps: int = 500
    sigma: float = 25.0
    damping: str | Callable[[float], float] = "half"
    score_limit: float | None = 100.0

    _name: ClassVar[str] = "sf"

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {"inflation": knobs.rtps(), **prior_knobs(self.prior, model, obs)}

    def _check_options(self) -> None:
        super()._check_options()
        _checks.number("sigma", self.sigma, above=1, most=1e100)
        if not callable(self.damping):
            _checks.choice("damping", self.damping, DAMPING)
        if self.score_limit is not None:
            _checks.number("score_limit", self.score_limit, above=0)

    def _check_observation(self, obs: Observation) -> None:
        needs_gradient("ScoreFilter", obs)

    def _noising(self, t: float) -> Noising:
        return Noising(1.0, math.expm1(2 * t * math.log(self.sigma)) / (2 * math.log(self.sigma)))

    def _weight(self, t: float) -> float:
        if callable(self.damping):
            return _checks.number(f"damping({t})", self.damping(t), least=0)
        return DAMPING[self.damping](t)

    def _sample(self, cycle: Cycle, b: int, normals: Normals) -> Array:
        x1, y = cycle.forecast[b], cycle.y[b]
        kind = x1.dtype.type
        times = [(1 - k / self.steps) ** 2 for k in range(self.steps + 1)]
        levels = [self._noising(t) for t in times[:-1]]
        prior = self.prior.fit(x1, cycle.rng, self._setting(cycle, b, levels=levels))
        x: Array = x1 + kind(math.sqrt(float(levels[0].variance))) * normals(0)
        for k, level in enumerate(levels):
            t, dt = times[k], times[k] - times[k + 1]
            score = prior.score(x, level)
            weight = self._weight(t)
            if weight:
                score = score - kind(weight) * cycle.obs.gradient(x, y)
            x = x + kind(dt * self.sigma ** (2 * t)) * limited(score, self.score_limit)
            if k + 1 < self.steps:
                x = x + kind(math.sqrt(dt) * self.sigma**t) * normals(k + 1)
        return x
