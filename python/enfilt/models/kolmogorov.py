"""Two-dimensional turbulence driven by a shear: the Kolmogorov flow."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, _fft
from ..grids import RegularGrid
from . import _etdrk4
from ._members import in_blocks
from .base import Array, Model, RandomState

# Part of a grid interval that the flow crosses in an inner step.
_COURANT = 0.5
# A member that would take more inner steps than these in one step has blown up.
_MOST_INNER_STEPS = 10_000


class _Tables(NamedTuple):
    """What the tendency needs, (n, k) over wave numbers, in the precision of the state."""

    u_of: Array  # velocities of a vorticity: i k_y / |k|^2, -i k_x / |k|^2
    v_of: Array
    of_u: Array  # vorticity of velocities: -i k_y, i k_x
    of_v: Array
    products: Array  # (2, n, 2 k): tendency of u v and of u^2 - v^2
    forcing: Array


@dataclass(frozen=True)
class KolmogorovFlow(Model):
    """Kolmogorov flow: forced, damped two-dimensional turbulence on [0, 2 pi]^2, periodic.

    u_t + (u . grad) u = -grad p + lap u / Re - drag u + sin(k_f y) e_x,  div u = 0;

    Chandler, Kerswell (2013), "Invariant recurrent solutions embedded in a turbulent
    two-dimensional Kolmogorov flow", J. Fluid Mech. 722, eq. 2.1; with the drag of Kochkov et al.
    (2021), "Machine learning-accelerated computational fluid dynamics", PNAS 118, eq. 1 and
    methods, whose numbers are the defaults. The vorticity w = v_x - u_y is stepped:

    w_t = (d_yy - d_xx)(u v) + d_xy (u^2 - v^2) + lap w / Re - drag w - k_f cos(k_f y)

    (Basdevant 1983, "Technical improvements for direct numerical simulation of homogeneous
    three-dimensional turbulence", J. Comput. Phys. 50: four transforms), pseudo-spectral with the
    2/3 rule, ETD-RK4 in time (`KuramotoSivashinsky` names the source). The mean velocity decays
    with the drag.

    A state is (u, v), each (n, n) in C order with y along the first axis and x along the second.
    A step takes the state's rotational part below the 2/3 limit: what has divergence, or is
    finer, is dropped. Each member has inner steps of its own: as few equal ones in `dt` as keep
    its fastest point, when the step begins, from crossing more than half a grid interval (Courant
    number 0.5), rounded up to one of four counts in each doubling. So no member depends on the
    others, and `dt` has no limit. A member that would need more than 10,000 inner steps is an
    error, and on a GPU comes out as NaN.

    Parameters
    ----------
    n : int
        Points along each axis; D = 2 n^2. The 2/3 rule keeps wave numbers below n / 3, of which
        the forcing's has to be one.
    reynolds : float
        Re, above zero.
    forcing_wavenumber : int
        k_f, at least 0; 0: no forcing.
    drag : float
        At least 0.
    dt : float
        Time between two states, above zero.
    model_noise : float
        Standard deviation per unit root time of noise added after each step to u and v.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the model is made.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.KolmogorovFlow(n=32)
    >>> state = model.step(model.initial_state(0), 2)
    >>> u, v = state.reshape(model.shape)
    >>> model.vorticity(state).shape
    (32, 32)
    """

    n: int = 128
    reynolds: float = 1000.0
    forcing_wavenumber: int = 4
    drag: float = 0.1
    dt: float = 0.2
    model_noise: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.integer("n", self.n, 4)
        _checks.number("reynolds", self.reynolds, above=0)
        _checks.integer("forcing_wavenumber", self.forcing_wavenumber, 0)
        _checks.number("drag", self.drag, least=0)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)
        if self._largest < self.forcing_wavenumber:
            raise ValueError(
                f"n={self.n}: expected at least {3 * self.forcing_wavenumber + 1} points for "
                f"forcing_wavenumber={self.forcing_wavenumber}, so that the 2/3 rule keeps it"
            )

    @property
    def dim(self) -> int:  # type: ignore[override]  # a model's dim is only read
        """D = 2 n^2."""
        return 2 * self.n**2

    @property
    def shape(self) -> tuple[int, ...]:
        """(2, n, n): u and v, each with y along its first axis and x along its second."""
        return (2, self.n, self.n)

    @property
    def grid(self) -> RegularGrid:
        """A torus of n x n points, two variables on each; distances are in its unit."""
        return RegularGrid((self.n, self.n), spacing=2 * math.pi / self.n, variables=2)

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return a random smooth flow free of divergence, (D,), with a mean square speed of 1.

        Its vorticity is Gaussian, with a spectrum ``|k|^2 exp(-(|k| / 4)^2)``.
        """
        draws = _checks.generator("rng", rng).standard_normal((1, self.n, self.n))
        vorticity = _fft.fft_columns(_fft.rfft(draws)[..., : self._largest + 1])
        _, squared = self._wave_numbers()
        vorticity *= self._kept() * squared * np.exp(-squared / 16)
        vorticity[:, 0, 0] = 0
        velocity = self._velocity(vorticity, self._tables(np.dtype(np.float64)))
        state: npt.NDArray[np.float64] = (velocity / np.sqrt(2 * np.mean(velocity**2))).reshape(-1)
        return state

    def vorticity(self, state: npt.ArrayLike) -> Array:
        """Return the vorticity v_x - u_y of states, for pictures.

        Parameters
        ----------
        state : array_like, (..., D)
            States in float32 or float64.

        Returns
        -------
        ndarray, (..., n, n)
            Below the 2/3 limit, with y along the first of the two axes.

        Raises
        ------
        TypeError, ValueError
            If the dtype is another, or the last axis is not of D components.
        """
        rows = self._states("state", state)
        spectrum = self._spectrum(rows.reshape(-1, self.dim), self._tables(rows.dtype))
        spectrum[:, 0, 0] = 0  # there the mean velocity was
        return self._to_grid(spectrum).reshape(*rows.shape[:-1], self.n, self.n)

    def field(self, states: Array) -> Array | None:
        return self.vorticity(self._states("states", states))

    # -- in wave numbers: (n, k) of them, k_y along the first axis, k_x from 0 along the second

    @property
    def _largest(self) -> int:
        """The largest wave number kept: products of two fold back onto larger ones only."""
        return (self.n - 1) // 3

    def _wave_numbers(self) -> tuple[tuple[Array, Array], Array]:
        """Return (k_x, k_y) and |k|^2."""
        k_y = np.fft.fftfreq(self.n, 1 / self.n)[:, None]
        k_x = np.arange(self._largest + 1.0)[None, :]
        return (k_x, k_y), k_x**2 + k_y**2

    def _kept(self) -> Array:
        (_, k_y), _ = self._wave_numbers()
        return np.abs(k_y) <= self._largest

    @functools.cached_property
    def _known_tables(self) -> dict[np.dtype[Any], _Tables]:
        return {}

    @functools.cached_property
    def _known_coefficients(self) -> dict[tuple[int, np.dtype[Any]], _etdrk4.Coefficients]:
        return {}

    def _tables(self, dtype: np.dtype[Any]) -> _Tables:
        if dtype not in self._known_tables:
            (k_x, k_y), squared = self._wave_numbers()
            kept = self._kept()
            inverse = kept / np.where(squared > 0, squared, 1)
            forcing = np.zeros_like(squared)
            rows = [self.forcing_wavenumber, -self.forcing_wavenumber]
            forcing[rows, 0] = -self.forcing_wavenumber * self.n**2 / 2
            products = np.stack([kept * (k_x**2 - k_y**2), kept * (-k_x * k_y)])
            modes = _fft.complex_dtype(dtype)
            self._known_tables[dtype] = _Tables(
                (1j * k_y * inverse).astype(modes),
                (-1j * k_x * inverse).astype(modes),
                (-1j * k_y * kept).astype(modes),
                (1j * k_x * kept).astype(modes),
                np.repeat(products, 2, axis=-1).astype(dtype),
                forcing.astype(modes),
            )
        return self._known_tables[dtype]

    def _coefficients(self, count: int, dtype: np.dtype[Any]) -> _etdrk4.Coefficients:
        """Return those of `count` inner steps a step."""
        key = (count, dtype)
        if key not in self._known_coefficients:
            _, squared = self._wave_numbers()
            linear = -squared / self.reynolds - self.drag
            self._known_coefficients[key] = _etdrk4.coefficients(linear, self.dt / count, dtype)
        return self._known_coefficients[key]

    def _spectrum(self, rows: Array, tables: _Tables, workers: int = 1) -> Array:
        """Return the vorticity (M, n, k) of states (M, D).

        A flow on a torus has no mean vorticity: in that place stands the mean velocity, as the
        complex number u + i v; it decays as the rest does, and nothing else changes it.
        """
        fields = rows.reshape(-1, 2, self.n, self.n)
        modes = _fft.fft_columns(_fft.rfft(fields, workers)[..., : self._largest + 1], workers)
        spectrum = tables.of_u * modes[:, 0]
        spectrum += tables.of_v * modes[:, 1]
        spectrum[:, 0, 0] = (modes[:, 0, 0, 0] + 1j * modes[:, 1, 0, 0]) / self.n**2
        return spectrum

    def _to_grid(self, modes: Array, workers: int = 1) -> Array:
        return _fft.irfft(_fft.ifft_columns(modes, workers), self.n, workers)

    def _velocity(self, spectrum: Array, tables: _Tables, workers: int = 1) -> Array:
        """Return (M, 2, n, n), u and v of a vorticity as `_spectrum` returns it."""
        shape = (len(spectrum), 2, *spectrum.shape[1:])
        modes: Array = _arrays.namespace(spectrum).empty(shape, spectrum.dtype)
        np.multiply(tables.u_of, spectrum, out=modes[:, 0])
        np.multiply(tables.v_of, spectrum, out=modes[:, 1])
        modes[:, 0, 0, 0] = self.n**2 * spectrum[:, 0, 0].real
        modes[:, 1, 0, 0] = self.n**2 * spectrum[:, 0, 0].imag
        return self._to_grid(modes, workers)

    def _tendency(self, spectrum: Array, tables: _Tables, workers: int) -> Array:
        """Return advection and forcing, (M, n, k)."""
        fields = self._velocity(spectrum, tables, workers)
        u, v = fields[:, 0], fields[:, 1]
        difference = u - v
        total = u + v
        u *= v
        np.multiply(total, difference, out=v)  # u^2 - v^2
        modes = _fft.fft_columns(_fft.rfft(fields, workers)[..., : self._largest + 1], workers)
        parts = modes.view(fields.dtype)
        parts *= tables.products
        result: Array = modes[:, 0] + modes[:, 1]
        result += tables.forcing
        return result

    def _inner_steps(self, velocity: Array) -> npt.NDArray[np.int64]:
        """Return how many inner steps the next step takes of each member, 0 of one blown up."""
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (velocity**2).sum(axis=1, dtype=np.float64).max(axis=(1, 2))
            speed = np.sqrt(_arrays.to_host(squares))  # on a GPU the host waits here
            needed = np.maximum(1, np.ceil(self.dt * speed * self.n / (2 * np.pi * _COURANT)))
        needed = np.where(needed <= _MOST_INNER_STEPS, needed, 0).astype(np.int64)
        # four counts in each doubling: members of one count are stepped together
        fine = 2 ** np.maximum(0, np.floor(np.log2(np.maximum(needed, 1))).astype(np.int64) - 2)
        rounded: npt.NDArray[np.int64] = -(-needed // fine) * fine
        return rounded

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        if steps == 0:  # there and back would round, and drop what has divergence
            out[...] = rows
            return
        tables = self._tables(rows.dtype)
        xp = _arrays.namespace(rows)
        if _arrays.on_device(rows):
            tables = _Tables(*map(xp.asarray, tables))

        def advance(rows: Array, out: Array, workers: int) -> None:
            spectrum = self._spectrum(rows, tables, workers)
            velocity = self._velocity(spectrum, tables, workers)
            for _ in range(steps):
                counts = self._inner_steps(velocity)
                for count in np.unique(counts):
                    same = np.flatnonzero(counts == count)
                    same = xp.asarray(same)
                    if count == 0:
                        spectrum[same] = np.nan
                        continue
                    part = spectrum[same]
                    coefficients = self._coefficients(int(count), rows.dtype)
                    if _arrays.on_device(rows):
                        coefficients = _etdrk4.Coefficients(*map(xp.asarray, coefficients))
                    _etdrk4.advance(
                        part,
                        int(count),
                        coefficients,
                        lambda v: self._tendency(v, tables, workers),
                    )
                    spectrum[same] = part
                velocity = self._velocity(spectrum, tables, workers)
            out[...] = velocity.reshape(out.shape)

        in_blocks(rows, out, advance)
