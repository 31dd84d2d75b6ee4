"""A state some of whose components are transformed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Array, Transform

Components = slice | npt.NDArray[np.int64]


class TransformedState:
    """Transforms of components (D,), and of states (..., D) by them.

    Parameters
    ----------
    parts : sequence of (name, components, transform)
        Components are a slice without steps or sorted numbers; no two parts share one.
    """

    def __init__(self, parts: Sequence[tuple[str, Components, Transform]]) -> None:
        self.parts = list(parts)

    def __repr__(self) -> str:
        return f"TransformedState({[(name, t) for name, _, t in self.parts]})"

    @property
    def is_fitted(self) -> bool:
        """Whether each ensemble has transforms of its own."""
        return any(transform.is_fitted for _, _, transform in self.parts)

    def fitted(self, forecast: Array) -> TransformedState:
        """Return the transforms for one forecast ensemble (N, D)."""
        return TransformedState(
            [(name, part, t.fitted(forecast[:, part])) for name, part, t in self.parts]
        )

    def check(self, argument: str, x: Array) -> None:
        """Check that an ensemble (B, N, D) is inside the domains."""
        if len(x) == 1:  # of one ensemble errors tell its own index
            x = x[0]
        for name, part, transform in self.parts:
            inside = transform.inside(x[..., part])
            if not inside.all():
                *lead, column = np.argwhere(~inside)[0]
                component = np.arange(x.shape[-1])[part][column]
                where = ", ".join(str(int(k)) for k in (*lead, component))
                value = x[(*lead, component)]
                variable = f", of variable {name!r}," if name else ""
                raise ValueError(
                    f"{argument}[{where}] is {value}{variable} where {transform!r} takes it: "
                    f"expected numbers {transform.domain}"
                )

    def forward(self, x: Array) -> Array:
        """Return z of states (..., D)."""
        z = x.copy()
        for _, part, transform in self.parts:
            z[..., part] = transform.forward(x[..., part])
        return z

    def inverse(self, z: Array, only: npt.NDArray[np.int64] | None = None) -> Array:
        """Return states (..., D) of z; where only some components are needed, right in these."""
        x = z.copy()
        for _, part, transform in self.parts:
            chosen, place = part, transform
            if only is not None:
                chosen, within = _within(part, only)
                if not within.size:
                    continue
                place = transform.at(within)
            x[..., chosen] = place.inverse(z[..., chosen])
        return x

    def back(self, z: Array, before: Array, x: Array) -> None:
        """Take an analysis (B, N, D) back in place; what has not changed is the forecast's.

        Parameters
        ----------
        z : ndarray
            The analysis.
        before, x : ndarray
            The forecast, transformed and as it was.
        """
        for _, part, transform in self.parts:
            new = z[..., part]
            moved = transform.inverse(new)
            z[..., part] = np.where(new == before[..., part], x[..., part], moved)

    def pulled(self, z: Array, gradient: Array) -> Array:
        """Return the gradient by z of a function of x whose gradient by x is given."""
        result = gradient.copy()
        for _, part, transform in self.parts:
            result[..., part] *= transform.slope(z[..., part])
        return result

    def holds(self, components: Any, dim: int) -> bool:
        """Return whether any of components, an index into (D,), is transformed."""
        chosen = np.arange(dim)[components]
        return any(_within(part, chosen)[1].size for _, part, _ in self.parts)


def _within(
    part: Components, only: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which components of a part are among others, and their places in the part."""
    if isinstance(part, slice):
        found = only[(only >= part.start) & (only < part.stop)]
        return found, found - part.start
    found = only[np.isin(only, part)]
    return found, np.searchsorted(part, found)
