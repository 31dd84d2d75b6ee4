"""The Lorenz-96 model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks, backends
from ..grids import RegularGrid
from .base import Array, Model, RandomState, warn_beyond


@dataclass(frozen=True)
class Lorenz96(Model):
    """Lorenz-96: dx_d/dt = (x_{d+1} - x_{d-2}) x_{d-1} - x_d + F on a ring.

    Lorenz (1996), "Predictability: a problem partly solved", eq. 1. Stepped by the classical
    fourth-order Runge-Kutta method, several steps a pass over memory.

    Parameters
    ----------
    dim : int
        Components, at least 4.
    forcing : float
        F; 8 is chaotic.
    dt : float
        Time of one step, above zero.
    model_noise : float
        Standard deviation per unit root time of noise added after each step.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernel runs.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.Lorenz96(dim=8)
    >>> rest = np.full(8, 8.0)
    >>> bool(np.allclose(model.step(rest, 100), rest))
    True
    """

    dim: int = 40
    forcing: float = 8.0
    dt: float = 0.01
    model_noise: float = field(default=0.0, kw_only=True)
    backend: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.integer("dim", self.dim, 4)
        _checks.number("forcing", self.forcing)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)
        backends.check_name("backend", self.backend)
        # About the rest state x = F the tendency's eigenvalues are within 2 |F| + 1, and RK4
        # reaches to about 2.8. Measured on the attractor: finite up to 2.6, 2.6, 2.8, 3.3 over
        # that for F = 4, 8, 16, 32.
        limit = 2.5 / (2 * abs(self.forcing) + 1)
        if self.dt > limit:
            warn_beyond(self.dt, limit, "RK4 of the advection: 2.5 / (2 |F| + 1)")

    @property
    def grid(self) -> RegularGrid:
        """A ring of `dim` points."""
        return RegularGrid((self.dim,))

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return 3 N(0, I), (D,), from where the attractor is soon reached."""
        return 3.0 * _checks.generator("rng", rng).standard_normal(self.dim)

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        kernels = backends.of_arrays(self.backend, ensemble=rows)
        kernels.lorenz96(rows, out, self.dt, steps, self.forcing)


def tendency(x: npt.NDArray[Any], forcing: float = 8.0) -> npt.NDArray[Any]:
    """Return dx/dt of Lorenz-96, (..., D), for other integrators than ours.

    Examples
    --------
    >>> import numpy as np
    >>> from enfilt.models.lorenz96 import tendency
    >>> tendency(np.full(5, 8.0))
    array([0., 0., 0., 0., 0.])
    """
    ahead, behind = np.roll(x, -1, axis=-1), np.roll(x, 1, axis=-1)
    result: npt.NDArray[Any] = (ahead - np.roll(x, 2, axis=-1)) * behind - x + forcing
    return result
