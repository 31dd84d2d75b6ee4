"""Filters by the name that the shell uses: ours, and those of other installed packages."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .. import _checks
from . import catalogue
from .base import EnsembleFilter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Ours.
FILTERS: dict[str, type[EnsembleFilter]] = {
    value._name: value
    for value in vars(catalogue).values()
    if isinstance(value, type) and issubclass(value, EnsembleFilter) and value._name
}
#: The group of entry points by which a package tells of its filters.
GROUP = "enfilt.filters"


@functools.cache
def _others() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # slow to import, and seldom asked for

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in FILTERS}


def names() -> list[str]:
    """Return the names of all filters, those of other packages last."""
    return [*FILTERS, *_others()]


def named(name: str) -> type[EnsembleFilter]:
    """Return the filter of a name.

    A package tells of its own by an entry point of the group ``enfilt.filters``; ours come first.

    Raises
    ------
    ImportError
        If another package's filter can't be imported; the message names the package.
    TypeError
        If what it names is no subclass of `EnsembleFilter`.
    ValueError
        If there is none; the message gives the nearest name.
    """
    if name in FILTERS:
        return FILTERS[name]
    point = _others()[_checks.choice("filter", name, names())]
    package = "a package" if point.dist is None else point.dist.name
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise ImportError(f"filter={name!r} of {package} can't be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, EnsembleFilter)):
        raise TypeError(
            f"filter={name!r} of {package} is {found!r}: expected a subclass of "
            f"enfilt.filters.EnsembleFilter"
        )
    return found
