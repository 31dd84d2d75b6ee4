"""An observation operator of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .base import Array, Operator, states, weights

__all__ = ["Custom"]


@dataclass(frozen=True, init=False)
class Custom(Operator):
    """Observe any function of the state.

    Parameters
    ----------
    h : callable
        Maps an ensemble (N, D) to its observations (N, m). Called with the whole ensemble, in its
        own dtype and array library, and as often as the method needs it: once an analysis by the
        Kalman and particle filters, once a step by samplers. m may differ from cycle to cycle, as
        that of `y` does. It must not write to its argument.
    vjp : callable, optional
        Maps ``(x, u)`` of shapes (N, D) and (N, m) to h'(x)^T u of shape (N, D). May be left out
        where no gradient is asked for (``guidance="monte-carlo"`` and ``"covariance"``).

    Raises
    ------
    TypeError
        If `h` or `vjp` is no function, or a gradient is asked for and `vjp` was left out.
    ValueError
        If a result has the wrong shape.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> speed = ef.operators.Custom(
    ...     lambda x: np.hypot(x[:, 0::2], x[:, 1::2]),
    ... )
    >>> speed(np.array([[3.0, 4.0]]))
    array([[5.]])
    """

    h: Callable[[Array], Array]
    vjp_function: Callable[[Array, Array], Array] | None = None

    def __init__(
        self,
        h: Callable[[Array], Array],
        vjp: Callable[[Array, Array], Array] | None = None,
    ) -> None:
        if not callable(h):
            raise TypeError(f"h={h!r}: expected a function of the ensemble")
        if vjp is not None and not callable(vjp):
            raise TypeError(f"vjp={vjp!r}: expected a function of (x, u), or None")
        object.__setattr__(self, "h", h)
        object.__setattr__(self, "vjp_function", vjp)

    @property
    def has_gradient(self) -> bool:
        return self.vjp_function is not None

    def size(self, dim: int) -> int:
        """Return m, from h of a state of zeros: nothing in the library asks for that.

        It is a NumPy array, or where CuPy is imported and h takes none of NumPy's one of CuPy.
        """
        try:
            return int(self(np.zeros((1, dim))).shape[-1])
        except TypeError:
            if not _arrays.cupy_is_imported():
                raise
            return int(self(_arrays.cupy().zeros((1, dim))).shape[-1])

    def told_size(self, dim: int) -> int | None:
        return None

    def __call__(self, x: Array) -> Array:
        x = states(x)
        rows = x.reshape(-1, x.shape[-1])
        result = _returned("h", self.h(rows), x)
        if result.ndim != 2 or result.shape[0] != rows.shape[0]:
            raise ValueError(
                f"h returned shape {result.shape} for an ensemble of shape {rows.shape}: "
                f"expected ({rows.shape[0]}, m)"
            )
        return result.reshape(*x.shape[:-1], result.shape[-1])

    def vjp(self, x: Array, u: Array) -> Array:
        if self.vjp_function is None:
            raise TypeError("vjp of the Custom operator is missing: a gradient is asked for here")
        x, u = states(x), _checks.plain("u", u, members=2)
        shape = getattr(u, "shape", ())  # np.shape() knows no arrays on a GPU
        u = weights(x, u, shape[-1] if shape else 0)
        rows = x.reshape(-1, x.shape[-1])
        result = _returned("vjp", self.vjp_function(rows, u.reshape(-1, u.shape[-1])), x)
        if result.shape != rows.shape:
            raise ValueError(
                f"vjp returned shape {result.shape}: expected {rows.shape}, as the ensemble"
            )
        return result.reshape(x.shape)


def _returned(name: str, value: Any, x: Array) -> Array:
    """Return what a function of the user's has returned as an array such as x is."""
    value = _checks.plain(f"what {name} returned", value, members=2)
    try:
        result: Array = _arrays.beside(x, value, x.dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} returned {type(value).__name__}, no numbers: {error}") from error
    return result
