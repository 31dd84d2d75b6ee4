"""What is observed of a state that is transformed for the analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .base import Array, Components, Operator

if TYPE_CHECKING:
    from ..transforms.state import TransformedState


@dataclass(frozen=True, eq=False)
class OfTransformed(Operator):
    """Observe h(T^-1(z)) of transformed states z, at the places of h.

    Parameters
    ----------
    operator : Operator
        h, of the states as they are.
    transforms : TransformedState
        T.
    """

    operator: Operator
    transforms: TransformedState

    def size(self, dim: int) -> int:
        return self.operator.size(dim)

    def told_size(self, dim: int) -> int | None:
        return self.operator.told_size(dim)

    def stands_at(self, dim: int) -> Components | None:
        return self.operator.stands_at(dim)

    def leading(self, dim: int) -> npt.NDArray[np.int64] | None:
        return self.operator.leading(dim)

    def _state(self, z: Array) -> Array:
        only: npt.NDArray[np.int64] | None = None
        form = self.operator.pointwise(z.shape[-1])
        if form is not None:
            only = np.arange(z.shape[-1])[form.components]
        return self.transforms.inverse(z, only)

    def __call__(self, x: Array) -> Array:
        return self.operator(self._state(x))

    def linearize(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        value, pull = self.operator.linearize(self._state(x))
        return value, lambda u: self.transforms.pulled(x, pull(u))

    def vjp(self, x: Array, u: Array) -> Array:
        return self.linearize(x)[1](u)

    @property
    def has_gradient(self) -> bool:
        return self.operator.has_gradient
