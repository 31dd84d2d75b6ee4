"""The flow by KeOps, whose formulas are compiled at run time: it needs a C++ compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pykeops.torch import LazyTensor

from ..case import Array
from ..problems import Flow
from ..timing import core


def flow(settings: Flow, problem: dict[str, Any]) -> Callable[[], Array]:
    """Return the flow with symbolic N x N x D arrays; path f2p, local guidance, arctan."""
    torch.set_num_threads(core().threads())
    names = ("forecast", "previous", "y", "noise")
    x1, x0, y, noise = (torch.from_numpy(problem[name]) for name in names)
    sigma, strength, std = settings.sigma_min, settings.strength, settings.std
    dt = 1 / settings.steps
    moves = LazyTensor((x1 - x0)[None].contiguous())

    @torch.no_grad()
    def run() -> Array:
        z = x0 + sigma * noise
        for k in range(settings.steps):
            t = k * dt
            mu = LazyTensor((t * x1 + (1 - t) * x0)[None].contiguous())
            distance = ((LazyTensor(z[:, None].contiguous()) - mu) ** 2).sum(-1)
            v = (-distance / (2 * sigma**2)).sumsoftmaxweight(moves, axis=1)
            x_hat = z + (1 - t) * v
            gradient = (y - torch.atan(x_hat)) / (std**2 * (1 + x_hat**2))
            z = z + dt * (v + strength * gradient)
        found: Array = z.numpy()
        return found

    run()  # compiles
    return run
