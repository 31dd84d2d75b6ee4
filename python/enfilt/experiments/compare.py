"""Several filters on the same truth and the same observations."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _checks, progress
from .._files import replacing, save_figure
from ..filters import EnsembleFilter
from .preset import Preset
from .problem import problem_of
from .result import Result
from .twin import TwinExperiment

#: Scores of the analysis that a comparison shows, and the seconds of one analysis.
COLUMNS = ("rmse.analysis", "spread.analysis", "crps.analysis", "energy_score.analysis", "seconds")


@dataclass(frozen=True)
class Run:
    """One filter with one seed.

    Attributes
    ----------
    name : str
        The filter's name in the shell.
    seed : int
    means : dict
        Time means, as `Result.summary`.
    cycles : int
        Completed cycles.
    stopped : str
        Why the run ended early; empty where it did not.
    filter : str
        The filter as it would be written.
    lost : bool
        Whether it lost the truth, or never found it (`Result.tracks`, over the cycles of `means`).
    """

    name: str
    seed: int
    means: dict[str, float]
    cycles: int
    stopped: str
    filter: str
    lost: bool = False

    def line(self, preset: str, members: int) -> str:
        """Return the run as one line of JSON."""
        head = {"preset": preset, "filter": self.name, "members": members, "seed": self.seed}
        rest: dict[str, Any] = {"cycles": self.cycles, "stopped": self.stopped}
        rest |= {"lost": self.lost, "options": self.filter}
        finite = {k: v if np.isfinite(v) else None for k, v in self.means.items()}
        return json.dumps({**head, **finite, **rest})


@dataclass(frozen=True)
class Row:
    """One filter over all seeds.

    Attributes
    ----------
    name : str
        The filter's name in the shell.
    mean, deviation : dict
        Mean and standard deviation (with n - 1) of each of `COLUMNS` over the runs that track the
        truth; NaN where there is none, and the deviation of one.
    runs, lost : int
        How many runs there are, and how many of them lost the truth.
    filter : str
        The filter as it would be written.
    """

    name: str
    mean: dict[str, float]
    deviation: dict[str, float]
    runs: int
    lost: int
    filter: str


def compare(
    problem: Preset | TwinExperiment | str,
    filters: Mapping[str, EnsembleFilter],
    seeds: Iterable[int] = (0,),
    *,
    members: int | None = None,
    show: bool | None = None,
) -> list[Run]:
    """Run filters on one problem, all on the same truth and observations for a seed.

    Parameters
    ----------
    problem : Preset, TwinExperiment or str
        Model, observations and cycles: a preset, by its name or itself, whose own filter is not
        run, or a twin experiment.
    filters : mapping
        From names to filters.
    seeds : iterable of int
        One run of each filter for each.
    members : int, optional
        N; default: the preset's, or 20 of a twin experiment.
    show : bool, optional
        Show a progress bar after two seconds; None: only on a terminal.

    Returns
    -------
    list of Run
        Filter by filter. Ctrl-C keeps the runs that are done.

    Raises
    ------
    ValueError
        If there is no filter or no seed, or a filter does not fit the problem; named first.
    TypeError
        If the problem is none.

    Examples
    --------
    >>> import enfilt as ef
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.05)
    >>> twin = ef.TwinExperiment(ef.models.Lorenz96(dim=40), obs, cycles=3, spinup=100)
    >>> runs = ef.compare(twin, {"flow": ef.EnFF(steps=5), "heun": ef.EnFF(sampler="heun")})
    >>> [run.name for run in runs]
    ['flow', 'heun']
    """
    preset = problem_of(problem, members)
    numbers = [_checks.integer("seeds", seed, 0) for seed in seeds]
    if not filters or not numbers:
        raise ValueError("filters and seeds: expected at least one of each")
    runs: list[Run] = []
    twin = preset.twin
    bar = progress.bar(len(filters) * len(numbers), f"comparing on {preset.name}", show)
    try:
        for name, filt in filters.items():
            for seed in numbers:
                result = run_quietly(twin, name, filt, preset.members, seed)
                if result.stopped == "interrupted":
                    return runs
                means = result.summary(last=preset.averaged)
                lost = not result.tracks(last=preset.averaged)
                if result.stopped:  # the mean of a run that failed is no score
                    means = dict.fromkeys(means, float("nan"))
                told = result.cycles, result.stopped, filt.describe(), lost
                runs.append(Run(name, seed, means, *told))
                bar.set_postfix(filter=name, rmse=f"{means['rmse.analysis']:.4g}", refresh=False)
                bar.update()
    finally:
        bar.close()
    return runs


def run_quietly(
    twin: TwinExperiment, name: str, filt: EnsembleFilter, members: int, seed: int
) -> Result:
    """Run a filter; why a run ends early is left to the result, an error names the filter."""
    try:
        with warnings.catch_warnings():  # the table says it, and why, beside the others
            warnings.filterwarnings("ignore", "the run ends", RuntimeWarning)
            return twin.run(filt, members=members, seed=seed, progress=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def rows(runs: Iterable[Run]) -> list[Row]:
    """Return one row a filter, in the order of the runs; means leave out those that are lost."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.name, []).append(run)
    table = []
    for name, group in grouped.items():
        kept = [run for run in group if not run.lost]
        values = {c: np.array([run.means[c] for run in kept]) for c in COLUMNS}
        mean = {c: float(v.mean()) if v.size else float("nan") for c, v in values.items()}
        deviation = {
            c: float(v.std(ddof=1)) if v.size > 1 else float("nan") for c, v in values.items()
        }
        lost = len(group) - len(kept)
        table.append(Row(name, mean, deviation, len(group), lost, group[0].filter))
    return table


def write_lines(runs: Iterable[Run], preset: Preset, path: Path) -> None:
    """Write one line of JSON a run; the file appears whole or not at all."""
    text = "".join(run.line(preset.name, preset.members) + "\n" for run in runs)
    with replacing(path) as temporary:
        temporary.write_text(text)


def plot(table: Iterable[Row], preset: Preset, path: Path) -> Any:
    """Draw RMSE against the seconds of one analysis, a point a filter.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    from . import compare_plots  # matplotlib is an extra, and slow to import

    figure = compare_plots.accuracy_against_cost(list(table), preset.title)
    save_figure(figure, path)
    return figure
