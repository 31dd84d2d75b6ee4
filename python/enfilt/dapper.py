"""Filters as methods of DAPPER: ``xps += enfilt.dapper.LEnFF(N=10, loc_rad=4)``.

Needs DAPPER, ``pip install 'enfilt[dapper]'``. Each is one of its `da_method`: its cycle, its
statistics and live plots, its model noise, its random numbers, and the weights of an
observation's `localizer`; the analysis alone is ours. Options that DAPPER's own methods have
(`N`, `infl`, `rot`, `fnoise_treatm`, `loc_rad`, `taper`) mean what they mean there, all others
are those of the filter of the same name in `enfilt`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

import enfilt

from . import kernels, operators
from .filters import EnsembleFilter
from .inflation import RTPP, RTPS, Multiplicative, as_inflation
from .observation import Observation

try:
    import threadpoolctl

    with threadpoolctl.threadpool_limits(limits=None):  # its import leaves one thread to everyone
        from dapper.da_methods import da_method
        from dapper.da_methods.ensemble import add_noise, post_process
        from dapper.tools.localization import no_localization
        from dapper.tools.progressbar import progbar
        from dapper.tools.seeding import rng
except ImportError as error:
    message = f"enfilt.dapper needs DAPPER ({error}): pip install 'enfilt[dapper]'"
    raise ImportError(message, name="dapper") from error

Array = npt.NDArray[Any]

__all__ = ["ETKF", "LETKF", "EnFF", "EnSF", "LEnFF"]

#: What DAPPER has words of its own for.
_NAMED_THERE = {"inflation", "parameter_inflation", "localization", "rotate"}

#: From a forecast, y, what DAPPER observes then, and the analysis before, to an analysis.
Analyse = Callable[[Array, Array, Any, Array], Array]


class _Method:
    """The cycle that all of these share, of an analysis that `_analyse` returns.

    DAPPER makes dataclasses of its methods, so this is none.
    """

    N: int
    infl: Any
    rot: bool
    fnoise_treatm: str
    stats: Any

    def assimilate(self, HMM: Any, xx: Any, yy: Any) -> None:
        """Run through the observations; DAPPER wraps this with statistics and a stopwatch."""
        analyse = self._analyse()
        ensemble = previous = HMM.X0.sample(self.N)
        self.stats.assess(0, E=ensemble)
        for k, ko, t, dt in progbar(HMM.tseq.ticker):
            ensemble = HMM.Dyn(ensemble, t - dt, dt)
            ensemble = add_noise(ensemble, dt, HMM.Dyn.noise, self.fnoise_treatm)
            if ko is not None:
                self.stats.assess(k, ko, "f", E=ensemble)
                # what is observed is asked for in each cycle: it may depend on time
                ensemble = analyse(ensemble, yy[ko], HMM.Obs(ko), previous)
                ensemble = previous = post_process(ensemble, 1.0, self.rot)
            self.stats.assess(k, ko, E=ensemble)

    def _analyse(self) -> Analyse:
        raise NotImplementedError  # each kind of method has its own


class _Everywhere(_Method):
    """A filter that looks at no places: the one of the same name, with its options."""

    def _analyse(self) -> Analyse:
        kind: type[EnsembleFilter] = getattr(enfilt, type(self).__name__)
        names = {f.name for f in dataclasses.fields(kind) if f.init} - _NAMED_THERE
        filt = kind(inflation=self.infl, **{name: getattr(self, name) for name in names})

        def analyse(forecast: Array, y: Array, seen: Any, previous: Array) -> Array:
            return filt.analysis(forecast, y, _observation(seen), previous=previous, rng=rng)

        return analyse


class _Local(_Method):
    """A filter with the weights of DAPPER's localizers, on its batches of components."""

    loc_rad: float | None
    taper: str
    backend: str

    def _analyse(self) -> Analyse:
        inflation = as_inflation(self.infl)
        if not isinstance(inflation, Multiplicative | RTPP | RTPS):
            raise TypeError(
                f"infl={self.infl!r} follows from innovations, and {type(self).__name__} is given "
                f"weights alone: expected a number, Multiplicative, RTPP or RTPS"
            )

        known: list[Any] = [None, None]  # of an operator that stays the same, found once

        def analyse(forecast: Array, y: Array, seen: Any, previous: Array) -> Array:
            h, covariance, std = np.asarray(seen(forecast)), _covariance(seen), 1.0
            if covariance.kind == "diag":
                std = np.sqrt(covariance.diag)
            else:  # R^-1/2 y has errors that are not correlated
                root = covariance.sym_sqrt_inv
                h, y = h @ root.T, root @ y
            localizer = getattr(seen, "localizer", None)
            if known[1] is None or known[0] is not localizer:
                dim, size = forecast.shape[1], y.size
                whole = localizer or no_localization(dim, size)
                known[:] = localizer, self._weights(whole, dim, size)
            weights: dict[str, Any] = known[1]
            analysis = self._of_weights(
                forecast, y, observed=h, std=std, backend=self.backend, **weights
            )
            inflation.apply(analysis, forecast)
            return analysis

        return analyse

    def _of_weights(self, forecast: Array, y: Array, **given: Any) -> Array:
        raise NotImplementedError  # LETKF and LEnFF have theirs

    def _weights(self, localizer: Any, dim: int, size: int) -> dict[str, Any]:
        """Return the weights of observations, a row a batch, and which row each component has.

        A component that is in no batch sees nothing.
        """
        batches, near = localizer(self.loc_rad, "x2y", self.taper)
        place = np.full(dim, len(batches))
        rows = [near(batch) for batch in batches]
        for row, batch in enumerate(batches):
            place[batch] = row
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows), 0])
        columns, weights = (np.concatenate(part) for part in zip(*rows, strict=True))
        shape = (len(batches) + 1, size)
        return {"weights": sparse.csr_array((weights, columns, starts), shape), "place": place}


