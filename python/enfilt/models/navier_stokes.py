"""Two-dimensional incompressible flow by Chorin's projection."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .. import _checks, _fft, backends
from ..backends import ProjectionScheme
from ..grids import RegularGrid
from .base import Array, Model, RandomState, warn_beyond

#: Length of a side of the square.
_SIDE = 2.0
#: Waves of the forcing along y.
_WAVES = 8
#: Length scale of the initial velocities.
_LENGTH = 0.2


@dataclass(frozen=True)
class NavierStokes2D(Model):
    """Incompressible flow on [0, 2]^2, periodic, forced along x; the state is (p, u, v).

    u_t + u u_x + v u_y = -p_x + viscosity Laplacian u + forcing sin(2 pi 8 y / 2), and so v without
    forcing, with u_x + v_y = 0. Stepped by the projection method of Chorin (1968), "Numerical
    solution of the Navier-Stokes equations": an explicit Euler step without pressure by central
    differences; Jacobi iterations, started from the last pressure, of Laplacian p = divergence /
    dt, with five points; and dt grad p taken off the velocity.

    Parameters
    ----------
    n : int
        Points along each side, at least 4: a state has 3 n^2 components, n x n fields p, u and v,
        x along rows.
    viscosity : float
        Above zero.
    forcing : float
        Amplitude of the forcing.
    iterations : int
        Of the pressure in each step, at least 1.
    dt : float
        Time of one step, above zero.
    model_noise : float
        Standard deviation per unit root time of noise added after each step.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernel runs.

    Warns
    -----
    RuntimeWarning
        If dt is beyond what explicit Euler with central differences is stable for (Hindmarsh,
        Gresho, Griffiths 1984): h^2 / (4 viscosity), when the model is made, and 2 viscosity /
        (u^2 + v^2) at the root-mean-square speed of a state, when it is stepped.

    Notes
    -----
    A hundred iterations do not solve for the pressure, but as they go on from step to step the
    divergence stays small. Jacobi never damps a pressure that alternates from point to point,
    where n is even; central differences do not see it either.

    Examples
    --------
    The divergence of an initial state is zero, as central differences tell it:

    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.NavierStokes2D(n=32)
    >>> p, u, v = model.initial_state(0).reshape(model.shape)
    >>> d = np.roll(u, -1, 1) - np.roll(u, 1, 1) + np.roll(v, -1, 0) - np.roll(v, 1, 0)
    >>> model.shape, bool(abs(d).max() < 1e-12)
    ((3, 32, 32), True)
    """

    n: int = 256
    viscosity: float = 1e-3
    forcing: float = 0.05
    iterations: int = 100
    dt: float = 1e-4
    model_noise: float = field(default=0.0, kw_only=True)
    backend: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.integer("n", self.n, 4)
        _checks.number("viscosity", self.viscosity, above=0)
        _checks.number("forcing", self.forcing)
        _checks.integer("iterations", self.iterations, 1)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)
        backends.check_name("backend", self.backend)
        limit = self.grid.least_spacing**2 / (4 * self.viscosity)
        if self.dt > limit:
            warn_beyond(self.dt, limit, "diffusion: h^2 / (4 viscosity)")

    @property
    def dim(self) -> int:  # type: ignore[override]  # a model's dim is only read
        """3 n^2."""
        return 3 * self.n**2

    @property
    def grid(self) -> RegularGrid:
        """Three variables at n x n points, distances in the unit of the square of side 2."""
        return RegularGrid((self.n, self.n), spacing=_SIDE / self.n, variables=3)

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return p = 0 and a random velocity free of divergence, (3 n^2,).

        u and v are drawn independently from a periodic Gaussian process of spectrum
        ``exp(-2 pi^2 l^2 |k|^2)``, l = 0.2, made to have mean 0 and standard deviation 1, and then
        projected once, with the symbol of central differences.
        """
        n = self.n
        draws = _checks.generator("rng", rng).standard_normal((2, n, n))
        kx = np.fft.rfftfreq(n, 1 / n)
        ky = np.fft.fftfreq(n, 1 / n)[:, None]
        # the root of the spectrum, at kx / 2 and ky / 2 waves a unit of length
        root = np.exp(-((np.pi * _LENGTH / _SIDE) ** 2) * (kx**2 + ky**2))
        fields = _back(_forth(draws) * root, n)
        fields -= fields.mean(axis=(1, 2), keepdims=True)
        fields /= fields.std(axis=(1, 2), keepdims=True)
        u, v = _forth(fields)
        sx, sy = (np.where(2 * np.abs(k) == n, 0.0, np.sin(2 * np.pi * k / n)) for k in (kx, ky))
        square = sx**2 + sy**2
        potential = (sx * u + sy * v) / np.where(square > 0, square, 1.0)
        velocity = _back(np.stack([u - sx * potential, v - sy * potential]), n)
        return np.concatenate([np.zeros(n * n), velocity.ravel()])

    def vorticity(self, state: npt.ArrayLike) -> Array:
        """Return the vorticity v_x - u_y of states, by central differences, for pictures.

        Parameters
        ----------
        state : array_like, (..., D)
            States in float32 or float64.

        Returns
        -------
        ndarray, (..., n, n)
            With y along the first of the two axes.

        Raises
        ------
        TypeError, ValueError
            If the dtype is another, or the last axis is not of D components.
        """
        rows = self._states("state", state)
        fields = rows.reshape(*rows.shape[:-1], 3, self.n, self.n)
        u, v = fields[..., 1, :, :], fields[..., 2, :, :]
        across = np.roll(v, -1, axis=-1) - np.roll(v, 1, axis=-1)
        along = np.roll(u, -1, axis=-2) - np.roll(u, 1, axis=-2)
        result: Array = (across - along) / rows.dtype.type(2 * self.grid.least_spacing)
        return result

    def field(self, states: Array) -> Array | None:
        return self.vorticity(self._states("states", states))

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        y = np.arange(self.n) / self.n
        scheme = ProjectionScheme(
            n=self.n,
            spacing=self.grid.least_spacing,
            dt=self.dt,
            viscosity=self.viscosity,
            iterations=self.iterations,
            forcing=(self.forcing * np.sin(2 * np.pi * _WAVES * y)).astype(rows.dtype),
        )
        velocity = rows[:, self.n**2 :]
        square = float(np.einsum("ij,ij->i", velocity, velocity).max()) / self.n**2
        if steps and self.dt * square > 2 * self.viscosity:
            limit = 2 * self.viscosity / square
            warn_beyond(self.dt, limit, "advection: 2 viscosity / (u^2 + v^2)")
        backends.of_arrays(self.backend, ensemble=rows).navier_stokes(rows, out, scheme, steps)


def _forth(fields: Array) -> Array:
    """Return the transform (..., n, n // 2 + 1) of real fields (..., n, n)."""
    return _fft.fft_columns(_fft.rfft(fields))


def _back(waves: Array, n: int) -> Array:
    return _fft.irfft(_fft.ifft_columns(waves), n)
