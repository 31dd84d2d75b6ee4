"""The fixed-lag smoother of a filter that moves members by their covariances."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..grids import Embedding, Grid, chosen_components
from ..inflation import Inflation
from ..observation import Observation
from ..operators import Operator
from ..operators.base import Pointwise
from ..parameters import WithParameters
from . import parameters
from .base import EnsembleFilter
from .cycle import Array, Cycle
from .enkf import EnKF
from .etkf import ETKF
from .lenff import LEnFF
from .letkf import LETKF
from .smoother import Found, Smoother

__all__ = ["EnKS"]

_KINDS = ETKF, LETKF, LEnFF, EnKF


@dataclass(frozen=True)
class EnKS(Smoother):
    """The ensemble Kalman smoother with a fixed lag, of any filter that moves by covariances.

    Evensen, van Leeuwen (2000), "An ensemble Kalman smoother for nonlinear dynamics": the
    observations of this cycle also move the ensembles of the `lag` cycles before it, by the
    covariances of those members with h of the forecast. A filter that does so for the components of
    the forecast does it for those of the past as well, by the same steps, the same random numbers
    and the same localization: a component of the past sees what the one at its place sees now. The
    model is not run again. For a linear model and linear h mean and covariance are those of the
    Kalman smoother.

    The analyses are those of the filter, to the last bit. `smoothed` holds the ensembles of the
    past.

    Parameters
    ----------
    filt : ETKF, LETKF, LEnFF or EnKF
        The filter. Its inflation is that of the analysis alone: what is inflated again and again
        would be wider in the past than it is now.
    lag : int
        How many cycles back it looks, at least 1.
    backend : str
        As of the filter; "auto": the filter's own.

    Raises
    ------
    TypeError, ValueError
        If the filter is another, or an option is out of its range, when the smoother is made.

    Notes
    -----
    An analysis follows the one before where `previous`, if it is given, is the analysis that was
    returned; else the past is forgotten, as it is by `reset`. It takes lag + 1 ensembles of memory
    more, and as much time as the filter takes for lag + 1 states. Correlations
    between now and long ago are small and, from few members, mostly noise: a longer lag is not
    better without end.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.5)
    >>> smoother = ef.EnKS(ef.ETKF(), lag=2)
    >>> ensemble = rng.standard_normal((20, 3))
    >>> for y in rng.standard_normal((4, 3)):
    ...     ensemble = smoother.analysis(ensemble, y, obs)  # of a state that stays as it is
    >>> [bool(np.allclose(past, ensemble)) for past in smoother.smoothed]
    [True, True, True]
    """

    filt: EnsembleFilter
    lag: int

    _takes_cupy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.filt, _KINDS):
            names = ", ".join(kind.__name__ for kind in _KINDS)
            raise TypeError(f"filt={self.filt!r}: expected one of {names}")
        for name in ("inflation", "parameter_inflation"):
            own, default = getattr(self, name), 1.0 if name == "inflation" else None
            if own not in (default, getattr(self.filt, name)):
                raise ValueError(f"{name}={own!r}: expected it to be given to the filter")
            object.__setattr__(self, name, getattr(self.filt, name))
        if self.backend != "auto":
            object.__setattr__(self, "filt", dataclasses.replace(self.filt, backend=self.backend))
        object.__setattr__(self, "backend", self.filt.backend)
        super().__post_init__()

    @functools.cached_property
    def _of_past(self) -> EnsembleFilter:
        """The same filter, which keeps the lists of neighbours of the past."""
        return dataclasses.replace(self.filt)

    def _check_options(self) -> None:
        _checks.integer("lag", self.lag, 1)

    @property
    def _depth(self) -> int:
        return self.lag

    @property
    def _ensembles(self) -> int:
        return 4 * (self.lag + 1)  # beside one another as they move

    @functools.cached_property
    def _inflation(self) -> Inflation:
        return self.filt._inflation  # which may follow from its other options

    @property
    def localization(self) -> Any:
        """That of the filter; None of one without."""
        return getattr(self.filt, "localization", None)

    def _noise_shape_observed(self, members: int, dim: int, observations: int) -> tuple[int, ...]:
        return self.filt._noise_shape_observed(members, dim, observations)

    @property
    def _draws_beside_noise(self) -> bool:
        return self.filt._draws_beside_noise

    def _calls_back(self, cycle: Cycle) -> bool:
        return self.filt._calls_back(cycle)

    def _check_takes_observed(self, given: bool) -> None:
        self.filt._check_takes_observed(given)

    def _check_observation(self, obs: Observation) -> None:
        self.filt._check_observation(obs)

    def describe(self) -> str:
        return f"EnKS({self.filt.describe()}, lag={self.lag})"

    def _update(self, cycle: Cycle, out: Array) -> None:
        self.filt._update(cycle, out)
        earlier = self._past.ensembles[: self.lag]
        if not earlier:
            self._past.found = Found([], [])
            return
        placed = cycle.forecast.shape[-1] - parameters.count(cycle.obs, cycle.forecast.shape[-1])
        moved = _with_past(cycle, earlier, placed)
        found = _arrays.namespace(out).empty_like(moved.forecast)
        self._of_past._update(moved, found)
        unobserved = _arrays.namespace(out).isnan(cycle.y).all(axis=-1)
        cycle.backend.copy_where(unobserved, moved.forecast, found)
        ensembles = []
        for j, ensemble in enumerate(earlier, start=1):
            smoothed = ensemble.copy()
            smoothed[..., :placed] = found[..., j * placed : (j + 1) * placed]
            # parameters do not change with time, so that all is known of them now
            smoothed[..., placed:] = out[..., placed:]
            ensembles.append(smoothed)
        self._past.found = Found(ensembles, [])


def _with_past(cycle: Cycle, earlier: list[Array], placed: int) -> Cycle:
    """Return the cycle with the components of earlier ensembles behind those that have a place."""
    xp, dim, obs = _arrays.namespace(cycle.forecast), cycle.forecast.shape[-1], cycle.obs
    grid, where = obs.grid, None
    if grid is not None:
        grid = obs.state_grid(dim)
        if obs.tells_places(dim):  # a filter without localization needs none
            grid, where = obs.places(dim, cycle.y.shape[-1])
        if isinstance(grid, WithParameters):
            grid = dataclasses.replace(grid, grid=Lagged(grid.placed, 1 + len(earlier)))
        else:
            grid = Lagged(grid, 1 + len(earlier))
    blocks = [ensemble[..., :placed] for ensemble in (cycle.forecast, *earlier)]
    moved = dataclasses.replace(
        cycle,
        forecast=xp.concatenate([*blocks, cycle.forecast[..., placed:]], axis=-1),
        previous=None,
        obs=obs.at(grid, where).through(OfPresence(obs.operator, dim, placed)),
        facts={},
        tuning={},
        flags=None,
    )
    if "key" in vars(cycle):  # the random numbers of the update
        vars(moved)["key"] = cycle.key
    return moved


@dataclass(frozen=True, eq=False)
class OfPresence(Operator):
    """Observe the first components of a state, and its last.

    Parameters
    ----------
    operator : Operator or None
        h; None: it is not asked for.
    dim : int
        How many components it takes.
    first : int
        How many of them come first.
    """

    operator: Operator | None
    dim: int
    first: int

    @property
    def _h(self) -> Operator:
        assert self.operator is not None  # values are given without it
        return self.operator

    def size(self, dim: int) -> int:
        return self._h.size(self.dim)

    def told_size(self, dim: int) -> int | None:
        return None if self.operator is None else self.operator.told_size(self.dim)

    def __call__(self, x: Array) -> Array:
        xp, rest = _arrays.namespace(x), self.dim - self.first
        now = [x[..., : self.first], x[..., x.shape[-1] - rest :]]
        return self._h(xp.ascontiguousarray(xp.concatenate(now, axis=-1)))

    def pointwise(self, dim: int) -> Pointwise | None:
        form = None if self.operator is None else self.operator.pointwise(self.dim)
        if form is None:
            return None
        return form._replace(components=self._moved(np.arange(self.dim)[form.components], dim))

    def leading(self, dim: int) -> npt.NDArray[np.int64] | None:
        found = None if self.operator is None else self.operator.leading(self.dim)
        return None if found is None else self._moved(found, dim)

    def _moved(self, components: npt.NDArray[np.int64], dim: int) -> npt.NDArray[np.int64]:
        """Return where components of h are among `dim`."""
        return np.where(components < self.first, components, components + dim - self.dim)


@dataclass(frozen=True)
class Lagged(Grid):
    """The components of a grid at several times, one after the other, at the same places."""

    grid: Grid
    times: int

    @property
    def size(self) -> int:
        return self.grid.size * self.times

    @property
    def variable_count(self) -> int:
        return self.grid.variable_count

    def variables_of(self, components: Any = slice(None)) -> npt.NDArray[np.int64]:
        return self.grid.variables_of(chosen_components(self.size, components) % self.grid.size)

    @property
    def apart(self) -> bool:
        return self.grid.apart

    @property
    def least_spacing(self) -> float:
        return self.grid.least_spacing

    def embedding(self) -> Embedding | None:
        return self.grid.embedding()

    def stretched(self, ratio: float) -> Grid:
        return Lagged(self.grid.stretched(ratio), self.times)

    def check_places(self, argument: str, places: Array) -> None:
        self.grid.check_places(argument, places)

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        chosen = chosen_components(self.size, components)
        return self.grid.coordinates(chosen % self.grid.size)

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        return self.grid.distances(a, b)
