"""What is observed of the state, and how well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks
from ._values import Value
from .grids import Grid, as_grid
from .operators import Operator

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Observation(Value):
    """Observations y = h(x) + r eps, eps ~ N(0, I), with R = diag(r_1^2 .. r_m^2).

    Parameters
    ----------
    operator : Operator
        h, from `enfilt.operators`.
    std : float or array_like, (m,)
        r, the standard deviation of the observation error, above zero.
    grid : Grid or array_like, (D, k), optional
        Where the components lie, which localization needs: a grid from `enfilt.grids`, or
        coordinates. A `TwinExperiment` passes its model's.
    locations : array_like, (m, k), optional
        Coordinates of the observations, where the operator does not choose components.

    Raises
    ------
    TypeError, ValueError
        If the operator is none, or `std` is not finite and above zero.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> obs = ef.Observation(ef.operators.Every(2), std=0.5)
    >>> obs.size(5)
    3
    >>> obs.simulate(np.zeros(5), rng=0).round(2)
    array([ 0.06, -0.07,  0.32])
    """

    operator: Operator
    std: float | npt.ArrayLike
    grid: Any = field(default=None, kw_only=True)
    locations: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Operator):
            raise TypeError(
                f"operator={self.operator!r}: expected an observation operator "
                f"(a function h becomes one by enfilt.operators.Custom(h))"
            )
        try:
            std = np.asarray(self.std, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"std={self.std!r}: expected a number or an array of them") from None
        if std.ndim > 1:
            raise ValueError(f"std has shape {std.shape}: expected one number or (m,)")
        bad = np.flatnonzero(~(np.isfinite(std) & (std > 0)))
        if bad.size:
            where = f"std[{bad[0]}]" if std.ndim else "std"
            raise ValueError(
                f"{where}={std.flat[bad[0]]}: expected finite standard deviations above zero"
            )
        if std.ndim:
            std = std.copy()
            std.flags.writeable = False
            object.__setattr__(self, "std", std)
        else:
            object.__setattr__(self, "std", float(std))

    def size(self, dim: int) -> int:
        """Return m, the number of observations of a state of `dim` components.

        Raises
        ------
        ValueError
            If the operator does not apply to such states, or `std` is not of m entries.
        """
        m = self.operator.size(dim)
        std = np.asarray(self.std)
        if std.ndim and std.size != m:
            raise ValueError(f"std has {std.size} entries: expected {m}, one an observation")
        return m

    def state_grid(self, dim: int) -> Grid:
        """Return the grid of a state of `dim` components.

        Raises
        ------
        ValueError
            If there is none, or it is not of `dim` components.
        """
        if self.grid is None:
            raise ValueError(
                "grid is missing: localization needs the places of the components; give "
                "Observation(..., grid=model.grid), or their coordinates (D, k)"
            )
        grid = as_grid(self.grid)
        if grid.size != dim:
            raise ValueError(f"grid has {grid.size} points: expected {dim}, one a component")
        return grid

    def places(self, dim: int) -> tuple[Grid, npt.NDArray[np.float64]]:
        """Return the grid of the state and the coordinates (m, k) of the observations.

        Raises
        ------
        ValueError
            If there is no grid, it is not of `dim` components, or the observations' coordinates
            are neither given nor told by the operator, of another shape, or not finite.
        """
        grid = self.state_grid(dim)
        m = self.size(dim)
        if self.locations is not None:
            where = _checks.coordinates("locations", self.locations)
            axes = grid.coordinates([0]).shape[1]
            if where.shape != (m, axes):
                raise ValueError(f"locations has shape {where.shape}: expected {(m, axes)}")
            _checks.finite("locations", where)
            return grid, where
        form = self.operator.pointwise(dim)
        if form is None:
            raise ValueError(
                "locations is missing: the operator does not choose components, so localization "
                "needs Observation(..., locations=...) of the observations"
            )
        return grid, grid.coordinates(form.components)

    def precision(self, dtype: npt.DTypeLike) -> Array:
        """Return 1/r^2, of shape (1,) or (m,), in `dtype`."""
        precision: Array = (1.0 / np.atleast_1d(np.asarray(self.std, np.float64)) ** 2).astype(
            dtype
        )
        return precision

    def innovation(self, x: Array, y: Array) -> Array:
        """Return R^-1 (y - h(x)), (..., m), with zeros where y is NaN."""
        xp = _arrays.namespace(x)
        missing = xp.isnan(y)
        scaled = xp.asarray(self.precision(x.dtype)) * (xp.where(missing, 0, y) - self.operator(x))
        weighted: Array = xp.where(missing, xp.zeros((), x.dtype), scaled)
        return weighted

    def misfit(self, x: Array, y: Array) -> Array:
        """Return J(x) = 1/2 sum_k ((y_k - h_k(x)) / r_k)^2, (...,) for x of (..., D).

        Components of y that are NaN are left out.
        """
        xp = _arrays.namespace(x)
        residual = xp.where(xp.isnan(y), 0, y - self.operator(x)).astype(np.float64)
        precision = xp.asarray(self.precision(np.float64))
        result: Array = 0.5 * xp.sum(precision * residual**2, axis=-1)
        return result

    def gradient(self, x: Array, y: Array) -> Array:
        """Return grad J(x) = -h'(x)^T R^-1 (y - h(x)), (..., D)."""
        return -self.operator.vjp(x, self.innovation(x, y))

    def simulate(self, truth: Array, rng: np.random.Generator | int | None = None) -> Array:
        """Return observations of a state (D,): h(truth) plus observation error.

        Parameters
        ----------
        truth : ndarray, (D,)
            The state observed.
        rng : numpy.random.Generator, int or None
            Where the error is drawn from.

        Returns
        -------
        ndarray, (m,)
            In the dtype of `truth`.
        """
        m = self.size(truth.shape[-1])
        error = np.random.default_rng(rng).standard_normal(m) * np.asarray(self.std)
        xp = _arrays.namespace(truth)
        simulated: Array = xp.asarray(self.operator(truth) + xp.asarray(error.astype(truth.dtype)))
        return simulated
