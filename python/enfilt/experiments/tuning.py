"""What a search for a filter's best options found."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._files import replacing, save_figure
from .._values import Value
from .._written import written
from ..filters import EnsembleFilter
from ..filters.knobs import Knobs
from .preset import Preset

#: A number or a name by the option's name.
Settings = dict[str, float | str]


@dataclass(frozen=True, eq=False)
class Trial(Value):
    """One setting that was tried.

    Attributes
    ----------
    values : dict
        The number of each knob, by the option's name; or the name of a value without a number, as
        in the knob's `others`.
    rmse : float
        Of the analysis over the second half of the cycles, mean over seeds; infinite where a run
        diverged.
    """

    values: Settings
    rmse: float


@dataclass(frozen=True, eq=False)
class Tuning(Value):
    """What a search found.

    Attributes
    ----------
    preset : Preset
        The problem, with the members and cycles of the search.
    name : str
        The filter's name in the shell.
    start : EnsembleFilter
        The filter, of which the options in `knobs` were changed.
    knobs : dict
        What was tuned, by the option's name; see `enfilt.filters.knobs.Knob`.
    seeds : tuple of int
        That every setting was run with.
    trials : list of Trial
        In the order in which they were made.
    """

    preset: Preset
    name: str
    start: EnsembleFilter
    knobs: Knobs
    seeds: tuple[int, ...]
    trials: list[Trial]

    @property
    def best(self) -> Trial:
        """The trial of the lowest error, the first of equals."""
        return min(self.trials, key=lambda trial: trial.rmse)

    @property
    def filter(self) -> EnsembleFilter:
        """The filter at its best."""
        return self.at(self.best.values)

    def at(self, values: Mapping[str, float | str]) -> EnsembleFilter:
        """Return the filter at other values of the knobs."""
        options = {name: knob.option(values[name]) for name, knob in self.knobs.items()}
        return dataclasses.replace(self.start, **options)

    @property
    def expression(self) -> str:
        """The best filter as Python, after ``import enfilt as ef``."""
        return written(self.filter, "ef.")

    @property
    def settings(self) -> dict[str, str]:
        """What ``--set`` of ``enfilt run`` takes for the best filter."""
        found = self.filter
        return {f"filter.{name}": written(getattr(found, name)) for name in self.knobs}

    def report(self) -> str:
        """Return the search as a page of Markdown."""
        preset, best = self.preset, self.best
        shell = " ".join(f'--set "{k}={v}"' for k, v in self.settings.items())
        labels = [knob.label for knob in self.knobs.values()]
        lines = [
            f"# {type(self.start).__name__} tuned on {preset.name}\n",
            f"{preset.title}. N = {preset.members}, {preset.twin.cycles} cycles (error over the "
            f"second half), seeds {', '.join(map(str, self.seeds))}, {len(self.trials)} trials.\n",
            f"Best: RMSE of the analysis {best.rmse:.4g}.\n",
            f"```python\n{self.expression}\n```\n",
            f"```sh\nenfilt run {preset.name} --filter {self.name} {shell}\n```\n",
            f"| trial | {' | '.join(labels)} | RMSE |",
            f"| ---: |{' ---: |' * (len(labels) + 1)}",
        ]
        order = sorted(range(len(self.trials)), key=lambda k: self.trials[k].rmse)
        for k in order:
            values = (_shown(self.trials[k].values[name]) for name in self.knobs)
            error = self.trials[k].rmse
            shown = f"{error:.4g}" if math.isfinite(error) else "diverged"
            lines.append(f"| {k} | {' | '.join(values)} | {shown} |")
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, *, picture: bool = True) -> list[Path]:
        """Write summary (JSON), report (Markdown) and the picture of the landscape.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ImportError
            If a picture is wanted, and matplotlib is not installed; the texts are written then.
        """
        stem = folder / file_stem(self.preset, self.name)
        summary = {
            **problem_of(self.preset, self.start, self.seeds),
            "trials": [
                {**t.values, "rmse": t.rmse if math.isfinite(t.rmse) else None} for t in self.trials
            ],
            "best": {**self.best.values, "rmse": self.best.rmse},
            "expression": self.expression,
            "settings": self.settings,
        }
        texts = {
            stem.with_suffix(".json"): json.dumps(summary, indent=1) + "\n",
            stem.with_suffix(".md"): self.report(),
        }
        for path, text in texts.items():
            with replacing(path) as temporary:
                temporary.write_text(text)
        found = list(texts)
        if picture:
            self.plot(stem.with_suffix(".png"))
            found.append(stem.with_suffix(".png"))
        return found

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the error over each pair of knobs.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from . import tuning_plots  # matplotlib is an extra, and slow to import

        figure = tuning_plots.landscape(self)
        if path is not None:
            save_figure(figure, path)
        return figure


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def file_stem(preset: Preset, name: str) -> str:
    """Return the name, without an ending, of the files of a search."""
    return f"{preset.name}-{name}-tune"


def problem_of(preset: Preset, start: EnsembleFilter, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Return what trials have to share to be compared."""
    settings = {
        name: value if isinstance(value, int | float | str | None) else repr(value)
        for name, value in preset.settings().items()
        if not name.startswith("filter.")
    }
    return {
        "preset": preset.name,
        "filter": start.describe(),
        **settings,
        "seeds": list(seeds),
    }
