"""The bootstrap particle filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..kernels import ensemble_space
from ..observation import Observation
from . import knobs
from .base import EnsembleFilter, RandomState
from .cycle import Array, Cycle

__all__ = ["BootstrapPF"]

Weights = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def multinomial(weights: Weights, rng: np.random.Generator) -> Counts:
    """Return how often each of N members is drawn in N independent draws."""
    return rng.multinomial(len(weights), weights)


def systematic(weights: Weights, rng: np.random.Generator) -> Counts:
    """Return how many of N equidistant points, shifted by one number, each member's share takes.

    Each count is N w rounded up or down. Kitagawa (1996), "Monte Carlo filter and smoother for
    non-Gaussian nonlinear state space models", appendix.
    """
    members = len(weights)
    points = (np.arange(members) + rng.random()) / members
    ends = np.cumsum(weights)
    # the last end may be a rounding below 1, and the last point be rounded up to 1
    inside = np.minimum(points * ends[-1], np.nextafter(ends[-1], 0))
    drawn = np.searchsorted(ends, inside, side="right")
    return np.bincount(drawn, minlength=members)


def residual(weights: Weights, rng: np.random.Generator) -> Counts:
    """Return N w rounded down, and what is left over drawn independently.

    Liu, Chen (1998), "Sequential Monte Carlo methods for dynamic systems", section 3.2.
    """
    expected = len(weights) * weights
    counts = np.floor(expected).astype(np.int64)
    left = len(weights) - int(counts.sum())
    if left > 0:
        rest = expected - counts
        counts += rng.multinomial(left, rest / rest.sum())
    return counts


#: Resampling by name: normalized weights (N,) to counts (N,) that sum to N.
RESAMPLING: dict[str, Callable[[Weights, np.random.Generator], Counts]] = {
    "multinomial": multinomial,
    "systematic": systematic,
    "residual": residual,
}


@dataclass(frozen=True)
class BootstrapPF(EnsembleFilter):
    """The bootstrap particle filter: members weighted by exp(-J) and resampled.

    Gordon, Salmond, Smith (1993), "Novel approach to nonlinear/non-Gaussian Bayesian state
    estimation". Exact for N to infinity, for any h; but the N that it needs grows exponentially
    with the information in the observations (Snyder et al. 2008, "Obstacles to high-dimensional
    particle filtering"), so it is for small problems.

    Parameters
    ----------
    resampling : {"systematic", "residual", "multinomial"}
        How members are drawn. All are unbiased; the first two add less noise.
    threshold : float
        Resample where the effective size 1 / sum(w^2) is below `threshold` N, from 0 to 1. The
        default resamples always (unless all weights are equal). With less, the weights of a cycle
        without resampling are lost in `analysis`, which returns plain members: use
        `weighted_analysis` then, which carries them.
    jitter : float
        After a resampling, add Gaussian noise of the weighted forecast covariance (unbiased; of
        the plain one, where a single member has all the weight) times (jitter N^(-1/(D+4)))^2,
        Scott's bandwidth, so that copies come apart (regularization: Musso, Oudjane, Le Gland
        2001, "Improving regularised particle filters"). A model without noise needs it. 0: none.
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the kernels run; "auto" is the best that is there.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Notes
    -----
    ``noise=`` (N, D) replaces the normals of the jitter, of which the first min(N, D) columns
    are used; the resampling draws from `rng`, with ``noise=`` too.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((2000, 1))
    >>> obs = ef.Observation(ef.operators.Identity(), std=1.0)
    >>> analysis = ef.BootstrapPF().analysis(forecast, [1.0], obs, rng=0)
    >>> float(analysis.mean().round(1)), float(analysis.var().round(1))
    (0.5, 0.5)
    """

    resampling: str = "systematic"
    threshold: float = 1.0
    jitter: float = 0.0

    _name: ClassVar[str] = "bpf"
    _takes_observed: ClassVar[bool] = True
    _takes_cupy: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = True

    def _check_options(self) -> None:
        _checks.choice("resampling", self.resampling, RESAMPLING)
        _checks.number("threshold", self.threshold, least=0, most=1)
        _checks.number("jitter", self.jitter, least=0)

    @property
    def _draws_beside_noise(self) -> bool:
        return True  # which members are taken

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {"jitter": knobs.Knob("jitter", 0.05, 3.0, 1.0, log=True)}

    @_arrays.as_it_came
    def weighted_analysis(
        self,
        forecast: npt.ArrayLike,
        y: npt.ArrayLike,
        obs: Observation,
        *,
        log_weights: npt.ArrayLike | None = None,
        observed: npt.ArrayLike | None = None,
        rng: RandomState = None,
        noise: npt.ArrayLike | None = None,
    ) -> tuple[Array, Weights]:
        """Assimilate one set of observations with weights that are carried from cycle to cycle.

        Parameters
        ----------
        forecast, y, obs, observed, rng, noise
            As in `analysis`, of one ensemble (N, D).
        log_weights : array_like, (N,), optional
            Logarithms of the members' weights before this analysis, up to a constant; None: all
            are equal.

        Returns
        -------
        analysis : ndarray, (N, D)
            Resampled, or the forecast's members as they are.
        log_weights : ndarray of float64, (N,)
            Of the analysis, normalized; all equal after a resampling.

        Raises
        ------
        TypeError, ValueError
            As in `analysis`, or if `log_weights` does not fit.
        """
        cycle, _, shape = self._checked(forecast, y, obs, observed, None, rng, noise, None)
        if len(shape) != 2:
            raise ValueError(f"forecast has shape {shape}: expected (N, D), weights are of one")
        before = np.zeros(shape[0])
        if log_weights is not None:
            before = _checks.numbers("log_weights", log_weights)
            if before.shape != (shape[0],):
                raise ValueError(
                    f"log_weights has shape {before.shape}: expected {(shape[0],)}, one a member"
                )
            _checks.finite("log_weights", before)
        out = np.empty_like(cycle.forecast)
        analysis: Array = out[0]
        with self._overflows(cycle):
            widened = self._adapted(cycle)
            after = self._move(widened, 0, before, analysis)
            if not np.isnan(cycle.y).all():
                self._inflate(widened, out)
        self._check_result(cycle, out)
        self._remember(widened)
        return analysis, after

    def _update(self, cycle: Cycle, out: Array) -> None:
        for b, target in enumerate(out):
            self._move(cycle, b, np.zeros(len(target)), target)

    def _move(self, cycle: Cycle, b: int, log_weights: Weights, out: Array) -> Weights:
        """Write the members after this analysis to `out`; return their log-weights."""
        forecast = cycle.forecast[b]
        members, dim = forecast.shape
        # a number a member: on a GPU the host waits for it, and says which members are taken
        misfit = _arrays.to_host(cycle.misfit(b))
        if not np.isfinite(misfit).all():
            raise FloatingPointError(_checks.first_bad("misfit", misfit))
        logits: Weights = log_weights - misfit
        logits -= logits.max()
        logits -= np.log(np.exp(logits).sum())
        weights = np.exp(logits)
        weights /= weights.sum()
        # a rounding above the threshold is at it: equal weights are not resampled
        effective = 1 / np.sum(weights**2)
        if effective >= self.threshold * members * (1 - 1e-12):
            out[...] = forecast
            return logits
        counts = RESAMPLING[self.resampling](weights, cycle.rng)
        taken = _arrays.beside(forecast, np.repeat(np.arange(members), counts))
        _arrays.namespace(forecast).take(forecast, taken, axis=0, out=out)
        if self.jitter:
            dim = cycle.backend.whole(dim)
            width = self.jitter * members ** (-1 / (dim + 4))
            rank = min(members, dim)
            if dim < members and not cycle.backend.alone:
                raise ValueError(
                    f"jitter={self.jitter!r} of {members} members needs a state of as many "
                    f"components where ranks have a part each: expected it whole, it has {dim}"
                )
            normals = cycle.normals(b, (members, rank))[:, :rank]
            _add_noise(out, forecast, weights, width * normals.astype(np.float64))
        equal: Weights = np.full(members, -np.log(members))
        return equal


def _add_noise(out: Array, forecast: Array, weights: Weights, normals: Array) -> None:
    """Add normals F to `out`, F^T F being the unbiased weighted covariance of the forecast."""
    members, dim = forecast.shape
    left = 1 - weights @ weights
    if left < 1e-10:
        # all copies of one member: its weights know no covariance, and no copy would ever come off
        weights, left = np.full_like(weights, 1 / members), 1 - 1 / members
    weights = _arrays.beside(forecast, weights)
    root = np.sqrt(weights / left)[:, None]
    if normals.shape[1] < members:  # so many components has the state
        anomalies = root * (forecast - weights @ forecast)
        factor = _arrays.namespace(forecast).linalg.qr(anomalies, mode="r")
        out += (normals @ factor).astype(out.dtype)
        return
    for part in ensemble_space.blocks(dim, members, on_device=_arrays.on_device(forecast)):
        block = forecast[:, part]
        out[:, part] += (normals @ (root * (block - weights @ block))).astype(out.dtype)
