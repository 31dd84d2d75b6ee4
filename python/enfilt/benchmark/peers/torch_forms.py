"""The forms that one would write in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..case import Array
from ..problems import Flow, PairedScore
from ..timing import core

Tensor = torch.Tensor


def _tensors(problem: dict[str, Any], *names: str) -> list[Tensor]:
    """Return arrays of a problem as tensors, with as many threads for PyTorch as ours has."""
    torch.set_num_threads(core().threads())
    return [torch.from_numpy(problem[name]) for name in names]


def flow_broadcasting(flow: Flow, problem: dict[str, Any], chunk: int) -> Callable[[], Array]:
    """Return the flow by broadcasting to (N, N, chunk): the form of the literature's code.

    Transue et al. 2025, arXiv:2508.13313: path f2p, Euler's steps, local guidance, arctan of every
    component. Chunks, because N x N x D does not fit into memory at a million components.
    """
    x1, x0, y, noise = _tensors(problem, "forecast", "previous", "y", "noise")
    sigma, strength, std = flow.sigma_min, flow.strength, flow.std
    pieces = [slice(d, min(d + chunk, x1.shape[1])) for d in range(0, x1.shape[1], chunk)]
    dt = 1 / flow.steps

    @torch.no_grad()
    def run() -> Array:
        z = x0 + sigma * noise
        for k in range(flow.steps):
            t = k * dt
            distance = torch.zeros((len(x1), len(x1)), dtype=torch.float64)
            for d in pieces:
                mu = t * x1[:, d] + (1 - t) * x0[:, d]
                distance += ((z[:, None, d] - mu[None]) ** 2).sum(-1, dtype=torch.float64)
            w = torch.softmax(-distance / (2 * sigma**2), dim=1).to(z.dtype)
            for d in pieces:
                v = (w[:, :, None] * (x1[:, d] - x0[:, d])[None]).sum(1)
                x_hat = z[:, d] + (1 - t) * v
                gradient = (y[d] - torch.atan(x_hat)) / (std**2 * (1 + x_hat**2))
                z[:, d] += dt * (v + strength * gradient)
        return z.numpy()

    return run


def flow_gemm(flow: Flow, problem: dict[str, Any]) -> Callable[[], Array]:
    """Return the flow by matrix products, a step compiled by `torch.compile`.

    |z - mu|^2 without |z|^2, which the softmax does not see; products with x1 and x0 stacked, so
    that each is read twice a step. All ensembles about the forecast mean, for float32's sake.
    """
    x1, x0, y, noise = _tensors(problem, "forecast", "previous", "y", "noise")
    sigma, strength, std = flow.sigma_min, flow.strength, flow.std
    n, dt = len(x1), 1 / flow.steps
    centre = x1.mean(0)
    stacked = torch.cat([x1 - centre, x0 - centre])

    def step(z: Tensor, stacked: Tensor, centre: Tensor, norms: Tensor, t: Tensor) -> Tensor:
        cross = z @ stacked.T
        of_mu = t**2 * norms[0] + 2 * t * (1 - t) * norms[1] + (1 - t) ** 2 * norms[2]
        distance = of_mu - 2 * (t * cross[:, :n] + (1 - t) * cross[:, n:])
        w = torch.softmax(-distance / (2 * sigma**2), dim=1)
        v = torch.cat([w, -w], dim=1) @ stacked
        x_hat = z + (1 - t) * v + centre
        gradient = (y - torch.atan(x_hat)) / (std**2 * (1 + x_hat**2))
        moved: Tensor = z + dt * (v + strength * gradient)
        return moved

    compiled: Callable[..., Tensor] = torch.compile(step)

    @torch.no_grad()
    def run() -> Array:
        a, b = stacked[:n], stacked[n:]
        norms = torch.stack([(a * a).sum(1), (a * b).sum(1), (b * b).sum(1)])
        z = b + sigma * noise
        for k in range(flow.steps):
            z = compiled(z, stacked, centre, norms, torch.tensor(k * dt, dtype=z.dtype))
        found: Array = (z + centre).numpy()
        return found

    run()  # compiles
    return run


def score_elementwise(score: PairedScore, problem: dict[str, Any]) -> Callable[[], Array]:
    """Return EnSF with the paired score, an array operation at a time.

    Bao, Zhang, Zhang 2024, "An ensemble score filter for tracking high-dimensional nonlinear
    dynamical systems"; arctan of every component, score limited. Without ``noise`` in the problem
    it draws its own. A chunk of components at a time: no component needs another, and on whole
    ensembles the system clears new memory for every operation, which takes it three to six times as
    long.
    """
    chunk = 1 << 14  # of 4,096 to 65,536 the fastest for ode, within a tenth of it for sde
    x1, y = _tensors(problem, "forecast", "y")
    start = problem.get("noise")
    std, limit, dt = score.std, score.limit, 1 / score.steps
    least, floor = score.eps_alpha, score.eps_beta

    def moved(x1: Tensor, x: Tensor, y: Tensor) -> Tensor:
        for k in range(score.steps):
            t = 1 - k * dt
            alpha, beta2 = 1 - t * (1 - least), floor + t * (1 - floor)
            f = -(1 - least) / alpha
            g2 = (1 - floor) - 2 * f * beta2
            gradient = (torch.atan(x) - y) / std**2 / (1 + x * x)
            s = (-(x - alpha * x1) / beta2 - (1 - t) * gradient).clamp(-limit, limit)
            if score.sampler == "ode":
                x = x - dt * (f * x - 0.5 * g2 * s)
            else:
                x = x - dt * (f * x - g2 * s) + (g2 * dt) ** 0.5 * torch.randn_like(x)
        return x

    @torch.no_grad()
    def run() -> Array:
        whole = torch.randn_like(x1) if start is None else torch.from_numpy(start)
        out = torch.empty_like(x1)
        for d in range(0, x1.shape[1], chunk):
            part = slice(d, d + chunk)
            out[:, part] = moved(x1[:, part], whole[:, part], y[part])
        found: Array = out.numpy()
        return found

    return run


def lorenz96(x: Array, steps: int, forcing: float, dt: float) -> Callable[[], Array]:
    """Return RK4 of Lorenz-96 with `torch.roll`, a step compiled by `torch.compile`."""
    torch.set_num_threads(core().threads())
    start = torch.from_numpy(x)

    def tendency(x: Tensor) -> Tensor:
        ahead, behind = torch.roll(x, -1, 1), torch.roll(x, 1, 1)
        return (ahead - torch.roll(x, 2, 1)) * behind - x + forcing

    def step(x: Tensor) -> Tensor:
        k1 = tendency(x)
        k2 = tendency(x + dt / 2 * k1)
        k3 = tendency(x + dt / 2 * k2)
        k4 = tendency(x + dt * k3)
        return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    compiled = torch.compile(step)

    @torch.no_grad()
    def run() -> Array:
        z = start
        for _ in range(steps):
            z = compiled(z)
        found: Array = z.numpy()
        return found

    run()  # compiles
    return run
