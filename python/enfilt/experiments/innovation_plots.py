"""The page of statistics against observations."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._figures import blank

if TYPE_CHECKING:
    from .assimilation_result import AssimilationResult
    from .innovations import Innovations
    from .result import Result

Array = npt.NDArray[Any]


def innovations(result: AssimilationResult | Result) -> Any:
    """Draw departures, chi-square, error estimates by kind, and the rank histogram.

    Parameters
    ----------
    result : AssimilationResult or Result
        With `innovations`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = blank(10, 7.5)
    axes = figure.subplots(2, 2)
    found = result.innovations
    assert found is not None  # else this is no picture of the result
    time = _time(result, found)
    _departures(axes[0, 0], time, found)
    _chi_square(axes[0, 1], time, found)
    if time.dtype.kind == "M":  # dates are wide
        for axis in axes[0]:
            axis.tick_params("x", rotation=20)
    _errors(axes[1, 0], found)
    _ranks(axes[1, 1], found)
    info = result.info
    lines = (f"{info['filter']}, N = {info['members']}", str(info["model"]))
    title = "\n".join("\n".join(textwrap.wrap(line, 95)) for line in lines)
    figure.suptitle(title, fontsize="medium")
    return figure


def _time(result: AssimilationResult | Result, found: Innovations) -> Array:
    """Return the times, or the numbers of cycles where they are none that can be drawn."""
    return result.time if result.time.dtype.kind in "fiuM" else np.arange(found.begin, found.cycles)


def _departures(axis: Any, time: Array, found: Innovations) -> None:
    axis.plot(time, found.series("rmse"), color="C3", lw=1.2, label="y - h(x), RMS")
    axis.plot(time, found.series("expected"), color="k", lw=1, ls="--", label="expected")
    axis.plot(time, found.series("bias"), color="C0", lw=1, label="mean")
    axis.plot(time, found.series("analysis_rmse"), color="C3", lw=0.8, ls=":", label="of analysis")
    axis.set_ylabel("departures")
    axis.set_xlabel("time")
    axis.legend(fontsize="small", framealpha=0.8)


def _chi_square(axis: Any, time: Array, found: Innovations) -> None:
    values = found.series("chi_square")
    axis.plot(time, values, color="C0", lw=1)
    axis.axhline(1.0, color="k", lw=1, ls="--")
    known = values[~np.isnan(values)]
    if known.size and known.min() > 0:
        axis.set_yscale("log")
    axis.set_ylabel("chi-square over its number")
    axis.set_xlabel("time")


def _errors(axis: Any, found: Innovations) -> None:
    """Draw the errors that departures tell, over those that are given, by kind."""
    kinds = found.by_kind(last=max(1, found.cycles // 2))
    names = ["all" if kind is None else str(kind) for kind in kinds]
    places = np.arange(len(kinds))
    series = (
        ("r", "given_r", "r, over the given one"),
        ("forecast_std", "spread", "forecast, over its spread"),
    )
    for k, (name, given, label) in enumerate(series):
        ratio = [
            getattr(one, name) / getattr(one, given) if getattr(one, given) else np.nan
            for one in kinds.values()
        ]
        axis.bar(places + 0.4 * k - 0.2, ratio, width=0.35, label=label)
    axis.axhline(1.0, color="k", lw=1, ls="--")
    axis.set_xticks(places, names, rotation=30 if len(names) > 4 else 0)
    axis.set_ylabel("estimated over given std (last half)")
    axis.legend(fontsize="small", framealpha=0.8)


def _ranks(axis: Any, found: Innovations) -> None:
    counts = found.rank_histogram().astype(float)
    share = counts / max(counts.sum(), 1.0)
    axis.bar(np.arange(share.size), share, width=1.0, color="C0", edgecolor="white", lw=0.3)
    axis.axhline(1 / max(share.size, 1), color="k", lw=1, ls="--", label="flat")
    axis.set_ylabel("share")
    axis.set_xlabel("members, with an error, below y")
    axis.legend(fontsize="small", framealpha=0.8)
