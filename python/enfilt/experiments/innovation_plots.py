"""The page of statistics against observations."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._figures import blank

if TYPE_CHECKING:
    from .assimilation_result import AssimilationResult


def innovations(result: AssimilationResult) -> Any:
    """Draw departures, chi-square, error estimates by kind, and the rank histogram.

    Parameters
    ----------
    result : AssimilationResult

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = blank(10, 7.5)
    axes = figure.subplots(2, 2)
    _departures(axes[0, 0], result)
    _chi_square(axes[0, 1], result)
    _errors(axes[1, 0], result)
    _ranks(axes[1, 1], result)
    info = result.info
    lines = (f"{info['filter']}, N = {info['members']}", str(info["model"]))
    title = "\n".join("\n".join(textwrap.wrap(line, 95)) for line in lines)
    figure.suptitle(title, fontsize="medium")
    return figure


def _time(result: AssimilationResult) -> npt.NDArray[Any]:
    """Return the times, or the numbers of cycles where they are none that can be drawn."""
    return (
        result.time
        if result.time.dtype.kind in "fiuM"
        else np.arange(result.innovations.begin, result.cycles)
    )


def _departures(axis: Any, result: AssimilationResult) -> None:
    found = result.innovations
    time = _time(result)
    axis.plot(time, found.series("rmse"), color="C3", lw=1.2, label="y - h(x), RMS")
    axis.plot(time, found.series("expected"), color="k", lw=1, ls="--", label="expected")
    axis.plot(time, found.series("bias"), color="C0", lw=1, label="mean")
    axis.plot(time, found.series("analysis_rmse"), color="C3", lw=0.8, ls=":", label="of analysis")
    axis.set_ylabel("departures")
    axis.set_xlabel("time")
    axis.legend(fontsize="small", framealpha=0.8)


def _chi_square(axis: Any, result: AssimilationResult) -> None:
    values = result.innovations.series("chi_square")
    axis.plot(_time(result), values, color="C0", lw=1)
    axis.axhline(1.0, color="k", lw=1, ls="--")
    known = values[~np.isnan(values)]
    if known.size and known.min() > 0:
        axis.set_yscale("log")
    axis.set_ylabel("chi-square over its number")
    axis.set_xlabel("time")


def _errors(axis: Any, result: AssimilationResult) -> None:
    """Draw the errors that departures tell, over those that are given, by kind."""
    found = result.innovations.by_kind(last=max(1, result.cycles // 2))
    names = ["all" if kind is None else str(kind) for kind in found]
    places = np.arange(len(found))
    series = (
        ("r", "given_r", "r, over the given one"),
        ("forecast_std", "spread", "forecast, over its spread"),
    )
    for k, (name, given, label) in enumerate(series):
        ratio = [
            getattr(one, name) / getattr(one, given) if getattr(one, given) else np.nan
            for one in found.values()
        ]
        axis.bar(places + 0.4 * k - 0.2, ratio, width=0.35, label=label)
    axis.axhline(1.0, color="k", lw=1, ls="--")
    axis.set_xticks(places, names, rotation=30 if len(names) > 4 else 0)
    axis.set_ylabel("estimated std (last half)")
    axis.legend(fontsize="small", framealpha=0.8)


def _ranks(axis: Any, result: AssimilationResult) -> None:
    counts = result.innovations.rank_histogram().astype(float)
    share = counts / max(counts.sum(), 1.0)
    axis.bar(np.arange(share.size), share, width=1.0, color="C0", edgecolor="white", lw=0.3)
    axis.axhline(1 / max(share.size, 1), color="k", lw=1, ls="--", label="flat")
    axis.set_ylabel("share")
    axis.set_xlabel("members, with an error, below y")
    axis.legend(fontsize="small", framealpha=0.8)
