"""The flow filter's sampler, step by step: the oracle, and the path of any operator or guidance.

One analysis of one ensemble in terms of a backend's pairwise estimator. The fused kernels compute
the same in one piece; with the NumPy backend this is what they are held against.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _arrays
from .guidance import Context, FlowState, Guidance

Array = npt.NDArray[Any]


def sample(
    context: Context,
    guidance: Guidance,
    start: Array,
    noise: Array,
    start_width: float,
    *,
    heun: bool,
    out: Array,
) -> None:
    """Move the start of each member along the flow to t = 1, and write where it ends to `out`.

    Parameters
    ----------
    context : Context
        The analysis; ``context.stages`` are those of t_k = k/steps, k = 0 .. steps - 1, and for
        Heun's method also of t = 1.
    guidance : Guidance
        What is added to the flow.
    start : ndarray of int, (N,)
        The row whose conditional path member i starts on.
    noise : ndarray, (N, D)
        Standard normals of the start.
    start_width : float
        s(0).
    heun : bool
        Heun's second-order steps instead of Euler's.
    out : ndarray, (N, D)
        Overlaps no input.
    """
    kind = out.dtype.type
    stages, x1, x0 = context.stages, context.x1, context.x0
    steps = len(stages) - (1 if heun else 0)
    dt = kind(1 / steps)
    log_weights = guidance.log_weights(context)
    context.gains = guidance.gains(context)

    def field(index: int, z: Array) -> Array:
        stage = stages[index]
        v = context.backend.empty(z.shape, z.dtype)
        context.backend.pairwise_field(z, x1, x0, stage, log_weights, v)
        x_hat = z + kind(stage.remaining) * v
        g = guidance.drift(context, FlowState(1 - stage.remaining, stage, index, z, v, x_hat))
        return v if g is None else v + g

    centre = kind(stages[0].a1) * x1
    if x0 is not None:
        centre = centre + kind(stages[0].a0) * x0
    z = centre[_arrays.namespace(x1).asarray(start)] + kind(start_width) * noise
    for k in range(steps):
        f = field(k, z)
        if heun:
            f = (f + field(k + 1, z + dt * f)) / 2
        z = z + dt * f
    out[...] = z
