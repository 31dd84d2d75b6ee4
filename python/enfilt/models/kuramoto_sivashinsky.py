"""The Kuramoto-Sivashinsky equation."""

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
from .base import Array, Model, RandomState, warn_beyond

# Measured: from the attractor with white noise of standard deviation 1.4 upon it, runs stay finite
# up to here on every grid from 2 to 8 points a unit of `domain`, and blow up on some at 1.0.
_DT_LIMIT = 0.75


class _Tables(NamedTuple):
    """What a step needs, in the precision of the state."""

    coefficients: _etdrk4.Coefficients
    gradient: Array  # -i k / 2


@dataclass(frozen=True)
class KuramotoSivashinsky(Model):
    """Kuramoto-Sivashinsky: u_t = -u u_x - u_xx - u_xxxx on [0, domain pi], periodic.

    Kuramoto (1978), "Diffusion-induced chaos in reaction systems"; Sivashinsky (1977), "Nonlinear
    analysis of hydrodynamic instability in laminar flames". Pseudo-spectral, stepped by ETD-RK4:
    Kassam, Trefethen (2005), "Fourth-order time-stepping for stiff PDEs", SIAM J. Sci. Comput. 26,
    sect. 4. As there, products are not dealiased: dissipation k^4 leaves nothing to fold back. The
    mean of u is conserved. Wave numbers are 2 j / domain; those below 1 grow.

    Parameters
    ----------
    dim : int
        Points of the grid, at least 8 and 2 `domain`: wave numbers up to 2 have to fit on it.
    domain : float
        Length in units of pi, above 2: on a shorter one nothing grows.
    dt : float
        Time of one step, above zero. Beyond 0.75 explicit steps of u u_x blow up from noisy
        states, beyond 2 from any.
    model_noise : float
        Standard deviation per unit root time of noise added after each step.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the model is made.

    Warns
    -----
    RuntimeWarning
        If `dt` is beyond the stability limit.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> model = ef.models.KuramotoSivashinsky(dim=64, domain=22 / np.pi)
    >>> x = 22 / 64 * np.arange(64)
    >>> u = model.step(1.5 + np.cos(2 * np.pi * x / 22), 400)
    >>> bool(np.isclose(u.mean(), 1.5)), bool(u.std() > 0.5)
    (True, True)
    """

    dim: int = 1024
    domain: float = 128.0
    dt: float = 0.25
    model_noise: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.integer("dim", self.dim, 8)
        _checks.number("domain", self.domain, above=2)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)
        if self.dim < 2 * self.domain:
            raise ValueError(
                f"dim={self.dim}: expected at least {math.ceil(2 * self.domain)} points for "
                f"domain={self.domain}; wave numbers below 1 grow, and the grid has to hold those "
                f"that damp them"
            )
        if self.dt > _DT_LIMIT:
            warn_beyond(self.dt, _DT_LIMIT, "ETD-RK4 of the advection, as measured")

    @property
    def length(self) -> float:
        """L = domain pi."""
        return self.domain * math.pi

    @property
    def grid(self) -> RegularGrid:
        """A ring of `dim` points over the length L; distances are in its unit."""
        return RegularGrid((self.dim,), spacing=self.length / self.dim)

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return cos(x/16) (1 + sin(x/16)) after 150 time units, plus N(0, 1), (D,).

        On a domain that 1/16 does not fit, its nearest wave number takes that place.
        """
        draws = _checks.generator("rng", rng).standard_normal(self.dim)
        waves = max(1, round(self.domain / 32))
        phase = 2 * np.pi * waves * np.arange(self.dim) / self.dim
        state = np.cos(phase) * (1 + np.sin(phase))
        self._advance(state[None], round(150 / self.dt), state[None])
        result: npt.NDArray[np.float64] = state + draws
        return result

    @functools.cached_property
    def _known(self) -> dict[np.dtype[Any], _Tables]:
        return {}

    def _tables(self, dtype: np.dtype[Any]) -> _Tables:
        """Return coefficients in a dtype, made when it first comes up."""
        if dtype not in self._known:
            k = 2 / self.domain * np.arange(self.dim // 2 + 1)
            gradient = -0.5j * k
            if self.dim % 2 == 0:
                gradient[-1] = 0  # of the highest wave number the grid holds the cosine only
            self._known[dtype] = _Tables(
                _etdrk4.coefficients(k**2 - k**4, self.dt, dtype),
                gradient.astype(_fft.complex_dtype(dtype)),
            )
        return self._known[dtype]

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        if steps == 0:  # there and back would round
            out[...] = rows
            return
        tables = self._tables(rows.dtype)
        if _arrays.on_device(rows):
            tables = _Tables(
                _etdrk4.Coefficients(*map(_arrays.cupy().asarray, tables.coefficients)),
                _arrays.cupy().asarray(tables.gradient),
            )

        def advance(rows: Array, out: Array, workers: int) -> None:
            def nonlinear(v: Array) -> Array:
                u = _fft.irfft(v, self.dim, workers)
                u *= u
                result = _fft.rfft(u, workers)
                result *= tables.gradient
                return result

            v = _fft.rfft(rows, workers)
            _etdrk4.advance(v, steps, tables.coefficients, nonlinear)
            out[...] = _fft.irfft(v, self.dim, workers)

        in_blocks(rows, out, advance)
