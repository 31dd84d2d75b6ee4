"""The analysis that most cases time: an ensemble on the attractor of Lorenz-96."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..grids import RegularGrid
from ..models import Lorenz96
from ..observation import Observation
from ..operators import Operator
from .case import Size


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
