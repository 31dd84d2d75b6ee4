"""One operator after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .base import Array, Components, Operator, Pointwise


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
