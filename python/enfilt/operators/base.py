"""What an observation operator is."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks

if TYPE_CHECKING:
    from ..backends.block_function import BlockFunction
    from .compose import Compose

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
    wanted, u = (*states(x).shape[:-1], m), _checks.plain("u", u, members=2)
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

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64] | None:
        """Return H, dense (m, D), of an operator h(x) = H x; None for any other."""
        return None

    def __matmul__(self, inner: Operator) -> Compose:
        """``outer @ inner`` observes ``outer(inner(x))``."""
        from .compose import Compose  # an operator and its composition know each other

        return Compose(self, inner)
