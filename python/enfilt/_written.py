"""Filters and options written as Python."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import inflation, localization, models, operators, priors


def written(value: Any, prefix: str = "") -> str:
    """Return a filter or an option as Python, options at their defaults left out.

    Parameters
    ----------
    value : object
        A dataclass of the library, or what `repr` writes.
    prefix : str
        Of the library's name; empty: the bare names that ``--set`` takes.

    Examples
    --------
    >>> import enfilt as ef
    >>> written(ef.LETKF(ef.localization.GaspariCohn(14.0), 1.04), "ef.")
    'ef.LETKF(localization=ef.localization.GaspariCohn(cutoff=14.0), inflation=1.04)'
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    kind = type(value)
    parts = []
    for f in dataclasses.fields(value):
        held = getattr(value, f.name)
        default = f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        if f.init and (default is dataclasses.MISSING or not _same(held, default)):
            parts.append(f"{f.name}={written(held, prefix)}")
    path = ""
    if prefix:
        homes = (inflation, localization, models, operators, priors)
        path = prefix + next(
            (f"{m.__name__.partition('.')[2]}." for m in homes if hasattr(m, kind.__name__)), ""
        )
    return f"{path}{kind.__name__}({', '.join(parts)})"


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)
