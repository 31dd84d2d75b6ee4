"""Steps of the Lorenz-96 model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import Lorenz96
from ..case import Array, Case, Peer, Problem, Size
from ..peers import numpy_forms

FORCING, DT = 8.0, 0.01


def steps(size: Size) -> Problem:
    """Return Runge-Kutta steps of an ensemble."""
    model = Lorenz96(dim=size.dim, forcing=FORCING, dt=DT)
    rng = np.random.default_rng(0)
    x = (3.0 * rng.standard_normal((size.members, size.dim))).astype(size.dtype)

    def in_torch() -> Callable[[], Array]:
        from ..peers import torch_forms

        return torch_forms.lorenz96(x, size.steps, FORCING, DT)

    def in_jax() -> Callable[[], Any]:
        from ..peers import jax_forms

        return jax_forms.lorenz96(x, size.steps, FORCING, DT)

    return Problem(
        lambda out: model.step(x, size.steps, out=out),
        (
            Peer(
                "NumPy, roll",
                lambda: numpy_forms.lorenz96(x, size.steps, FORCING, DT),
                target=60,
            ),
            Peer("torch.compile", in_torch, "torch", 25),
            Peer("jax.jit", in_jax, "jax", 10),
        ),
    )


CASES = (
    Case(
        "lorenz96", "Lorenz-96, RK4", Size(20, 1_000_000, 10), Size(5, 4_000, 3), steps,
        lambda size: 2.0 * size.bytes, sweeps=("dim", "members", "steps", "threads"),
    ),
)  # fmt: skip
