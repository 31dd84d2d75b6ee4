"""Tables that the shell prints of runs and comparisons, with as many digits as mean something."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .experiments.compare import Row
from .experiments.preset import Preset
from .experiments.result import Result

#: Digits of a number that stands alone, and the most of a mean beside its deviation.
_ALONE, _MOST = 3, 4


def rounded(value: float, deviation: float = math.nan, *, beside: bool = True) -> str:
    """Return a number with the digits that its deviation leaves it, and the deviation.

    The deviation has one digit, and the number ends where that stands, but has four digits at
    most. Without a deviation it has three.

    Parameters
    ----------
    value : float
        The number; NaN and infinity are written so.
    deviation : float
        At least 0, or NaN where there is none.
    beside : bool
        Whether the deviation is written, too.

    Examples
    --------
    >>> rounded(0.046647, 0.00143), rounded(13.16, 18.2), rounded(0.34, 0.22, beside=False)
    ('0.047 ± 0.001', '10 ± 20', '0.3')
    >>> rounded(0.046647), rounded(5.0), rounded(2071.3), rounded(0.123456, 1e-9)
    ('0.0466', '5.00', '2071', '0.1235 ± 0.0001')
    """
    if not math.isfinite(value):
        return f"{value}"
    if not math.isfinite(deviation):
        return _to_place(value, max(0, _place(value, _ALONE)))
    least = _place(value, _MOST)
    place = min(_place(deviation, 1), least) if deviation else least
    shown = _to_place(value, place)
    if not beside:
        return shown
    # a deviation that is less than the last digit shown is said to be one of it
    return f"{shown} ± {_to_place(max(deviation, 10.0**-place) if deviation else 0.0, place)}"


def _place(value: float, digits: int) -> int:
    """Return after how many places the last of a number's first so many digits stands."""
    return digits - 1 - int(f"{value:.{digits - 1}e}".partition("e")[2])


def _to_place(value: float, place: int) -> str:
    """Return a number to so many places after the point; before it where that is negative."""
    return f"{round(value, place):.{max(place, 0)}f}"


def print_comparison(console: Console, preset: Preset, rows: Sequence[Row]) -> None:
    """Print a comparison: a line a filter, none of which is broken, and below it their options."""
    seeds = max(row.runs for row in rows)
    console.print(f"[bold]{escape(preset.title)}[/bold]", soft_wrap=True)
    cycles = f"last {preset.averaged} of {preset.twin.cycles} cycles"
    many = f"{seeds} seeds" if seeds > 1 else "1 seed"
    console.print(f"N = {preset.members}, {many}, {cycles}", highlight=False)
    names = ("RMSE", "spread", "CRPS", "energy", "ms", "lost")
    shown = Table("filter", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        mean, deviation = row.mean, row.deviation
        cells = [
            rounded(mean[f"{name}.analysis"], deviation[f"{name}.analysis"])
            for name in ("rmse", "spread", "crps")
        ]
        # these two without their deviations: a line of 80 characters holds no more
        for name, unit in (("energy_score.analysis", 1.0), ("seconds", 1e3)):
            cells.append(rounded(unit * mean[name], unit * deviation[name], beside=False))
        if row.lost == row.runs:
            cells = ["-"] * len(cells)
        shown.add_row(row.name, *cells, f"{row.lost} of {row.runs}")
    console.print(shown, crop=False, no_wrap=True)
    if seeds > 1:
        console.print("±: standard deviation between the seeds", highlight=False)
    if any(row.lost for row in rows):
        told = "lost, and not in the means: stopped, or RMSE at least 0.9 of the truth's std"
        console.print(told, highlight=False)
    options = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        options.add_row(row.name, escape(row.filter))
    console.print(options)


def spans(numbers: Iterable[int], most: int = 6) -> str:
    """Return rising numbers as their spans: 3-7, 9; of many the first and the last.

    Examples
    --------
    >>> spans([3, 4, 5, 9, 11, 12])
    '3-5, 9, 11-12'
    >>> spans(range(0, 100, 2), most=3)
    '0, 2, ..., 98'
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1] = [found[-1][0], number]
        else:
            found.append([number])
    texts = ["-".join(map(str, span)) for span in found]
    return ", ".join(texts if len(texts) <= most else [*texts[: most - 1], "...", texts[-1]])


def print_result(
    console: Console, preset: Preset, result: Result, others: Mapping[str, Result] | None = None
) -> None:
    """Print the scores of one run, what was published, and how the run ended.

    Below them the analyses of `others`, by the names of their filters.
    """
    means = result.summary(last=preset.averaged)
    title = f"mean over the last {min(preset.averaged, result.cycles)} of {result.cycles} cycles"
    table = Table("", title=title)
    for name in ("RMSE", "spread", "CRPS", "energy score", "ms"):
        table.add_column(name, justify="right")
    for kind, seconds in (("forecast", "seconds_forecast"), ("analysis", "seconds")):
        scores = [means[f"{n}.{kind}"] for n in ("rmse", "spread", "crps", "energy_score")]
        table.add_row(kind, *map(rounded, scores), rounded(1e3 * means[seconds]))
    for name, other in (others or {}).items():
        beside = other.summary(last=preset.averaged)
        scores = [beside[f"{n}.analysis"] for n in ("rmse", "spread", "crps", "energy_score")]
        lost = "" if other.tracks(last=preset.averaged) else ", lost"
        table.add_row(
            f"{name}{lost}", *map(rounded, scores), rounded(1e3 * beside["seconds"]), style="dim"
        )
    console.print(table)
    if result.facts and result.cycles:
        last = min(preset.averaged, result.cycles)
        found = (f"{name} {rounded(v[-last:].mean())}" for name, v in result.facts.items())
        console.print(f"found by itself: {', '.join(found)}", highlight=False)
    if result.lost.size:
        most = 100 * np.nanmax(result.facts["lost"])
        console.print(
            f"it says that it had lost the truth somewhere in {result.lost.size} of "
            f"{result.cycles} cycles, {spans(result.lost)} (up to {most:.0f} % of the state)",
            highlight=False,
        )
    if preset.published is not None and not result.stopped:
        figure = preset.published
        inside = figure.low <= means["rmse.analysis"] <= figure.high
        console.print(
            f"published: {figure.rmse:g} ({figure.source}); measured {means['rmse.analysis']:.4g}, "
            f"{'within' if inside else 'OUTSIDE'} {figure.low:g} to {figure.high:g}"
        )
    if result.stopped:
        console.print(f"[bold red]stopped after {result.cycles} cycles:[/] {result.stopped}")
    elif not result.tracks(last=preset.averaged):
        console.print(
            "[bold red]lost the truth:[/] its RMSE is not below 0.9 of "
            f"{rounded(result.climate(last=preset.averaged))}, the truth's standard deviation"
        )
