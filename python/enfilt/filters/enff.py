"""The ensemble flow filter."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..backends import FlowProblem, Stage
from ..observation import Observation
from ..paths import AffinePath, as_path
from . import flow_sampler, knobs, reduced
from .base import EnsembleFilter
from .cycle import Cycle
from .guidance import Context, Guidance, GuidanceFunction, as_guidance

__all__ = ["EnFF"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class EnFF(EnsembleFilter):
    """The ensemble flow filter (EnFF): a training-free flow from a start to the posterior.

    Transue, Chen, Takao, Wang (2025), "Flow Matching for Efficient and Scalable Data
    Assimilation", arXiv:2508.13313. Members move along the Monte Carlo marginal flow field of an
    affine Gaussian path, v_i = sum_j w_ij (...), bent by guidance towards the observations.

    Parameters
    ----------
    path : {"f2p", "ot", "ve"} or AffinePath
        Where the flow starts: at the previous analysis (``f2p``), at N(0, I) (``ot``), or at the
        forecast with much noise (``ve``).
    guidance : {"local", "none", "monte-carlo", "covariance"} or callable
        ``local`` pulls each member along -strength grad J; ``monte-carlo`` weights forecast
        members by their likelihood and needs no gradient; ``covariance`` (``ot`` and ``ve``)
        uses the gain of the Gaussian forecast and has no strength to tune. A callable is
        ``guidance(t, z, v, x_hat, y, obs) -> g`` on (N, D) arrays. Values of h(x) in place of an
        operator, ``observed=``, are for ``monte-carlo`` and ``covariance``; the latter moves them
        with the members, h(E[x1|z]) being the same mixture of them that E[x1|z] is of members.
    steps : int
        Steps of the sampler, at least 1. (The literature's ``linspace(0, 1, 20)`` is 19 steps.)
    sigma_min : float, optional
        Width of the path at its end (``f2p``: everywhere), above zero. Default: the path's own,
        0.01 for ``ot`` and ``f2p``, 1 for ``ve``.
    strength : float or callable
        Of the local guidance: a number, at least 0, or a function of t in [0, 1].
    sampler : {"euler", "heun"}
        Order of the steps: first or second.
    coupling : {"paired", "independent"}
        For ``f2p``: member i starts from its own previous analysis, or from a randomly permuted
        one (drawn from `rng`, with ``noise=`` too).
    algorithm : {"auto", "streaming", "reduced"}
        ``streaming`` passes over memory once a step; ``reduced`` twice in all, and runs the steps
        on coefficients, for operators that pick components (with guidance that looks at none, for
        any). They agree to rounding; ``auto`` takes the reduced form where it applies and pays.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernels run; "auto" is the best that is there.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> previous = rng.standard_normal((20, 3))
    >>> forecast = previous + 0.5
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.1)
    >>> filt = ef.EnFF(path="f2p", steps=10, strength=0.02)
    >>> y = np.arctan([1.0, 0.5, 0.0])
    >>> analysis = filt.analysis(forecast, y, obs, previous=previous, rng=1)
    >>> analysis.shape
    (20, 3)
    """

    path: str | AffinePath = "f2p"
    guidance: str | GuidanceFunction = "local"
    steps: int = 19
    sigma_min: float | None = None
    strength: float | Callable[[float], float] = 0.05
    sampler: str = "euler"
    coupling: str = "paired"
    algorithm: str = "auto"

    _name: ClassVar[str] = "enff"
    _takes_cupy: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = True

    def _check_options(self) -> None:
        _checks.integer("steps", self.steps, 1)
        _checks.choice("sampler", self.sampler, ["euler", "heun"])
        _checks.choice("coupling", self.coupling, ["paired", "independent"])
        _checks.choice("algorithm", self.algorithm, reduced.ALGORITHMS)
        if self.algorithm == "reduced" and not self._guidance.in_kernels:
            raise ValueError(
                "algorithm='reduced' can't run a guidance of the user's, of which it does not know "
                "that it is linear: expected 'auto' or 'streaming'"
            )
        path = self._path
        if self.coupling == "independent" and not path.uses_previous:
            raise ValueError(
                f"coupling='independent' does nothing with path={path.name!r}, "
                f"which does not start from the previous analysis: expected 'paired'"
            )
        if not callable(self.strength):
            _checks.number("strength", self.strength, least=0)
        self._guidance.check_path(path)

    # What follows from the options alone is made once: a small analysis takes less time than it.

    @functools.cached_property
    def _path(self) -> AffinePath:
        return as_path(self.path, self.sigma_min)

    @functools.cached_property
    def _guidance(self) -> Guidance:
        return as_guidance(self.guidance)

    @functools.cached_property
    def _stages(self) -> list[Stage]:
        count = self.steps + (1 if self.sampler == "heun" else 0)
        times = [k / self.steps for k in range(count)]
        return [self._path.stage(t, self._strength_at(t)) for t in times]

    def _strength_at(self, t: float) -> float:
        if not self._guidance.needs_gradient:
            return 0.0
        if callable(self.strength):
            return _checks.number(f"strength({t})", self.strength(t), least=0)
        return float(self.strength)

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        found = {"sigma_min": knobs.Knob("sigma_min", 1e-3, 1.0, 0.02, log=True)}
        if self.guidance == "local":
            found["strength"] = knobs.Knob("strength", 1e-4, 1.0, 0.05, log=True)
        return {**found, "inflation": knobs.rtps(0.0)}

    @property
    def _needs_previous(self) -> bool:
        return self._path.uses_previous

    @property
    def _draws_beside_noise(self) -> bool:
        return self.coupling == "independent"

    def _keeps_whole(self) -> str:
        if not self._guidance.in_kernels:
            return "a guidance of your own may look at all components"
        return super()._keeps_whole()

    def _needs_of_h(self) -> str:
        if not self._guidance.in_kernels:
            return "h itself in a guidance of the user's"
        return "the gradient of h" if self._guidance.needs_gradient else ""

    def _check_observation(self, obs: Observation) -> None:
        if self._guidance.needs_gradient and not obs.h.has_gradient:
            raise TypeError(
                f"guidance={self.guidance!r} needs the gradient of the operator, but dh or vjp was "
                f"left out of it: give Componentwise(h, dh) or Custom(h, vjp), or use "
                f"guidance='monte-carlo'"
            )

    def _calls_back(self, cycle: Cycle) -> bool:
        return super()._calls_back(cycle) or not self._guidance.in_kernels

    def _update(self, cycle: Cycle, out: Array) -> None:
        path, guidance, stages = self._path, self._guidance, self._stages
        x1 = cycle.forecast
        x0 = cycle.previous if path.uses_previous else None
        batch, members, dim = x1.shape
        start = None
        if self.coupling == "independent":
            start = np.array([cycle.rng.permutation(members) for _ in range(batch)], np.int64)

        def context(b: int) -> Context:
            return Context(
                x1=x1[b],
                x0=None if x0 is None else x0[b],
                y=cycle.y[b],
                obs=cycle.obs,
                observed=None if cycle.observed is None else cycle.observed.of(b),
                given=None if cycle.given is None else cycle.given[b],
                stages=stages,
                backend=cycle.backend,
            )

        fits = cycle.observed is not None or not guidance.observes_in_steps
        reduce = guidance.in_kernels and reduced.chosen(
            self.algorithm,
            cycle.observed,
            cycle.backend,
            members,
            dim,
            self.steps * (2 if self.sampler == "heun" else 1),
            in_steps=guidance.observes_in_steps,
        )
        kernels = cycle.backend
        in_one_piece = (
            kernels.flow_analysis_with_gains if guidance.has_gains else kernels.flow_analysis
        )
        fused = kernels.has(in_one_piece) and guidance.in_kernels and fits
        if reduce or fused:
            problem = FlowProblem(
                x1=x1,
                x0=x0,
                start_width=path.s(0.0),
                start=start,
                noise=cycle.noise,
                key=cycle.key,
                stages=np.array(stages),
                heun=self.sampler == "heun",
                log_weights=_of_all(guidance.log_weights, context, batch),
                gains=_of_all(guidance.gains, context, batch),
                observed=cycle.observed if guidance.observes_in_steps else None,
            )
            if reduce:
                kernels.reduced_analysis(reduced.of_flow(problem, kernels), out)
            else:
                in_one_piece(problem, out)
            return
        for b in range(batch):
            if cycle.noise is not None:
                noise = cycle.noise[b]
            else:
                noise = cycle.backend.empty((members, dim), x1.dtype)
                kernels.state_normals(cycle.key, b, 0, noise)
            flow_sampler.sample(
                context(b),
                guidance,
                np.arange(members) if start is None else start[b],
                noise,
                path.s(0.0),
                heun=self.sampler == "heun",
                out=out[b],
            )


def _of_all(
    part: Callable[[Context], Array | None], context: Callable[[int], Context], batch: int
) -> Array | None:
    """Return a part of the guidance for each ensemble of a batch, stacked.

    A guidance that has none for the first has none for any: of a batch of hundreds of small
    ensembles no other is looked at.
    """
    first = part(context(0))
    if first is None:
        return None
    found = [first, *(part(context(b)) for b in range(1, batch))]
    stacked: Array = _arrays.namespace(first).stack(found)
    return stacked
