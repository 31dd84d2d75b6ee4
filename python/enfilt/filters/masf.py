"""The measurement-aware score filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .. import _checks
from ..observation import Observation
from ..priors import EnsemblePrior, FittedPrior, Prior
from ..priors.base import PerComponent, cast
from . import knobs
from .cycle import Array, Cycle
from .forward_process import (
    SCHEDULES,
    ForwardProcess,
    Measurement,
    is_linear,
    measurement,
    placed,
    times,
)
from .prior_filter import Normals, PriorFilter, needs_gradient, prior_knobs, spread

__all__ = ["MASF"]

Weight = float | Callable[[float], float]

#: w_p and w_g as the authors' released code tunes them.
TUNED: tuple[Callable[[float], float], Callable[[float], float]] = (
    lambda s: 0.95 + 0.65 * s**1.5,
    lambda s: 1.1 + 0.4 * (1 - s) ** 2,
)


@dataclass(frozen=True)
class MASF(PriorFilter):
    """The measurement-aware score filter (MASF): noise that carries the state to its measurement.

    Yoon, Kim, Kim (2026), "Rethinking Forward Processes for Score-Based Data Assimilation in High
    Dimensions", arXiv:2604.02889. The forward process x_s = A x_0 + sqrt(C) eps ends at the
    measurement itself, A = H and C = R, so that for a linear operator everything about the
    measurement is known in closed form; the prior gives E[x_0 | x_s] on the way back.

    Parameters
    ----------
    mode : {"endpoint", "published"}
        ``endpoint``: the reverse process starts at the observations, which makes its end the
        posterior, and nothing is added. ``published``: it starts at forecast members carried
        forward, and the likelihood's score is added with weights. This counts the measurement
        twice: on a Gaussian problem with weights of 1 the variance comes out at 0.075 for 0.200.
        It is kept to reproduce the paper, and for nonlinear operators.
    prior : Prior
        Of `enfilt.priors`; the paper's is a `LearnedPrior`.
    steps : int
        Reverse steps, at least 1, at the times 0.992 (1 - k/steps)^2 + 1e-6.
    schedule : {"cosine", "linear"}
        How a falls from 1 to about 0.
    prior_weight, guidance_weight : float or callable, optional
        Of ``published``: w_p and w_g, numbers of at least 0, or functions of the time s in
        (0, 1). Default: 0.95 + 0.65 s^1.5 and 1.1 + 0.4 (1 - s)^2, as the authors tuned them.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    backend : {"auto", "cpp", "numba", "numpy"}
        Where the prior's pairwise kernels run.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made; by `analysis`, if the operator
        mixes components and the errors are not all the same, if it is nonlinear in ``endpoint``,
        or if it is nonlinear and not of single components.

    Notes
    -----
    The operator is diagonal as it stands where it chooses components, and otherwise in its
    singular directions (a matrix of D x D).

    ``endpoint`` differs from the paper's A = a I + (1 - a) H, C = r^2 (1 - a^2) in three ways,
    without which it does not sample the posterior: a is rescaled to end at exactly 0 where
    something is observed; what is not observed carries noise of the forecast's spread in place of
    r (with r far below the spread, a(T) = 0.012 would leave the forecast's mean in the start, and
    the steps near T would be too long for it); and an observation is divided by its singular
    value k (for k > 1 no diffusion has the paper's A and C), or scaled to the spread where that
    is less than r/k. With k = 1 and r below the spread the observed components keep the paper's
    process.

    For a nonlinear operator of single components, x_s = a x_0 + (1 - a) h(x_0) + sqrt(C) eps, and
    the likelihood is that of x_T ~ N(x - a (E[x_0|x] - E[h|x]), C(T) - C(s)), differentiated
    through the prior's estimates.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> forecast = rng.standard_normal((500, 1)) @ np.ones((1, 2)) + rng.standard_normal((500, 2))
    >>> obs = ef.Observation(ef.operators.Subset([0]), std=1.0)
    >>> filt = ef.MASF(prior=ef.priors.GaussianPrior())
    >>> analysis = filt.analysis(forecast, [3.0], obs, rng=1)
    >>> bool(np.all(np.abs(analysis.mean(axis=0) - [2, 1]) < 0.3))
    True
    """

    mode: str = "endpoint"
    prior: Prior = field(default_factory=EnsemblePrior)
    steps: int = 150
    schedule: str = "cosine"
    prior_weight: Weight | None = None
    guidance_weight: Weight | None = None

    _name: ClassVar[str] = "masf"

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {"inflation": knobs.rtps(), **prior_knobs(self.prior, model, obs)}

    def _check_options(self) -> None:
        super()._check_options()
        _checks.choice("mode", self.mode, ["endpoint", "published"])
        _checks.choice("schedule", self.schedule, SCHEDULES)
        for name in ("prior_weight", "guidance_weight"):
            weight = getattr(self, name)
            if weight is None:
                continue
            if self.mode == "endpoint":
                raise ValueError(
                    f"{name}={weight!r} belongs to mode='published': expected None, since the "
                    f"endpoint's process is the posterior only as it stands"
                )
            if not callable(weight):
                _checks.number(name, weight, least=0)

    def _weights(self, s: float) -> tuple[float, float]:
        """Return w_p and w_g at a time."""
        if self.mode == "endpoint":
            return 1.0, 0.0
        found = []
        named = (("prior_weight", self.prior_weight), ("guidance_weight", self.guidance_weight))
        for (name, given), tuned in zip(named, TUNED, strict=True):
            weight = tuned if given is None else given
            value = weight(s) if callable(weight) else weight
            found.append(_checks.number(f"{name}({s})", value, least=0))
        return found[0], found[1]

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> MASF:
        return cls(mode="endpoint" if is_linear(obs.h, model.dim) else "published")

    def _sample(self, cycle: Cycle, b: int, normals: Normals) -> Array:
        forecast = cycle.forecast[b]
        seen = measurement(cycle.obs, cycle.y[b], forecast.shape[-1])
        if seen is None:
            return self._sample_nonlinear(cycle, b, normals)
        setting = self._setting(cycle, b, basis=seen.basis)
        members = setting.rotated(forecast)
        if self.mode == "endpoint":
            seen = _scaled(seen, spread(members))
        process = ForwardProcess(
            self.schedule,
            self.steps,
            seen.gain,
            seen.std,
            ends=(seen.gain > 0) & (self.mode == "endpoint"),
        )
        setting = self._setting(cycle, b, basis=seen.basis, levels=process)
        prior = self.prior.fit(forecast, cycle.rng, setting)
        x: Array = self._reverse(members, seen, process, prior, normals)
        if seen.basis is not None:
            x = x @ seen.basis.T.astype(x.dtype)
        return x

    def _reverse(
        self,
        members: Array,
        seen: Measurement,
        process: ForwardProcess,
        prior: FittedPrior,
        normals: Normals,
    ) -> Array:
        """Run the reverse process of a linear operator, in its coordinates."""
        start = process[0]
        x: Array = cast(start.scale, members) * members
        x = x + cast(np.sqrt(start.variance), x) * normals(0)
        if self.mode == "endpoint":
            x = np.where(seen.gain > 0, cast(seen.y, x), x)
        for k, s in enumerate(times(self.steps)[:-1]):
            here, there = process[k], process[k + 1]
            w_p, w_g = self._weights(s)
            growth = np.divide(there.scale, here.scale)
            width = np.abs(there.variance - growth**2 * here.variance)
            expected = cast(here.scale, x) * prior.posterior_mean(x, here)
            moved = cast(growth, x) * x
            moved += cast(w_p * width / here.variance, x) * (expected - x)
            if w_g:
                gain, target = _pull(seen, start.scale, start.variance, here.scale, here.variance)
                moved += cast(w_g * width * gain, x) * (cast(target, x) - x)
            x = moved + cast(np.sqrt(width), x) * normals(k + 1)
        return x

    def _sample_nonlinear(self, cycle: Cycle, b: int, normals: Normals) -> Array:
        """Run the process that turns the state into its image under a nonlinear operator."""
        forecast, obs, y = cycle.forecast[b], cycle.obs, cycle.y[b]
        dim = forecast.shape[-1]
        if self.mode == "endpoint":
            raise ValueError(
                f"mode='endpoint' needs a linear operator, which {obs.operator!r} is not: "
                f"expected mode='published'"
            )
        needs_gradient("MASF", obs)
        if obs.is_correlated:
            raise ValueError(
                f"obs has a covariance of correlated errors, and {obs.operator!r} is not linear: "
                f"MASF carries each component to its own observation, expected std=, or a linear "
                f"operator"
            )
        stand = obs.stands_at(dim)
        if stand is None and y.size != dim:
            raise ValueError(
                f"{obs.operator!r} makes {y.size} observations of {dim} components: MASF carries "
                f"each component to its own, and expected one a component, or a component-wise "
                f"operator of chosen ones"
            )
        components = np.arange(dim) if stand is None else np.arange(dim)[stand]
        gain, values, std = placed(obs, y, components, dim)
        seen = ~np.isnan(y)
        image = np.zeros_like(forecast)
        image[:, components[seen]] = obs.observe(forecast, y.size)[:, seen]
        process = ForwardProcess(
            self.schedule, self.steps, gain, std, np.zeros(dim, dtype=bool), image=True
        )
        # where nothing is observed, the variance alone may vary between components
        setting = self._setting(cycle, b, image=image, levels=process)
        prior = self.prior.fit(forecast, cycle.rng, setting)
        end = process[0]
        x: Array = cast(end.scale, forecast) * forecast + cast(end.image_scale, forecast) * image
        x = x + cast(np.sqrt(end.variance), x) * normals(0)
        for k, s in enumerate(times(self.steps)[:-1]):
            here, there = process[k], process[k + 1]
            w_p, w_g = self._weights(s)
            state, expected_image = prior.estimate(x, here)
            assert expected_image is not None  # the prior was fitted with an image
            apart = state - expected_image
            width = np.abs(there.variance - here.variance)
            a_s, a_t = cast(here.scale, x), cast(there.scale, x)
            expected = a_s * apart + expected_image
            moved = x + (a_t - a_s) * apart
            moved += cast(w_p * width / here.variance, x) * (expected - x)
            if w_g and k:  # at k = 0 the endpoint is where x is
                room = cast(end.variance - here.variance, x)
                v = np.where(gain > 0, (cast(values, x) - x + a_s * apart) / room, 0)
                v = v - a_s * prior.pullback(x, here, v, -v)
                moved += cast(w_g * width, x) * v
            x = moved + cast(np.sqrt(width), x) * normals(k + 1)
        return x


def _scaled(seen: Measurement, deviation: Array) -> Measurement:
    """Return the same measurement in units in which its forward process is a diffusion.

    Each observation y = k x + r eps may be multiplied by any number: by 1/k it leads straight
    from the state to the observation, and where r/k is more than the spread, by spread/r it
    leads to noise of the spread, the state fading; without an observation it fades altogether.
    """
    observed = seen.gain > 0
    inverse = np.divide(1.0, seen.gain, out=np.full_like(seen.gain, np.inf), where=observed)
    factor = np.minimum(inverse, deviation / seen.std)
    return Measurement(factor * seen.gain, factor * seen.y, factor * seen.std, seen.basis)


def _pull(
    seen: Measurement,
    end_scale: PerComponent,
    end_variance: PerComponent,
    scale: PerComponent,
    variance: PerComponent,
) -> tuple[Array, Array]:
    """Return gain and target of the likelihood's score, gain (target - x).

    The endpoint is N(M x, Sig), M = A(T)/A(s), Sig = C(T) - M^2 C(s): the score is
    M/Sig (y - M x) where something is observed, and where Sig is above zero.
    """
    m = np.divide(end_scale, scale) * np.ones_like(seen.gain)
    sig = end_variance - m**2 * variance
    acts = (seen.gain > 0) & (sig > 1e-12 * seen.std**2)
    gain = np.divide(m**2, sig, out=np.zeros_like(m), where=acts)
    return gain, seen.y / m
