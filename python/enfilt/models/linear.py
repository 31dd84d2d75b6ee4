"""Linear dynamics, for which the Kalman filter is exact."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from .._values import Value
from ..grids import RegularGrid
from .base import Array, Model, RandomState


@dataclass(frozen=True, eq=False)
class Linear(Value, Model):
    """Linear dynamics: x <- F x.

    Exact whatever the step. With it and a linear operator, `KalmanFilter` gives what every other
    filter should (Kalman 1960).

    Parameters
    ----------
    matrix : array_like, (D, D)
        F of one step.
    dt : float
        Time of one step, above zero: the unit of time and of the noise.
    model_noise : float
        Standard deviation per unit root time of noise added after each step: Q of a step is
        model_noise^2 dt I.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the model is made.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> drift = ef.models.Linear([[1.0, 1.0], [0.0, 1.0]])
    >>> drift.step(np.array([0.0, 2.0]), 3)
    array([6., 2.])
    """

    matrix: npt.ArrayLike
    dt: float = 1.0
    model_noise: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        array = _checks.numbers("matrix", self.matrix)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
            raise ValueError(f"matrix has shape {array.shape}: expected (D, D)")
        _checks.finite("matrix", array)
        if array.flags.writeable or not array.flags.owndata:  # else it is one of ours
            array = array.copy()
            array.flags.writeable = False
        object.__setattr__(self, "matrix", array)
        _checks.number("dt", self.dt, above=0)
        _checks.number("model_noise", self.model_noise, least=0)

    @classmethod
    def rotation2d(
        cls, angle: float, radius: float = 1.0, *, dt: float = 1.0, model_noise: float = 0.0
    ) -> Linear:
        """Return the rotation of the plane by `angle` a step.

        Parameters
        ----------
        angle : float
            Radians, counter-clockwise.
        radius : float
            Factor of the radius, at least 0; below 1 the path is a spiral inwards.
        dt, model_noise : float
            As of `Linear`.

        Returns
        -------
        Linear

        Examples
        --------
        >>> import numpy as np, enfilt as ef
        >>> quarter = ef.models.Linear.rotation2d(np.pi / 2, radius=0.5)
        >>> quarter.step(np.array([8.0, 0.0]), 1).round(12)
        array([0., 4.])
        """
        _checks.number("angle", angle)
        _checks.number("radius", radius, least=0)
        c, s = radius * math.cos(angle), radius * math.sin(angle)
        return cls([[c, -s], [s, c]], dt, model_noise=model_noise)

    @property
    def dim(self) -> int:  # type: ignore[override]  # a model's dim is only read
        """D, the size of the matrix."""
        return len(np.asarray(self.matrix))

    @property
    def grid(self) -> RegularGrid:
        """D points in a row: places for the sake of localization, without physical meaning."""
        return RegularGrid((self.dim,), periodic=False)

    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return N(0, I), (D,)."""
        return _checks.generator("rng", rng).standard_normal(self.dim)

    @functools.cached_property
    def _single(self) -> Array:
        return np.asarray(self.matrix, dtype=np.float32)

    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        matrix: Any = self._single if rows.dtype == np.float32 else self.matrix
        matrix = _arrays.beside(rows, matrix)
        x = rows
        for _ in range(steps):
            # member by member: one product of all would round by how many they are
            x = np.matmul(matrix, x[..., None])[..., 0]
        out[...] = x
