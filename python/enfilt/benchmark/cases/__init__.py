"""The cases by name; a group of them a file."""

from __future__ import annotations

from ... import _checks
from ..case import Case
from . import flow, inflation, kalman, lorenz96, score

__all__ = ["CASES", "get"]

#: Cases by name, in the order of the table.
CASES: dict[str, Case] = {
    case.name: case for group in (flow, lorenz96, kalman, inflation, score) for case in group.CASES
}


def get(name: str) -> Case:
    """Return the case of a name.

    Raises
    ------
    ValueError
        If there is none; the message gives the nearest name.

    Examples
    --------
    >>> from enfilt import benchmark
    >>> case = benchmark.get("letkf")
    >>> case.title, case.size
    ('LETKF, cutoff 14', Size(members=20, dim=100000, steps=1, dtype='float32'))
    """
    return CASES[_checks.choice("case", name, CASES)]
