"""The cases by name; a group of them a file."""

from __future__ import annotations

from ... import _checks
from ..case import Case
from . import flow, kalman, lorenz96, score

__all__ = ["CASES", "get"]

#: Cases by name, in the order of the table.
CASES: dict[str, Case] = {
    case.name: case for group in (flow, lorenz96, kalman, score) for case in group.CASES
}


def get(name: str) -> Case:
    """Return the case of a name.

    Raises
    ------
    ValueError
        If there is none; the message gives the nearest name.
    """
    return CASES[_checks.choice("case", name, CASES)]
