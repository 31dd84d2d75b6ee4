"""Pictures of results; needs matplotlib (extra ``[plot]``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .result import Result

if TYPE_CHECKING:
    from .compare import Row


def _figure(rows: int, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'enfilt[plot]'") from None
    # a Figure of its own, not pyplot's: no window, no global state
    figure = Figure(figsize=(8, height), layout="constrained", dpi=150)
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def accuracy_against_cost(rows: Sequence[Row], title: str) -> Any:
    """Draw RMSE against the seconds of one analysis, a point a filter, with bars over seeds.

    Parameters
    ----------
    rows : sequence of Row
        From `enfilt.compare.rows`; filters without a completed run are left out.
    title : str
        Of the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (axis,) = _figure(1, 4.5)
    for k, row in enumerate(r for r in rows if np.isfinite(r.mean["rmse.analysis"])):
        x, y = row.mean["seconds"], row.mean["rmse.analysis"]
        bar = row.deviation["rmse.analysis"]
        axis.errorbar(x, y, yerr=bar if np.isfinite(bar) else None, fmt="o", color=f"C{k % 10}")
        axis.annotate(row.name, (x, y), xytext=(6, 4), textcoords="offset points")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.margins(x=0.15)  # room for the names
    axis.set_xlabel("seconds an analysis")
    axis.set_ylabel("RMSE of the analysis")
    axis.grid(visible=True, which="both", alpha=0.2)
    figure.suptitle(title, fontsize="medium")
    return figure


def overview(result: Result, components: int = 3) -> Any:
    """Draw truth, analysis mean and spread of a few components, then RMSE and spread.

    Parameters
    ----------
    result : Result
        Of a twin experiment.
    components : int
        How many of the tracked components are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = min(components, result.truth.shape[1] if result.truth.ndim > 1 else 0)
    figure, axes = _figure(shown + 1, 1.5 * shown + 2.8)
    time = result.time
    for d, axis in enumerate(axes[:shown]):
        mean, width = result.mean[:, d], 2 * result.deviation[:, d]
        axis.fill_between(
            time, mean - width, mean + width, color="C0", alpha=0.3, lw=0, label="±2 spread"
        )
        axis.plot(time, mean, color="C0", lw=1.2, label="analysis mean")
        axis.plot(time, result.truth[:, d], color="k", lw=1, ls="--", label="truth")
        axis.set_ylabel(f"component {d}")
    if shown:
        axes[0].legend(loc="upper right", ncols=3, fontsize="small", framealpha=0.8)
    axis = axes[-1]
    for name, colour in (("rmse", "C3"), ("spread", "C0")):
        series = getattr(result, name)
        label = name.upper() if name == "rmse" else name
        axis.plot(time, series.analysis, color=colour, lw=1.4, label=f"{label}, analysis")
        axis.plot(time, series.forecast, color=colour, lw=0.8, ls=":", label=f"{label}, forecast")
    values = [*result.rmse.analysis, *result.spread.analysis]
    if values and np.min(values) > 0:
        axis.set_yscale("log")
    axis.set_ylabel("RMSE and spread")
    axis.set_xlabel("time")
    axis.legend(loc="upper right", ncols=2, fontsize="small", framealpha=0.8)
    info = result.info
    figure.suptitle(f"{info['filter']}, N = {info['members']}\n{info['model']}", fontsize="medium")
    return figure
