"""When the reduced form of a sampler is taken, and what a streaming problem is in it.

The form itself stands in `enfilt.backends.numpy.reduced`. It is exact where steps are linear in the
state: with observations that pick components, in as many groups as they have distinct errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..backends import Backend, DiffusionProblem, FlowProblem, ObservedComponents, Stage
from ..backends.problems import ReducedMap, ReducedProblem, ReducedStage, StartFrom

#: Values of the option `algorithm`.
ALGORITHMS = ("auto", "streaming", "reduced")

#: Distinct observation errors that the reduced form keeps Gram matrices for.
MAX_ERRORS = 8


def obstacle(observed: ObservedComponents | None, backend: Backend) -> str | None:
    """Return why steps with these observations can't be reduced; None where they can."""
    if observed is None or not backend.picks(observed):
        return (
            "expected an operator that picks single components as they are (Identity, Subset, "
            "Every, Mask), errors not correlated"
        )
    if len(backend.precisions(observed, MAX_ERRORS)) > MAX_ERRORS:
        return f"expected at most {MAX_ERRORS} distinct values of the observations' std"
    return None


class _Cost(NamedTuple):
    """What the reduced form costs beyond one streaming step, in numbers of an ensemble streamed.

    A streaming step takes a time in proportion to N D; these are N D of the steps that would take
    as long: a multiple of N D, more of them for each group of components but the first, and numbers
    for a call, an evaluation of the weights, and each pair of members in one.
    """

    passes: int
    call: int
    evaluation: int
    pair: int
    group: int = 0


# Measured by bench/reduced.py, f2p; the other paths, which have one ensemble less in the
# Gram matrices, would have fewer passes. Plain NumPy keeps the streaming form: it is the oracle.
#
# That of "cuda" is counted, for f2p in float32, and not measured. A streaming step moves 4 N
# numbers a component. The reduced form moves 10 N (normals written, means of x1 and x0, both and
# the normals for the Gram matrices and again for z), and has 8 N^2 + 12 N float64 operations in
# these, 4 of which take a data centre's GPU as long as a byte: 2.7 + N/8 steps up to 32 members,
# 5.2 for 20. With more the streaming form is tiled and moves 7 N numbers in 5 N^2 float32
# operations; it stays below 7 steps. Components of one group among others are read with their
# neighbours, 7 N numbers more. A step on coefficients reads (2 N)^2 float64 numbers for each member
# out of cache, the bytes of 2 N^3 members' components: below 64 N^2 up to 32 members and, against
# the operations of streaming steps, beyond; it starts fewer kernels than they do.
_COSTS = {
    "cpp": _Cost(5, 24_000, 0, 64),
    "numba": _Cost(7, 80_000, 50_000, 64),
    "cuda": _Cost(7, 0, 0, 64, group=2),
}

# Steps of the paired score, in cache, that take the time of one that passes over memory.
_PAIRED_STEPS = 8


def pays(
    backend: Backend,
    members: int,
    dim: int,
    evaluations: int,
    paired: bool,
    observed: ObservedComponents | None = None,
) -> bool:
    """Return whether the reduced form is the faster one, where it applies.

    Parameters are those of `chosen`; `observed` is None where steps do not look at it.
    """
    if backend.name not in _COSTS:
        return False
    cost, dim = _COSTS[backend.name], backend.whole(dim)
    spared = evaluations / _PAIRED_STEPS - 1 if paired else evaluations - cost.passes
    if cost.group and observed is not None:
        others = len(backend.precisions(observed, MAX_ERRORS)) - (observed.size == dim)
        spared -= cost.group * others
    spent = cost.call + evaluations * (cost.evaluation + cost.pair * members**2)
    return spared * members * dim > spent


def chosen(
    algorithm: str,
    observed: ObservedComponents | None,
    backend: Backend,
    members: int,
    dim: int,
    evaluations: int,
    *,
    in_steps: bool = True,
    paired: bool = False,
) -> bool:
    """Return whether an analysis takes the reduced form.

    Parameters
    ----------
    algorithm : {"auto", "streaming", "reduced"}
    observed : ObservedComponents or None
        None: no form that kernels know.
    backend : Backend
    members, dim : int
        Size of one ensemble.
    evaluations : int
        Of the weights, in one analysis.
    in_steps : bool
        Whether steps look at the observations at all.
    paired : bool
        Whether the streaming form runs all its steps in one pass.

    Raises
    ------
    ValueError
        If it is asked for and does not apply; the message says why.
    """
    if algorithm == "streaming":
        return False
    seen = observed if in_steps else None
    if algorithm == "auto" and not pays(backend, members, dim, evaluations, paired, seen):
        return False
    reason = obstacle(observed, backend) if in_steps else None
    if reason is not None and algorithm == "reduced":
        raise ValueError(f"algorithm='reduced' can't run these observations: {reason}")
    return reason is None


def of_flow(p: FlowProblem, backend: Backend) -> ReducedProblem:
    """Return the flow filter's analysis in reduced form."""
    stages = [Stage(*map(float, row)) for row in p.stages]
    dt = 1 / (len(stages) - (1 if p.heun else 0))
    precisions = _precisions(p.observed, backend)

    def step(s: Stage, precision: float) -> ReducedMap:
        # v = ratio z + m, m what the weights mix; f = v + pull (y - x_hat), x_hat = z + remaining v
        pull = s.strength * precision
        of_velocity = 1 - pull * s.remaining
        return ReducedMap(
            1 + dt * (s.ratio * of_velocity - pull), dt * of_velocity, towards=dt * pull
        )

    return ReducedProblem(
        x1=p.x1,
        x0=p.x0,
        start_from=StartFrom(stages[0].a1, stages[0].a0, p.start_width),
        start=p.start,
        noise=p.noise,
        key=p.key,
        batch=0,
        standardize=False,
        stages=np.array([ReducedStage(s.a1, s.a0, s.half_precision, s.b1, s.b0) for s in stages]),
        maps=np.array([[step(s, r) for r in precisions] for s in stages]),
        heun=p.heun,
        paired=False,
        log_weights=p.log_weights,
        gains=p.gains,
        precisions=precisions,
        observed=p.observed,
    )


def of_diffusion(p: DiffusionProblem, backend: Backend) -> ReducedProblem:
    """Return the score filter's analysis, deterministic and without a limit, in reduced form."""
    columns = p.schedule.T
    centre, half_precision, ratio, pull, damping, keep, gain, _ = columns
    precisions = _precisions(p.observed, backend)
    none = np.zeros_like(centre)
    towards = (gain * damping)[:, None] * precisions
    return ReducedProblem(
        x1=p.x1,
        x0=None,
        start_from=StartFrom(0.0, 0.0, 1.0),
        start=None,
        noise=None if p.noise is None else _checks.contiguous(p.noise[:, 0]),
        key=p.key,
        batch=p.batch,
        standardize=p.standardize,
        stages=np.stack([centre, none, half_precision, pull, none], axis=1),
        maps=np.stack(
            [
                (keep + gain * ratio)[:, None] - towards,
                np.broadcast_to(gain[:, None], towards.shape),
                towards,
            ],
            axis=2,
        ),
        heun=False,
        paired=p.paired,
        log_weights=None,
        gains=None,
        precisions=precisions,
        observed=p.observed,
    )


def _precisions(observed: ObservedComponents | None, backend: Backend) -> npt.NDArray[np.float64]:
    if observed is None:
        return np.zeros(1)
    # r may be so large that 1/r^2 is 0: such components are among those not observed
    seen = [p for p in backend.precisions(observed, MAX_ERRORS) if p > 0]
    return np.array([0.0, *seen])
