"""The forms that one would write in JAX, the whole computation under `jax.jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..case import Array
from ..problems import Flow

jax.config.update("jax_enable_x64", True)  # arrays keep the dtype that they are given


def flow_gemm(flow: Flow, problem: dict[str, Any]) -> Callable[[], Any]:
    """Return the flow by matrix products, as in `torch_forms.flow_gemm`."""
    x1, x0, y, noise = (jnp.asarray(problem[k]) for k in ("forecast", "previous", "y", "noise"))
    sigma, strength, std = flow.sigma_min, flow.strength, flow.std
    n, dt = len(x1), 1 / flow.steps

    def whole(x1: Any, x0: Any, y: Any, noise: Any) -> Any:
        centre = x1.mean(0)
        a, b = x1 - centre, x0 - centre
        stacked = jnp.concatenate([a, b])
        norms = (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)

        def step(k: Any, z: Any) -> Any:
            t = (k * dt).astype(z.dtype)
            cross = z @ stacked.T
            of_mu = t**2 * norms[0] + 2 * t * (1 - t) * norms[1] + (1 - t) ** 2 * norms[2]
            # With |z|^2, which the softmax does not need: XLA fuses the logits with the
            # subtraction of their maximum, and logits of 1e10 are rounded past it to infinity.
            of_z = (z * z).sum(1, keepdims=True)
            distance = of_z + of_mu - 2 * (t * cross[:, :n] + (1 - t) * cross[:, n:])
            w = jax.nn.softmax(-distance / (2 * sigma**2), axis=1)
            v = jnp.concatenate([w, -w], axis=1) @ stacked
            x_hat = z + (1 - t) * v + centre
            gradient = (y - jnp.arctan(x_hat)) / (std**2 * (1 + x_hat**2))
            return z + dt * (v + strength * gradient)

        return lax.fori_loop(0, flow.steps, step, b + sigma * noise) + centre

    compiled = jax.jit(whole)
    compiled(x1, x0, y, noise).block_until_ready()  # compiles
    return lambda: compiled(x1, x0, y, noise).block_until_ready()


def lorenz96(x: Array, steps: int, forcing: float, dt: float) -> Callable[[], Any]:
    """Return RK4 of Lorenz-96 with `jax.numpy.roll`, all steps in one call."""

    def tendency(x: Any) -> Any:
        ahead, behind = jnp.roll(x, -1, 1), jnp.roll(x, 1, 1)
        return (ahead - jnp.roll(x, 2, 1)) * behind - x + forcing

    def step(_: Any, x: Any) -> Any:
        k1 = tendency(x)
        k2 = tendency(x + dt / 2 * k1)
        k3 = tendency(x + dt / 2 * k2)
        k4 = tendency(x + dt * k3)
        return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    whole = jax.jit(lambda x: lax.fori_loop(0, steps, step, x))
    start = jnp.asarray(x)
    whole(start).block_until_ready()  # compiles
    return lambda: whole(start).block_until_ready()
