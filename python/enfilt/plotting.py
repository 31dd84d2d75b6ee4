"""Pictures of results; needs matplotlib (extra ``[plot]``)."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .result import Result

if TYPE_CHECKING:
    from .benchmark import Sweep
    from .compare import Row
    from .filters.knobs import Knob
    from .tuning import Tuning


def _figure(rows: int, height: float) -> tuple[Any, Any]:
    """Return a figure of panels above each other, and the panels."""
    figure = _blank(8, height)
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def _blank(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'enfilt[plot]'") from None
    # a Figure of its own, not pyplot's: no window, no global state
    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def accuracy_against_cost(rows: Sequence[Row], title: str) -> Any:
    """Draw RMSE against the seconds of one analysis, a point a filter, with bars over seeds.

    Parameters
    ----------
    rows : sequence of Row
        From `enfilt.compare.rows`; filters that lost the truth in every run are left out.
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


def time_against(sweeps: Sequence[Sweep]) -> Any:
    """Draw the time of a case over each of its axes, with the floor that memory sets.

    Parameters
    ----------
    sweeps : sequence of Sweep
        Of one case, from `enfilt.benchmark.sweeps`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    labels = {"dim": "D", "members": "N", "steps": "steps", "threads": "threads"}
    figure = _blank(3.6 * len(sweeps), 3.8)
    for panel, sweep in zip(figure.subplots(1, len(sweeps), squeeze=False)[0], sweeps, strict=True):
        panel.loglog(sweep.values, sweep.times, "o-", color="C0", label="enfilt")
        panel.loglog(sweep.values, sweep.floors, "--", color="0.4", label="memory, by the triad")
        fixed = [f"{labels[k]} = {v:,}" for k, v in sweep.size.items() if k in labels]
        panel.set_title(", ".join([*fixed, sweep.size["dtype"]]), fontsize="small")
        panel.set_xlabel(labels[sweep.axis])
        panel.grid(visible=True, which="both", alpha=0.2)
        if sweep.axis == "threads":
            panel.set_xticks(sweep.values, [str(v) for v in sweep.values])
            panel.set_xticks([], minor=True)
    panel = figure.axes[0]
    panel.set_ylabel("seconds")
    panel.legend(fontsize="small")
    figure.suptitle(sweeps[0].title, fontsize="medium")
    return figure


def landscape(tuning: Tuning) -> Any:
    """Draw the error of every trial over each pair of knobs, or over the only one.

    Colours are errors, crosses runs that diverged, the star is the best. Values without a number
    stand beyond the numbers, on a line with their name.

    Parameters
    ----------
    tuning : Tuning
        From `enfilt.tune`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(tuning.knobs)
    error = np.array([trial.rmse for trial in tuning.trials])
    kept = np.isfinite(error)
    places = {n: _beyond(knob) for n, knob in tuning.knobs.items()}
    values = {
        n: np.array([places[n].get(v, v) for t in tuning.trials for v in (t.values[n],)])
        for n in names
    }
    pairs = list(itertools.combinations(names, 2)) or [(names[0], "")]
    figure = _blank(4.6 * len(pairs), 4.2)
    best = {n: places[n].get(v, v) for n, v in tuning.best.values.items()}
    for axis, (first, second) in zip(
        figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True
    ):
        across = values[first]
        if second:
            up, at = values[second], best[second]
            shown = axis.scatter(across[kept], up[kept], c=np.log10(error[kept]), cmap="viridis_r")
            axis.plot(across[~kept], up[~kept], "x", color="0.6", label="diverged")
            figure.colorbar(shown, ax=axis, label="log10 RMSE")
            _knob_axis(axis, "y", tuning.knobs[second])
        else:
            at = tuning.best.rmse
            axis.plot(across[kept], error[kept], "o")
            for x in across[~kept]:
                axis.axvline(x, color="0.6", lw=0.8, ls=":", label="diverged")
            axis.set_ylabel("RMSE of the analysis")
            axis.set_yscale("log")
        if kept.any():
            axis.plot(best[first], at, "*", color="C3", ms=14, mec="white", label="best")
        _knob_axis(axis, "x", tuning.knobs[first])
    preset = tuning.preset
    figure.suptitle(
        f"{type(tuning.start).__name__} on {preset.name}, N = {preset.members}, "
        f"{len(tuning.trials)} trials ({np.sum(~kept)} diverged)",
        fontsize="medium",
    )
    return figure


def _beyond(knob: Knob) -> dict[Any, float]:
    """Return where on the axis values without a number stand, by their names."""
    step = (knob.high / knob.low) ** 0.12 if knob.log else 0.12 * (knob.high - knob.low)
    steps = {name: step**k if knob.log else step * k for k, name in enumerate(knob.others, 1)}
    return {name: knob.high * s if knob.log else knob.high + s for name, s in steps.items()}


def _knob_axis(panel: Any, letter: str, knob: Knob) -> None:
    from matplotlib.ticker import LogLocator

    label = knob.label + (" (grid spacings)" if knob.label == "cutoff" else "")
    panel.set(**{f"{letter}label": label})
    for name, place in _beyond(knob).items():
        line, turned = (panel.axvline, 90) if letter == "x" else (panel.axhline, 0)
        line(place, color="0.8", lw=0.8, zorder=0)
        place_of = (place, 0.02) if letter == "x" else (0.02, place)
        side = panel.get_xaxis_transform() if letter == "x" else panel.get_yaxis_transform()
        panel.text(
            *place_of, name, transform=side, rotation=turned, fontsize="x-small", va="bottom"
        )
    if knob.log:
        panel.set(**{f"{letter}scale": "log"})
        axis = getattr(panel, f"{letter}axis")
        wide = knob.high / knob.low > 100
        axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")


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
    figure.suptitle(_title(result), fontsize="medium")
    return figure


def ranks(result: Result) -> Any:
    """Draw how often the truth stood at each rank among the members, all cycles together.

    Flat where truth and members are draws of one distribution; a U where the spread is too small,
    a hump where it is too large (Hamill 2001, "Interpretation of rank histograms").
    """
    figure, axes = _figure(2, 5.0)
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
    figure, axes = _figure(3, 7.5)
    time = result.time
    step = time[1] - time[0]
    extent = (time[0] - step / 2, time[-1] + step / 2, -0.5, result.truth.shape[1] - 0.5)
    size = float(np.abs(result.truth).max()) or 1.0
    error = result.mean - result.truth
    wrong = float(np.quantile(np.abs(error), 0.999)) or 1.0
    panels = (("truth", result.truth, size), ("analysis mean", result.mean, size))
    for axis, (name, values, limit) in zip(axes, (*panels, ("error", error, wrong)), strict=True):
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
    figure = _blank(11, 4.0)
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
}
