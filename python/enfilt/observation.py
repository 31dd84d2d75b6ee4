"""What is observed of the state, and how well."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks
from ._values import Value
from .backends import ObservedComponents
from .grids import Grid, as_grid, check_places
from .operators import Operator
from .operators.base import Pointwise

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Observation(Value):
    """Observations y = h(x) + r eps, eps ~ N(0, I), with R = diag(r_1^2 .. r_m^2).

    Parameters
    ----------
    operator : Operator or None
        h, from `enfilt.operators`. None: h(x) is computed elsewhere, and each analysis is given its
        values, ``filt.analysis(..., observed=Hx)``.
    std : float or array_like, (m,)
        r, the standard deviation of the observation error, above zero: from 1e-150 to 1e150. An
        entry may be NaN where that of `y` always is.
    grid : Grid or array_like, (D, k), optional
        Where the components lie, which localization needs: a grid from `enfilt.grids`, or
        coordinates. A `TwinExperiment` passes its model's.
    locations : array_like, (m, k), optional
        Coordinates of the observations, where the operator does not choose components.

    Raises
    ------
    TypeError, ValueError
        If the operator is something else, `std` is not finite and above zero, `locations` are no
        coordinates, something is masked, or the labels of pandas or xarray contradict positions, by
        which all arrays are taken.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> obs = ef.Observation(ef.operators.Every(2), std=0.5)
    >>> obs.size(5)
    3
    >>> obs.simulate(np.zeros(5), rng=0).round(2)
    array([ 0.06, -0.07,  0.32])
    """

    operator: Operator | None
    std: float | npt.ArrayLike
    grid: Any = field(default=None, kw_only=True)
    locations: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Operator | None):
            raise TypeError(
                f"operator={self.operator!r}: expected an observation operator "
                f"(a function h becomes one by enfilt.operators.Custom(h)), or None"
            )
        if not isinstance(self.grid, Grid):
            object.__setattr__(self, "grid", _checks.plain("grid", self.grid))
        if self.locations is not None:
            locations = _checks.coordinates("locations", self.locations)
            object.__setattr__(self, "locations", locations)
        std = _checks.numbers("std", self.std)
        if std.ndim > 1 or not std.size:
            raise ValueError(f"std has shape {std.shape}: expected one number or (m,)")
        # within them 1/std^2 is a number, too
        allowed = (std >= 1e-150) & (std <= 1e150) | (np.isnan(std) & (std.ndim > 0))
        bad = np.flatnonzero(~allowed)
        if bad.size:
            where = f"std[{bad[0]}]" if std.ndim else "std"
            raise ValueError(
                f"{where}={std.flat[bad[0]]}: expected finite standard deviations above zero, "
                f"from 1e-150 to 1e150"
            )
        if std.ndim:
            std = std.copy()
            std.flags.writeable = False
            object.__setattr__(self, "std", std)
        else:
            object.__setattr__(self, "std", float(std))

    @property
    def h(self) -> Operator:
        """The operator, for those who have to evaluate it.

        Raises
        ------
        TypeError
            If there is none.
        """
        if self.operator is None:
            raise TypeError(
                "operator=None: h is needed here, expected Observation(operator, ...) (without "
                "one, an analysis is given its values, observed=)"
            )
        return self.operator

    def pointwise(self, dim: int) -> Pointwise | None:
        """Return what components the operator chooses; None where it does not, or is none."""
        return None if self.operator is None else self.operator.pointwise(dim)

    def size(self, dim: int) -> int:
        """Return m, the number of observations of a state of `dim` components.

        Raises
        ------
        TypeError, ValueError
            If the operator does not apply to such states, `std` is not of m entries, or without an
            operator neither `std` nor `locations` tells m.
        """
        m = self.told_size(dim) if self.operator is None else None
        return self._check_std(self.h.size(dim)) if m is None else m

    def told_size(self, dim: int) -> int | None:
        """Return m where it is known without a call of a user's h, or None.

        The operator tells it, or else the entries of `std` or of `locations` do.

        Raises
        ------
        ValueError
            As `size`.
        """
        m = None if self.operator is None else self.operator.told_size(dim)
        if m is not None:
            return self._check_std(m)
        if np.ndim(self.std):
            return np.size(self.std)
        if self.locations is None:
            return None
        return len(self.locations)

    def _check_std(self, m: int) -> int:
        if np.ndim(self.std) and np.size(self.std) != m:
            raise ValueError(
                f"std has {np.size(self.std)} entries: expected {m}, one an observation"
            )
        return m

    def observe(self, x: Array, m: int) -> Array:
        """Return h(x), (..., m).

        Raises
        ------
        ValueError
            If h makes another number of observations than m, those that `y` holds.
        """
        return self._checked(self.h(x), m)

    def _checked(self, h: Array, m: int) -> Array:
        if h.shape[-1] != m:
            raise ValueError(
                f"h returned {h.shape[-1]} observations of a state: expected {m}, "
                f"as many as y holds"
            )
        return h

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

    def places(self, dim: int, m: int | None = None) -> tuple[Grid, npt.NDArray[np.float64]]:
        """Return the grid of the state and the coordinates (m, k) of the observations.

        Parameters
        ----------
        dim : int
            D.
        m : int, optional
            How many observations there are; default: as many as operator and error tell.

        Raises
        ------
        ValueError
            If there is no grid, it is not of `dim` components, or the observations' coordinates
            are neither given nor told by the operator, of another shape, or not finite.
        """
        grid = self.state_grid(dim)
        m = self.told_size(dim) if m is None else m
        if self.locations is not None:
            where = self.locations
            axes = grid.coordinates([0]).shape[1]
            m = len(where) if m is None else m
            if where.shape != (m, axes):
                raise ValueError(f"locations has shape {where.shape}: expected {(m, axes)}")
            check_places("locations", where)
            return grid, where
        form = self.pointwise(dim)
        if form is None:
            raise ValueError(
                "locations is missing: no operator chooses components, so localization needs "
                "Observation(..., locations=...) of the observations"
            )
        return grid, grid.coordinates(form.components)

    def components(self, dim: int, y: Array) -> ObservedComponents | None:
        """Return observations y (..., m) of states of `dim` components as kernels take them.

        None where the operator is none that they evaluate themselves.
        """
        form = self.pointwise(dim)
        if form is None:
            return None
        xp = _arrays.namespace(y)
        precision, chosen = self.precision(y.dtype), form.components
        if isinstance(chosen, slice):
            offset, stride, indices = chosen.start, chosen.step, None
        else:
            offset, stride, indices = 0, 1, chosen
            if np.any(np.diff(indices) < 0):
                order = np.argsort(indices, kind="stable")
                indices, y = indices[order], y[..., xp.asarray(order)]
                precision = precision[order] if precision.size > 1 else precision
        return ObservedComponents(
            form.kind,
            form.parameter,
            offset,
            stride,
            y.shape[-1],
            indices,
            xp.ascontiguousarray(y),
            precision,
            form.function,
        )

    def of_values(self, y: Array) -> ObservedComponents:
        """Return observations y (m,) as kernels take them that are given h(x) in place of x."""
        precision = self.precision(y.dtype)
        return ObservedComponents("identity", 0.0, 0, 1, y.size, None, y, precision)

    def precision(self, dtype: npt.DTypeLike) -> Array:
        """Return 1/r^2, of shape (1,) or (m,), in `dtype`.

        Raises
        ------
        FloatingPointError
            If 1/r^2 is too large for `dtype`.
        """
        kind = _checks.float_dtype("dtype", dtype)
        found = self._precisions.get(kind)
        if found is None:
            found = self._precisions[kind] = self._precision(kind)
        return found

    @functools.cached_property
    def _precisions(self) -> dict[np.dtype[Any], Array]:
        """1/r^2 by dtype, made once and read-only."""
        return {}

    def _precision(self, kind: np.dtype[Any]) -> Array:
        std = np.atleast_1d(np.asarray(self.std, np.float64))
        precision: Array = 1.0 / np.where(np.isnan(std), np.inf, std) ** 2  # NaN: not observed
        if kind == np.float32 and precision.max() > np.finfo(np.float32).max:
            raise FloatingPointError(
                f"std goes down to {np.nanmin(self.std):.3g}, 1/std^2 of which is no number in "
                f"float32: expected at least 6e-20, or float64"
            )
        precision = np.ascontiguousarray(precision, kind)
        precision.flags.writeable = False
        return precision

    def innovation(self, x: Array, y: Array) -> Array:
        """Return R^-1 (y - h(x)), (..., m), with zeros where y is NaN."""
        x, y = self._given(x, y)
        return self.weighted(self.h(x), y)

    def weighted(self, h: Array, y: Array) -> Array:
        """Return R^-1 (y - h), with zeros where y is NaN."""
        xp = _arrays.namespace(h)
        missing = xp.isnan(y)
        apart = xp.where(missing, 0, y) - self._checked(h, y.shape[-1])
        scaled = xp.asarray(self.precision(h.dtype)) * apart
        weighted: Array = xp.where(missing, xp.zeros((), h.dtype), scaled)
        return weighted

    def misfit(self, x: Array, y: Array) -> Array:
        """Return J(x) = 1/2 sum_k ((y_k - h_k(x)) / r_k)^2, (...,) for x of (..., D).

        Components of y that are NaN are left out.
        """
        x, y = self._given(x, y)
        xp = _arrays.namespace(x)
        residual = xp.where(xp.isnan(y), 0, y - self.observe(x, y.shape[-1])).astype(np.float64)
        precision = xp.asarray(self.precision(np.float64))
        result: Array = 0.5 * xp.sum(precision * residual**2, axis=-1)
        return result

    def _given(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Check that x and y are arrays of one dtype, which have axes."""
        x = _checks.floating("x", x, members=2)
        y = _checks.floating("y", y, x.dtype, missing=True)
        if not x.size:
            raise ValueError(f"x has shape {x.shape}: expected (..., D), and no empty axis")
        if y.ndim != 1 and y.shape[:-1] != x.shape[:-1]:
            raise ValueError(f"y has shape {y.shape}: expected (m,) or {(*x.shape[:-1], 'm')}")
        self.check_seen(y)
        return x, y

    @functools.cached_property
    def _unknown(self) -> npt.NDArray[np.int64]:
        """The observations whose error is not known."""
        return np.flatnonzero(np.isnan(self.std))

    def check_seen(self, y: Array) -> None:
        """Check that nothing is observed, (..., m), whose error is NaN.

        Raises
        ------
        ValueError
            If something is; the message gives its index.
        """
        if not self._unknown.size or y.shape[-1] != np.size(self.std):
            return  # of another size, whoever takes h(x) says so
        held = y[..., _arrays.namespace(y).asarray(self._unknown)]
        seen = np.argwhere(~np.isnan(_arrays.to_host(held)))
        if seen.size:
            *lead, k = seen[0]
            at = self._unknown[k]
            where = ", ".join(map(str, [*lead, at]))
            raise ValueError(
                f"std[{at}] is nan, but y[{where}] is observed: expected a standard deviation, or "
                f"NaN in y"
            )

    def gradient(self, x: Array, y: Array) -> Array:
        """Return grad J(x) = -h'(x)^T R^-1 (y - h(x)), (..., D)."""
        x, y = self._given(x, y)
        h, pull = self.h.linearize(x)
        return -pull(self.weighted(h, y))

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
            In the dtype of `truth`; NaN where `std` is.

        Raises
        ------
        TypeError, ValueError
            If `truth` is no state that the operator applies to, or not finite.
        FloatingPointError
            If h(truth) is not finite.
        """
        truth = _checks.floating("truth", truth)
        if truth.ndim != 1 or not truth.size:
            raise ValueError(f"truth has shape {truth.shape}: expected (D,), D at least 1")
        rng = _checks.generator("rng", rng)
        xp = _arrays.namespace(truth)
        if xp is np:
            _checks.finite("truth", truth)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
            h = self.h(truth)
            m = self._check_std(h.shape[-1])
            if self.locations is not None and len(self.locations) != m:
                raise ValueError(
                    f"locations has {len(self.locations)} rows: expected {m}, one an observation"
                )
            error = rng.standard_normal(m) * np.asarray(self.std)
            simulated: Array = xp.asarray(h + xp.asarray(error.astype(truth.dtype)))
        # NaN would be an observation not made
        if xp is np and not (np.isfinite(simulated) | np.isnan(self.std)).all():
            raise FloatingPointError(
                f"{_checks.first_bad('h(truth)', simulated)}: expected a smaller truth or std"
            )
        return simulated
