"""The search of `enfilt.tune`: trials of Optuna's, kept in a folder and taken up again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import progress
from ..filters import EnsembleFilter
from ..filters.knobs import Knobs, rounded
from .compare import run_quietly
from .preset import Preset
from .tuning import Settings, Trial, Tuning, file_stem, problem_of

#: Trials before the search takes the errors of earlier ones into account; the first is the usual.
_STARTUP = 6
#: Stands for the number, in Optuna's trials, where a knob has other values beside numbers.
_NUMBER = "number"
#: Marks, among Optuna's trials, those that were not made as they had been made before.
_AGAIN = "again"


class Search:
    """The state of one search."""

    def __init__(
        self,
        preset: Preset,
        name: str,
        start: EnsembleFilter,
        knobs: Knobs,
        seeds: tuple[int, ...],
        sampler_seed: int,
    ) -> None:
        self.found = Tuning(preset, name, start, knobs, seeds, [])
        self.seed = sampler_seed
        self.twin = preset.twin
        self.draws = 0  # trials, and those drawn that had been tried
        self.again = False  # whether the last draw was one of these

    def run(self, optuna: Any, trials: int, folder: Path | None, show: bool | None) -> Tuning:
        found = self.found
        study = self._study(optuna, folder)
        for old in study.get_trials(deepcopy=False):
            if old.state == optuna.trial.TrialState.COMPLETE:
                found.trials.append(Trial(_values(found.knobs, old.params), old.value))
                self.draws, self.again = self.draws + 1, False
            elif _AGAIN in old.user_attrs:
                self.draws, self.again = self.draws + 1, True
            elif old.state == optuna.trial.TrialState.RUNNING:  # of a call that was killed
                study.tell(old.number, state=optuna.trial.TrialState.FAIL)
        bar = progress.bar(trials, f"tuning {found.name} on {found.preset.name}", show)
        try:
            bar.update(len(found.trials))
            while len(found.trials) < trials:
                trial = self._try(optuna, study)
                if trial is None:
                    break
                found.trials.append(trial)
                bar.set_postfix(best=f"{found.best.rmse:.4g}", refresh=False)
                bar.update()
        finally:
            bar.close()
        return found

    def _study(self, optuna: Any, folder: Path | None) -> Any:
        found = self.found
        if folder is None:
            return optuna.create_study()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{file_stem(found.preset, found.name)}.log"
        journal = optuna.storages.journal
        study = optuna.create_study(
            storage=journal.JournalStorage(journal.JournalFileBackend(str(path))),
            study_name="tune",
            load_if_exists=True,
        )
        wanted = {
            **problem_of(found.preset, found.start, found.seeds),
            "search": {
                k: [v.low, v.high, v.usual, v.log, *v.others] for k, v in found.knobs.items()
            },
            "sampler_seed": self.seed,
        }
        held = study.user_attrs.get("problem", wanted)
        different = [key for key, value in wanted.items() if held.get(key) != value]
        if different:
            key = different[0]
            raise ValueError(
                f"{path} holds trials with {key}={held.get(key)!r}: expected "
                f"{wanted[key]!r} as in this call; choose another folder, or delete the file"
            )
        study.set_user_attr("problem", wanted)
        return study

    def _try(self, optuna: Any, study: Any) -> Trial | None:
        """Return the next trial, None where it was interrupted."""
        trial, values = self._drawn(optuna, study)
        while any(old.values == values for old in self.found.trials):
            # what needs no number, and is the best, would be drawn forever
            trial.set_user_attr(_AGAIN, True)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            self.again = True
            trial, values = self._drawn(optuna, study)
        self.again = False
        try:
            rmse = self._error(self.found.at(values))
        except BaseException:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        if rmse is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return None
        study.tell(trial, rmse)
        return Trial(values, rmse)

    def _drawn(self, optuna: Any, study: Any) -> tuple[Any, Settings]:
        """Return a trial of Optuna's, and what it stands for."""
        knobs = self.found.knobs
        # a sampler a trial, so that a search taken up again draws what one in one piece draws
        own = int(np.random.SeedSequence([self.seed, self.draws]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_STARTUP, seed=own)
        if self.again:
            study.sampler = optuna.samplers.RandomSampler(seed=own)
        first = _first(knobs, self.draws)
        if first:
            study.enqueue_trial(first)
        self.draws += 1
        trial, drawn = study.ask(), {}
        for k, v in knobs.items():
            kind = trial.suggest_categorical(_kind(k), [_NUMBER, *v.others]) if v.others else ""
            if kind in ("", _NUMBER):
                drawn[k] = trial.suggest_float(k, v.low, v.high, log=v.log)
            else:
                drawn[_kind(k)] = kind
        return trial, _values(knobs, drawn)

    def _error(self, filt: EnsembleFilter) -> float | None:
        preset, errors = self.found.preset, []
        for seed in self.found.seeds:
            result = run_quietly(self.twin, self.found.name, filt, preset.members, seed)
            if result.stopped == "interrupted":
                return None
            if result.stopped:
                return math.inf
            errors.append(result.summary(last=(preset.twin.cycles + 1) // 2)["rmse.analysis"])
        return float(np.mean(errors))


def _kind(name: str) -> str:
    """Return what Optuna calls the choice between numbers and names of an option."""
    return f"{name}, kind"


def _first(knobs: Knobs, done: int) -> dict[str, Any]:
    """Return what the first trials are: the usual, then what needs no numbers."""
    if done == 0:
        kinds = {_kind(k): _NUMBER for k, v in knobs.items() if v.others}
        return kinds | {k: v.usual for k, v in knobs.items()}
    if done == 1:
        return {_kind(k): next(iter(v.others)) for k, v in knobs.items() if v.others}
    return {}


def _values(knobs: Knobs, drawn: Mapping[str, Any]) -> Settings:
    return {k: rounded(float(drawn[k])) if k in drawn else drawn[_kind(k)] for k in knobs}


@contextmanager
def quiet_optuna() -> Iterator[Any]:
    """Give Optuna, which says only what is wrong meanwhile."""
    try:
        import optuna
    except ImportError:
        raise ImportError("tuning needs Optuna: pip install 'enfilt[tune]'") from None
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(level)
