"""What the pairwise kernels share: their checks, and the estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends
from ..backends import Stage
from ._calls import written

Array = npt.NDArray[Any]


def checked_points(x: npt.ArrayLike, name: str, members: npt.ArrayLike) -> tuple[Array, Array]:
    """Check points (M, D) and members (N, D) of one dtype."""
    points = _checks.ensemble("x", x, members=1, batch=False)
    found = _checks.floating(name, members, points.dtype, members=2)
    if found.ndim != 2 or found.shape[1] != points.shape[1] or found.shape[0] == 0:
        raise ValueError(f"{name} has shape {found.shape}: expected (N, {points.shape[1]})")
    return points, _checks.contiguous(found)


def estimate(
    points: Array,
    members: Array,
    before: Array | None,
    stage: Stage,
    log_weights: npt.ArrayLike | None,
    out: Array | None,
    backend: str,
    name: str,
) -> Array:
    arrays = {"x": points, name: members, "previous": before, "out": out}
    kernels = backends.of_arrays(backend, **arrays)
    xp = _arrays.namespace(points)
    weights = None
    if log_weights is not None:
        given_weights = _checks.plain("log_weights", log_weights)
        try:
            weights = _checks.contiguous(xp.asarray(given_weights, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise TypeError(f"log_weights can't be read as an array of numbers: {error}") from None
        if weights.shape != (len(members),):
            raise ValueError(
                f"log_weights has shape {weights.shape}: expected ({len(members)},), one a member"
            )
    if not kernels.on_device:
        given = {"x": points, name: members, "previous": before, "log_weights": weights}
        for argument, array in given.items():
            if array is not None:
                fast = None if array is weights else kernels.all_finite
                _checks.finite(argument, array, fast)

    def write(result: Array) -> None:
        kernels.pairwise_field(points, members, before, stage, weights, result)

    failure = f"x and {name} are too far apart"
    return written(kernels, (points, members, before), points, out, write, failure)
