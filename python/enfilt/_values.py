"""What the library's values have in common: equal by content, and pickled without caches."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, TypeVar

import numpy as np

Kind = TypeVar("Kind", bound=tuple[Any, ...])


class Frozen:
    """Pickles, also for `copy.deepcopy`, without what is derived when it is first asked for.

    Arrays that are read-only stay so, which NumPy forgets on the way.
    """

    def __getstate__(self) -> dict[str, Any]:
        kind = type(self)
        return {
            name: _Locked(value) if _is_read_only(value) else value
            for name, value in vars(self).items()
            if not isinstance(getattr(kind, name, None), functools.cached_property)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            vars(self)[name] = value.opened() if isinstance(value, _Locked) else value


class Value(Frozen):
    """A dataclass with arrays among its fields: equal to another where all they hold is equal.

    NaN is equal to NaN. For a hash, arrays count with shape and dtype alone: it costs no pass.
    """

    def __eq__(self, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return all(same(a, b) for a, b in zip(_contents(self), _contents(other), strict=True))

    def __hash__(self) -> int:
        return hash((type(self), *map(outline, _contents(self))))


def by_content(kind: type[Kind]) -> type[Kind]:
    """Make a named tuple with arrays in it equal to another as a `Value` is."""

    def equal(self: Any, other: Any) -> bool:
        return type(other) is kind and same([*self], [*other])

    def different(self: Any, other: Any) -> bool:
        return not equal(self, other)  # a tuple has this of its own

    def digest(self: Any) -> int:
        return hash(outline([*self]))

    for name, method in (("__eq__", equal), ("__ne__", different), ("__hash__", digest)):
        setattr(kind, name, method)
    return kind


@dataclasses.dataclass
class _Locked:
    """An array that is read-only when it is opened."""

    array: Any

    def opened(self) -> Any:
        self.array.flags.writeable = False
        return self.array


def _is_read_only(value: Any) -> bool:
    return isinstance(value, np.ndarray) and not value.flags.writeable


def _contents(value: Any) -> list[Any]:
    return [getattr(value, f.name) for f in dataclasses.fields(value) if f.compare]


def same(one: Any, other: Any) -> bool:
    """Return whether two options are equal: arrays, sparse matrices, and collections of them."""
    if one is other:
        return True
    if hasattr(one, "tocsr") and hasattr(other, "tocsr"):
        first, second = one.tocsr(), other.tocsr()
        return (
            type(one) is type(other)
            and one.shape == other.shape
            and one.dtype == other.dtype
            and (first != second).nnz == 0
        )
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and _same_arrays(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(same, one, other))
    equal = one == other
    return bool(equal) or (isinstance(one, float) and one != one and other != other)


def _same_arrays(one: Any, other: Any) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))


def outline(value: Any) -> Any:
    """Return something that hashes, and is equal for equal values."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and value.shape != ():
        return value.shape, str(value.dtype)
    if isinstance(value, dict):
        return frozenset(value)
    if isinstance(value, list | tuple):
        return tuple(map(outline, value))
    if isinstance(value, float) and value != value:
        return "nan"
    return value if getattr(type(value), "__hash__", None) is not None else type(value)
