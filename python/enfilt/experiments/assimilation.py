"""Assimilation of real observations: the cycle where nobody knows the truth."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, _memory, models
from .._values import Value
from ..filters import EnsembleFilter
from . import sink
from .assimilation_course import AssimilationCourse
from .assimilation_result import AssimilationResult
from .checkpoint import checked
from .cycle import Loop

Array = npt.NDArray[Any]


class Model(ABC):
    """A model of one's own that remembers more than the ensemble holds.

    Any function ``(ensemble, start, stop, rng) -> ensemble`` is a model for `Assimilation`. One
    that has a state of its own beside the ensemble, such as fields that no observation corrects,
    has two methods more: what `save` gives is kept in checkpoints, and `load` takes it back. Any
    class with these methods is one, without this base, too.

    Notes
    -----
    Rows stay members: what is hidden of member j belongs to row j. Filters that draw members anew,
    such as `BootstrapPF`, take a row from another member, of which this model is not told.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> class Rain(ef.Model):
    ...     def __init__(self):
    ...         self.fallen = 0.0
    ...
    ...     def __call__(self, ensemble, start, stop, rng):
    ...         self.fallen += stop - start
    ...         return 0.9 * ensemble + rng.standard_normal(ensemble.shape)
    ...
    ...     def save(self):
    ...         return self.fallen
    ...
    ...     def load(self, state):
    ...         self.fallen = state
    """

    @abstractmethod
    def __call__(self, ensemble: Array, start: Any, stop: Any, rng: np.random.Generator) -> Array:
        """Return an ensemble (N, D) at the time `stop` that was `ensemble` at the time `start`.

        Parameters
        ----------
        ensemble : ndarray, (N, D)
            Not to be written to.
        start, stop : float, numpy.datetime64, or what the observations have
        rng : numpy.random.Generator
            Of the model's noise: a run with one seed is the same run again.
        """

    def save(self) -> Any:
        """Return what the model remembers: something that pickles, and that it won't write to."""
        return None

    def load(self, state: Any) -> None:  # noqa: B027 - most remember nothing
        """Take back what `save` gave."""


