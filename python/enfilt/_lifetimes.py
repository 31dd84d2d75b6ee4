"""What follows from an object, made once and kept for as long as that lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Kind = TypeVar("Kind")

_KEPT: dict[int, dict[Hashable, Any]] = {}


def kept(owner: Any, key: Hashable, make: Callable[[], Kind]) -> Kind:
    """Return what `make` has returned for this owner and key, of which it is called once.

    The owner is told by what it is, not by what it holds: nobody may write to it.
    """
    found = _KEPT.get(id(owner))
    if found is None:
        found = _KEPT[id(owner)] = {}
        weakref.finalize(owner, _KEPT.pop, id(owner), None).atexit = False
    if key not in found:
        found[key] = make()
    result: Kind = found[key]
    return result
