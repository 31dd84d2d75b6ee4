"""The analysis that most cases time: an ensemble on the attractor of Lorenz-96."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..filters import EnFF, EnSF
from ..grids import RegularGrid
from ..models import Lorenz96
from ..observation import Observation
from ..operators import Operator
from .case import Size


@dataclass(frozen=True)
class Flow:
    """The flow filter of the cases, path f2p with Euler's steps and local guidance."""

    steps: int
    sigma_min: float = 0.01
    strength: float = 0.05
    std: float = 0.05

    def filter(self, algorithm: str = "auto") -> EnFF:
        """Return it as ours."""
        return EnFF(
            path="f2p",
            steps=self.steps,
            sigma_min=self.sigma_min,
            strength=self.strength,
            algorithm=algorithm,
        )


@dataclass(frozen=True)
class PairedScore:
    """The score filter of the cases, each member's score from its own forecast."""

    steps: int
    sampler: str
    eps_alpha: float = 0.6
    eps_beta: float = 0.075
    limit: float = 50.0
    std: float = 0.05

    def filter(self) -> EnSF:
        """Return it as ours."""
        return EnSF(
            steps=self.steps,
            eps_alpha=self.eps_alpha,
            eps_beta=self.eps_beta,
            score="paired",
            sampler=self.sampler,
            score_limit=self.limit,
        )


def lorenz96_analysis(
    size: Size, operator: Operator, *, std: float, spread: float
) -> dict[str, Any]:
    """Return the arguments of an analysis: ensembles, observations, and the normals it draws.

    Parameters
    ----------
    size : Size
    operator : Operator
    std : float
        Of the observation error.
    spread : float
        Of the previous analysis about the truth; the forecast comes ten steps later.
    """
    rng = np.random.default_rng(0)
    dim = max(size.dim, 4)  # fewer are the first of four
    model = Lorenz96(dim=dim)
    shape = (size.members, dim)
    truth = model.step(model.initial_state(rng).astype(size.dtype), 200)
    previous = truth + (spread * rng.standard_normal(shape)).astype(size.dtype)
    forecast, now = model.step(previous, 10), model.step(truth, 10)
    obs = Observation(operator, std=std, grid=RegularGrid((size.dim,)))
    noise = rng.standard_normal((size.members, size.dim)).astype(size.dtype)
    cut = slice(0, size.dim)
    return {
        "forecast": np.ascontiguousarray(forecast[:, cut]),
        "y": obs.simulate(now[cut], rng),
        "obs": obs,
        "previous": np.ascontiguousarray(previous[:, cut]),
        "noise": noise,
    }
