"""Exponential time differencing with a fourth-order Runge-Kutta method (ETD-RK4).

For v' = L v + N(v) with L diagonal, as spectral methods have it: L, which is stiff, is integrated
exactly, and only N limits the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Points of a contour integral. Kassam and Trefethen take 32 on the circle; as many on its upper
#: half, whose mean has the same real part.
_POINTS = 32


class Coefficients(NamedTuple):
    """Factors of one step for real and for imaginary parts, (..., 2 k) for modes (..., k)."""

    whole: Array  # e^{hL}
    half: Array  # e^{hL/2}
    stage: Array
    first: Array
    middle: Array
    last: Array


def coefficients(linear: npt.NDArray[np.float64], dt: float, dtype: np.dtype[Any]) -> Coefficients:
    """Return the factors of a step dt, for a real diagonal operator `linear`.

    Cox, Matthews (2002), "Exponential time differencing for stiff systems", eqs. 26-29. As they
    stand they lose all digits to cancellation where |dt L| is small; so each is taken as the mean
    over a circle about dt L (Kassam, Trefethen 2005, "Fourth-order time-stepping for stiff PDEs",
    SIAM J. Sci. Comput. 26, sect. 3).
    """
    z = dt * linear
    stage, first, middle, last = (np.zeros_like(z) for _ in range(4))
    # point by point: (modes, points) of a large model would be a large array
    for point in np.exp(1j * np.pi * (np.arange(1, _POINTS + 1) - 0.5) / _POINTS):
        r = z + point
        e = np.exp(r)
        stage += ((np.exp(r / 2) - 1) / r).real
        first += ((-4 - r + e * (4 - 3 * r + r**2)) / r**3).real
        middle += ((2 + r + e * (r - 2)) / r**3).real
        last += ((-4 - 3 * r - r**2 + e * (4 - r)) / r**3).real
    weight = dt / _POINTS
    factors = (
        np.exp(z),
        np.exp(z / 2),
        weight * stage,
        weight * first,
        2 * weight * middle,
        weight * last,
    )
    return Coefficients(*(np.repeat(f, 2, axis=-1).astype(dtype) for f in factors))


def advance(v: Array, steps: int, c: Coefficients, nonlinear: Callable[[Array], Array]) -> None:
    """Take `steps` steps of `v` (M, ..., k), complex and contiguous, in place.

    `nonlinear` returns N(v) in a new array, which is then used as scratch.
    """
    modes, kind = v.dtype, v.real.dtype
    x = v.view(kind)  # a product of real numbers: a complex one would take four
    from_half, a, b, scratch = (np.empty_like(x) for _ in range(4))
    for _ in range(steps):
        n_0 = nonlinear(v).view(kind)
        np.multiply(c.half, x, out=from_half)
        np.multiply(c.stage, n_0, out=a)
        a += from_half
        n_a = nonlinear(a.view(modes)).view(kind)
        np.multiply(c.stage, n_a, out=b)
        b += from_half
        n_b = nonlinear(b.view(modes)).view(kind)
        np.add(n_b, n_b, out=scratch)
        scratch -= n_0
        scratch *= c.stage
        a *= c.half
        a += scratch
        n_c = nonlinear(a.view(modes)).view(kind)
        x *= c.whole
        n_0 *= c.first
        x += n_0
        n_a += n_b
        n_a *= c.middle
        x += n_a
        n_c *= c.last
        x += n_c
