"""The search for a filter's best options on a problem; needs Optuna (extra ``[tune]``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .. import _checks
from ..filters import EnsembleFilter
from .preset import Preset
from .problem import problem_of
from .search import Search, quiet_optuna
from .tuning import Tuning
from .twin import TwinExperiment


def tune(
    problem: Preset | TwinExperiment | str,
    filt: str | EnsembleFilter,
    *,
    members: int | None = None,
    trials: int = 50,
    seeds: Iterable[int] = (0, 1),
    folder: str | os.PathLike[str] | None = None,
    sampler_seed: int = 0,
    show: bool | None = None,
) -> Tuning:
    """Search the options of a filter that give the lowest error on a problem.

    What is tuned is the filter's own choice (`EnsembleFilter.search_space`), such as cutoff and
    relaxation, or whether these are left to the ensemble. The first trial is the usual setting, the
    second that without numbers where there is one, a few are drawn at random, and the others by
    Optuna's tree-structured Parzen estimator. A setting counts with the RMSE of the analysis over
    the second half of the cycles, mean over `seeds`; one that diverges with any seed, as infinite.

    Parameters
    ----------
    problem : Preset, TwinExperiment or str
        Model, observations and cycles: a preset, by its name or itself, or a twin experiment.
    filt : str or EnsembleFilter
        By its name in the shell: as the preset or else the filter itself chooses; or a filter,
        the other options of which are kept.
    members : int, optional
        N; default: the preset's, or 20 of a twin experiment.
    trials : int
        Settings tried altogether, at least 1.
    seeds : iterable of int
        Training seeds; show what was found on others. With one alone, the best of many trials is
        often on the edge of stability.
    folder : path, optional
        Where the trials are kept, in ``PRESET-FILTER-tune.log``: a later call goes on from there,
        up to `trials`, and finds what one call would have found.
    sampler_seed : int
        Of the search.
    show : bool, optional
        Show a progress bar after two seconds; None: only on a terminal.

    Returns
    -------
    Tuning
        Ctrl-C keeps the trials that are done.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    ValueError
        If a name is not known, the filter has nothing to tune, `trials` or a seed is out of its
        range, or the folder holds trials of another problem.

    Examples
    --------
    >>> import enfilt as ef
    >>> preset = ef.presets.get("lorenz96").replace({"cycles": 20, "spinup": 100})
    >>> found = ef.tune(preset, "lenff", trials=2)
    >>> sorted(found.best.values), found.best.rmse < 2
    (['inflation', 'localization'], True)
    """
    preset = problem_of(problem, members)
    name, start = _filter(preset, filt)
    _checks.integer("trials", trials, 1)
    numbers = tuple(_checks.integer("seeds", seed, 0) for seed in seeds)
    if not numbers:
        raise ValueError("seeds: expected at least one")
    _checks.integer("sampler_seed", sampler_seed, 0)
    knobs = start.search_space(preset.twin.model, preset.twin.usual_obs)
    if not knobs:
        raise ValueError(f"filter={name!r}: this filter has nothing to tune on {preset.name}")
    search = Search(preset, name, start, knobs, numbers, sampler_seed)
    with quiet_optuna() as optuna:
        return search.run(optuna, trials, None if folder is None else Path(folder), show)


def _filter(preset: Preset, filt: str | EnsembleFilter) -> tuple[str, EnsembleFilter]:
    if isinstance(filt, str):
        return filt, preset.filters([filt])[filt]
    if not isinstance(filt, EnsembleFilter):
        raise TypeError(f"filt={filt!r}: expected a filter such as enfilt.EnFF(), or its name")
    return type(filt).__name__.lower(), filt
