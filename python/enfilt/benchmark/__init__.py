"""`enfilt bench`: ours timed beside what one would use instead.

`cases` says what is timed, `peers` holds the other forms, `timing` takes times, `measure` makes
rows of them, `sweep` what is drawn, `report` tables and files. Not imported with the package.
"""

from __future__ import annotations

from .case import Case, Limit, Peer, Problem, Size
from .cases import CASES, get
from .measure import Row, run
from .report import Change, compare, markdown, read, write
from .sweep import Sweep, sweeps

__all__ = [
    "CASES",
    "Case",
    "Change",
    "Limit",
    "Peer",
    "Problem",
    "Row",
    "Size",
    "Sweep",
    "compare",
    "get",
    "markdown",
    "read",
    "run",
    "sweeps",
    "write",
]
