"""What a dynamical model is."""

from __future__ import annotations

import math
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends
from .._values import Frozen
from ..grids import Grid, RegularGrid, axes

Array = npt.NDArray[Any]
RandomState: TypeAlias = "np.random.Generator | int | None"  # as that of filters


def warn_beyond(dt: float, limit: float, why: str) -> None:
    """Warn of a dt beyond the stability limit of a scheme, where this package was called."""
    depth, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("enfilt."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(
        f"dt={dt} is beyond the stability limit of {limit:.3g} ({why}): the state may cease to be "
        f"finite; expected a dt of at most that",
        RuntimeWarning,
        stacklevel=depth,
    )


class Model(Frozen, ABC):
    """A dynamical model, batched over members.

    A new model defines `dim`, `dt`, `grid`, `initial_state` and `_advance`.

    Attributes
    ----------
    dim : int
        Components of a state, D.
    dt : float
        Time of one step.
    model_noise : float
        Standard deviation, per unit root time, of noise added after each step; 0: none.
    """

    dim: int
    dt: float
    model_noise: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The state as an array: the shape of the grid, after the number of its variables.

        (D,) where the components lie on no grid.
        """
        grid = self.grid
        if not isinstance(grid, RegularGrid):
            return (self.dim,)
        return grid.shape if grid.variables == 1 else (grid.variables, *grid.shape)

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """Where the components lie."""

    def field(self, states: Array) -> Array | None:
        """Return what a picture of states shows, or None where they lie on no plane.

        Parameters
        ----------
        states : ndarray, (M, D)
            States.

        Returns
        -------
        ndarray, (M, rows, columns), or None
            Of a grid of two axes: the first variable, unless the model knows better.
        """
        plane = axes(self.grid)
        if len(plane) != 2:
            return None
        rows = self._states("states", states)
        return rows.reshape(len(rows), -1, *plane)[:, 0]

    def _states(self, argument: str, value: npt.ArrayLike) -> Array:
        """Check that an argument holds states, (..., D)."""
        rows = _checks.floating(argument, value, members=2)
        if rows.ndim < 1 or rows.shape[-1] != self.dim:
            raise ValueError(
                f"{argument} has shape {rows.shape}: expected (..., {self.dim}), "
                f"the model's components last"
            )
        return rows

    @abstractmethod
    def initial_state(self, rng: RandomState = None) -> npt.NDArray[np.float64]:
        """Return a state (D,) to spin up from."""

    @abstractmethod
    def _advance(self, rows: Array, steps: int, out: Array) -> None:
        """Write rows (M, D) after `steps` steps without noise to `out`, which may be `rows`."""

    def _check_result(
        self,
        name: str,
        rows: Array,
        work: Array,
        shape: tuple[int, ...],
        test: Callable[[Array], bool],
    ) -> None:
        """Check that states are finite, which those are not that come from others than finite."""
        if test(work):
            return
        if not np.may_share_memory(rows, work):  # else they were overwritten
            _checks.finite(name, rows.reshape(shape), test)
        bad = _checks.first_bad(name, work.reshape(shape))
        raise FloatingPointError(
            f"{bad} after steps of dt={self.dt}: expected a shorter dt, or smaller numbers"
        )

    @_arrays.as_it_came
    def step(
        self,
        ensemble: npt.ArrayLike,
        steps: int = 1,
        *,
        rng: RandomState = None,
        out: Array | None = None,
    ) -> Array:
        """Step an ensemble forward.

        Parameters
        ----------
        ensemble : array_like, (..., D)
            A state, an ensemble (N, D) or a batch of them, float32 or float64.
        steps : int
            Steps of length `dt`, at least 0.
        rng : numpy.random.Generator, int or None
            Where the model noise is drawn from.
        out : ndarray, as `ensemble`, optional
            Where the result goes; `ensemble` itself is allowed.

        Returns
        -------
        ndarray, as `ensemble`

        Raises
        ------
        TypeError, ValueError
            If the dtype is another, the last axis is not of `dim` components, or a value is not
            finite.
        FloatingPointError
            If a state ceases to be finite: the step is too long for it, or its numbers too large.
            On a GPU, which would have to be waited for, neither is looked for.
        """
        return self._stepped("ensemble", ensemble, steps, rng, out)

    def _stepped(
        self, name: str, value: npt.ArrayLike, steps: int, rng: RandomState, out: Array | None
    ) -> Array:
        """Step an ensemble that is called so in messages; see `step`."""
        state = self._states(name, value)
        count = _checks.integer("steps", steps, 0)
        target = None if out is None else _checks.output("out", out, state.shape, state.dtype)
        rows = _checks.contiguous(state).reshape(-1, self.dim)
        xp = _arrays.namespace(rows)
        kernels = backends.of_arrays("auto", **{name: rows, "out": target})  # on one device
        # one of its own takes as long to make as a small step
        draws = None if rng is None and not self.model_noise else _checks.generator("rng", rng)
        # an `out` that overlaps the input in part would be read after it was written
        overlaps = target is not None and bool(xp.may_share_memory(rows, target))
        same = target is not None and _arrays.address(rows) == _arrays.address(target)
        direct = target is not None and (same or not overlaps)
        work = target.reshape(rows.shape) if direct and target is not None else xp.empty_like(rows)
        if not rows.size:
            return work.reshape(state.shape) if target is None else target
        with np.errstate(over="ignore", invalid="ignore"):  # `_check_result` says it better
            if draws is None or self.model_noise == 0:
                self._advance(rows, count, work)
            else:
                scale = float(self.model_noise) * math.sqrt(self.dt)
                work[...] = rows
                # counter-based, so that a member's noise does not depend on how many there are
                key = int(draws.integers(2**64, dtype=np.uint64))
                noise = xp.empty_like(work)
                for number in range(count):
                    self._advance(work, 1, work)
                    kernels.normals(key, 0, number, noise)
                    noise *= noise.dtype.type(scale)
                    work += noise
        if not kernels.on_device:
            self._check_result(name, rows, work, state.shape, kernels.all_finite)
        if target is None:
            return work.reshape(state.shape)
        if not direct:
            target[...] = work.reshape(state.shape)
        return target
