"""Figures of matplotlib (extra ``[plot]``) that pictures are drawn on."""

from __future__ import annotations

from typing import Any


def panels(rows: int, height: float) -> tuple[Any, Any]:
    """Return a figure of panels above each other, and the panels."""
    figure = blank(8, height)
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def blank(width: float, height: float) -> Any:
    """Return an empty figure; sizes are in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'enfilt[plot]'") from None
    # a Figure of its own, not pyplot's: no window, no global state
    return Figure(figsize=(width, height), layout="constrained", dpi=150)
