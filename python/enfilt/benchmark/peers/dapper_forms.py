"""Analyses by DAPPER, called as functions: no experiment of its own, no statistics."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import threadpoolctl
from scipy import sparse

from ...localization import Taper
from ..case import Array

with threadpoolctl.threadpool_limits(limits=None):  # its import would leave one thread to everyone
    from dapper.da_methods.ensemble import EnKF_analysis, local_analyses


def letkf(taper: Taper, problem: dict[str, Any]) -> Callable[[], Array]:
    """Return its LETKF, a component a batch; every component of a ring observed.

    Its own search of neighbours makes a D x D matrix, and its R^-1/2 another; in their place it
    is given the window, the weights and a sparse diagonal, so its time is that of the analyses.
    """
    forecast, y, std = problem["forecast"], problem["y"], problem["obs"].std
    dim = forecast.shape[1]
    reach = min(int(np.ceil(taper.cutoff)) - 1, (dim - 1) // 2)
    window = np.arange(-reach, reach + 1)
    weights = taper.weight(np.abs(window).astype(float))
    root = sparse.diags_array(np.full(dim, 1 / std, forecast.dtype))
    batches = np.arange(dim)[:, None]

    def near(batch: Any) -> tuple[Any, Any]:
        return (batch[0] + window) % dim, weights

    def run() -> Array:
        x = forecast.copy()  # it writes to what it is given
        observed = SimpleNamespace(sym_sqrt_inv=root)
        result: Array = local_analyses(x, x.copy(), observed, y, batches, near)[0]
        return result

    return run


def enkf(problem: dict[str, Any]) -> Callable[[], Array]:
    """Return its EnKF with perturbed observations, on the perturbations of the problem."""
    forecast, y, noise, std = (problem[k] for k in ("forecast", "y", "noise", "std"))
    covariance = SimpleNamespace(full=np.diag(np.full(y.size, std**2, forecast.dtype)))
    # it takes away their mean, which is zero, and scales them up by sqrt(N / (N - 1))
    draws = -std * noise * np.sqrt(1 - 1 / len(noise))
    drawn = SimpleNamespace(C=covariance, sample=lambda _: draws)

    def run() -> Array:
        result: Array = EnKF_analysis(forecast, forecast, drawn, y, "PertObs")
        return result

    return run
