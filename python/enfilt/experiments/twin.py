"""Twin experiments: a filter against a truth that the same model made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, _memory, backends
from .._values import Value
from ..filters import EnsembleFilter
from ..models import Model
from ..observation import Observation
from ..operators import Operator
from .checkpoint import checked
from .cycle import Loop
from .result import Result
from .twin_course import TwinCourse

Array = npt.NDArray[Any]
ModelLike = Model | Callable[[Array, int], Array]


@dataclass(frozen=True, eq=False)
class TwinExperiment(Value):
    """A model, what is observed of it, and how often.

    Truth, observation errors, initial ensemble and filter draw from four streams spawned from the
    seed: two filters run with one seed see the same truth and the same observations.

    Parameters
    ----------
    model : Model or callable
        From `enfilt.models`, or ``(ensemble, steps) -> ensemble`` on (N, D) arrays.
    obs : Observation, sequence of Observation, or callable
        Operator and error. Of a sequence, cycles take theirs in turn, and begin anew where it ends;
        a callable gives that of each cycle, from 0. None in their place: nothing is observed.
    cycles : int
        Analyses. The first comes at once, every later one after a forecast.
    steps_per_cycle : int
        Model steps between analyses.
    spinup : int
        Model steps of the truth before the first analysis.
    initial_mean : {"zero", "truth"} or array_like, (D,)
        Mean of the initial ensemble.
    initial_std : float or array_like, (D,)
        Its standard deviation, at least 0.
    initial_ensemble : array_like, (N, D), optional
        The initial ensemble itself; `initial_mean` and `initial_std` then say nothing.
    initial_state : array_like, (D,), optional
        Where the truth's spin-up starts; needed with a callable model, which has no
        ``initial_state(rng)`` of its own.
    dtype : dtype
        float32 or float64 for the whole experiment.
    track : int
        Components whose course the result keeps, the first so many.
    innovations : bool
        Whether the result has statistics against the observations, too, as an `Assimilation` has,
        whose page of pictures is ``result.plot(kind="innovations")``. They take two calls of h a
        cycle more.
    device : {"cpu", "cuda"}
        Where truth, ensemble and metrics live: "cuda" keeps them on CuPy's current GPU. Random
        numbers are the same, so a run differs from one on the CPU by rounding; the initial
        ensemble and the observation errors are drawn on the host and sent over.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the experiment is made.

    Examples
    --------
    >>> import enfilt as ef
    >>> model = ef.models.Lorenz96(dim=40)
    >>> obs = ef.Observation(ef.operators.Arctan(), std=0.05)
    >>> twin = ef.TwinExperiment(model, obs, cycles=3, steps_per_cycle=10, spinup=50)
    >>> result = twin.run(ef.EnFF(steps=5), members=10, seed=0)
    >>> sorted(result.summary())[:2]
    ['crps.analysis', 'crps.forecast']
    """

    model: ModelLike
    obs: Observation | Sequence[Observation | None] | Callable[[int], Observation | None]
    cycles: int = 80
    steps_per_cycle: int = 10
    spinup: int = 1000
    initial_mean: str | npt.ArrayLike = "zero"
    initial_std: float | npt.ArrayLike = 1.0
    initial_state: npt.ArrayLike | None = field(default=None, kw_only=True)
    initial_ensemble: npt.ArrayLike | None = field(default=None, kw_only=True)
    dtype: npt.DTypeLike = field(default=np.float64, kw_only=True)
    track: int = field(default=40, kw_only=True)
    innovations: bool = field(default=False, kw_only=True)
    device: str = field(default="cpu", kw_only=True)

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if not isinstance(self.model, Model) and not callable(self.model):
            raise TypeError(f"model={self.model!r}: expected a model, or a callable")
        for obs in self._known():
            _check_makes_observations("obs", obs)
        _checks.integer("cycles", self.cycles, 1)
        _checks.integer("steps_per_cycle", self.steps_per_cycle, 1)
        _checks.integer("spinup", self.spinup, 0)
        _checks.integer("track", self.track, 0)
        if np.ndim(self.initial_std):
            std = _checks.numbers("initial_std", self.initial_std)
            if not (np.isfinite(std) & (std >= 0)).all():
                raise ValueError("initial_std: expected finite numbers of at least 0")
        else:
            _checks.number("initial_std", self.initial_std, least=0)
        if isinstance(self.initial_mean, str):
            _checks.choice("initial_mean", self.initial_mean, ["zero", "truth"])
        if not isinstance(self.innovations, bool):
            raise TypeError(f"innovations={self.innovations!r}: expected True or False")
        _checks.float_dtype("dtype", self.dtype)
        if _checks.choice("device", self.device, ["cpu", "cuda"]) == "cuda":
            backends.check_name("device", "cuda")
        if self.initial_state is None and not isinstance(self.model, Model):
            raise ValueError("initial_state is missing: a callable model does not tell one")
        for name in ("initial_mean", "initial_std", "initial_state", "initial_ensemble"):
            object.__setattr__(self, name, _checks.plain(name, getattr(self, name)))
        if isinstance(self.model, Model):
            for obs in self._known():
                if obs is not None:
                    obs.told_size(self.model.dim)

    def _known(self) -> list[Any]:
        """Return the observations that are known before a cycle asks for them."""
        if isinstance(self.obs, Sequence):
            if not self.obs:
                raise ValueError("obs is an empty sequence: expected observations")
            return list(self.obs)
        return [] if _is_of_cycle(self.obs) else [self.obs]

    @property
    def usual_obs(self) -> Observation:
        """What is observed in the first cycle in which something is, for those who ask for one.

        Raises
        ------
        ValueError
            If nothing is observed in any.
        """
        for cycle in range(self.cycles):
            found = self.observed_in(cycle)
            if found is not None:
                return found
        raise ValueError("obs observe nothing in any cycle: expected an enfilt.Observation")

    @property
    def operators(self) -> str:
        """What is observed, as text."""
        known = self._known()
        texts = list(dict.fromkeys("None" if o is None else repr(o.operator) for o in known))
        return " and ".join(texts) if texts else f"{self.obs!r} of the cycle"

    def observed_in(self, cycle: int) -> Observation | None:
        """Return what is observed in a cycle, from 0; None: nothing.

        Raises
        ------
        TypeError, ValueError
            If `obs` is a callable, and gives something else.
        """
        if isinstance(self.obs, Sequence):
            return self.obs[cycle % len(self.obs)]
        given: Any = self.obs
        if _is_of_cycle(given):
            given = given(cycle)
            _check_makes_observations(f"obs({cycle})", given)
        result: Observation | None = given
        return result

    def memory(self, members: int, filt: EnsembleFilter | None = None) -> int:
        """Return about how many bytes a run takes at its peak.

        Three ensembles take turns, an analysis may need one more and a tenth, making the first
        states takes four of them in float64, and a smoother keeps a window of ensembles.

        Parameters
        ----------
        members : int
            N.
        filt : EnsembleFilter, optional
            The filter, whose window counts. Default: one that has none.
        """
        if isinstance(self.model, Model):
            dim = self.model.dim
        else:
            dim = np.asarray(self.initial_state).size
        ensemble = members * dim * np.dtype(self.dtype).itemsize
        window = 0 if filt is None else filt._ensembles
        return int((4.1 + window) * ensemble) + 4 * 8 * dim

    def run(
        self,
        filt: EnsembleFilter,
        *,
        members: int | None = None,
        seed: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int = 1,
        resume: bool = False,
        progress: bool | None = None,
    ) -> Result:
        """Run a filter through all cycles.

        Ctrl-C, a state that is no longer finite, or a matrix of the filter that can't be solved
        with, ends the run; the completed cycles are returned, and ``result.stopped`` says why.

        Parameters
        ----------
        filt : EnsembleFilter
            The filter.
        members : int, optional
            N, at least 2; default: those of `initial_ensemble`.
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
        Result

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.
        OSError
            If a checkpoint can't be written; those before it are left as they were.
        MemoryError
            If the run needs more memory than is free, before it begins.
        """
        if not isinstance(filt, EnsembleFilter):
            raise TypeError(f"filt={filt!r}: expected a filter such as enfilt.EnFF()")
        if members is None and self.initial_ensemble is not None:
            members = len(np.asarray(self.initial_ensemble))
        members = _checks.integer("members", members, 2)
        if seed is not None:
            _checks.integer("seed", seed, 0)
        hint = "choose fewer members or a smaller model"
        if self.device == "cuda":
            _memory.check_device(_arrays.cupy(), self.memory(members, filt), hint)
        else:
            _memory.check(self.memory(members, filt), hint)
        course = TwinCourse(self, members, seed, progress, filt._depth)
        return self._through(course, filt, members, seed, checkpoint, every, resume)

    def _through(
        self,
        course: TwinCourse,
        filt: EnsembleFilter,
        members: int,
        seed: int | None,
        checkpoint: str | os.PathLike[str] | None,
        every: int,
        resume: bool,
    ) -> Result:
        """Run a filter through a course of this experiment."""
        of = {
            "run": "twin experiment",
            "filter": filt.describe(),
            "model": repr(self.model),
            "observations": self.operators,
            "steps_per_cycle": int(self.steps_per_cycle),
            "innovations": bool(self.innovations),
            "members": members,
            "dtype": str(np.dtype(self.dtype)),
            "seed": None if seed is None else int(seed),
        }
        checkpoints = checked(checkpoint, every, resume, of)
        loop = Loop(course, filt, course.streams[3], course.show, checkpoints, resume)
        loop.run()
        return course.result(loop, filt, seed)


def _is_of_cycle(obs: Any) -> bool:
    """Whether it gives the observations of each cycle; an operator alone has no error."""
    return callable(obs) and not isinstance(obs, Operator | type)


def _check_makes_observations(argument: str, obs: Any) -> None:
    """Check that something is an observation, which can be made of a truth, or None."""
    if obs is None:
        return
    if not isinstance(obs, Observation):
        raise TypeError(f"{argument}={obs!r}: expected an enfilt.Observation")
    if obs.operator is None:
        raise ValueError(
            f"{argument} has operator=None: expected an operator, which makes the observations of "
            f"the truth"
        )
