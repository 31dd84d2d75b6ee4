"""The score filter's sampler, step by step: the oracle, and the path of any operator.

One analysis of one ensemble in terms of a backend's pairwise estimator. The fused kernels compute
the same in one piece; with the NumPy backend this is what they are held against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends import Backend, DiffusionStep, Stage
from ..backends.numpy.plain import standardized

Array = npt.NDArray[Any]


def sample(
    backend: Backend,
    x1: Array,
    gradient: Callable[[Array], Array],
    schedule: Sequence[DiffusionStep],
    normals: Callable[[int], Array],
    *,
    paired: bool,
    score_limit: float,
    standardize: bool,
    out: Array,
) -> None:
    """Move noise through the reverse diffusion to the analysis, and write that to `out`.

    Parameters
    ----------
    backend : Backend
        Of the pairwise estimator.
    x1 : ndarray, (N, D)
        Forecast.
    gradient : callable
        grad J of points (N, D).
    schedule : sequence of DiffusionStep
        The steps, from t = 1 on.
    normals : callable
        Standard normals (N, D) of a draw: 0 starts the sampler, k + 1 drives step k.
    paired : bool
        Draw each member to its own component only.
    score_limit : float
        The score is clipped to +- this.
    standardize : bool
        Standardize the start.
    out : ndarray, (N, D)
        Overlaps no input.
    """
    kind = x1.dtype.type
    x = normals(0)
    if standardize:
        x = standardized(x)
    for k, step in enumerate(schedule):
        if paired:
            score = kind(step.ratio) * x + kind(step.pull) * x1
        else:
            score = backend.empty(x.shape, x.dtype)
            backend.pairwise_field(x, x1, None, _mixture(step), None, score)
        if step.damping:
            score = score - kind(step.damping) * gradient(x)
        score = np.clip(score, -kind(score_limit), kind(score_limit))
        x = kind(step.keep) * x + kind(step.gain) * score
        if step.spread:
            x = x + kind(step.spread) * normals(k + 1)
    out[...] = x


def _mixture(step: DiffusionStep) -> Stage:
    """Return the pairwise estimator whose field is the score of the mixture."""
    return Stage(
        a1=step.centre,
        a0=0.0,
        half_precision=step.half_precision,
        ratio=step.ratio,
        b1=step.pull,
        b0=0.0,
        remaining=0.0,
        strength=0.0,
    )
