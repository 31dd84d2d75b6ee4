"""Operators that observe chosen components."""

from __future__ import annotations

import functools
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from .._values import Value
from .base import Array, Components, Operator, Pointwise, states, weights

__all__ = ["Every", "Mask", "Subset"]


class _Selection(Operator):
    """A choice of components, in the order of the observations."""

    @abstractmethod
    def components(self, dim: int) -> Components:
        """Return the components observed of a state of `dim`, checked."""

    def size(self, dim: int) -> int:
        chosen = self.components(dim)
        if isinstance(chosen, slice):
            return len(range(dim)[chosen])
        return int(chosen.size)

    def __call__(self, x: Array) -> Array:
        x = states(x)
        xp, chosen = _arrays.namespace(x), self.components(x.shape[-1])
        if not isinstance(chosen, slice):
            chosen = _arrays.beside(x, chosen)
        result: Array = xp.array(x[..., chosen])
        return result

    def vjp(self, x: Array, u: Array) -> Array:
        x = states(x)
        xp, u = _arrays.namespace(x), weights(x, u, self.size(x.shape[-1]))
        result: Array = xp.zeros_like(x)
        chosen = self.components(x.shape[-1])
        if isinstance(chosen, slice):
            result[..., chosen] = u
        else:  # add.at: an index that stands twice is observed twice
            xp.add.at(xp.moveaxis(result, -1, 0), _arrays.beside(x, chosen), xp.moveaxis(u, -1, 0))
        return result

    def as_matrix(self, dim: int) -> npt.NDArray[np.float64]:
        chosen = np.arange(dim)[self.components(dim)]
        rows = np.zeros((chosen.size, dim))
        rows[np.arange(chosen.size), chosen] = 1.0
        return rows

    def pointwise(self, dim: int) -> Pointwise | None:
        return Pointwise("identity", 0.0, self.components(dim))


@dataclass(frozen=True, eq=False)
class Subset(Value, _Selection):
    """Observe the components of the given indices.

    Parameters
    ----------
    indices : array_like of int, (m,)
        Components, in the order of the observations. An index may stand twice.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Subset([2, 0])(np.array([10.0, 20.0, 30.0]))
    array([30., 10.])
    """

    indices: npt.ArrayLike

    def __post_init__(self) -> None:
        array = np.asarray(_checks.plain("indices", self.indices))
        if array.ndim != 1 or array.size == 0:
            raise ValueError(f"indices has shape {array.shape}: expected (m,) with m >= 1")
        if not np.issubdtype(array.dtype, np.integer):
            raise TypeError(f"indices has dtype {array.dtype}: expected integers")
        if array.min() < 0:
            raise ValueError(f"indices holds {array.min()}: expected no negative index")
        if array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"indices holds {array.max()}: expected indices below 2**63")
        frozen = array.astype(np.int64)
        frozen.flags.writeable = False
        object.__setattr__(self, "indices", frozen)

    # What follows from the indices alone is found once: of millions it takes seconds.

    @functools.cached_property
    def _largest(self) -> int:
        return int(np.asarray(self.indices).max())

    @functools.cached_property
    def _repeats(self) -> bool:
        indices = np.asarray(self.indices)
        return bool(np.unique(indices).size < indices.size)

    def components(self, dim: int) -> Components:
        if self._largest >= dim:
            raise ValueError(
                f"indices holds {self._largest}, out of range for a state of {dim} components"
            )
        return np.asarray(self.indices)

    def pointwise(self, dim: int) -> Pointwise | None:
        return None if self._repeats else super().pointwise(dim)


@dataclass(frozen=True)
class Every(_Selection):
    """Observe every k-th component, starting with `offset`.

    Parameters
    ----------
    k : int
        Distance between observed components, at least 1.
    offset : int
        First component observed, at least 0.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Every(2, offset=1)(np.arange(5.0))
    array([1., 3.])
    """

    k: int
    offset: int = 0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.integer("k", self.k, 1)
        _checks.integer("offset", self.offset, 0)

    def components(self, dim: int) -> Components:
        if self.offset >= dim:
            raise ValueError(
                f"offset={self.offset} is out of range for a state of {dim} components"
            )
        return slice(int(self.offset), dim, int(self.k))


@dataclass(frozen=True, eq=False)
class Mask(Value, _Selection):
    """Observe the components where a mask is true.

    Parameters
    ----------
    mask : array_like of bool, (D,)
        True where a component is observed.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.operators.Mask([True, False, True])(np.array([10.0, 20.0, 30.0]))
    array([10., 30.])
    """

    mask: npt.ArrayLike

    def __post_init__(self) -> None:
        array = np.asarray(_checks.plain("mask", self.mask))
        if array.dtype != np.bool_:
            raise TypeError(f"mask has dtype {array.dtype}: expected bool")
        if array.ndim != 1 or not array.any():
            raise ValueError(
                f"mask has shape {array.shape} and {array.sum()} true: expected (D,), one or more"
            )
        frozen = array.copy()
        frozen.flags.writeable = False
        object.__setattr__(self, "mask", frozen)

    def components(self, dim: int) -> Components:
        mask = np.asarray(self.mask)
        if mask.size != dim:
            raise ValueError(f"mask has {mask.size} entries: expected {dim}, one a component")
        return self._chosen

    @functools.cached_property
    def _chosen(self) -> npt.NDArray[np.int64]:
        return _arrays.frozen(np.flatnonzero(np.asarray(self.mask)).astype(np.int64))