def _covariance(seen: Any) -> Any:
    """Return DAPPER's covariance of observation errors, which is 0 where there are none."""
    if not hasattr(seen.noise.C, "diag"):
        raise ValueError("noise of HMM.Obs is 0: expected observations with an error")
    return seen.noise.C


def _observation(seen: Any) -> Observation:
    """Return what DAPPER observes: its operator, with the transpose of its `linear` for h'."""

    def h(x: Array) -> Array:
        return np.asarray(seen(x))

    def vjp(x: Array, u: Array) -> Array:
        pairs = zip(x, u, strict=True)
        return np.stack([np.asarray(seen.linear(row)).T @ one for row, one in pairs])

    covariance = _covariance(seen)
    operator = operators.Custom(h, vjp if hasattr(seen, "linear") else None)
    if covariance.kind == "diag":
        return Observation(operator, std=np.sqrt(covariance.diag))
    return Observation(operator, covariance=covariance.full)


class _Ensemble:
    """What DAPPER's own ensemble methods have."""

    infl: Any = 1.0
    rot: bool = False
    fnoise_treatm: str = "Stoch"


def _options(kind: type[EnsembleFilter]) -> type:
    """Return a class with the options of a filter, as `da_method` takes them."""
    fields = [f for f in dataclasses.fields(kind) if f.init and f.name not in _NAMED_THERE]
    made = [(f.name, Any, dataclasses.field(default=f.default)) for f in fields]
    return dataclasses.make_dataclass("Options", made)


@da_method(_Ensemble, _options(enfilt.EnFF))
class EnFF(_Everywhere):
    """`enfilt.EnFF` of N members, with its options."""

    N: int


@da_method(_Ensemble, _options(enfilt.EnSF))
class EnSF(_Everywhere):
    """`enfilt.EnSF` of N members, with its options."""

    N: int


@da_method(_Ensemble, _options(enfilt.ETKF))
class ETKF(_Everywhere):
    """`enfilt.ETKF` of N members."""

    N: int


@da_method(_Ensemble)
class LETKF(_Local):
    """`enfilt.LETKF` of N members, on DAPPER's batches with their weights."""

    N: int
    loc_rad: float | None = None
    taper: str = "GC"
    backend: str = "auto"

    def _of_weights(self, forecast: Array, y: Array, **given: Any) -> Array:
        return kernels.letkf(forecast, y, **given)


@da_method(_Ensemble)
class LEnFF(_Local):
    """`enfilt.LEnFF` of N members, on DAPPER's batches with their weights.

    Between observations, of which DAPPER tells no distance, the weights are those of the
    component that each is nearest to.
    """

    N: int
    loc_rad: float | None = None
    taper: str = "GC"
    steps: int = 10
    growth: float = 10.0
    backend: str = "auto"

    def _of_weights(self, forecast: Array, y: Array, **given: Any) -> Array:
        return kernels.lenff(forecast, y, steps=self.steps, growth=self.growth, **given)

    def _weights(self, localizer: Any, dim: int, size: int) -> dict[str, Any]:
        near = localizer(self.loc_rad, "y2x", self.taper)
        of_components = np.zeros((size, dim))
        for row in range(size):
            columns, weights = near(row)
            of_components[row, columns] = weights
        between = of_components[:, of_components.argmax(axis=1)]
        return super()._weights(localizer, dim, size) | {"between": (between + between.T) / 2}
