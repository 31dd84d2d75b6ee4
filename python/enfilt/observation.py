"""What is observed of the state, and how well."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks
from ._values import Value
from .backends import ObservedComponents
from .error_covariance import ErrorCovariance
from .error_statistics import ErrorStatistics
from .grids import Grid, as_grid
from .operators import Operator
from .operators.base import Components, Pointwise
from .quality import Quality

Array = npt.NDArray[Any]


class _InOrder(NamedTuple):
    """Observed components in increasing order: every `stride`-th, or `indices` that are frozen.

    `order` are the places among the observations that they come from, None where it is that order.
    """

    offset: int
    stride: int
    indices: npt.NDArray[np.int64] | None
    order: npt.NDArray[np.int64] | None
    precision: Array

    @classmethod
    def of(cls, chosen: Components, precision: Array) -> _InOrder:
        if isinstance(chosen, slice):
            return cls(chosen.start, chosen.step, None, None, precision)
        if not np.any(chosen[1:] < chosen[:-1]):
            return cls(0, 1, chosen, None, precision)
        order = _arrays.frozen(np.argsort(chosen, kind="stable"))
        if precision.size > 1:
            precision = _arrays.frozen(precision[order])
        return cls(0, 1, _arrays.frozen(chosen[order]), order, precision)


@dataclass(frozen=True, eq=False)
class Observation(ErrorStatistics, Value):
    """Observations y = h(x) + e, e ~ N(0, R), with R = diag(r_1^2 .. r_m^2) or any covariance.

    Parameters
    ----------
    operator : Operator or None
        h, from `enfilt.operators`. None: h(x) is computed elsewhere, and each analysis is given its
        values, ``filt.analysis(..., observed=Hx)``.
    std : float or array_like, (m,), optional
        r, the standard deviation of the observation error, above zero: from 1e-150 to 1e150. An
        entry may be NaN where that of `y` always is.
    covariance : array_like or scipy.sparse array, (m, m), optional
        R, in place of `std`, where errors are correlated: symmetric and positive definite. Zeros
        say what is not: observations are looked at in blocks that correlate, also by way of others.
        A missing value leaves R of the others.
    grid : Grid or array_like, (D, k), optional
        Where the components lie, which localization needs: a grid from `enfilt.geometry`, or
        coordinates. A `TwinExperiment` passes its model's.
    locations : array_like, (m, k), optional
        Coordinates of the observations, where the operator does not choose components.
    quality : Quality, optional
        Which observations an analysis is not to believe, such as
        ``ef.quality.GrossError(threshold=3)``. Default: it believes all.
    kinds : array_like, (m,), optional
        What each observation is of, a text or a number, and
    heights : array_like, (m,), optional
        at which height it is: statistics are kept apart by them (`enfilt.diagnostics`). Of
        analyses only those look at kinds whose localization is a `localization.ByKind`.

    Raises
    ------
    TypeError, ValueError
        If the operator is something else, not one of `std` and `covariance` is given, `std` is not
        finite and above zero, `covariance` not square, symmetric and positive definite, `locations`
        are no coordinates, something is masked, or the labels of pandas or xarray contradict
        positions, by which all arrays are taken.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> obs = ef.Observation(ef.operators.Every(2), std=0.5)
    >>> obs.size(5)
    3
    >>> obs.simulate(np.zeros(5), rng=0).round(2)
    array([ 0.06, -0.07,  0.32])

    Errors that neighbours share:

    >>> apart = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    >>> obs = ef.Observation(ef.operators.Every(2), covariance=0.25 * 0.5**apart)
    >>> ef.ETKF().analysis(np.eye(5), np.zeros(3), obs).mean(axis=0).round(2)
    array([0.16, 0.25, 0.17, 0.25, 0.16])
    """

    operator: Operator | None
    std: float | npt.ArrayLike | None = None
    covariance: Any = field(default=None, kw_only=True)
    grid: Any = field(default=None, kw_only=True)
    locations: Any = field(default=None, kw_only=True)
    quality: Quality | None = field(default=None, kw_only=True)
    kinds: Any = field(default=None, kw_only=True)
    heights: Any = field(default=None, kw_only=True)
    _error: ErrorCovariance | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.operator, Operator | None):
            raise TypeError(
                f"operator={self.operator!r}: expected an observation operator "
                f"(a function h becomes one by enfilt.operators.Custom(h)), or None"
            )
        if not isinstance(self.quality, Quality | None):
            raise TypeError(
                f"quality={self.quality!r}: expected a check such as "
                f"enfilt.quality.GrossError(threshold=3), or None"
            )
        if not isinstance(self.grid, Grid):
            object.__setattr__(self, "grid", _checks.plain("grid", self.grid))
        if self.locations is not None:
            locations = _checks.coordinates("locations", self.locations)
            object.__setattr__(self, "locations", locations)
        if self.kinds is not None:
            kinds = np.array(self.kinds)
            kinds.flags.writeable = False
            object.__setattr__(self, "kinds", kinds)
        if self.heights is not None:
            heights = _checks.numbers("heights", self.heights).astype(np.float64)
            heights.flags.writeable = False
            object.__setattr__(self, "heights", heights)
        for name in ("kinds", "heights"):
            if np.ndim(getattr(self, name)) > 1 or np.shape(getattr(self, name)) == (0,):
                raise ValueError(f"{name} has shape {np.shape(getattr(self, name))}: expected (m,)")
        self._check_errors()

    def at(self, grid: Grid | None, locations: Array | None) -> Observation:
        """Return the same observations on another grid, without checking again what was."""
        moved = copy.copy(self)
        object.__setattr__(moved, "grid", grid)
        object.__setattr__(moved, "locations", locations)
        return moved

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
        if self.operator is None:
            return None
        if dim not in self._pointwise:
            form = self.operator.pointwise(dim)
            if form is not None and not isinstance(form.components, slice):
                form = form._replace(components=_arrays.frozen(form.components))
            self._pointwise[dim] = form
        return self._pointwise[dim]

    @functools.cached_property
    def _pointwise(self) -> dict[int, Pointwise | None]:
        """What the operator has said of states of each size: of millions it takes it seconds."""
        return {}

    @functools.cached_property
    def _in_order(self) -> dict[tuple[int, Any], _InOrder]:
        """Components and precisions as kernels take them, by D and dtype."""
        return {}

    def stands_at(self, dim: int) -> Any:
        """Return the components at whose places observations are, unless `locations` tell them.

        None where the operator tells none.
        """
        return None if self.operator is None else self.operator.stands_at(dim)

    def variables(self, dim: int) -> npt.NDArray[np.int64] | None:
        """Return the variable (m,) of the grid that each observation is of.

        Of the component that the observation depends on most, as the operator tells; or, of
        variables that the grid keeps apart, the first coordinate of its place. None where neither
        tells, or an observation is of a parameter.
        """
        grid = self.state_grid(dim)
        if self.locations is not None and grid.apart:
            return np.asarray(self.locations[:, 0], np.int64)
        leading = None if self.operator is None else self.operator.leading(dim)
        found = None if leading is None else grid.variables_of(leading)
        return None if found is None or (found < 0).any() else found

    def through(self, operator: Operator) -> Observation:
        """Return the same observations by another operator, without checking again what was."""
        changed = copy.copy(self)
        object.__setattr__(changed, "operator", operator)
        for known in ("_pointwise", "_in_order"):  # of the other operator
            vars(changed).pop(known, None)
        return changed

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
        if self.r.ndim:
            return self.r.size
        if self.locations is None:
            return None
        return len(self.locations)

    def _check_std(self, m: int) -> int:
        if self.r.ndim and self.r.size != m:
            what = "std" if self._error is None else "the diagonal of covariance"
            raise ValueError(f"{what} has {self.r.size} entries: expected {m}, one an observation")
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

    @property
    def known_grid(self) -> Grid:
        """The grid of the state.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.grid is None:
            raise ValueError(
                "grid is missing: localization needs the places of the components; give "
                "Observation(..., grid=model.grid), or their coordinates (D, k)"
            )
        return as_grid(self.grid)

    def state_grid(self, dim: int) -> Grid:
        """Return the grid of a state of `dim` components.

        Raises
        ------
        ValueError
            If there is none, or it is not of `dim` components.
        """
        grid = self.known_grid
        if grid.size != dim:
            raise ValueError(f"grid has {grid.size} points: expected {dim}, one a component")
        return grid

    def tells_places(self, dim: int) -> bool:
        """Whether `places` has them, for those who can do without."""
        if self.grid is None:
            return False
        return self.locations is not None or self.stands_at(dim) is not None

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
            grid.check_places("locations", where)
            return grid, where
        components = self.stands_at(dim)
        if components is None:
            raise ValueError(
                "locations is missing: no operator chooses components, so localization needs "
                "Observation(..., locations=...) of the observations"
            )
        where = grid.coordinates(components)
        if np.isnan(where).any():
            k = int(np.flatnonzero(np.isnan(where).any(axis=1))[0])
            raise ValueError(
                f"observation {k} is of a parameter, which has no place: localization needs "
                f"Observation(..., locations=...), or observations of other components"
            )
        return grid, where

    def components(self, dim: int, y: Array) -> ObservedComponents | None:
        """Return observations y (..., m) of states of `dim` components as kernels take them.

        None where the operator is none that they evaluate themselves, or errors are correlated.
        """
        form = self.pointwise(dim) if not self.is_correlated else None
        if form is None:
            return None
        found = self._in_order.get((dim, y.dtype))
        if found is None:
            found = _InOrder.of(form.components, self.precision(y.dtype))
            self._in_order[dim, y.dtype] = found
        if found.order is not None:
            y = y[..., _arrays.beside(y, found.order)]
        return ObservedComponents(
            form.kind,
            form.parameter,
            found.offset,
            found.stride,
            y.shape[-1],
            found.indices,
            _arrays.namespace(y).ascontiguousarray(y),
            found.precision,
            form.function,
        )

    def of_values(self, y: Array) -> ObservedComponents:
        """Return observations y (m,) as kernels take them that are given h(x) in place of x.

        Correlations of their errors are left out.
        """
        precision = self.precision(y.dtype)
        return ObservedComponents(
            "identity",
            0.0,
            0,
            1,
            y.size,
            None,
            _arrays.namespace(y).ascontiguousarray(y),
            precision,
        )

    @_arrays.as_it_came
    def innovation(self, x: Array, y: Array) -> Array:
        """Return R^-1 (y - h(x)), (..., m), with zeros where y is NaN."""
        x, y = self._given(x, y)
        return self.weighted(self.observe(x, y.shape[-1]), y)

    @_arrays.as_it_came
    def misfit(self, x: Array, y: Array) -> Array:
        """Return J(x) = 1/2 (y - h(x))^T R^-1 (y - h(x)), (...,) for x of (..., D).

        Components of y that are NaN are left out.
        """
        x, y = self._given(x, y)
        return self.misfit_of_values(self.observe(x, y.shape[-1]), y)

    def _given(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Check that x and y are arrays of one dtype, which have axes."""
        x = _checks.floating("x", x, members=2)
        y = _checks.floating("y", y, x.dtype, missing=True, rounded=True)
        if not x.size:
            raise ValueError(f"x has shape {x.shape}: expected (..., D), and no empty axis")
        if y.ndim != 1 and y.shape[:-1] != x.shape[:-1]:
            raise ValueError(f"y has shape {y.shape}: expected (m,) or {(*x.shape[:-1], 'm')}")
        if not _arrays.on_device(y):  # where the host would wait for it
            _checks.not_infinite("y", y)
        self.check_seen(y)
        return x, y

    @_arrays.as_it_came
    def gradient(self, x: Array, y: Array) -> Array:
        """Return grad J(x) = -h'(x)^T R^-1 (y - h(x)), (..., D)."""
        x, y = self._given(x, y)
        h, pull = self.h.linearize(x)
        return -pull(self.weighted(self._checked(h, y.shape[-1]), y))

    @_arrays.as_it_came
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
            In the dtype of `truth`, errors correlated as `covariance` says; NaN where `std` is.

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
            error = self.errors(rng.standard_normal(m), np.zeros(m))
            simulated: Array = xp.asarray(h + xp.asarray(error.astype(truth.dtype)))
        # NaN would be an observation not made
        if xp is np and not (np.isfinite(simulated) | np.isnan(self.r)).all():
            raise FloatingPointError(
                f"{_checks.first_bad('h(truth)', simulated)}: expected a smaller truth or std"
            )
        return simulated
