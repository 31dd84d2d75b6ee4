"""Score-based sequential Langevin sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import _checks
from ..observation import Observation
from ..priors import EnsemblePrior, Noising, Prior
from . import knobs
from .cycle import Array, Cycle
from .prior_filter import Normals, PriorFilter, limited, needs_gradient, prior_knobs, spread

__all__ = ["SSLS"]


@dataclass(frozen=True)
class SSLS(PriorFilter):
    """Score-based sequential Langevin sampling (SSLS): Langevin steps in the posterior.

    Ding, Duan, Jiao, Yang, Yuan, Zhang (2024), "Nonlinear assimilation via score-based sequential
    Langevin sampling", arXiv:2411.13443. From the forecast members,

        x <- e^(-lam d) x + d phi(-lam d) S + sqrt(2 d phi(-2 lam d)) xi,  phi(u) = (e^u - 1)/u,

    S being the score of the forecast at one small level of noise plus that of the likelihood.

    Parameters
    ----------
    prior : Prior
        Of `enfilt.priors`.
    steps : int
        Langevin steps altogether, at least 1.
    step_size : float
        d, above zero, in the state's unit squared: for stable steps below twice the square of the
        smallest of noise (sigma times spread) and observation error (over the operator's slope).
    sigma : float
        Noise of the score, above zero, in units of the forecast's spread, component by component.
    anneal_init : float
        lam of the first round, at least 0: a pull towards zero.
    anneal_decay : float
        Factor on lam after each round, from 0 to 1.
    anneal_steps : int
        Rounds that the steps are divided into, from 1 to `steps`.
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

    Notes
    -----
    Slice 0 of ``noise=`` is not used: the sampler starts at the forecast.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((20, 3))
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    >>> filt = ef.SSLS(prior=ef.priors.GaussianPrior(), steps=50)
    >>> filt.analysis(forecast, np.array([0.5, 0.0, -0.5]), obs, rng=1).shape
    (20, 3)
    """

    prior: Prior = field(default_factory=EnsemblePrior)
    steps: int = 500
    step_size: float = 1e-3
    sigma: float = 0.1
    anneal_init: float = 1e-3
    anneal_decay: float = 0.5
    anneal_steps: int = 5
    score_limit: float | None = 100.0

    _name: ClassVar[str] = "ssls"

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        step = knobs.Knob("step_size", 1e-4, 3e-2, self.step_size, log=True)
        return {"step_size": step, **prior_knobs(self.prior, model, obs)}

    def _check_options(self) -> None:
        super()._check_options()
        _checks.number("step_size", self.step_size, above=0)
        _checks.number("sigma", self.sigma, above=0)
        _checks.number("anneal_init", self.anneal_init, least=0)
        _checks.number("anneal_decay", self.anneal_decay, least=0, most=1)
        if _checks.integer("anneal_steps", self.anneal_steps, 1) > self.steps:
            raise ValueError(
                f"anneal_steps={self.anneal_steps}: expected at most steps={self.steps} rounds"
            )
        if self.score_limit is not None:
            _checks.number("score_limit", self.score_limit, above=0)

    def _check_observation(self, obs: Observation) -> None:
        needs_gradient("SSLS", obs)

    def _sample(self, cycle: Cycle, b: int, normals: Normals) -> Array:
        x: Array = cycle.forecast[b]
        y = cycle.y[b]
        kind, d = x.dtype.type, float(self.step_size)
        level = Noising(1.0, (self.sigma * spread(x)) ** 2)
        prior = self.prior.fit(x, cycle.rng, self._setting(cycle, b, levels=[level]))
        for k in range(self.steps):
            lam = self.anneal_init * self.anneal_decay ** (k * self.anneal_steps // self.steps)
            score = limited(prior.score(x, level) - cycle.obs.gradient(x, y), self.score_limit)
            drift = kind(d * _phi(-lam * d)) * score
            x = kind(math.exp(-lam * d)) * x + drift
            x = x + kind(math.sqrt(2 * d * _phi(-2 * lam * d))) * normals(k + 1)
        return x


def _phi(u: float) -> float:
    """Return (e^u - 1)/u, 1 at 0."""
    return math.expm1(u) / u if u else 1.0
