"""EnSF with the paired score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...observation import Observation
from ...operators import Arctan
from ..case import Array, Case, Peer, Problem, Size
from ..problems import PairedScore


def _paired(size: Size, sampler: str) -> Problem:
    score = PairedScore(size.steps, sampler)
    filt = score.filter()
    rng = np.random.default_rng(0)
    shape = (size.members, size.dim)
    truth = 3 * rng.standard_normal(size.dim)
    problem: dict[str, Any] = {
        "forecast": (truth + 0.3 * rng.standard_normal(shape)).astype(size.dtype),
        "y": (np.arctan(truth) + score.std * rng.standard_normal(size.dim)).astype(size.dtype),
        "obs": Observation(Arctan(), std=score.std),
    }
    start = rng.standard_normal(shape).astype(size.dtype)
    if sampler == "ode":
        problem["noise"] = start

    def make() -> Callable[[], Array]:
        from ..peers import torch_forms

        return torch_forms.score_elementwise(score, problem)

    return Problem(
        lambda out: filt.analysis(**problem, rng=0, out=out),
        (
            Peer(
                "PyTorch, elementwise",
                make,
                "torch",
                20,
                same_result=sampler == "ode",
                note="" if sampler == "ode" else "each draws its own normals",
            ),
        ),
    )


def ode(size: Size) -> Problem:
    """Return the probability flow, from one start on both sides."""
    return _paired(size, "ode")


def sde(size: Size) -> Problem:
    """Return the stochastic sampler, which draws normals in every step."""
    return _paired(size, "sde")


_FULL, _QUICK = Size(20, 1_000_000, 500), Size(5, 2_000, 100)

CASES = (
    Case(
        "ensf-ode", "EnSF paired, ode", _FULL, _QUICK, ode, lambda size: 2.0 * size.bytes,
        sweeps=("dim", "members", "steps", "threads"),
    ),
    Case(
        "ensf-sde", "EnSF paired, sde", _FULL, _QUICK, sde, lambda size: 2.0 * size.bytes,
        sweeps=(),
    ),
)  # fmt: skip
