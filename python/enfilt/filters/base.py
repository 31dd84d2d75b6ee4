"""What every ensemble filter shares: the checks, the random numbers, `out=` and inflation."""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, _memory, backends
from .._values import Frozen
from ..backends import Backend
from ..inflation import Adaptive, AdaptiveRTPS, FiniteSize, Inflation, as_inflation
from ..localization import ByKind
from ..observation import Observation
from . import parameters, self_tuning, taper_range
from .cycle import Array, Cycle, Memory, Times, times
from .knobs import Knobs


class Spread(Protocol):
    """What runs an analysis over several processes: `enfilt.mpi.Distributed`."""

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
        """As `EnsembleFilter.analysis`, of one part of the state."""


# in quotes: NumPy imports its random numbers when they are first asked for
RandomState: TypeAlias = "np.random.Generator | int | None"


@dataclass(frozen=True)
class EnsembleFilter(Frozen, ABC):
    """Base of all ensemble filters: frozen options and one method, `analysis`.

    Parameters
    ----------
    inflation : float or Inflation
        Widens the analysis about its mean, or where it is adaptive the forecast; a number is a
        factor.
    parameter_inflation : float or Inflation, optional
        That of parameters of the model (`geometry.WithParameters`), which `inflation` leaves out: a
        number, `Multiplicative`, `RTPP` or `RTPS`. Default: none.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernels run.

    Notes
    -----
    A new filter defines `_update` and, where it takes them, `_noise_shape` and `_needs_previous`.
    One that evaluates h by `Cycle.values`, `Cycle.seen` and `Cycle.misfit` alone says so by
    `_takes_observed`.
    """

    inflation: float | Inflation | None = field(default=1.0, kw_only=True)
    parameter_inflation: float | Inflation | None = field(default=None, kw_only=True)
    backend: str = field(default="auto", kw_only=True)
    _memory: Memory = field(
        default_factory=Memory, init=False, repr=False, compare=False, kw_only=True
    )

    _name: ClassVar[str] = ""  # in the shell; none: it is not for the shell
    _min_members: ClassVar[int] = 2
    _takes_cupy: ClassVar[bool] = False
    _takes_observed: ClassVar[bool] = False
    _takes_transformed: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = False
    _runs_model: ClassVar[bool] = False
    _freedom: ClassVar[float] = taper_range.FREEDOM  # of tapers from the ensemble

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        backends.check_name("backend", self.backend)
        self._inflation  # noqa: B018 - made here once, and checked
        self._parameter_inflation  # noqa: B018
        self._check_options()

    @functools.cached_property
    def _inflation(self) -> Inflation:
        return as_inflation(1.0 if self.inflation is None else self.inflation)

    @functools.cached_property
    def _parameter_inflation(self) -> Inflation:
        """That of parameters (`geometry.WithParameters`), which the other leaves out."""
        given = 1.0 if self.parameter_inflation is None else self.parameter_inflation
        if not isinstance(given, Inflation):
            _checks.number("parameter_inflation", given, above=0)
        inflation = as_inflation(given)
        if isinstance(inflation, Adaptive | AdaptiveRTPS | FiniteSize):
            raise TypeError(
                f"parameter_inflation={self.parameter_inflation!r} follows from innovations: "
                f"expected a number, Multiplicative, RTPP or RTPS"
            )
        return inflation

    @abstractmethod
    def _check_options(self) -> None:
        """Check the filter's own options; runs when the filter is made."""

    @abstractmethod
    def _update(self, cycle: Cycle, out: Array) -> None:
        """Write the analysis, before inflation, to `out` (B, N, D).

        `out` overlaps no input. The observations of at least one ensemble hold a value.
        """

    @property
    def _needs_previous(self) -> bool:
        return False

    @property
    def _draws_beside_noise(self) -> bool:
        """Whether it draws from `rng` with ``noise=`` too, such as which members are taken."""
        return False

    @property
    def _depth(self) -> int:
        """How many cycles back it looks."""
        return 0

    @property
    def _settled(self) -> Array | None:
        """The ensemble (B, N, D) of `_depth` cycles ago, of which it tells no more, if any."""
        return None

    @property
    def _ensembles(self) -> int:
        """How many ensembles it takes memory for at its peak, beside what any filter does."""
        return 0

    def _noise_shape(self, members: int, dim: int) -> tuple[int, ...]:
        """Shape of `noise=` for one ensemble."""
        return (members, dim)

    def _noise_shape_observed(self, members: int, dim: int, observations: int) -> tuple[int, ...]:
        """Shape of `noise=` for one ensemble, where it depends on the number of observations."""
        return self._noise_shape(members, dim)

    def skip(
        self,
        forecast: npt.ArrayLike,
        *,
        previous: npt.ArrayLike | None = None,
        between: tuple[Any, Any] | None = None,
    ) -> None:
        """Say that nothing is observed in a cycle, whose analysis is the forecast.

        Most filters take no notice. The window of a smoother goes on over such a cycle.

        Parameters
        ----------
        forecast, previous, between
            As of `analysis`.
        """

    @property
    def facts(self) -> dict[str, float]:
        """What the last analysis says of itself, numbers by name; for most filters nothing.

        ``steps`` where the filter chose their number, ``inflation`` where that is adaptive, and
        how many observations were ``used``, ``missing`` and ``rejected`` where they have a
        ``quality=``. The result of a twin experiment holds them cycle by cycle.
        """
        return dict(self._memory.facts)

    @property
    def flags(self) -> npt.NDArray[np.int8] | None:
        """What became of each observation in the last analysis, (m,), or (B, m) of a batch.

        The entries are those of `enfilt.quality.Flag`. None where observations have no
        ``quality=``, or nothing was analysed yet.
        """
        flags = self._memory.flags
        return None if flags is None else flags.copy()

    def reset(self) -> None:
        """Forget what earlier cycles left behind; a twin experiment calls it when a run begins."""
        self._memory.facts.clear()
        self._memory.flags = self._memory.length = None
        self._memory.tuning.clear()

    def state(self) -> dict[str, Any]:
        """Return what the filter remembers of earlier cycles, for a checkpoint.

        It pickles, and later analyses leave it as it is. A filter of your own that remembers more
        than the base does adds to it here, and takes that back in `restore`.

        Returns
        -------
        dict
            For `restore`; of what it holds nothing is promised but ``"filter"``, the filter's name.

        Examples
        --------
        >>> import numpy as np, enfilt as ef
        >>> rng = np.random.default_rng(0)
        >>> obs = ef.Observation(ef.operators.Identity(), std=0.5)
        >>> filt, other = (ef.ETKF(inflation=ef.inflation.Adaptive()) for _ in range(2))
        >>> for _ in range(3):
        ...     x, y = rng.standard_normal((10, 4)), 2 * rng.standard_normal(4)
        ...     analysis = filt.analysis(x, y, obs)
        >>> other.restore(filt.state())
        >>> one, two = (f.analysis(x, y, obs) for f in (filt, other))
        >>> np.array_equal(one, two)
        True
        """
        memory = self._memory
        return {
            "filter": type(self).__name__,
            "facts": dict(memory.facts),
            "flags": self.flags,
            "tuning": dict(memory.tuning),  # whose values are never written to
            "length": memory.length,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another filter like this one did, in place of what this one does.

        Parameters
        ----------
        state : mapping
            What `state` gave.

        Raises
        ------
        TypeError, ValueError
            If it is none, or that of another kind of filter.
        """
        name = type(self).__name__
        known = {"filter", "facts", "flags", "tuning", "length"}
        if not isinstance(state, Mapping) or not known <= state.keys():
            raise TypeError(
                f"state is of type {type(state).__name__}: expected what {name}.state() gives"
            )
        if state["filter"] != name:
            raise ValueError(f"state is that of {state['filter']!r}: expected one of {name}")
        self.reset()
        self._memory.facts = dict(state["facts"])
        self._memory.flags = None if state["flags"] is None else state["flags"].copy()
        self._memory.tuning, self._memory.length = dict(state["tuning"]), state["length"]

    def _keeps_off_device(self, obs: Observation) -> str:
        """Say why it does not run on CuPy arrays; "": it does."""
        return "" if self._takes_cupy else "it computes in NumPy"

    def _keeps_whole(self) -> str:
        """Say why processes can't have a part of the state each; "": they can."""
        if not self._takes_parts:
            return "it looks at all components at once"
        inflation = self._inflation
        if type(inflation).__module__.startswith("enfilt."):
            return ""
        return f"inflation={inflation!r} is one of your own"

    @property
    def _evaluations(self) -> int:
        """How often a filter whose components see observations near them evaluates h; 0: others."""
        return 0

    @property
    def _cutoffs_seen(self) -> int:
        """How many cutoffs away observations matter to a component of such a filter."""
        return 1

    def _calls_back(self, cycle: Cycle) -> bool:
        """Whether the update runs code of the user's, which may fail half-way.

        Only an update that can't fail is written straight to the caller's array.
        """
        return cycle.observed is None and cycle.given is None

    def _needs_of_h(self) -> str:
        """Say what it needs of h beyond the values that `analysis` may be given; "": nothing."""
        return "" if self._takes_observed else "h itself"

    def _check_observation(self, obs: Observation) -> None:
        """Check what this filter asks of the observation operator, where it uses that."""

    @_arrays.as_it_came
    def analysis(
        self,
        forecast: npt.ArrayLike,
        y: npt.ArrayLike,
        obs: Observation,
        *,
        observed: npt.ArrayLike | None = None,
        previous: npt.ArrayLike | None = None,
        rng: RandomState = None,
        noise: npt.ArrayLike | None = None,
        out: Array | None = None,
        comm: Spread | None = None,
        between: tuple[Any, Any] | None = None,
    ) -> Array:
        """Assimilate one set of observations.

        Arrays of other libraries, such as PyTorch's and JAX's, come back as what they were, of the
        same memory. Objects of pandas and xarray are taken by position, members first, and not by
        their labels; where these contradict it, that is an error.

        Parameters
        ----------
        forecast : array_like, (N, D) or (B, N, D)
            The forecast ensemble, a member a row, float32 or float64, N >= 2; or a batch of B
            independent ensembles.
        y : array_like, (m,), or (B, m) for a batch
            Observations, rounded to the dtype of the ensemble; so is `observed`. NaN, or masked:
            that component is not observed. With nothing observed, the analysis is the forecast,
            bit for bit.
        obs : Observation
            Operator and error.
        observed : array_like, (N, m) or (B, N, m), optional
            h(x) of the forecast, a member a row, where the operator is not to be asked for it:
            values that the model computed itself, also at other times in the window (4D-LETKF,
            FGAT). Needed where `obs` has no operator. A filter that moves h(x) along moves these
            as if they were components of the state, and what widens the forecast widens them. Not
            for filters that need the gradient of h.
        previous : array_like, as `forecast`, optional
            The analysis ensemble of the previous cycle, of which `forecast` is the forecast, row
            by row. Needed by filters that start from it.
        rng : numpy.random.Generator, int or None
            Through `numpy.random.default_rng`. One 64-bit key is drawn from it.
        noise : array_like, optional
            Standard normals in place of every random draw: the shape of `forecast` for a
            deterministic flow, ``(steps + 1, N, D)`` (after the batch axis) for a stochastic
            sampler.
        out : ndarray, as `forecast`, optional
            Where the analysis goes; `forecast` itself is allowed. No other input is written to,
            and `out` is not touched before the analysis has succeeded or all checks have passed
            (one that overflows may have been written to it).
        comm : enfilt.mpi.Distributed, optional
            Each of its ranks passes a part of the state, (N, D of the rank), the observations of
            that, and the same `rng`, and gets that part of the analysis: the numbers are those of
            one process, to rounding.
        between : (start, stop), optional
            The times of `previous` and of `forecast`, for filters that run the model again
            (`IEnKF`, `IEnKS`, `ILEnFF`): (stop - start) / dt steps of one of `enfilt.models`.
            Default: `steps_per_cycle` steps, and none where `forecast` equals `previous`.

        Returns
        -------
        ndarray, as `forecast`
            The analysis ensemble; `out` where that was given.

        Raises
        ------
        TypeError
            If an array is neither float32 nor float64, or differs in dtype from the ensemble; if
            `obs` is no `Observation`; or if the filter needs more of h than `observed`.
        ValueError
            If a shape does not fit, the ensemble has one member, a value is not finite, or masked
            in another argument than `y` (the message gives its index), labels contradict
            positions, or `observed` or `previous` is missing where it is needed.
        FloatingPointError
            If finite numbers overflow on the way to the analysis. Neither this nor a value that is
            not finite is looked for on a GPU, which would have to be waited for.
        """
        if comm is not None:
            if not callable(getattr(comm, "analysis", None)):
                raise TypeError(f"comm={comm!r}: expected an enfilt.mpi.Distributed")
            return comm.analysis(self, forecast, y, obs, observed, previous, rng, noise, out)
        given = observed, previous, rng, noise, out
        checked = self._checked(forecast, y, obs, *given, times("between", between))
        return self._run(*checked)

    def _analysis_of_finite(
        self,
        forecast: Array,
        y: Array,
        obs: Observation,
        *,
        previous: Array,
        rng: np.random.Generator,
        out: Array,
        between: tuple[Any, Any] | None = None,
    ) -> Array:
        """As `analysis`, of ensembles that are known to be finite: they are not read for that."""
        given = None, previous, rng, None, out
        known = times("between", between)
        checked = self._checked(forecast, y, obs, *given, known, finite=True)
        return self._run(*checked)

    def _checked(
        self,
        forecast: npt.ArrayLike,
        y: npt.ArrayLike,
        obs: Observation,
        observed: npt.ArrayLike | None,
        previous: npt.ArrayLike | None,
        rng: RandomState,
        noise: npt.ArrayLike | None,
        out: Array | None,
        between: Times | None = None,
        *,
        finite: bool = False,
    ) -> tuple[Cycle, Array | None, tuple[int, ...]]:
        """Check what `analysis` was given; return the cycle, `out`, and the shape of the result.

        With `finite`, the ensembles are known to be.
        """
        ensemble = _checks.ensemble("forecast", forecast, members=self._min_members)
        batched = ensemble.ndim == 3
        shape, dtype = ensemble.shape, ensemble.dtype
        members, dim = shape[-2:]
        if not isinstance(obs, Observation):
            raise TypeError(f"obs={obs!r}: expected an enfilt.Observation")
        if observed is not None or obs.operator is None:
            self._check_takes_observed(observed is not None)
        if obs.operator is None and self._inflation.needs_h_of_analysis:
            raise TypeError(
                f"obs has no operator, and inflation={self._inflation!r} needs h of the analysis: "
                f"expected Observation(operator, ...), or another inflation"
            )
        told = obs.told_size(dim)
        self._check_observation(obs)
        observations = _checks.floating("y", y, dtype, missing=True, rounded=True)
        # a user's h tells m when it is called, and is held against that of y then
        m = told
        if m is None:
            m = observations.shape[-1] if observations.ndim else 0
        if not m or observations.shape not in [(m,), (shape[0], m)][: 2 if batched else 1]:
            size = "m" if told is None else told
            raise ValueError(
                f"y has shape {observations.shape}: expected ({size},)"
                f"{f' or ({shape[0]}, {size})' if batched else ''}, "
                f"{size} being the observations of a state of {dim} components"
            )
        given = None
        if observed is not None:
            of_each = f"h(x) of {m} observations a member"
            given = _checks.shaped(
                "observed",
                observed,
                (*shape[:-1], m),
                dtype,
                of_each,
                members=2,
                rounded=True,
            )
            _checks.alike(y=y, observed=observed)
            _checks.alike(forecast=forecast, observed=observed, axis=1)
        before = None
        if previous is not None:
            before = _checks.shaped(
                "previous", previous, shape, dtype, "the shape of forecast", members=2
            )
            _checks.alike(forecast=forecast, previous=previous)
        elif self._needs_previous:
            raise ValueError(
                "previous is missing: this filter starts from the analysis ensemble that the "
                "forecast was made from; in the first cycle pass the forecast itself"
            )
        normals = None
        if noise is not None:
            wanted = shape[:-2] + self._noise_shape_observed(members, dim, m)
            normals = _checks.shaped(
                "noise", noise, wanted, dtype, "a standard normal each", members=2
            )
        target = None if out is None else _checks.output("out", out, shape, dtype)
        arrays = {"forecast": ensemble, "observed": given, "previous": before, "noise": normals}
        backend = backends.of_arrays(self.backend, **arrays, y=observations, out=target)
        if backend.on_device:
            self._check_on_device(ensemble, obs, target, evaluated=given is None)
        else:
            self._check_values(observations, {} if finite else arrays, backend)

        def batch(array: Array | None) -> Array | None:
            return array if array is None or batched else array[None]

        obs.check_seen(observations)  # waits for a device only where std has NaN in it
        xp = _arrays.namespace(ensemble)
        seen = xp.broadcast_to(observations, (shape[0] if batched else 1, m))
        cycle = Cycle(
            forecast=ensemble if batched else ensemble[None],
            previous=batch(before),
            y=seen,
            obs=obs,
            noise=batch(normals),
            rng=_checks.generator("rng", rng),
            backend=backend,
            given=batch(given),
            between=between,
        ).screened(batched)
        return cycle, target, shape

    def _check_takes_observed(self, given: bool) -> None:
        """Check that values of h(x) do, which were given or, without an operator, have to be."""
        name, needs = type(self).__name__, self._needs_of_h()
        if needs:
            raise TypeError(
                f"{'observed' if given else 'obs'}: {name} needs {needs}, which values of h(x) do "
                f"not tell: expected Observation(operator, ...) without observed=, or a filter "
                f"that needs no more, such as LEnFF, LETKF, EnKF, or EnFF with "
                f"guidance='monte-carlo'"
            )
        if not given:
            raise ValueError(
                "observed is missing: obs has no operator; expected h(x) of the forecast, (N, m)"
            )

    @staticmethod
    def _check_values(y: Array, arrays: dict[str, Array | None], backend: Backend) -> None:
        _checks.not_infinite("y", y)
        for name, array in arrays.items():
            if array is not None:
                _checks.finite(name, array, backend.all_finite)

    def _check_on_device(
        self, forecast: Array, obs: Observation, target: Array | None, *, evaluated: bool
    ) -> None:
        """Check what can be without waiting for the device: not the values.

        `evaluated` tells whether h is.
        """
        if obstacle := self._keeps_off_device(obs):
            raise TypeError(
                f"forecast is a CuPy array, which {type(self).__name__} does not run on: "
                f"{obstacle}; expected NumPy arrays, such as cupy.asnumpy(forecast)"
            )
        if obs.is_correlated:
            raise TypeError(
                "obs has a covariance of correlated errors, which are decorrelated on the CPU, but "
                "forecast is a CuPy array: expected std=, or NumPy arrays"
            )
        form = obs.pointwise(forecast.shape[-1]) if evaluated else None
        if form is not None and form.function is not None:
            raise TypeError(
                f"{obs.operator!r} is compiled for the CPU, but forecast is a CuPy array: expected "
                f"an operator of the library, or Custom(h, vjp) with NumPy's functions, "
                f"which take CuPy arrays as well"
            )
        needed = forecast.nbytes if target is None else 0
        _memory.check_device(
            _arrays.namespace(forecast), needed, "pass out=, fewer members, or part of the state"
        )

    def _run(self, cycle: Cycle, target: Array | None, shape: tuple[int, ...]) -> Array:
        """Run the checked analysis, and write to the caller's array where that is safe."""
        inputs = (cycle.forecast, cycle.previous, cycle.noise, cycle.y, cycle.given)
        xp = _arrays.namespace(cycle.forecast)
        direct = target is not None and not any(
            a is not None and xp.may_share_memory(a, target) for a in inputs
        )
        direct = direct and not self._calls_back(cycle)
        direct = direct and not self._inflation.needs_h_of_analysis
        work = target.reshape(cycle.forecast.shape) if direct and target is not None else None
        if work is None:
            work = xp.empty_like(cycle.forecast)
        unobserved = cycle.backend.unobserved(cycle.y)
        if cycle.backend.on_device or not unobserved.all():
            with self._overflows(cycle):
                apart = parameters.count(cycle.obs, shape[-1])
                started = parameters.not_widened(cycle, self._adapted(cycle), apart)
                self._update(started, work)
                kept = work[..., -apart:].copy() if apart else None
                self._inflate(started, work)
                if kept is not None:
                    parameters.inflate(self._parameter_inflation, started, kept, work)
        cycle.backend.copy_where(unobserved, cycle.forecast, work)
        self._check_result(cycle, work)
        self._remember(cycle)
        if target is None:
            return work.reshape(shape)
        if not direct:
            target[...] = work.reshape(shape)
        return target

    @contextlib.contextmanager
    def _overflows(self, cycle: Cycle) -> Iterator[None]:
        """Say what has overflowed where numbers are no longer such as can be computed with."""
        try:
            with np.errstate(
                over="ignore", invalid="ignore", divide="ignore"
            ):  # `_check_result` says it better
                yield
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise self._overflow(cycle, str(error)) from error

    def _check_result(self, cycle: Cycle, analysis: Array) -> None:
        """Check that the analysis is finite: one more read of what was written, on the CPU."""
        if not (cycle.backend.on_device or cycle.backend.all_finite(analysis)):
            raise self._overflow(cycle, _first_bad("analysis", analysis))

    def _overflow(self, cycle: Cycle, found: str) -> FloatingPointError:
        """Return the error of an analysis that overflows, with the size of what it was given."""
        with np.errstate(all="ignore"):
            values = cycle.obs.h(cycle.forecast) if cycle.given is None else cycle.given
        if not np.isfinite(values).all():
            bad = _first_bad("h(forecast)", values)
            found = f"{bad}, where operator={cycle.obs.operator!r}"
        y = np.abs(cycle.y[~np.isnan(cycle.y)])
        largest = float(y.max()) if y.size else 0.0
        return FloatingPointError(
            f"{type(self).__name__} fails in {cycle.forecast.dtype}: {found}. All that it was "
            f"given is finite, forecast up to {float(np.abs(cycle.forecast).max()):.3g}, y up to "
            f"{largest:.3g}, std down to {np.nanmin(cycle.obs.r):.3g}: expected numbers "
            f"nearer to each other, float64, or options whose steps are smaller"
        )

    def _adapted(self, cycle: Cycle) -> Cycle:
        """Return the cycle as a filter that tunes itself begins it."""
        localization = getattr(self, "localization", None)
        if isinstance(localization, ByKind):  # it bounds the noise of a gain
            localization = localization.longest
        inflation, memory = self._inflation, self._memory
        return self_tuning.adapted(inflation, localization, memory, cycle, self._freedom)

    def _inflate(self, cycle: Cycle, analysis: Array) -> None:
        """Widen an analysis (B, N, D) in place."""
        inflation = self._inflation
        if type(inflation).apply is not Inflation.apply:  # one of the user's
            inflation.apply(analysis, cycle.forecast)
        elif isinstance(inflation, AdaptiveRTPS):
            self_tuning.relaxed(inflation, cycle, analysis)
        elif not inflation.is_identity:
            inflation._apply(analysis, cycle.forecast, cycle.backend)

    def _remember(self, cycle: Cycle) -> None:
        """Keep what an analysis has left behind, once it has succeeded."""
        self._memory.facts = cycle.facts
        self._memory.flags = cycle.flags
        if cycle.tuning:
            # of an ensemble that nothing was observed of, a batch remembers what it had
            seen = ~_arrays.to_host(_arrays.namespace(cycle.y).isnan(cycle.y)).all(axis=-1)
            self._memory.tuning |= {b: found for b, found in cycle.tuning.items() if seen[b]}

    @classmethod
    def for_experiment(cls, model: Any, obs: Observation, steps_per_cycle: int) -> EnsembleFilter:
        """Return the filter with default options for an experiment."""
        return cls()

    def search_space(self, model: Any, obs: Observation) -> Knobs:
        """Return what is worth tuning for an experiment, by the option's name; none here."""
        return {}

    def describe(self) -> str:
        """Return the filter as it would be written; what all filters share only where changed."""
        shared = {f.name for f in fields(EnsembleFilter)} | {"algorithm"}
        parts = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if f.repr and (f.name not in shared or getattr(self, f.name) != f.default)
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


def _first_bad(name: str, arrays: Array) -> str:
    """Return the first value of (B, N, D) that is not finite; of one ensemble with its index."""
    return _checks.first_bad(name, arrays[0] if len(arrays) == 1 else arrays)
