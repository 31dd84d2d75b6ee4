"""Twin experiments on many ranks: truth, ensembles and observations in parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..experiments.cycle import Seen
from ..experiments.stepping import NotFiniteError
from ..experiments.twin_course import TwinCourse
from ..filters import EnsembleFilter
from ..models import Model
from ..observation import Observation
from ..operators import Subset
from .distributed import Distributed
from .ranks import Ranks, mpi

if TYPE_CHECKING:
    from ..experiments.result import Result
    from ..experiments.twin import TwinExperiment

Array = npt.NDArray[Any]


class SpreadCourse(TwinCourse):
    """A `TwinCourse` of which each rank has a part; what is drawn is drawn of the whole state."""

    def __init__(
        self, twin: TwinExperiment, members: int, seed: int | None, show: bool | None, comm: Any
    ) -> None:
        super().__init__(twin, members, seed, show, 0)
        assert isinstance(twin.model, Model)  # it was checked
        self.spread_model = twin.model
        self.comm = self.dist = Distributed(comm, twin.model.grid)
        self.dim, self.part = twin.model.dim, self.dist.slab()
        if self.dist.rank:
            self.show = False
        self._observed: tuple[Observation, slice | npt.NDArray[np.int64], Observation] | None = None

    def own(self, whole: Array) -> Array:
        return np.ascontiguousarray(whole[..., self.part])

    def whole(self, part: Array) -> Array:
        return self.dist.gather(part)

    def observe(self, cycle: int, forecast: Array) -> Seen:
        seen = super().observe(cycle, forecast)
        if seen.y is None or seen.obs is None:
            return seen
        known = self._observed
        if known is None or known[0] is not seen.obs:
            known = self._observed = (seen.obs, *_part(seen.obs, self.part, self.dim))
        return Seen(seen.time, seen.y[known[1]], known[2])

    def record(
        self, seen: Seen, forecast: Array, analysis: Array, filt: EnsembleFilter | None
    ) -> dict[str, Any]:
        values = super().record(seen, forecast, analysis, filt)
        self.last = None  # a picture of the whole field would need it
        return values

    def write(self, file: Callable[[], None]) -> None:
        self.dist.on_first(file)

    def _tracked(self, analysis: Array, track: slice) -> Array:
        return self.dist.gather(analysis[:, : max(0, track.stop - self.part.start)])

    def _score(self, ensemble: Array, truth: Array) -> Any:
        return self.dist.score(ensemble, truth)

    def _step(
        self,
        name: str,
        ensemble: Array,
        steps: int,
        rng: np.random.Generator,
        out: Array | None = None,
    ) -> Array:
        try:
            return self.dist.step(self.spread_model, ensemble, steps)
        except FloatingPointError as error:
            raise NotFiniteError(f"at cycle {self.stepping.cycle}, {error}") from None


def _part(
    obs: Observation, part: slice, dim: int
) -> tuple[slice | npt.NDArray[np.int64], Observation]:
    """Return which observations are of a part of the components, and these."""
    form = obs.pointwise(dim)
    if form is None or obs.is_correlated or obs.operator is None:
        raise ValueError(
            f"obs={obs!r}: expected errors that are not correlated, and an operator that chooses "
            f"components, in a twin experiment on many ranks"
        )
    std, operator = obs.r, obs.operator
    count = part.stop - part.start
    if form.components == slice(0, dim, 1):
        at: slice | npt.NDArray[np.int64] = part
        chosen = np.arange(count)
    else:
        components = np.arange(dim)[form.components]
        at = np.flatnonzero((components >= part.start) & (components < part.stop))
        chosen = components[at] - part.start
        if form.kind != "identity":
            raise ValueError(
                f"operator={operator!r}: expected one that is of all components, or takes "
                f"components as they are, in a twin experiment on many ranks"
            )
        operator = Subset(chosen if chosen.size else [0])
    if not chosen.size:
        return slice(0, 0), Observation(Subset([0]), std=1.0)
    return at, Observation(operator, std=std[at] if std.ndim else float(std), quality=obs.quality)


def run(
    twin: TwinExperiment,
    filt: EnsembleFilter,
    comm: Any = None,
    *,
    members: int,
    seed: int,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 1,
    resume: bool = False,
    progress: bool | None = None,
) -> Result:
    """Run a twin experiment on the ranks of a communicator, each having a part of the state.

    All of them call it, and get the result, which is that of ``twin.run`` to rounding.

    Parameters
    ----------
    twin : TwinExperiment
        Of a model of the library without model noise, on the CPU, without ``innovations=``.
    filt : EnsembleFilter
        One that takes ``comm=``.
    comm : mpi4py.MPI.Comm, optional
        Default: ``COMM_WORLD``.
    members, seed, checkpoint, every, resume, progress
        As of ``twin.run``. The first rank writes the checkpoint, of the whole ensemble, which it
        has to have memory for, and shows the progress bar; all ranks read the checkpoint, and may
        be as many as they like, or one process without MPI.

    Returns
    -------
    Result
        Without the fields of a picture.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    RankError
        Where another rank has failed.
    """
    comm = mpi().COMM_WORLD if comm is None else comm
    if not isinstance(twin.model, Model) or twin.innovations or twin.device != "cpu":
        raise ValueError(
            "twin: expected a model of enfilt.models, no innovations=True, and device='cpu', on "
            "many ranks"
        )
    if reason := filt._keeps_whole():
        raise TypeError(f"filt={filt.describe()} does not run on parts of a state: {reason}")
    count = _checks.integer("members", members, 2)
    course = SpreadCourse(twin, count, _checks.integer("seed", seed, 0), progress, comm)
    return twin._through(course, filt, count, seed, checkpoint, every, resume)


def is_first(comm: Any = None) -> bool:
    """Return whether this is the rank that writes and prints."""
    return Ranks(mpi().COMM_WORLD if comm is None else comm).rank == 0
