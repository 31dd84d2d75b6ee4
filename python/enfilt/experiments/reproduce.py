"""Published experiments run again, and published beside measured."""

from __future__ import annotations

import datetime
import os
import platform
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from .. import __version__, _checks, progress
from .._files import replacing
from . import presets
from .preset import Preset, Published
from .result import Result


@dataclass(frozen=True)
class Row:
    """One published run: a filter on a preset's problem, over seeds.

    Attributes
    ----------
    preset : str
        Its name.
    filter : str
        As it would be written.
    members : int
    dim : int
        D, which a quick run may have made smaller.
    published : Published or None
        The figure to reach; None: the preset stands here without one.
    measured : tuple of float
        RMSE of the analysis over the last cycles, a seed each.
    spread : float
        Of the analysis over the same cycles, mean over seeds.
    forecast_seconds, analysis_seconds : float
        Of one cycle, mean over cycles and seeds.
    seconds : float
        Of one run, spin-up and scores included.
    stopped : str
        Why a run ended early; empty where none did.
    """

    preset: str
    filter: str
    members: int
    dim: int
    published: Published | None
    measured: tuple[float, ...]
    spread: float
    forecast_seconds: float
    analysis_seconds: float
    seconds: float
    stopped: str

    @property
    def rmse(self) -> float:
        """The median over seeds: at the edge of stability one seed in many loses the truth."""
        return float(np.median(self.measured)) if self.measured else float("nan")

    @property
    def verdict(self) -> str:
        """``within`` the tolerance of the published figure, ``below`` or ``ABOVE``; or nothing."""
        if self.published is None:
            return ""
        if self.rmse < self.published.low:
            return "below"
        return "within" if self.rmse <= self.published.high else "ABOVE"

    @property
    def inside(self) -> bool:
        """Whether the run, or the median, is as it should be."""
        return self.verdict == "within" if self.published is not None else not self.stopped


def reproduce(
    names: Iterable[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    *,
    quick: bool = False,
    show: bool | None = None,
) -> list[Row]:
    """Run presets with the filters that figures were published for.

    Parameters
    ----------
    names : iterable of str
        Presets; none: all of them.
    seeds : sequence of int
        At least one.
    quick : bool
        Make the problems smaller as each preset says, where its figure hardly depends on that.
    show : bool, optional
        Show a progress bar after two seconds; None: only on a terminal.

    Returns
    -------
    list of Row
        Ctrl-C keeps the rows that are done.

    Raises
    ------
    ValueError
        If a preset is not known, or there is no seed.
    MemoryError
        If a run needs more memory than there is.

    Examples
    --------
    >>> from enfilt.experiments.reproduce import reproduce
    >>> row = reproduce(["lorenz96-40"], seeds=[0], quick=True)[0]
    >>> row.preset, row.published.rmse
    ('lorenz96-40', 0.18)
    """
    chosen = [presets.get(name) for name in names] or list(presets.PRESETS.values())
    numbers = [_checks.integer("seeds", seed, 0) for seed in seeds]
    if not numbers:
        raise ValueError("seeds: expected at least one")
    runs = [run for preset in chosen for run in (preset.quickly() if quick else preset).runs()]
    rows: list[Row] = []
    bar = progress.bar(len(runs) * len(numbers), "reproducing", show)
    try:
        for preset, published in runs:
            results = []
            begin = perf_counter()
            for seed in numbers:
                bar.set_postfix(preset=preset.name, seed=seed)
                result = _run(preset, seed)
                if result.stopped == "interrupted":
                    return rows
                results.append(result)
                bar.update()
            seconds = (perf_counter() - begin) / len(numbers)
            rows.append(_row(preset, published, results, seconds))
    finally:
        bar.close()
    return rows


def _run(preset: Preset, seed: int) -> Result:
    with warnings.catch_warnings():  # the table says it
        warnings.filterwarnings("ignore", "the run ends", RuntimeWarning)
        return preset.twin.run(preset.filter, members=preset.members, seed=seed, progress=False)


def _row(
    preset: Preset, published: Published | None, results: Sequence[Result], seconds: float
) -> Row:
    last = preset.averaged if published is None else published.last
    stopped = [result.stopped for result in results if result.stopped]
    # a run that ended early lost the truth: no error is too large for it
    measured = [
        np.inf if result.stopped else result.summary(last=last)["rmse.analysis"]
        for result in results
    ]
    done = [result.summary(last=last) for result in results if result.cycles]

    def mean(name: str) -> float:
        return float(np.mean([m[name] for m in done])) if done else float("nan")

    return Row(
        preset=preset.name,
        filter=preset.filter.describe(),
        members=preset.members,
        dim=getattr(preset.twin.model, "dim", 0),
        published=published,
        measured=tuple(map(float, measured)),
        spread=mean("spread.analysis"),
        forecast_seconds=mean("seconds_forecast"),
        analysis_seconds=mean("seconds"),
        seconds=seconds,
        stopped=stopped[0] if stopped else "",
    )


HEADER = (
    "preset",
    "filter",
    "D",
    "N",
    "published",
    "measured",
    "spread",
    "ms forecast",
    "ms analysis",
    "s a run",
    "",
)


#: Those that a terminal of 80 columns has room for; the page has the options and all figures.
SHORT = ("preset", "filter", "published", "measured", "ms forecast", "ms analysis", "")


def short_cells(row: Row) -> tuple[str, ...]:
    """Return what a terminal shows of a row, under `SHORT`."""
    shown = dict(zip(HEADER, cells(row), strict=True))
    shown["filter"] = shown["filter"].partition("(")[0]
    shown["measured"] = f"{row.rmse:.4g}"
    return tuple(shown[name] for name in SHORT)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f}" if seconds > 0.1 else f"{1e3 * seconds:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    """Return what a table shows of a row, under `HEADER`."""
    published = "" if row.published is None else f"{row.published.rmse:g}"
    measured = f"{row.rmse:.4g}"
    if len(row.measured) > 1:
        measured += f" ({min(row.measured):.4g} to {max(row.measured):.4g})"
    return (
        row.preset,
        row.filter,
        f"{row.dim:,}",
        str(row.members),
        published,
        measured,
        f"{row.spread:.3g}",
        _milliseconds(row.forecast_seconds),
        _milliseconds(row.analysis_seconds),
        f"{row.seconds:.3g}",
        row.stopped or row.verdict,
    )


def markdown(rows: Iterable[Row], *, seeds: int) -> str:
    """Return the table in Markdown, under a line on the date, the version and the machine."""
    import psutil  # of use to this page alone

    memory = psutil.virtual_memory().total / 2**30
    head = (
        f"{datetime.date.today():%Y-%m-%d}, enfilt {__version__}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}; "
        f"{seeds} seed(s); median RMSE of the analysis (lowest to highest)"
    )
    lines = [head, "", "| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    for row in rows:
        shown = [cell.replace("|", "\\|") for cell in cells(row)]
        shown[1] = f"`{shown[1]}`"
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def write(rows: Iterable[Row], path: Path, *, seeds: int) -> None:
    """Write the table in Markdown; the file appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(markdown(rows, seeds=seeds))
