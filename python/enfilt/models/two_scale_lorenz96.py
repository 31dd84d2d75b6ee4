"""The two-scale Lorenz-96 model: slow variables on a ring, each with fast ones of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..grids import Points
from ._members import in_blocks
from .base import Array, Model, RandomState, warn_beyond


@dataclass(frozen=True)
class TwoScaleLorenz96(Model):
    """Slow X_k on a ring, and J fast Y_{j,k} for each of them on a ring of their own.

    dX_k/dt = (X_{k+1} - X_{k-2}) X_{k-1} - X_k + F - (h c / b) sum_j Y_{j,k},

    dY_{j,k}/dt = c b (Y_{j-1,k} - Y_{j+2,k}) Y_{j+1,k} - c Y_{j,k} + (h c / b) X_k,

    where Y_{J+1,k} is Y_{1,k+1}. Lorenz (1996), "Predictability: a problem partly solved", eqs. 2
    and 3, with F on the right of eq. 2. The fast variables change c times as fast as the slow ones
    and are about a b-th of them. A state is X_1 ... X_K, then Y_{1,1} ... Y_{J,1}, Y_{1,2} and so
    on, D = K (1 + J) components. Stepped by the classical fourth-order Runge-Kutta method, in
    NumPy.

    Parameters
    ----------
    slow : int
        K, the slow variables, at least 4.
    fast : int
        J, the fast variables of each slow one, at least 1.
    forcing : float
        F.
    h : float
        Strength of the coupling; with 0 the slow variables are those of `Lorenz96`.
    b, c : float
        How much smaller and how much faster the fast variables are, above zero.
    dt : float
        Time of one step, above zero.
    model_noise : float
        Standard deviation per unit root time of noise added after each step, to all components.

    Examples
    --------
    A state of rest, in which the fast variables balance the slow ones:

    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.TwoScaleLorenz96(slow=4, fast=2, forcing=6.0)
    >>> rest = np.concatenate([np.full(4, 5.0), np.full(8, 0.5)])
    >>> bool(np.allclose(model.step(rest, 100), rest))
    True
    """

    slow: int = 36
    fast: int = 10
    forcing: float = 10.0
    h: float = 1.0
    b: float = 10.0
    c: float = 10.0
    dt: float = 0.005
    model_noise: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.integer("slow", self.slow, 4)
        _checks.integer("fast", self.fast, 1)
        _checks.number("forcing", self.forcing)
        _checks.number("h", self.h)
        _checks.number("b", self.b, above=0)
        _checks.number("c", self.c, above=0)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)
        # About a state of rest the eigenvalues of the two tendencies are within 2 |X| + 1 and
        # c (2 b |Y| + 1), where b Y is h X. Measured from the initial state over 20 time units:
        # finite up to 2.6, 2.2, 3.1, 3.1, 4.7, 2.5 and 4.1 over c (2 |h F| + 1) for the defaults,
        # F = 5, F = 20, c = 20, b = 5, h = 1/2 and h = 2.
        fast = self.c * (2 * abs(self.h * self.forcing) + 1)
        limit = min(2.5 / (2 * abs(self.forcing) + 1), 2.2 / fast)
        if self.dt > limit:
            why = "RK4 of the advection: 2.2 / (c (2 |h F| + 1)), or 2.5 / (2 |F| + 1)"
            warn_beyond(self.dt, limit, why)

    @property
    def dim(self) -> int:  # type: ignore[override]  # a model's dim is only read
        """D = K (1 + J)."""
        return self.slow * (1 + self.fast)

    @property
    def grid(self) -> Points:
        """Places on a circle, of a plane's two coordinates; the unit is the spacing of the X.

        X_k is k units along the circle, and its Y_{j,k} lie evenly about it, Y_{j,k} at
        k + (j - (J + 1) / 2) / J. Distances are straight, so a little shorter than along the
        circle: with K = 36 by 1 % at 3 units and by 10 % at 9.
        """
        slow = np.arange(self.slow, dtype=float)
        around = (np.arange(self.fast) - (self.fast - 1) / 2) / self.fast
        along = np.concatenate([slow, (slow[:, None] + around).ravel()])
        radius = self.slow / (2 * np.pi)
        return Points(radius * np.stack([np.cos(along / radius), np.sin(along / radius)], axis=-1))

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return X of 3 N(0, I) and Y of N(0, I) / b, (D,), near the attractor."""
        state = _checks.generator("rng", rng).standard_normal(self.dim)
        state[: self.slow] *= 3.0
        state[self.slow :] /= self.b
        return state

    def tendency(self, states: npt.ArrayLike) -> Array:
        """Return dX/dt and dY/dt, (..., D), for other integrators than ours.

        Parameters
        ----------
        states : array_like, (..., D)
            States, float32 or float64.
        """
        rows = self._states("states", states)
        return np.moveaxis(self._tendency(np.moveaxis(rows, -1, 0)), 0, -1)

    def _tendency(self, s: Array) -> Array:
        """Return the tendency of states with their components first, (D, ...)."""
        xp = _arrays.namespace(s)
        kind = s.dtype.type
        coupling = kind(self.h * self.c / self.b)
        x, y = s[: self.slow], s[self.slow :]
        k: Array = xp.empty_like(s)
        kx, ky = k[: self.slow], k[self.slow :]
        ring = xp.concatenate([x[-2:], x, x[:1]])
        np.subtract(ring[3:], ring[:-3], out=kx)
        kx *= ring[1:-2]
        kx -= x
        kx += kind(self.forcing)
        ring = xp.concatenate([y[-1:], y, y[:2]])
        np.subtract(ring[:-3], ring[3:], out=ky)
        ky *= ring[2:-1]
        ky *= kind(self.b)
        ky -= y
        ky *= kind(self.c)
        # one fast variable of all groups after the other: a sum along an axis would round by how
        # many members there are
        group = y[:: self.fast].copy()
        for j in range(self.fast):
            if j:
                group += y[j :: self.fast]
            ky[j :: self.fast] += coupling * x
        group *= coupling
        kx -= group
        return k

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        kind = rows.dtype.type
        h, half, sixth = kind(self.dt), kind(self.dt / 2), kind(self.dt / 6)

        def advance(rows: Array, out: Array, workers: int) -> None:
            s = _arrays.namespace(rows).ascontiguousarray(rows.T)  # contiguous over members
            for _ in range(steps):
                k1 = self._tendency(s)
                k2 = self._tendency(s + half * k1)
                k3 = self._tendency(s + half * k2)
                k4 = self._tendency(s + h * k3)
                s = s + sixth * (k1 + k4 + 2 * (k2 + k3))
            out[...] = s.T

        in_blocks(rows, out, advance)
