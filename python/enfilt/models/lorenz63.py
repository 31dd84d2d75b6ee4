"""The Lorenz-63 model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..grids import RegularGrid
from .base import Array, Model, RandomState, warn_beyond


@dataclass(frozen=True)
class Lorenz63(Model):
    """Lorenz-63: dx/dt = sigma (y - x), dy/dt = x (rho - z) - y, dz/dt = x y - beta z.

    Lorenz (1963), "Deterministic nonperiodic flow", eqs. 25-27. Stepped by the classical
    fourth-order Runge-Kutta method, in NumPy.

    Parameters
    ----------
    sigma, rho, beta : float
        The parameters; the defaults are chaotic.
    dt : float
        Time of one step, above zero.
    model_noise : float
        Standard deviation per unit root time of noise added after each step.

    Examples
    --------
    A rest state in the eye of one wing:

    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.Lorenz63()
    >>> rest = np.array([np.sqrt(72), np.sqrt(72), 27.0])
    >>> bool(np.allclose(model.step(rest, 10), rest))
    True
    """

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8 / 3
    dt: float = 0.05
    model_noise: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("sigma", self.sigma)
        _checks.number("rho", self.rho)
        _checks.number("beta", self.beta)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)
        # measured with the default parameters: finite up to 0.13, where this says 0.122
        origin = [[-self.sigma, self.sigma], [self.rho, -1.0]]
        fastest = max(np.abs(np.linalg.eigvals(origin)).max(), abs(self.beta))
        if self.dt * fastest > 2.785:
            warn_beyond(self.dt, 2.785 / fastest, "RK4: 2.785 over the fastest rate at the origin")

    @property
    def dim(self) -> int:  # type: ignore[override]  # a model's dim is only read
        """Three."""
        return 3

    @property
    def grid(self) -> RegularGrid:
        """Three points in a row: places for the sake of localization, without physical meaning."""
        return RegularGrid((3,), periodic=False)

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return (1.509, -1.531, 25.46) + N(0, 2 I), (3,), a state near the attractor."""
        centre = np.array([1.509, -1.531, 25.46])
        draws = _checks.generator("rng", rng).standard_normal(3)
        state: npt.NDArray[np.float64] = centre + np.sqrt(2) * draws
        return state

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        kind = rows.dtype.type
        sigma, rho, beta = kind(self.sigma), kind(self.rho), kind(self.beta)
        h, half, sixth = kind(self.dt), kind(self.dt / 2), kind(self.dt / 6)

        def tendency(s: Array) -> Array:
            x, y, z = s
            k = np.empty_like(s)
            np.multiply(sigma, y - x, out=k[0])
            np.subtract(x * (rho - z), y, out=k[1])
            np.subtract(x * y, beta * z, out=k[2])
            return k

        s = _arrays.namespace(rows).ascontiguousarray(
            rows.T
        )  # a component a row: contiguous over members
        for _ in range(steps):
            k1 = tendency(s)
            k2 = tendency(s + half * k1)
            k3 = tendency(s + half * k2)
            k4 = tendency(s + h * k3)
            s = s + sixth * (k1 + k4 + 2 * (k2 + k3))
        out[...] = s.T
