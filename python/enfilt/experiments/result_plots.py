"""Pictures of the result of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import blank, panels
from .innovation_plots import innovations

if TYPE_CHECKING:
    from .result import Result


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
    figure, axes = panels(shown + 1, 1.5 * shown + 2.8)
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
    figure.suptitle(_title(result), fontsize="medium")
    return figure


def ranks(result: Result) -> Any:
    """Draw how often the truth stood at each rank among the members, all cycles together.

    Flat where truth and members are draws of one distribution; a U where the spread is too small,
    a hump where it is too large (Hamill 2001, "Interpretation of rank histograms").
    """
    figure, axes = panels(2, 5.0)
    for axis, kind in zip(axes, ("forecast", "analysis"), strict=True):
        counts = getattr(result.rank_histogram, kind).sum(axis=0).astype(float)
        share = counts / max(counts.sum(), 1.0)
        axis.bar(np.arange(share.size), share, width=1.0, color="C0", edgecolor="white", lw=0.3)
        axis.axhline(1 / share.size, color="k", lw=1, ls="--", label="flat")
        axis.set_ylabel(f"share, {kind}")
    axes[0].legend(loc="upper center", fontsize="small")
    axes[-1].set_xlabel("members below the truth")
    figure.suptitle(_title(result), fontsize="medium")
    return figure


def hovmoeller(result: Result) -> Any:
    """Draw truth, analysis mean and their difference over space and time."""
    figure, axes = panels(3, 7.5)
    time = result.time
    step = time[1] - time[0]
    extent = (time[0] - step / 2, time[-1] + step / 2, -0.5, result.truth.shape[1] - 0.5)
    size = float(np.abs(result.truth).max()) or 1.0
    error = result.mean - result.truth
    wrong = float(np.quantile(np.abs(error), 0.999)) or 1.0
    shown = (("truth", result.truth, size), ("analysis mean", result.mean, size))
    for axis, (name, values, limit) in zip(axes, (*shown, ("error", error, wrong)), strict=True):
        image = axis.imshow(
            values.T,
            extent=extent,
            origin="lower",
            aspect="auto",
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        figure.colorbar(image, ax=axis, pad=0.01)
        axis.set_ylabel(f"{name}\ncomponent")
    axes[-1].set_xlabel("time")
    figure.suptitle(_title(result), fontsize="medium")
    return figure


def field(result: Result) -> Any:
    """Draw truth, analysis mean and spread on the model's plane, with the points observed."""
    figure = blank(11, 4.0)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    truth, mean, deviation = result.field
    limit = float(np.quantile(np.abs(truth), 0.999)) or 1.0
    for axis, values, name in zip(
        axes, (truth, mean, deviation), ("truth", "analysis mean", "spread"), strict=True
    ):
        signed = name != "spread"
        image = axis.imshow(
            values,
            origin="lower",
            cmap="RdBu_r" if signed else "viridis",
            vmin=-limit if signed else 0,
            vmax=limit if signed else None,
            interpolation="nearest",
        )
        figure.colorbar(image, ax=axis, shrink=0.8, pad=0.02)
        axis.set_title(name, fontsize="medium")
    if 0 < len(result.observed) < truth.size:
        axes[0].plot(*result.observed.T[::-1], ".k", ms=1.5, label="observed")
        axes[0].legend(loc="upper right", fontsize="small")
    figure.suptitle(_title(result), fontsize="medium")
    return figure


def _title(result: Result) -> str:
    info = result.info
    lines = (f"{info['filter']}, N = {info['members']}", str(info["model"]))
    return "\n".join("\n".join(textwrap.wrap(line, 95)) for line in lines)


#: Pictures by the name that `Result.plot` takes.
KINDS: dict[str, Callable[[Result], Any]] = {
    "overview": overview,
    "ranks": ranks,
    "hovmoeller": hovmoeller,
    "field": field,
    "innovations": innovations,
}
