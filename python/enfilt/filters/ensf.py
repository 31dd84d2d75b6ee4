"""The ensemble score filter."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..backends import DiffusionProblem, DiffusionStep, ObservedComponents
from ..localization import Taper
from ..observation import Observation
from . import diffusion_sampler, knobs, reduced
from .base import EnsembleFilter
from .cycle import Cycle
from .regression import regress, regress_locally

__all__ = ["EnSF"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EnSF(EnsembleFilter):
    r"""The ensemble score filter (EnSF): a training-free diffusion from noise to the posterior.

    Bao, Zhang, Zhang (2024), "An ensemble score filter for tracking high-dimensional nonlinear
    dynamical systems", CMAME 432, 117447, arXiv:2309.00983. With t from 1 to 0 in steps of dt =
    1/steps, alpha = 1 - t (1 - eps_alpha) and beta^2 = eps_beta + t (1 - eps_beta), members start
    from N(0, I) and move by the reverse diffusion of the noised forecast:

        S = score of the mixture of N(alpha x1_j, beta^2 I) - damping(t) grad J(x)
        x <- x - dt (f x - g^2 S) + g sqrt(dt) xi         (``sde``)
        x <- x - dt (f x - g^2 S / 2)                     (``ode``)

    with f = d/dt log alpha and g^2 = d/dt beta^2 - 2 f beta^2, all at the t that the step starts
    from.

    Parameters
    ----------
    steps : int
        Steps of the sampler, at least 1.
    eps_alpha : float
        alpha at t = 1, above 1e-15 and at most 1: how much of the forecast is left in the noise.
    eps_beta : float
        beta^2 at t = 0, at least 0 and below 1: the variance that each forecast member ends with.
    score : {"mixture", "paired"}
        ``mixture`` sums over all members; ``paired`` draws member i to forecast member i only, as
        the authors' released code does for a million components. It needs no sum over components,
        and runs all its steps in one pass over memory where the operator is component-wise.
    sampler : {"sde", "ode"}
        The stochastic or the deterministic reverse process.
    score_limit : float, optional
        S is clipped to +- this, component by component, which keeps the steps stable where
        observations are precise; None: no limit.
    standardize_start : bool
        Whether the start is made to have mean 0 and standard deviation 1 (with N - 1) over the
        members, component by component.
    regress_unobserved : bool
        EnSF-LR ("A Two-Step Ensemble Score Filter for Data Assimilation in Partially Observed
        Systems"): the filter moves the observed components alone, and their increments are
        regressed onto the others with the forecast ensemble. The operator must choose components.
    localization : Taper, optional
        Tapers the regression by the distance to the observations; it needs
        ``Observation(..., grid=...)``. Infinite: none.
    damping : callable, optional
        Of the likelihood: a function of t in [0, 1], finite and at least 0. Default: 1 - t.
    algorithm : {"auto", "streaming", "reduced"}
        ``streaming`` passes over memory once a step; ``reduced`` twice in all, and runs the steps
        on coefficients: for the ``ode`` without a `score_limit`, and operators that pick
        components. They agree to rounding; ``auto`` takes the reduced form where it applies and
        pays.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernels run; "auto" is the best that is there.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    ``noise=`` of `analysis` is (steps + 1, N, D) for ``sde``: slice 0 starts the sampler, slice
    k + 1 drives step k; for ``ode`` it is the start alone, (N, D). With ``regress_unobserved`` the
    entries of the observed components are used.

    Members start from noise, so an analysis member is not the image of the forecast member of its
    row. The regression stays right: of two members exchanged, the unobserved components are too.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((20, 3)) + 1.0
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.1)
    >>> filt = ef.EnSF(steps=50, score_limit=50.0)
    >>> filt.analysis(forecast, np.arctan([1.0, 0.5, 0.0]), obs, rng=1).shape
    (20, 3)
    """

    steps: int = 99
    eps_alpha: float = 0.6
    eps_beta: float = 0.075
    score: str = "mixture"
    sampler: str = "sde"
    score_limit: float | None = None
    standardize_start: bool = False
    regress_unobserved: bool = False
    localization: Taper | None = None
    damping: Callable[[float], float] | None = None
    algorithm: str = "auto"

    _name: ClassVar[str] = "ensf"
    _takes_cupy: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = True

    def _check_options(self) -> None:
        _checks.integer("steps", self.steps, 1)
        _checks.number("eps_alpha", self.eps_alpha, above=1e-15, most=1)  # 1 - eps_alpha is not 1
        if _checks.number("eps_beta", self.eps_beta, least=0) >= 1:
            raise ValueError(f"eps_beta={self.eps_beta!r}: expected a number below 1")
        _checks.choice("score", self.score, ["mixture", "paired"])
        _checks.choice("sampler", self.sampler, ["sde", "ode"])
        if self.score_limit is not None:
            _checks.number("score_limit", self.score_limit, above=0)
        if self.localization is not None:
            if not isinstance(self.localization, Taper):
                raise TypeError(
                    f"localization={self.localization!r}: expected None or an "
                    f"enfilt.localization.GaspariCohn(cutoff=...)"
                )
            self.localization.counts_none()
            if not self.regress_unobserved:
                raise ValueError(
                    "localization tapers the regression onto unobserved components: expected "
                    "regress_unobserved=True beside it"
                )
        if self.damping is not None and not callable(self.damping):
            raise TypeError(f"damping={self.damping!r}: expected None or a function of t")
        _checks.choice("algorithm", self.algorithm, reduced.ALGORITHMS)
        if self.algorithm == "reduced" and not self._is_linear:
            raise ValueError(
                f"algorithm='reduced' can't run sampler={self.sampler!r} with "
                f"score_limit={self.score_limit}: expected 'ode' and None, its steps must be linear"
            )
        _ = self._schedule  # calls damping

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        found = {
            "eps_alpha": knobs.Knob("eps_alpha", 0.02, 0.98, 0.6),
            "eps_beta": knobs.Knob("eps_beta", 1e-3, 0.5, 0.075, log=True),
        }
        if self.regress_unobserved:
            found["localization"] = knobs.cutoff(model, obs, 4)
        return {**found, "inflation": knobs.rtps(0.0)}

    @property
    def _is_linear(self) -> bool:
        return self.sampler == "ode" and self.score_limit is None

    @functools.cached_property
    def _schedule(self) -> list[DiffusionStep]:
        return [self._step(1 - k / self.steps) for k in range(self.steps)]

    def _step(self, t: float) -> DiffusionStep:
        dt = 1 / self.steps
        alpha = 1 - t * (1 - self.eps_alpha)
        variance = self.eps_beta + t * (1 - self.eps_beta)
        drift = -(1 - self.eps_alpha) / alpha
        diffusion = (1 - self.eps_beta) - 2 * drift * variance  # g^2
        stochastic = self.sampler == "sde"
        damping = 1 - t
        if self.damping is not None:
            damping = _checks.number(f"damping({t})", self.damping(t), least=0)
        return DiffusionStep(
            centre=alpha,
            half_precision=0.5 / variance,
            ratio=-1 / variance,
            pull=alpha / variance,
            damping=damping,
            keep=1 - dt * drift,
            gain=dt * diffusion if stochastic else dt * diffusion / 2,
            spread=math.sqrt(dt * diffusion) if stochastic else 0.0,
        )

    @property
    def _limit(self) -> float:
        return math.inf if self.score_limit is None else float(self.score_limit)

    def _noise_shape(self, members: int, dim: int) -> tuple[int, ...]:
        return (self.steps + 1, members, dim) if self.sampler == "sde" else (members, dim)

    def _keeps_whole(self) -> str:
        if self.regress_unobserved:
            return "regress_unobserved=True sums over observed components"
        return super()._keeps_whole()

    def _needs_of_h(self) -> str:
        return "the gradient of h"

    def _check_observation(self, obs: Observation) -> None:
        if not obs.h.has_gradient:
            raise TypeError(
                "EnSF needs the gradient of the operator, but dh or vjp was left out of it: "
                "give Componentwise(h, dh) or Custom(h, vjp)"
            )

    def _update(self, cycle: Cycle, out: Array) -> None:
        if self.regress_unobserved:
            self._update_observed(cycle, out)
            return
        observed, kernels = cycle.observed, cycle.backend
        reduce = self._reduces(cycle, cycle.forecast, observed)
        if observed is not None and (reduce or kernels.has(kernels.diffusion_analysis)):
            problem = self._problem(cycle, cycle.forecast, cycle.noise, observed, 0)
            self._run_problem(cycle, problem, reduce, out)
        else:
            for b, x1 in enumerate(cycle.forecast):
                noise = None if cycle.noise is None else cycle.noise[b]
                self._sample(
                    cycle,
                    b,
                    x1,
                    noise,
                    functools.partial(cycle.obs.gradient, y=cycle.y[b]),
                    out[b],
                )

    def _update_observed(self, cycle: Cycle, out: Array) -> None:
        """EnSF of the observed components, and a regression onto the others."""
        dim, kernels = cycle.forecast.shape[-1], cycle.backend
        form = cycle.obs.pointwise(dim)
        if cycle.obs.is_correlated:
            raise ValueError(
                "regress_unobserved=True takes observations one by one, and obs has a covariance "
                "of correlated errors: expected std=, or regress_unobserved=False"
            )
        if form is None:
            raise ValueError(
                f"regress_unobserved=True needs observations of single components, which "
                f"{cycle.obs.operator!r} does not choose"
            )
        xp, components = _arrays.namespace(cycle.forecast), np.arange(dim)[form.components]
        taper = self.localization
        if taper is not None and taper.is_none(cycle.obs.grid):
            taper = None
        places = None if taper is None else cycle.obs.places(dim)
        precision = cycle.obs.precision(cycle.forecast.dtype)
        for b, x1 in enumerate(cycle.forecast):
            # on a GPU this waits: which are missing says which arrays there are
            seen = np.flatnonzero(~np.isnan(_arrays.to_host(cycle.y[b])))
            if seen.size == 0:
                continue
            observed = components[seen]
            unobserved = np.delete(np.arange(dim), observed)
            columns = xp.asarray(observed)
            part = xp.ascontiguousarray(x1[:, columns])
            noise = None
            if cycle.noise is not None:
                noise = xp.ascontiguousarray(cycle.noise[b][..., columns])
            moved = xp.empty_like(part)
            part_observed = ObservedComponents(
                kind=form.kind,
                parameter=form.parameter,
                offset=0,
                stride=1,
                size=seen.size,
                indices=None,
                y=xp.ascontiguousarray(cycle.y[b][xp.asarray(seen)]),
                precision=precision[seen] if precision.size > 1 else precision,
                function=form.function,
            )
            reduce = self._reduces(cycle, part, part_observed)
            known = part_observed.kind in kernels.kinds
            if reduce or (known and kernels.has(kernels.diffusion_analysis)):
                problem = self._problem(
                    cycle, part[None], None if noise is None else noise[None], part_observed, b
                )
                self._run_problem(cycle, problem, reduce, moved[None])
            else:
                gradient = functools.partial(self._gradient_of_part, cycle, b, observed)
                self._sample(cycle, b, part, noise, gradient, moved)
            out[b][:, columns] = moved
            if taper is None or places is None:
                regress(x1, moved, observed, unobserved, out[b])
            else:
                grid, where = places
                regress_locally(x1, moved, observed, unobserved, grid, where[seen], taper, out[b])

    @staticmethod
    def _gradient_of_part(cycle: Cycle, b: int, observed: Array, x: Array) -> Array:
        """Return grad J of the observed components, of which no other is a function."""
        whole = np.zeros((x.shape[0], cycle.forecast.shape[-1]), x.dtype)
        whole[:, observed] = x
        gradient: Array = cycle.obs.gradient(whole, cycle.y[b])[:, observed]
        return gradient

    def _reduces(self, cycle: Cycle, x1: Array, observed: ObservedComponents | None) -> bool:
        """Return whether the analysis of (..., N, D) takes the reduced form."""
        members, dim = x1.shape[-2:]
        return self._is_linear and reduced.chosen(
            self.algorithm,
            observed,
            cycle.backend,
            members,
            dim,
            self.steps,
            paired=self.score == "paired",
        )

    @staticmethod
    def _run_problem(cycle: Cycle, problem: DiffusionProblem, reduce: bool, out: Array) -> None:
        if reduce:
            cycle.backend.reduced_analysis(reduced.of_diffusion(problem, cycle.backend), out)
        else:
            cycle.backend.diffusion_analysis(problem, out)

    def _problem(
        self,
        cycle: Cycle,
        x1: Array,
        noise: Array | None,
        observed: ObservedComponents,
        batch: int,
    ) -> DiffusionProblem:
        """Return the analysis of a batch as fused kernels take it."""
        if noise is not None and self.sampler == "ode":
            noise = noise[:, None]
        return DiffusionProblem(
            x1=x1,
            noise=noise,
            key=cycle.key,
            schedule=np.array(self._schedule),
            score_limit=self._limit,
            paired=self.score == "paired",
            standardize=self.standardize_start,
            observed=observed,
            batch=batch,
        )

    def _sample(
        self,
        cycle: Cycle,
        b: int,
        x1: Array,
        noise: Array | None,
        gradient: Callable[[Array], Array],
        out: Array,
    ) -> None:
        """Run the analysis of one ensemble step by step."""

        def normals(draw: int) -> Array:
            if noise is not None:
                return noise[draw] if self.sampler == "sde" else noise
            draws = cycle.backend.empty(x1.shape, x1.dtype)
            cycle.backend.state_normals(cycle.key, b, draw, draws)
            return draws

        diffusion_sampler.sample(
            cycle.backend,
            x1,
            gradient,
            self._schedule,
            normals,
            paired=self.score == "paired",
            score_limit=self._limit,
            standardize=self.standardize_start,
            out=out,
        )
