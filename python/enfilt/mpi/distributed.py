"""One state on many ranks: analyses, and how good an ensemble is."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends, metrics
from ..backends import Backend
from ..filters.base import EnsembleFilter, RandomState
from ..filters.cycle import Cycle
from ..filters.reduced import MAX_ERRORS
from ..grids import Grid, RegularGrid, as_grid
from ..inflation import Adaptive
from ..models import Lorenz96, Model
from ..observation import Observation
from ..operators import Subset
from . import forecast as forecasts
from . import tuning
from .backend import PARTS, Agreed
from .halo import Gathered, Halo, PartOfGrid, Parts, observation, observed, places_of, reach_of
from .ranks import OthersFailedError, Ranks, check_alike, raise_of, text_of

Array = npt.NDArray[Any]

# A counter of the random numbers has 32 bits, for four components each.
_MOST_COMPONENTS = 1 << 34


class _Checked(NamedTuple):
    """What one rank has checked of its own part."""

    cycle: Cycle
    target: Array | None
    shape: tuple[int, ...]
    dim: int  # components of the rank; 0: `cycle` has one that is none
    observes: bool  # whether the rank has observations; if not, `cycle` has one that is missing
    given: Any  # the observations that were given


@dataclass
class _Known:
    """What is known of a rank's observations, and of others near it.

    Attributes
    ----------
    key : tuple
        Of which observations.
    where, std : ndarray, (m, k) and (m,)
        Their places and errors.
    halo : Halo, optional
    near : Observation, optional
        Those of the halo.
    everything : Everything, optional
        Those of all ranks.
    """

    key: tuple[Any, ...]
    where: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    halo: Halo | None = None
    near: Observation | None = None
    everything: tuning.Everything | None = None


def _key(checked: _Checked) -> tuple[Any, ...]:
    return checked.given, checked.dim, checked.cycle.y.shape[-1]


class Distributed:
    """A state spread over the ranks of a communicator: rank after rank has a run of components.

    ``filt.analysis(forecast, y, obs, comm=dist)`` then takes each rank's part of the ensemble,
    (N, D of the rank), and its own observations (h and `obs` are of its components, counted from
    0), and returns the rank's part of the analysis. All ranks call it, with the same `rng`. Random
    numbers are those of the components of the whole state, and what is summed are chunks of it:
    the analysis is that of one process, bit for bit where the parts of ranks end with chunks (a
    number of components, and of ranks, that are powers of two), and to rounding elsewhere.

    It is collective: all ranks make it, and all call each method.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        Its ranks; it is duplicated.
    geometry : Grid, optional
        Of the whole state, such as ``model.grid``; for filters that are localized.

    Raises
    ------
    ImportError
        If mpi4py or an MPI is not there.
    TypeError
        If `comm` is no communicator.

    Notes
    -----
    Parts may be of any sizes, and empty: a rank without components passes (N, 0), one without
    observations ``y`` of (0,) (or all NaN).

    What one rank finds wrong ends the call on all of them: there with the error, elsewhere with a
    `RankError` that has its text; where ranks disagree, about N, dtype or options, with one
    ValueError on all. The communicator can be used on. Only where a rank is killed, or leaves
    without a word, others wait for it: MPI's own launcher ends them.

    Examples
    --------
    ``mpiexec -n 4 python program.py``, with the program

    >>> import numpy as np, enfilt as ef
    >>> from mpi4py import MPI  # doctest: +SKIP
    >>> grid = ef.grids.RegularGrid((1000,))
    >>> dist = ef.mpi.Distributed(MPI.COMM_WORLD, grid)  # doctest: +SKIP
    >>> mine = dist.slab()  # doctest: +SKIP
    >>> forecast = np.random.default_rng(0).standard_normal((20, 1000))[:, mine]  # doctest: +SKIP
    >>> obs = ef.Observation(ef.operators.Every(2), std=0.1)
    >>> y = np.zeros(obs.size(forecast.shape[1]))  # doctest: +SKIP
    >>> analysis = ef.ETKF().analysis(forecast, y, obs, comm=dist)  # doctest: +SKIP
    """

    def __init__(self, comm: Any, geometry: Any = None) -> None:
        self.geometry: Grid | None = None if geometry is None else as_grid(geometry)
        self._ranks = Ranks(comm)
        self._known: _Known | None = None

    @property
    def rank(self) -> int:
        """The number of this rank."""
        return self._ranks.rank

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self._ranks.size

    def slab(self, dim: int | None = None) -> slice:
        """Return the components of this rank, where all have as many as can be.

        Whole rows of a regular grid of one variable.

        Parameters
        ----------
        dim : int, optional
            Of the state. Default: as many as the geometry has.

        Raises
        ------
        TypeError, ValueError
            If neither tells, or they contradict each other.
        """
        return self._slab(self.rank, dim)

    def _slab(self, rank: int, dim: int | None = None) -> slice:
        grid = self.geometry
        if grid is None and dim is None:
            raise ValueError("dim is missing: there is no geometry that tells it")
        whole = grid.size if dim is None and grid is not None else _checks.integer("dim", dim, 1)
        if grid is not None and grid.size != whole:
            raise ValueError(f"dim={whole}: expected {grid.size}, that of the geometry")
        row = 1
        if isinstance(grid, RegularGrid) and grid.variables == 1:
            row = whole // grid.shape[0]
        rows = whole // row
        first, last = (row * (rows * k // self.size) for k in (rank, rank + 1))
        return slice(first, last)

    def gather(self, part: Array) -> Array:
        """Return the parts of all ranks put together along the last axis, on each of them."""
        joined: Array = np.concatenate(self._ranks.comm.allgather(np.asarray(part)), axis=-1)
        return joined

    def on_first(self, work: Callable[[], None]) -> None:
        """Do something on the first rank, which others wait for.

        Raises
        ------
        Exception
            What it raises; RankError on the others.
        """
        self._together(work if self.rank == 0 else lambda: None)

    def by_members(self, part: npt.ArrayLike) -> Array:
        """Return some members whole, (n, D), of an ensemble of which each rank has a part.

        For models that step whole states: members are shared out in order, as evenly as can be,
        and a rank may get none. All the numbers go through the network once (``Alltoallv``).

        Parameters
        ----------
        part : array_like, (N, D of the rank)

        Raises
        ------
        TypeError, ValueError
            If it is no ensemble; RankError where it is another rank's that is none.
        """
        x, parts = self._part(part)
        members: Array = self._together(lambda: forecasts.by_members(self._ranks, parts, x))
        return members

    def by_space(self, members: npt.ArrayLike, dim: int) -> Array:
        """Return this rank's part, (N, `dim`), of an ensemble that `by_members` has spread.

        Parameters
        ----------
        members : array_like, (n, D)
            Those of the rank.
        dim : int
            How many components the rank has.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; RankError where it is another rank's.
        """
        error, x, told = None, None, {}
        try:
            x = _checks.floating("members", members, members=2)
            if x.ndim != 2:
                raise ValueError(f"members has shape {x.shape}: expected (n, D)")
            told = {"n": len(x), "dim": _checks.integer("dim", dim, 0)}
        except Exception as found:  # of whatever kind: all ranks raise, none waits
            error = found
        alike = {} if x is None else {"D": x.shape[1], "dtype": str(x.dtype)}
        records = self._agree(error, alike, told)
        assert x is not None  # else all have raised
        rows, parts = x, Parts.of([record["dim"] for record in records])
        count = sum(record["n"] for record in records)
        wanted = [r.stop - r.start for r in forecasts.rows_of(count, self.size)]
        if [record["n"] for record in records] != wanted or parts.whole != rows.shape[1]:
            raise ValueError(
                f"members are {[record['n'] for record in records]} of {rows.shape[1]} components, "
                f"dim adds up to {parts.whole}: expected {wanted}, and as many components"
            )
        self._ranks.begin(0)
        part: Array = self._together(lambda: forecasts.by_space(self._ranks, parts, rows, count))
        return part

    def step(self, model: Model, part: npt.ArrayLike, steps: int = 1) -> Array:
        """Return the part of an ensemble after steps of a model.

        `Lorenz96` is stepped where its components are, by halos of 8 and 4 components a step, in
        messages for up to 16 steps. Any other model steps whole members, shared out to the ranks,
        so that a rank needs memory for some of them: what a solver of a pressure, or a transform,
        would send in each of its steps is more.

        Parameters
        ----------
        model : Model
            Without model noise.
        part : array_like, (N, D of the rank)
        steps : int

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As ``model.step``; RankError where it is another rank's.
        """
        error: Exception | None = None
        try:
            _checks.integer("steps", steps, 0)
            if not isinstance(model, Model):
                raise TypeError(f"model={model!r}: expected a model of enfilt.models")
            if model.model_noise:
                raise ValueError(
                    f"model_noise={model.model_noise}: expected a model without, on many ranks"
                )
        except Exception as found:  # of whatever kind: all ranks raise, none waits
            error = found
        x, parts = self._part(part, error, {"model": text_of(model), "steps": steps})
        if parts.whole != model.dim:
            raise ValueError(
                f"part has {parts.whole} components on all ranks: expected {model.dim}, as the "
                f"model has"
            )
        ranks = self._ranks

        def work() -> Array:
            if type(model) is Lorenz96:
                return forecasts.lorenz96(ranks, parts, model, x, steps)
            return forecasts.stepped_by_members(ranks, parts, x, lambda a: model.step(a, steps))

        stepped: Array = self._together(work)
        return stepped

    def _part(
        self, part: npt.ArrayLike, error: Exception | None = None, said: Any = None
    ) -> tuple[Array, Parts]:
        """Return an ensemble's part, checked and agreed on by all ranks, and their parts."""
        x = None
        try:
            x = _checks.floating("part", part, members=2)
            if x.ndim != 2:
                raise ValueError(f"part has shape {x.shape}: expected (N, D of the rank)")
            _checks.finite("part", x)
        except Exception as found:  # of whatever kind: all ranks raise, none waits
            error = error or found
        alike = {} if x is None else {"N": len(x), "dtype": str(x.dtype), **(said or {})}
        dim = None if x is None else x.shape[1]
        records = self._agree(error, alike, {"dim": dim})
        assert x is not None  # else all have raised
        self._ranks.begin(0)
        return x, Parts.of([record["dim"] for record in records])

    def score(self, ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> metrics.Scores:
        """Return the scores of an ensemble, each rank giving its part: `metrics.score` of all.

        Parameters
        ----------
        ensemble : array_like, (N, D of the rank)
        truth : array_like, (D of the rank,)

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            As `metrics.score`; RankError where it is another rank's.
        """
        x = truth_ = None
        error: Exception | None = None
        try:
            x, truth_ = metrics.checked(ensemble, truth, empty=True)
        except Exception as found:  # of whatever kind: all ranks raise, none waits
            error = found
        shape = None if x is None else x.shape
        alike = {} if x is None else {"N": x.shape[0], "dtype": str(x.dtype)}
        sizes = self._agree(error, alike, {"dim": None if shape is None else shape[1]})
        assert x is not None  # else all have raised
        assert truth_ is not None
        dims = [record["dim"] for record in sizes]
        agreed = Agreed(sum(dims[: self.rank]), sum(dims), 0, frozenset(), False, [])
        base = backends.get()
        kernels = PARTS[base.name](self._ranks, agreed, base)
        self._ranks.begin(len(x) * (len(x) + 3) + 8)
        scores: metrics.Scores = self._together(lambda: metrics.of_part(x, truth_, kernels))
        return scores

    def analysis(
        self,
        filt: EnsembleFilter,
        forecast: npt.ArrayLike,
        y: npt.ArrayLike,
        obs: Observation,
        observed: npt.ArrayLike | None,
        previous: npt.ArrayLike | None,
        rng: RandomState,
        noise: npt.ArrayLike | None,
        out: Array | None,
    ) -> Array:
        """Run an analysis of all ranks: ``filt.analysis(..., comm=self)`` comes here."""
        error: Exception | None = None
        checked, alike, told = None, {}, {}
        try:
            given: dict[str, Any] = {"forecast": forecast, "y": y, "observed": observed}
            given |= {"previous": previous, "rng": rng, "noise": noise, "out": out}
            checked = _check(filt, given, obs, self.geometry)
            if filt._evaluations:
                self._check_places(filt, checked)
            alike, told = _said_alike(filt, checked, rng, previous, noise), _told(checked)
            told["knows"] = self._knows(checked)
        except Exception as found:  # of whatever kind: all ranks raise, none waits
            error = found
        records = self._agree(error, alike, told)
        assert checked is not None
        cycle = self._spread(checked, rng, records)
        members = cycle.forecast.shape[1]
        self._ranks.begin(0 if filt._evaluations else members * (members + 1))
        near = filt._evaluations and any(record["seen"] for record in records)

        def work() -> Array:
            if not near:
                return filt._run(cycle, checked.target, checked.shape)
            parts = Parts.of([record["dim"] for record in records])
            if not all(record["knows"] for record in records):
                self._known = None
            return self._run_near(filt, checked, cycle, parts)

        result: Array = self._together(work)
        if checked.dim == 0:
            result = result[:, :0]
        as_given: Array = _arrays.as_given(result, forecast if out is None else out)
        return as_given

    def _check_places(self, filt: EnsembleFilter, checked: _Checked) -> None:
        """Check what a localized filter asks of a rank's part."""
        cycle, obs = checked.cycle, checked.cycle.obs
        if self.geometry is None:
            raise ValueError(
                f"geometry is missing: {type(filt).__name__} needs the places of components; make "
                f"Distributed(comm, geometry)"
            )
        if obs.is_correlated:
            raise TypeError("comm: obs has correlated errors, which no halo takes: expected std=")
        if obs.locations is None and obs.stands_at(cycle.forecast.shape[-1]) is None:
            raise ValueError(
                "locations is missing: no operator chooses components, so localization needs "
                "Observation(..., locations=...) of the observations, on the whole geometry"
            )
        if cycle.given is not None and (filt._evaluations > 1 or tuning.tunes(filt)):
            raise TypeError(
                f"observed: {type(filt).__name__} moves h(x) along, which no halo takes: expected "
                f"Observation(operator, ...)"
            )

    def _knows(self, checked: _Checked) -> bool:
        """Return whether what is known of observations is known of these."""
        return self._known is not None and self._known.key == _key(checked)

    def _run_near(
        self, filt: EnsembleFilter, checked: _Checked, cycle: Cycle, parts: Parts
    ) -> Array:
        """Run an analysis whose components see the observations near them."""
        assert self.geometry is not None  # it was checked
        ranks, whole = self._ranks, self.geometry
        count = cycle.y.shape[-1] if checked.observes else 0
        grid = parts.grid(whole, self.rank)
        known = self._known
        if known is None:
            where, std = grid.coordinates([]), np.zeros(0)
            if count:
                dim = cycle.forecast.shape[-1]
                where = places_of(cycle.obs, whole, parts.firsts[self.rank], dim)
                std = np.broadcast_to(cycle.obs.r, count).astype(np.float64)
            known = _Known(_key(checked), where, std)
        run, facts = filt, None
        if tuning.tunes(filt):
            if known.everything is None:
                ranks.ready()
                known.everything = tuning.Everything.of(ranks, whole, known.where, known.std)
            first = parts.firsts[self.rank]
            run, cycle, facts = tuning.tuned(filt, cycle, count, ranks, known.everything, first)
        reach = run._cutoffs_seen * reach_of(run.localization)  # type: ignore[attr-defined]  # `Localized`
        halo = known.halo
        if halo is None or not reach <= halo.reach <= 4 * reach:
            # a taper from the ensemble is not the same in each cycle
            far = reach if facts is None else 1.5 * reach
            ranks.ready()
            halo = known.halo = Halo(ranks, parts, whole, known.where, known.std, far)
            known.near = observation(halo, grid, None)
        self._known = known
        near, operator, given = known.near, None, None
        assert near is not None  # beside the halo
        ranks.ready()
        y = observed(halo, cycle.y[0][:count])[None]
        if cycle.given is not None:
            given = halo.exchange(cycle.given[0][:, :count])[None]
        else:
            operator = Gathered(halo, cycle.obs, count, run._evaluations)
            near = near.through(operator)
        result = run._run(
            dataclasses.replace(cycle, y=y, obs=near, given=given), checked.target, checked.shape
        )
        if operator is not None:
            operator.answer(cycle.forecast[0])
        if facts is not None:
            filt._memory.facts = run._memory.facts | facts
            filt._memory.flags = run._memory.flags
        return result

    def _agree(
        self, error: Exception | None, alike: dict[str, Any], told: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return what all ranks tell, once they are known to agree."""
        text = None if error is None else f"{type(error).__name__}: {error}"
        records = self._ranks.agree({"error": text, "alike": alike, "told": told})
        texts = [record["error"] for record in records]
        if any(text is not None for text in texts):
            raise_of(texts, error)
        check_alike([record["alike"] for record in records])
        return [record["told"] for record in records]

    def _together(self, work: Any) -> Any:
        """Return what `work` gives, or raise on all ranks where it fails on one."""
        error: BaseException | None = None
        try:
            result = work()
        except OthersFailedError:
            self._ranks.raise_together(None)
        except BaseException as found:
            error = found
        if not self._ranks.end(error):
            self._ranks.raise_together(error)
        return result

    def _spread(self, checked: _Checked, rng: RandomState, records: list[dict[str, Any]]) -> Cycle:
        """Return the cycle as one of all ranks."""
        dims = [record["dim"] for record in records]
        whole = sum(dims)
        # what all ranks know, all find wrong
        if not whole:
            raise ValueError("forecast has no component on any rank: expected some")
        if self.geometry is not None and whole != self.geometry.size:
            raise ValueError(
                f"forecast has {whole} components on all ranks: expected {self.geometry.size}, as "
                f"the geometry has"
            )
        if whole > _MOST_COMPONENTS:
            raise ValueError(
                f"forecast has {whole} components on all ranks: expected at most "
                f"{_MOST_COMPONENTS}, beyond which random numbers would come again"
            )
        told = [record["kind"] for record in records if record["kind"] is not None]
        base = checked.cycle.backend
        known = all(kind in base.kinds for kind in told)
        precisions = [p for record in records for p in record["precisions"]]
        agreed = Agreed(
            first=sum(dims[: self.rank]),
            whole=whole,
            seen=sum(record["seen"] for record in records),
            kinds=base.kinds if known else frozenset(),
            picks=all(kind == "identity" for kind in told),
            precisions=list(dict.fromkeys(precisions)),
        )
        kernels: Backend = PARTS[base.name](self._ranks, agreed, base)
        cycle = checked.cycle
        generator = cycle.rng if rng is not None else np.random.default_rng(records[0]["seed"])
        return dataclasses.replace(cycle, backend=kernels, rng=generator)


def _check(
    filt: EnsembleFilter, given: dict[str, Any], obs: Observation, geometry: Grid | None
) -> _Checked:
    """Check a rank's own part, arguments by name, as `EnsembleFilter.analysis` does."""
    if reason := filt._keeps_whole():
        raise TypeError(f"comm: {type(filt).__name__} does not run on parts of a state: {reason}")
    shape = np.shape(given["forecast"])
    if len(shape) != 2:
        raise ValueError(f"forecast has shape {shape}: expected (N, D of the rank) beside comm=")
    members, dim = shape
    before, adaptive = obs, filt._inflation
    local = isinstance(adaptive, Adaptive) and adaptive.local is not False
    if local and obs.grid is not None and not filt._evaluations:
        raise TypeError(
            f"inflation={adaptive!r} with places has factors that follow from the innovations of "
            f"all ranks: expected Adaptive(local=False)"
        )
    dtype = np.asarray(given["forecast"]).dtype
    if not dim:  # a component that is zero in all members adds to no difference of them
        for name in ("forecast", "previous", "noise", "out"):
            if given[name] is not None:
                given[name] = np.zeros((*np.shape(given[name])[:-1], 1), dtype)
    if not dim or np.shape(given["y"]) == (0,):
        given["y"] = np.full(1, np.nan, dtype if dtype.kind == "f" else np.float64)
        if given["observed"] is not None:
            given["observed"] = np.zeros((members, 1), dtype)
        obs = Observation(Subset([0]), std=1.0)
    observes = obs is before
    if filt._evaluations and geometry is not None:
        obs = obs.at(PartOfGrid(geometry, 0, max(1, dim)), obs.locations)
    cycle, target, shape = filt._checked(obs=obs, **given)
    if cycle.backend.name not in PARTS:
        raise TypeError(
            f"forecast is on a backend, {cycle.backend.name!r}, that does not run on parts of a "
            f"state: expected NumPy arrays"
        )
    return _Checked(cycle, target, shape, dim, observes, before)


def _said_alike(
    filt: EnsembleFilter, checked: _Checked, rng: RandomState, previous: Any, noise: Any
) -> dict[str, Any]:
    """Return what ranks have to agree about, by the name that an error gives it."""
    cycle = checked.cycle
    options = {f.name: text_of(getattr(filt, f.name)) for f in dataclasses.fields(filt) if f.repr}
    options["backend"] = cycle.backend.name
    state = None
    if rng is not None:
        state = hashlib.sha256(pickle.dumps(cycle.rng.bit_generator.state)).hexdigest()[:12]
    return {
        "the filter": type(filt).__name__,
        "N": cycle.forecast.shape[1],
        "dtype": str(cycle.forecast.dtype),
        **options,
        "whether previous is given": previous is not None,
        "whether noise is given": noise is not None,
        "the state of rng": state,
    }


def _told(checked: _Checked) -> dict[str, Any]:
    """Return what a rank tells the others of its part."""
    cycle = checked.cycle
    seen = int(np.count_nonzero(~np.isnan(cycle.y)))
    observed = cycle.observed
    kind, precisions = None, []
    if seen:
        form = cycle.obs.components(cycle.forecast.shape[-1], cycle.y)
        kind = "" if form is None or cycle.given is not None else form.kind
    if observed is not None and seen:
        precisions = cycle.backend.precisions(observed, MAX_ERRORS)
    return {
        "dim": checked.dim,
        "seen": seen,
        "kind": kind,
        "precisions": precisions,
        "seed": secrets.randbits(128),
    }