@dataclass(frozen=True, eq=False)
class Assimilation(Value):
    """A model and observations of something real: forecast and analysis, one after the other.

    Parameters
    ----------
    model : callable or Model
        ``(ensemble, start, stop, rng) -> ensemble`` on (N, D) arrays, the times being those of
        observations; one that remembers more than that is an `enfilt.Model`. Or one of
        `enfilt.models`, whose time is a number.
    observations : iterable
        Of windows in the order of time: (time, y, obs), or (time, y, obs, observed) with h(x) of
        the forecast, an array (N, m) or a function of the ensemble that gives it. `Observations`
        of a table are such windows. A window with None for `y` has nothing to assimilate.
    start : float, numpy.datetime64, or what the observations have, optional
        The time of the initial ensemble; default: that of the first window, which is assimilated at
        once.
    levels : sequence of float, optional
        Heights between levels that statistics are kept apart of, rising, for observations that have
        `heights`.
    forecast_to, analysis_to : Sink or callable, optional
        Where forecasts and analyses go, cycle by cycle: `sinks.Zarr`, `sinks.NetCDF`, or a function
        ``(time, ensemble)``, which copies what it wants to keep of the ensemble (N, D).
    track : int
        Components whose course the result keeps, the first so many.
    keep : int, optional
        Of how many last cycles the result has statistics, and checkpoints hold them: runs without
        end take no more memory then. What sinks have written stays. Default: of all.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when it is made.

    Notes
    -----
    Model and filter draw from two streams spawned from the seed. Windows are asked for one at a
    time, also of a generator, before the model runs up to them.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> def cools(ensemble, start, stop, rng):
    ...     noise = 0.1 * np.sqrt(stop - start) * rng.standard_normal(ensemble.shape)
    ...     return ensemble * np.exp(-0.1 * (stop - start)) + noise
    >>> obs = ef.Observation(ef.operators.Every(2), std=0.2)
    >>> windows = [(float(t), np.exp([-0.1 * t] * 2), obs) for t in range(20)]
    >>> run = ef.Assimilation(cools, windows)
    >>> ensemble = np.random.default_rng(0).standard_normal((20, 3))
    >>> result = run.run(ef.ETKF(), ensemble=ensemble, seed=0)
    >>> result.cycles, result.ensemble.shape
    (20, (20, 3))
    >>> result.innovations.total(last=15).number
    30
    """

    model: Callable[..., Any] | models.Model
    observations: Iterable[Any]
    start: Any = field(default=None, kw_only=True)
    levels: Sequence[float] = field(default=(), kw_only=True)
    forecast_to: Any = field(default=None, kw_only=True)
    analysis_to: Any = field(default=None, kw_only=True)
    track: int = field(default=40, kw_only=True)
    keep: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if not isinstance(self.model, models.Model) and not callable(self.model):
            raise TypeError(
                f"model={self.model!r}: expected one of enfilt.models, or a callable "
                f"(ensemble, start, stop, rng)"
            )
        if not isinstance(self.observations, Iterable):
            raise TypeError(
                f"observations={self.observations!r}: expected windows (time, y, obs), or "
                f"enfilt.Observations"
            )
        _checks.integer("track", self.track, 0)
        if self.keep is not None:
            _checks.integer("keep", self.keep, 1)
        sink.check(forecast_to=self.forecast_to, analysis_to=self.analysis_to)
        levels = _checks.numbers("levels", self.levels) if len(self.levels) else np.empty(0)
        if levels.ndim != 1 or not np.isfinite(levels).all() or (np.diff(levels) <= 0).any():
            raise ValueError(f"levels={self.levels!r}: expected finite numbers that rise")
        object.__setattr__(self, "levels", tuple(levels.tolist()))

    def run(
        self,
        filt: EnsembleFilter | None,
        *,
        ensemble: npt.ArrayLike,
        seed: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int = 1,
        resume: bool = False,
        progress: bool | None = None,
    ) -> AssimilationResult:
        """Run a filter through all windows.

        Ctrl-C, a state that is no longer finite, or a matrix of the filter that can't be solved
        with, ends the run; the completed cycles are returned, and ``result.stopped`` says why.

        Parameters
        ----------
        filt : EnsembleFilter or None
            The filter; None: a free run, which no observation touches, and which the statistics
            of a filter are to be compared with.
        ensemble : array_like, (N, D)
            The initial ensemble, float32 or float64, N at least 2. It is copied.
        seed : int, optional
            Of all random numbers; None: another run each time.
        checkpoint : path, optional
            A file that the run is written down in, so that it can be taken up again: whole or not
            at all, the one before it kept beside it (``.older``).
        every : int
            Cycles from one checkpoint to the next, at least 1; the last cycle has one in any case.
        resume : bool
            Go on from `checkpoint`, with the bits of a run that was never stopped; where there is
            none, the run begins.
        progress : bool, optional
            Show a progress bar after two seconds; None: only on a terminal.

        Returns
        -------
        AssimilationResult

        Raises
        ------
        TypeError, ValueError
            If an argument, or a window, does not fit.
        ValueError
            If no checkpoint there can be used, or they are of another run.
        OSError
            If a checkpoint can't be written, those before it being left as they were, or a sink.
        MemoryError
            If the run needs more memory than is free, before it begins.
        """
        if filt is not None and not isinstance(filt, EnsembleFilter):
            raise TypeError(f"filt={filt!r}: expected a filter such as enfilt.LETKF(...), or None")
        first = _checks.ensemble("ensemble", ensemble, batch=False)
        if seed is not None:
            _checks.integer("seed", seed, 0)
        window = 0 if filt is None else filt._ensembles
        needed, hint = int((4.1 + window) * first.nbytes), "choose fewer members or a smaller model"
        xp = _arrays.namespace(first)
        if xp is np:
            _checks.finite("ensemble", first)
            _memory.check(needed, hint)
        else:
            _memory.check_device(xp, needed, hint)
        course = AssimilationCourse(self, first, seed)
        of = {
            "run": "assimilation",
            "filter": "none" if filt is None else filt.describe(),
            "shape": list(first.shape),
            "dtype": str(first.dtype),
            "seed": None if seed is None else int(seed),
        }
        checkpoints = checked(checkpoint, every, resume, of)
        to = self.forecast_to, self.analysis_to
        loop = Loop(course, filt, course.filter_rng, progress, checkpoints, resume, to)
        loop.run()
        return course.result(loop, filt, seed)
