"""What a twin experiment leaves behind."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._files import save_figure
from .._values import Value
from . import result_files
from .departures import Statistics
from .innovations import Innovations

Array = npt.NDArray[Any]

#: From which share of the climate's error on a filter has lost the truth.
_LOST = 0.9
#: Scores kept for forecast and analysis of every cycle.
SCORES = ("rmse", "spread", "crps", "energy_score", "nrmse", "rank_histogram", "fair_crps")


@dataclass(frozen=True, eq=False)
class Series(Value):
    """One score over the cycles.

    Attributes
    ----------
    forecast, analysis : ndarray, (cycles,) or (cycles, N + 1) for the rank histogram
        Of the forecast and of the analysis ensemble.
    smoothed : ndarray, as these, or None
        Of the ensemble as a smoother has it `lag` cycles later; NaN in the last cycles (0 in the
        rank histogram), of which it has not told its last. None of other filters.
    """

    forecast: Array
    analysis: Array
    smoothed: Array | None = None


@dataclass(frozen=True, eq=False)
class Result(Value):
    """Scores of every completed cycle, the course of a few components, and what was run.

    Attributes
    ----------
    time : ndarray, (cycles,)
        Model time since the first analysis; in cycles where the model has no ``dt``.
    rmse, spread, crps, energy_score, nrmse, fair_crps : Series
        See `enfilt.metrics.Scores`.
    rank_histogram : Series
        Counts, (cycles, N + 1).
    seconds, seconds_forecast : ndarray, (cycles,)
        Wall-clock time of the analysis alone and of the forecast.
    truth, mean, deviation : ndarray, (cycles, K)
        Truth, analysis mean and analysis standard deviation of the first K components.
    field : ndarray, (3, rows, columns)
        The same of what the model shows of a state on a plane (`Model.field`), in the last cycle;
        (0, 0, 0) for other models.
    observed : ndarray, (k, 2)
        Rows and columns that were observed on it.
    facts : dict of ndarray, (cycles,)
        What the analyses say of themselves (`EnsembleFilter.facts`): ``steps`` where the filter
        chose their number, ``inflation`` where that is adaptive; NaN where nothing was observed.
    info : dict
        Model, observation, filter, members, seed and the like, as text and numbers.
    stopped : str
        Why the run ended before its last cycle; empty where it did not.
    innovations : Innovations, optional
        Statistics against observations (`enfilt.diagnostics`), of ``TwinExperiment(...,
        innovations=True)``.
    ensemble : ndarray, (N, D)
        The last analysis; (0, 0) where no cycle was completed, and in a result that was read from a
        file, which leaves it out.
    """

    time: Array
    rmse: Series
    spread: Series
    crps: Series
    energy_score: Series
    nrmse: Series
    rank_histogram: Series
    fair_crps: Series
    seconds: Array
    seconds_forecast: Array
    truth: Array
    mean: Array
    deviation: Array
    field: Array
    observed: Array
    info: dict[str, Any]
    stopped: str = ""
    facts: dict[str, Array] = dataclasses.field(default_factory=dict)
    innovations: Innovations | None = None
    ensemble: Array = dataclasses.field(default_factory=lambda: np.empty((0, 0)))

    @property
    def cycles(self) -> int:
        """Completed cycles."""
        return int(self.time.size)

    @property
    def lost(self) -> npt.NDArray[np.int64]:
        """The cycles in which the filter says by itself that it had lost the truth somewhere.

        That is ``facts["lost"]`` above zero, the share of components that it had lost; it is told
        by filters whose inflation is `inflation.Adaptive` with places, and needs no truth. Of other
        filters there is none. Whether the truth was tracked says `tracks`.

        Returns
        -------
        ndarray of int64
            Their numbers, from 0.

        Examples
        --------
        >>> import enfilt as ef
        >>> twin = ef.presets.get("lorenz96-partial").replace({"cycles": 60}).twin
        >>> result = twin.run(ef.LEnFF(), members=5, seed=0)
        >>> bool((result.facts["lost"][result.lost] > 0).all())
        True
        >>> twin.run(ef.ETKF(), members=5, seed=0).lost  # it says nothing of the kind
        array([], dtype=int64)
        """
        share = self.facts.get("lost", np.zeros(0))
        return np.flatnonzero(share > 0)  # NaN where nothing was observed

    def summary(self, last: int | None = None) -> dict[str, float]:
        """Return time means over the cycles.

        Parameters
        ----------
        last : int, optional
            Only over so many last cycles; default: all.

        Returns
        -------
        dict
            ``"rmse.analysis"``, ``"rmse.forecast"``, of smoothers ``"rmse.smoothed"``, and so on
            for every score but the rank histogram, ``"seconds"``, ``"seconds_forecast"``, and the
            facts by their names.
        """
        count = self.cycles if last is None else _checks.integer("last", last, 1)
        means: dict[str, float] = {}
        for name in SCORES:
            if name != "rank_histogram":
                series = getattr(self, name)
                for kind in ("analysis", "forecast"):
                    values = getattr(series, kind)[-count:]
                    means[f"{name}.{kind}"] = float(np.mean(values)) if values.size else np.nan
                if series.smoothed is not None:
                    means[f"{name}.smoothed"] = _mean(series.smoothed[-count:])
        for name in ("seconds", "seconds_forecast"):
            values = getattr(self, name)[-count:]
            means[name] = float(np.mean(values)) if values.size else np.nan
        for name, values in self.facts.items():
            means[name] = _mean(values[-count:])
        return means

    def climate(self, last: int | None = None) -> float:
        """Return the RMSE of one who knows the truth's climate and no observation.

        That is the standard deviation of the truth's components, as in `nrmse`: root mean square
        over the cycles.

        Parameters
        ----------
        last : int, optional
            Only over so many last cycles; default: all.

        Returns
        -------
        float
            NaN where all components of the truth are equal, or there is no cycle.
        """
        count = self.cycles if last is None else _checks.integer("last", last, 1)
        relative = self.nrmse.analysis[-count:]
        known = relative > 0  # NaN where the components are equal
        if not known.any():
            return float("nan")
        deviation = self.rmse.analysis[-count:][known] / relative[known]
        return float(np.sqrt(np.mean(deviation**2)))

    def tracks(self, last: int | None = None) -> bool:
        """Return whether the filter tracked the truth, or else lost it or never found it.

        It is lost where the RMSE of the analysis, averaged over the cycles, is not below 0.9 of
        that of one who knows the climate alone (`climate`), and where the run stopped because
        states or matrices were no longer finite. An ensemble that no observation reaches comes
        within some hundredths of the climate's error, one that is sure of something wrong is at
        1.1 to 1.4 of it.

        Parameters
        ----------
        last : int, optional
            Only over so many last cycles; default: all.

        Examples
        --------
        >>> import enfilt as ef
        >>> twin = ef.presets.get("lorenz96").replace({"cycles": 60}).twin
        >>> local = ef.LETKF(ef.localization.GaspariCohn(14.0), inflation=1.05)
        >>> twin.run(local, members=20, seed=0).tracks(last=20)
        True
        >>> twin.run(ef.ETKF(), members=5, seed=0).tracks(last=20)
        False
        """
        count = self.cycles if last is None else _checks.integer("last", last, 1)
        error = self.rmse.analysis[-count:]
        if self.stopped not in ("", "interrupted") or not error.size:
            return False
        return not float(np.mean(error)) >= _LOST * self.climate(last)

    @property
    def kinds(self) -> list[str]:
        """The pictures that `plot` can draw of this result."""
        found = ["overview", "ranks"]
        grid = self.info.get("grid", [])
        if len(grid) == 1 and self.cycles > 1 and self.truth.shape[1:] == tuple(grid) != (3,):
            found.append("hovmoeller")
        found += ["field"] if self.field.size else []
        return found if self.innovations is None else [*found, "innovations"]

    def _arrays(self) -> dict[str, Array]:
        """Return every array under a flat name."""
        flat = {name: getattr(self, name) for name in ("time", "seconds", "seconds_forecast")}
        flat |= {name: getattr(self, name) for name in ("truth", "mean", "deviation")}
        flat |= {name: getattr(self, name) for name in ("field", "observed")}
        for name in SCORES:
            for kind, values in vars(getattr(self, name)).items():
                if values is not None:
                    flat[f"{name}_{kind}"] = values
        return flat | result_files.flat(self.facts, self.innovations)

    def to_xarray(self) -> Any:
        """Return an `xarray.Dataset` with dimensions time, component and rank.

        A field has the dimensions kind (truth, mean, deviation), row and column.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: pip install 'enfilt[io]'") from None
        names = {"truth": "component", "mean": "component", "deviation": "component"}
        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        if self.field.size:
            variables["field"] = (("kind", "row", "column"), self.field)
            variables["observed"] = (("point", "axis"), self.observed)
        for name, array in self._arrays().items():
            if name not in ("time", "field", "observed") and "innovations" not in name:
                second = "rank" if name.startswith("rank") else names.get(name)
                variables[name] = (("time", second) if second else ("time",), array)
        for name in Statistics._fields if self.innovations is not None else ():
            assert self.innovations is not None
            variables[f"innovations_{name}"] = ("time",), self.innovations.series(name)
        attributes = {**self.info, "stopped": self.stopped}
        return xarray.Dataset(variables, coords={"time": self.time}, attrs=attributes)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file; its ending says how.

        The file appears whole or not at all.

        Parameters
        ----------
        path : path
            ``*.npz`` (NumPy; read back by `Result.load`) or ``*.nc`` (netCDF, extra ``[io]``).

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ValueError
            If the ending is another.
        """
        parts = self.info, self.stopped, self.innovations
        return result_files.save(path, self._arrays, *parts, self.to_xarray)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Result:
        """Read a result that `save` wrote as ``*.npz``."""
        arrays, fields = result_files.load(path)
        unknown = np.full(arrays["time"].shape, np.nan)  # files before it have no fair CRPS
        for name in SCORES:
            kinds = {kind: f"{name}_{kind}" for kind in ("forecast", "analysis", "smoothed")}
            told = {kind: arrays.pop(flat) for kind, flat in kinds.items() if flat in arrays}
            fields[name] = Series(**(dict.fromkeys(("forecast", "analysis"), unknown) | told))
        return cls(**(fields | arrays))

    def plot(self, path: str | os.PathLike[str] | None = None, *, kind: str = "overview") -> Any:
        """Draw the result.

        Parameters
        ----------
        path : path, optional
            Where the picture is written; its ending says how.
        kind : {"overview", "ranks", "hovmoeller", "field", "innovations"}
            ``overview``: the course of three components, RMSE and spread over the cycles;
            ``ranks``: rank histograms; ``hovmoeller``: truth, mean and error over space and time
            of a model on a line, all components of which were tracked (``track=``); ``field``:
            truth, mean and spread of a model on a plane in the last cycle; ``innovations``: the
            statistics of ``TwinExperiment(innovations=True)``.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the result does not hold what the picture shows.
        """
        from . import result_plots  # matplotlib is an extra, and slow to import

        if _checks.choice("kind", kind, result_plots.KINDS) not in self.kinds:
            raise ValueError(f"kind={kind!r}: this result holds {', '.join(self.kinds)}")
        figure = result_plots.KINDS[kind](self)
        if path is not None:
            save_figure(figure, path)
        return figure


def _mean(values: Array) -> float:
    """Return the mean of what is known; NaN of nothing."""
    told = values[~np.isnan(values)]
    return float(np.mean(told)) if told.size else float("nan")
