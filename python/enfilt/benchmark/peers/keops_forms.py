"""The flow by KeOps, whose formulas are compiled at run time: it needs a C++ compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pykeops.torch import LazyTensor

from ...filters import EnFF
from ..case import Array
from ..timing import core


def flow(filt: EnFF, problem: dict[str, Any]) -> Callable[[], Array]:
    """Return the flow with symbolic N x N x D arrays; path f2p, local guidance, arctan."""
    torch.set_num_threads(core().threads())
    names = ("forecast", "previous", "y", "noise")
    x1, x0, y, noise = (torch.from_numpy(problem[name]) for name in names)
    sigma, strength, std = filt.sigma_min, filt.strength, problem["obs"].std
    dt = 1 / filt.steps
    moves = LazyTensor((x1 - x0)[None].contiguous())

    @torch.no_grad()
    def run() -> Array:
        z = x0 + sigma * noise
        for k in range(filt.steps):
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
