"""What an assimilation leaves behind."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from .._files import save_figure
from .._values import Value
from ..state import datasets
from . import result_files
from .departures import Statistics
from .innovations import Innovations

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class AssimilationResult(Value):
    """Statistics of every completed cycle, the last analysis, and what was run.

    Attributes
    ----------
    time : ndarray, (cycles,)
        Of the analyses; with ``Assimilation(keep=)``, as all arrays here, of the last ones.
    innovations : Innovations
        Statistics against observations, by kind and level: ``innovations.total(last=50)``.
    seconds, seconds_forecast : ndarray, (cycles,)
        Wall-clock time of the analysis alone and of the forecast.
    mean, deviation : ndarray, (cycles, K)
        Analysis mean and standard deviation of the first K components.
    ensemble : ndarray, (N, D)
        The last analysis; (0, 0) where no cycle was completed.
    facts : dict of ndarray, (cycles,)
        What the analyses say of themselves (`EnsembleFilter.facts`).
    info : dict
        Model, filter, members, seed and the like, as text and numbers.
    stopped : str
        Why the run ended before its last window; empty where it did not.
    """

    time: Array
    innovations: Innovations
    seconds: Array
    seconds_forecast: Array
    mean: Array
    deviation: Array
    ensemble: Array
    facts: dict[str, Array]
    info: dict[str, Any]
    stopped: str = ""

    @property
    def cycles(self) -> int:
        """Completed cycles."""
        return self.innovations.cycles

    def summary(self, last: int | None = None) -> dict[str, float]:
        """Return the statistics over the cycles, time means of seconds, and those of facts.

        Parameters
        ----------
        last : int, optional
            Only over so many last cycles; default: all.

        Returns
        -------
        dict
            Every one of `diagnostics.Statistics` by its name, ``"seconds"``,
            ``"seconds_forecast"``, and the facts by their names.
        """
        count = self.cycles if last is None else _checks.integer("last", last, 1)
        found = {k: float(v) for k, v in self.innovations.total(last)._asdict().items()}
        for name in ("seconds", "seconds_forecast"):
            found[name] = _mean(getattr(self, name)[-count:])
        return found | {name: _mean(values[-count:]) for name, values in self.facts.items()}

    @property
    def kinds(self) -> list[str]:
        """The pictures that `plot` can draw of this result."""
        return ["innovations"]

    def _flat(self) -> dict[str, Array]:
        """Return every array under a flat name."""
        names = ("time", "seconds", "seconds_forecast", "mean", "deviation", "ensemble")
        flat = {name: _arrays.to_host(getattr(self, name)) for name in names}
        if flat["time"].dtype == object:
            flat["time"] = np.array([str(moment) for moment in flat["time"]])
        return flat | result_files.flat(self.facts, self.innovations)

    def to_xarray(self) -> Any:
        """Return an `xarray.Dataset`: statistics over time, and of each group over all cycles.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        xarray = datasets.library()
        found: dict[str, tuple[tuple[str, ...], Array]] = {}
        for name in Statistics._fields:
            found[name] = ("time",), self.innovations.series(name)
        of_groups = self.innovations.by_group()
        labels = [json.dumps(group, default=str) for group in of_groups]
        for name in Statistics._fields:
            of_each = [getattr(statistics, name) for statistics in of_groups.values()]
            found[f"{name}_of_group"] = ("group",), np.array(of_each, np.float64)
        for name in ("seconds", "seconds_forecast"):
            found[name] = ("time",), getattr(self, name)
        for name in ("mean", "deviation"):
            found[name] = ("time", "component"), getattr(self, name)
        found["rank_histogram"] = ("rank",), self.innovations.rank_histogram()
        for name, values in self.facts.items():
            found[f"fact_{name}"] = ("time",), values
        return xarray.Dataset(
            found,
            coords={"time": self._flat()["time"], "group": np.array(labels, str)},
            attrs={**self.info, "stopped": self.stopped},
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file; its ending says how.

        The file appears whole or not at all.

        Parameters
        ----------
        path : path
            ``*.npz`` (NumPy; read back by `AssimilationResult.load`) or ``*.nc`` (netCDF, extra
            ``[io]``; without the ensemble).

        Raises
        ------
        ValueError
            If the ending is another.
        """
        parts = self.info, self.stopped, self.innovations
        return result_files.save(path, self._flat, *parts, self.to_xarray)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AssimilationResult:
        """Read a result that `save` wrote as ``*.npz``."""
        arrays, fields = result_files.load(path)
        return cls(**(fields | arrays))

    def plot(self, path: str | os.PathLike[str] | None = None, *, kind: str = "innovations") -> Any:
        """Draw the result.

        Parameters
        ----------
        path : path, optional
            Where the picture is written; its ending says how.
        kind : {"innovations"}
            A page of statistics against observations: departures beside what they are expected to
            be, chi-square, errors as Desroziers estimates them, and the rank histogram.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from . import innovation_plots  # matplotlib is an extra, and slow to import

        _checks.choice("kind", kind, self.kinds)
        figure = innovation_plots.innovations(self)
        if path is not None:
            save_figure(figure, path)
        return figure


def _mean(values: Array) -> float:
    """Return the mean of what is known; NaN of nothing."""
    told = values[~np.isnan(values)]
    return float(np.mean(told)) if told.size else float("nan")
