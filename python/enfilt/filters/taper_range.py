"""The range of a taper from the ensemble: what `enfilt.localization.FromEnsemble` estimates."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from ..localization import GaspariCohn
from .places import Pairs, Places

Vector = npt.NDArray[np.float64]

#: How much the moments of one cycle count against those of the cycles before.
MEMORY = 0.1
#: Below it the factor of the covariances is taken for zero, from the first distance on.
LEAST = 0.02
#: Degrees of freedom for signal that a place may get, per member, at this quantile of places.
FREEDOM = 0.25
QUANTILE = 0.9
# Cutoffs that are tried, per doubling; the last is without end.
_PER_OCTAVE = 16


def stretch(members: int) -> float:
    """Return how many times as many places the filter's taper holds as that for covariances.

    What the taper does to the analysis is not what it does to the covariances: with members enough
    to tell small correlations from noise, the filter gains from a wider one. Found by trials with
    10, 20 and 40 members on problems and seeds that no table shows.
    """
    return float(np.clip(np.sqrt(members / 5), 1, 2))


@dataclass(frozen=True)
class Moments:
    """What is remembered of one ensemble, by distance, (count,).

    Attributes
    ----------
    squares : ndarray
        Mean P_ij^2 of the ensemble's covariances, each variable scaled to a mean variance of one.
    products : ndarray
        Mean P_ii P_jj.
    """

    squares: Vector
    products: Vector

    def after(self, before: Moments | None) -> Moments:
        """Return the moments of the cycles so far: these, and those `before`."""
        if before is None:
            return self
        return Moments(
            before.squares + MEMORY * (self.squares - before.squares),
            before.products + MEMORY * (self.products - before.products),
        )


def moments(x: npt.NDArray[Any], places: Places) -> Moments:
    """Return the moments of one ensemble (N, D), variables without spread left out."""
    pairs, n, kept = places.pairs, places.size, 0
    squares, products = np.zeros(pairs.count), np.zeros(pairs.count)
    for v in range(places.variables):
        covariance, of_anchors, of_partners = _covariances(x, v * n, pairs)
        scale = of_partners.mean()
        if 0 < scale**2 < np.inf:
            squares += pairs.means((covariance / scale) ** 2)
            products += pairs.means((of_anchors / scale)[:, None] * (of_partners / scale))
            kept += 1
    return Moments(squares / max(1, kept), products / max(1, kept))


def _covariances(x: npt.NDArray[Any], first: int, pairs: Pairs) -> tuple[Vector, Vector, Vector]:
    """Return P_ij (a, p), P_ii (a,) and P_jj (a, p) or (1, p) of the components from `first` on."""
    members = len(x)
    near = _centred(_columns(x, first + pairs.anchors))
    of_anchors = (near**2).sum(axis=0) / (members - 1)
    if len(pairs.partners) == 1:
        others = _centred(_columns(x, first + pairs.partners[0]))
        of_partners = (others**2).sum(axis=0)[None] / (members - 1)
        return near.T @ others / (members - 1), of_anchors, of_partners
    covariance = np.zeros(pairs.partners.shape)
    total, squares = np.zeros_like(covariance), np.zeros_like(covariance)
    chosen = first + pairs.partners
    start = _columns(x[0], chosen)
    for row, own in zip(x, near, strict=True):  # all at once would be as large as an ensemble
        value = _columns(row, chosen) - start  # of ordinary size, which can be squared
        covariance += own[:, None] * value
        total += value
        squares += value**2
    of_partners = (squares - total**2 / members) / (members - 1)
    return covariance / (members - 1), of_anchors, of_partners


def _columns(x: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> Vector:
    found = _arrays.to_host(x[..., _arrays.namespace(x).asarray(chosen)])
    return np.asarray(found, np.float64)


def _centred(values: Vector) -> Vector:
    result: Vector = values - values.mean(axis=0)
    return result


def optimal_factor(found: Moments, members: int) -> Vector:
    """Return rho by distance: what makes rho P closest to the true covariances in mean square.

    Menetrier, Montmerle, Michel, Berre (2015), "Linear filtering of sample covariances for
    ensemble-based data assimilation", for Gaussian members; one at distance zero, non-increasing,
    zero from the first value below `LEAST` on.
    """
    s2, vv = found.squares, found.products
    rho = ((members - 1) * s2 - vv) / np.where(s2 > 0, members * s2, 1)
    if not rho[0] > 0:  # two members, or no spread: they say nothing
        return np.ones_like(rho)
    rho = np.minimum.accumulate(np.minimum(rho / rho[0], 1))
    below = np.flatnonzero(rho < LEAST)
    if below.size:
        rho[below[0] :] = 0
    return rho


def squared_correlations(found: Moments, members: int) -> Vector:
    """Return the mean square of true correlations by distance, (count,)."""
    s2 = found.squares
    result: Vector = optimal_factor(found, members) * s2 / (s2[0] if s2[0] > 0 else 1)
    return result


class Candidates:
    """Cutoffs to choose from on a geometry, and their weights by distance."""

    def __init__(self, places: Places) -> None:
        self._pairs = places.pairs
        farthest = max(1.0, float(self._pairs.distances[-1]) / places.spacing)
        steps = np.arange(int(np.log2(64 * farthest) * _PER_OCTAVE) + 1) / _PER_OCTAVE
        self.tapers = [GaspariCohn(float(c)) for c in places.spacing * 2**steps]
        self.tapers.append(GaspariCohn(np.inf))

    @functools.cached_property
    def _weights(self) -> Vector:
        return np.stack([taper.weight(self._pairs.distances) for taper in self.tapers])

    def fit(self, rho: Vector) -> int:
        """Return the one whose weights are closest to `rho` in mean square over distances."""
        return int(np.argmin((self._weights - rho) ** 2 @ self._pairs.widths))

    def wider(self, found: int, factor: float) -> int:
        """Return the candidate that holds so many times as many places as another."""
        enough = np.flatnonzero(self._held >= factor * self._held[found] * (1 - 1e-9))
        return int(enough[0]) if enough.size else len(self.tapers) - 1

    @functools.cached_property
    def _held(self) -> Vector:
        """How many places each holds, counted by its weights, on the average."""
        everyone = self._pairs.sums(np.ones(int(self._pairs.partners.max()) + 1))
        held: Vector = self._weights @ everyone.mean(axis=0)
        return held

    def bounded(self, signal: Vector, most: float, top: int) -> int:
        """Return the largest up to `top` within which places get at most `most` of the signal.

        Parameters
        ----------
        signal : ndarray, (g, n)
            p_k/(p_k + r_k^2) of what is observed at each place, in groups that are kept apart.
        most : float
        top : int
        """
        by_distance = np.concatenate([self._pairs.sums(group) for group in signal])

        def fits(i: int) -> bool:
            return bool(np.quantile(by_distance @ self._weights[i], QUANTILE) <= most)

        if fits(top):
            return top
        low, high = 0, top
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low
