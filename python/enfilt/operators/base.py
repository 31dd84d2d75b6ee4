"""What an observation operator is, and one after another."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks

__all__ = ["Compose", "Operator"]

if TYPE_CHECKING:
    from ..backends.block_function import BlockFunction

Array = npt.NDArray[Any]
#: Components in the order of the observations: a slice or an index array.
Components = slice | npt.NDArray[np.int64]


class Pointwise(NamedTuple):
    """An operator that compiled kernels evaluate themselves: ``h(x)_k = f(x[components[k]])``.

    Attributes
    ----------
    kind : str
        Name of f: "identity", "arctan", "tanh", "sigmoid", "power_integer", "power_real" or
        "function".
    parameter : float
        f's parameter, 0 where it has none.
    components : slice or ndarray of int64
        The components observed, each at most once.
    function : BlockFunction or None
        f itself, of the kind "function".
    """

    kind: str
    parameter: float
    components: Components
    function: BlockFunction | None = None


def states(x: Array) -> Array:
    """Check that x holds states (..., D), of any real dtype; return it."""
    x = _checks.plain("x", x, members=2)
    if not getattr(x, "shape", ()) or x.dtype.kind not in "fiu":
        kind = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"x is of type {kind}: expected an array of real numbers, (..., D)")
    if not x.shape[-1]:
        raise ValueError(f"x has shape {x.shape}: expected (..., D), D at least 1")
    return x


def weights(x: Array, u: Array, m: int) -> Array:
    """Check that u, (..., m), holds a number for each observation of states x; return it."""
    x, u = states(x), _checks.plain("u", u, members=2)
    wanted = (*x.shape[:-1], m)
    if getattr(u, "shape", None) != wanted or u.dtype != x.dtype:
        found = getattr(u, "shape", type(u).__name__), getattr(u, "dtype", None)
        raise ValueError(f"u is of shape and dtype {found}: expected {wanted}, {x.dtype}, as x")
    return u


class Operator(ABC):
    """An observation operator h, mapping states (..., D) to observations (..., m).

    A new operator defines `size`, `__call__` and, where it has a gradient, `vjp`; the compiled
    kernels take it in where `pointwise` tells them how.
    """

    @abstractmethod
    def size(self, dim: int) -> int:
        """Return m, the number of observations of a state of `dim` components.

        Raises
        ------
        ValueError
            If the operator does not apply to states of `dim` components.
        """

    def told_size(self, dim: int) -> int | None:
        """Return m where the operator tells it without being called; None where it does not.

        Raises
        ------
        ValueError
            As `size`.
        """
        return self.size(dim)

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """Return h(x), of shape (..., m) for x of shape (..., D)."""

    def vjp(self, x: Array, u: Array) -> Array:
        """Return h'(x)^T u, of shape (..., D), for x of shape (..., D) and u of (..., m)."""
        raise TypeError(f"{self!r} has no gradient")

    def linearize(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return h(x) and the function u -> h'(x)^T u, for the price of one h and one `vjp`."""
        return self(x), functools.partial(self.vjp, x)

    @property
    def has_gradient(self) -> bool:
        """Whether `vjp` can be called."""
        return True

    def pointwise(self, dim: int) -> Pointwise | None:
        """Return the form that compiled kernels evaluate themselves, or None."""
        return None

    def stands_at(self, dim: int) -> Components | None:
        """Return the components at whose places observations are; None where it tells none."""
        form = self.pointwise(dim)
        return None if form is None else form.components

    def leading(self, dim: int) -> npt.NDArray[np.int64] | None:
        """Return the component (m,) that each observation depends on most; None where not told.

        It tells which variable an observation is of.
        """
        stand = self.stands_at(dim)
        return None if stand is None else np.arange(dim, dtype=np.int64)[stand]

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64] | None:
        """Return H, dense (m, D), of an operator h(x) = H x; None for any other."""
        return None

    def __matmul__(self, inner: Operator) -> Compose:
        """``outer @ inner`` observes ``outer(inner(x))``."""
        return Compose(self, inner)


@dataclass(frozen=True)
class Compose(Operator):
    """Observe ``outer(inner(x))``; also written ``outer @ inner``.

    Parameters
    ----------
    outer, inner : Operator
        The inner one is applied first.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> h = ef.operators.Power(2) @ ef.operators.Every(2)
    >>> h(np.array([1.0, 2.0, 3.0]))
    array([1., 9.])
    """

    outer: Operator
    inner: Operator

    def __post_init__(self) -> None:
        for name in ("outer", "inner"):
            part = getattr(self, name)
            if not isinstance(part, Operator):
                raise TypeError(f"{name}={part!r}: expected an observation operator")

    def size(self, dim: int) -> int:
        return self.outer.size(self.inner.size(dim))

    def told_size(self, dim: int) -> int | None:
        inner = self.inner.told_size(dim)
        return None if inner is None else self.outer.told_size(inner)

    def __call__(self, x: Array) -> Array:
        return self.outer(self.inner(x))

    def vjp(self, x: Array, u: Array) -> Array:
        return self.linearize(x)[1](u)

    def linearize(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        between, pull_inner = self.inner.linearize(x)
        value, pull_outer = self.outer.linearize(between)
        return value, lambda u: pull_inner(pull_outer(u))

    @property
    def has_gradient(self) -> bool:
        return self.outer.has_gradient and self.inner.has_gradient

    def leading(self, dim: int) -> npt.NDArray[np.int64] | None:
        first = self.inner.leading(dim)
        then = None if first is None else self.outer.leading(len(first))
        return None if first is None or then is None else first[then]

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64] | None:
        inner = self.inner.as_matrix(dim)
        outer = None if inner is None else self.outer.as_matrix(len(inner))
        return None if inner is None or outer is None else outer @ inner

    def pointwise(self, dim: int) -> Pointwise | None:
        first = self.inner.pointwise(dim)
        then = self.outer.pointwise(self.inner.size(dim)) if first else None
        if first is None or then is None:
            return None
        if first.kind != "identity" and then.kind != "identity":
            return None  # kernels know one function, not a chain of them
        function = first if then.kind == "identity" else then
        chosen = _after(first.components, then.components, dim)
        return function._replace(components=chosen)


def _after(first: Components, then: Components, dim: int) -> Components:
    """Return the components that `then` picks from those that `first` picked."""
    if isinstance(first, slice) and isinstance(then, slice):
        picked = range(dim)[first][then]
        return slice(picked.start, picked.stop, picked.step)
    return np.arange(dim, dtype=np.int64)[first][then]
