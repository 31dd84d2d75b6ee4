"""What filters with a prior share: the loop over a batch, the draws, and the size of a score."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..grids import as_grid
from ..localization import Taper
from ..observation import Observation
from ..priors import EnsemblePrior, GaussianPrior, Prior, Setting
from ..priors.base import check_prior
from . import knobs
from .base import EnsembleFilter
from .cycle import Array, Cycle

#: Gives the standard normals (N, D) of a draw: 0 starts the sampler, k + 1 drives step k.
Normals = Callable[[int], Array]


class PriorFilter(EnsembleFilter):
    """Base of stochastic samplers that ask a prior; a new one has these fields, and `_sample`."""

    prior: Prior
    steps: int

    def _check_options(self) -> None:
        check_prior(self.prior)
        _checks.integer("steps", self.steps, 1)

    def _needs_of_h(self) -> str:
        return "the gradient of h"

    @property
    def _draws_beside_noise(self) -> bool:
        return not isinstance(self.prior, EnsemblePrior | GaussianPrior)  # as one that learns

    def _noise_shape(self, members: int, dim: int) -> tuple[int, ...]:
        return (self.steps + 1, members, dim)

    def _keeps_off_device(self, obs: Observation) -> str:
        return "its priors compute in NumPy, or in PyTorch where they say"

    def reset(self) -> None:
        super().reset()
        self.prior.reset()

    def state(self) -> dict[str, Any]:
        return super().state() | {"prior": self.prior.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.prior.restore(state["prior"])

    def _calls_back(self, cycle: Cycle) -> bool:
        return True  # a prior, which may fail for a later ensemble

    def _update(self, cycle: Cycle, out: Array) -> None:
        for b in np.flatnonzero(~np.isnan(cycle.y).all(axis=-1)):
            out[b] = self._sample(cycle, int(b), self._normals(cycle, int(b)))

    @abstractmethod
    def _sample(self, cycle: Cycle, b: int, normals: Normals) -> Array:
        """Return the analysis (N, D) of one ensemble of the batch."""

    @staticmethod
    def _normals(cycle: Cycle, b: int) -> Normals:
        def draw(index: int) -> Array:
            if cycle.noise is not None:
                given: Array = cycle.noise[b][index]
                return given
            drawn: Array = np.empty_like(cycle.forecast[b])
            cycle.backend.normals(cycle.key, b, index, drawn)
            return drawn

        return draw

    @staticmethod
    def _setting(cycle: Cycle, b: int, **known: Any) -> Setting:
        """Return what the prior may know of this analysis."""
        grid = cycle.obs.grid
        dim = cycle.forecast.shape[-1]
        if grid is not None and as_grid(grid).size == dim:
            known["grid"] = as_grid(grid)
        return Setting(backend=cycle.backend, index=b, **known)


def prior_knobs(prior: Prior, model: Any, obs: Observation) -> knobs.Knobs:
    """Return what is worth tuning of a prior: the cutoff of a localized Gaussian one."""
    if isinstance(prior, GaussianPrior) and isinstance(prior.localization, Taper):
        return {"prior": knobs.cutoff(model, obs, 14, _Localized(prior))}
    return {}


@dataclass(frozen=True)
class _Localized:
    """From a localization to a prior that is localized by it."""

    prior: GaussianPrior

    def __call__(self, taper: Taper) -> Prior:
        return dataclasses.replace(self.prior, localization=taper)


def needs_gradient(name: str, obs: Observation) -> None:
    """Check that the operator has a gradient, for a filter of this name."""
    if not obs.h.has_gradient:
        raise TypeError(
            f"{name} needs the gradient of the operator, but dh or vjp was left out of it: "
            f"give Componentwise(h, dh) or Custom(h, vjp)"
        )


def limited(score: Array, limit: float | None) -> Array:
    """Return the score (N, D), each row shortened to a root mean square of at most `limit`."""
    if limit is None:
        return score
    size = np.sqrt(np.mean(np.square(score, dtype=np.float64), axis=1, keepdims=True))
    factor = np.minimum(1.0, limit / np.maximum(size, np.finfo(np.float64).tiny))
    result: Array = score * factor.astype(score.dtype)
    return result


def spread(members: Array) -> npt.NDArray[np.float64]:
    """Return the standard deviation (D,) of members, above zero.

    A component without spread gets the root mean square of the others', or 1.
    """
    deviation = np.std(members, axis=0, ddof=1, dtype=np.float64)
    typical = float(np.sqrt(np.mean(deviation**2))) or 1.0
    return np.where(deviation > 0, deviation, typical)
