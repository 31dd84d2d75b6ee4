"""What one would write in NumPy: the library's own oracles, whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ...filters import EnsembleFilter
from ...models import Lorenz96
from ..case import Array


def oracle(filt: EnsembleFilter, problem: dict[str, Any]) -> Callable[[], Array]:
    """Return the analysis of the NumPy backend: the equations, an array operation at a time."""
    plain = dataclasses.replace(filt, backend="numpy")
    return lambda: plain.analysis(**problem)


def lorenz96(x: Array, steps: int, forcing: float, dt: float) -> Callable[[], Array]:
    """Return RK4 with `numpy.roll`."""
    model = Lorenz96(dim=x.shape[1], forcing=forcing, dt=dt, backend="numpy")
    return lambda: model.step(x, steps)
