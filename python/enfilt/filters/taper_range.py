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
Indices = npt.NDArray[np.int64]

#: How much the moments of one cycle count against those of the cycles before.
MEMORY = 0.1
#: Below it the factor of the covariances is taken for zero, from the first distance on.
LEAST = 0.02
#: Two variables whose taper would be less at distance zero do not see each other: so much is noise.
LEAST_BETWEEN = 0.1
#: Degrees of freedom for signal that a place may get, per member, at this quantile of places.
FREEDOM = 0.25
QUANTILE = 0.9
#: No taper holds more places of one variable than this, which bounds what an analysis costs.
HELD = 256.0
# Cutoffs that are tried, per doubling; the last is without end.
_PER_OCTAVE = 16
# So many pairs of variables are looked at as closely as one variable; of more, fewer places.
_PAIRS_OF_VARIABLES = 8


def stretch(members: int) -> float:
    """Return how many times as many places the filter's taper holds as that for covariances.

    What the taper does to the analysis is not what it does to the covariances: with members enough
    to tell small correlations from noise, the filter gains from a wider one. Found by trials with
    10, 20 and 40 members on problems and seeds that no table shows.
    """
    return float(np.clip(np.sqrt(members / 5), 1, 2))


@dataclass(frozen=True)
class Moments:
    """What is remembered of one ensemble, by pair of variables and by distance, (V, V, count).

    Attributes
    ----------
    squares : ndarray
        Mean P_ij^2 of the ensemble's covariances, each variable scaled to a mean variance of one;
        zero of a variable without spread.
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


def moments(x: npt.NDArray[Any], places: Places, variables: int, *, between: bool) -> Moments:
    """Return the moments of one ensemble (N, D).

    Parameters
    ----------
    x : ndarray, (N, D)
    places : Places
    variables : int
        V: those of the places, or 1, for means over all that have spread.
    between : bool
        Whether pairs of two variables are looked at.
    """
    shape = (places.variables, places.variables, places.pairs.count)
    squares, products = np.zeros(shape), np.zeros(shape)
    scale = np.zeros(places.variables)
    for v, at in enumerate(places.components):
        pairs = places.pairs_of(v, v)
        covariance, of_anchors, of_partners = _covariances(x, at, at, pairs)
        scale[v] = size = of_partners.mean()
        if 0 < size**2 < np.inf:
            squares[v, v] = pairs.means((covariance / size) ** 2)
            products[v, v] = pairs.means((of_anchors / size)[:, None] * (of_partners / size))
    known = [v for v in range(places.variables) if squares[v, v, 0] > 0]
    if variables == 1:
        chosen = squares[known, known], products[known, known]
        return Moments(*(part.sum(axis=0)[None, None] / max(1, len(known)) for part in chosen))
    by = len(known) * (len(known) - 1) // (2 * _PAIRS_OF_VARIABLES)
    for i, u in enumerate(known if between else []):
        for v in known[:i]:
            of_u, of_v = places.components[u], places.components[v]
            few = places.pairs_of(u, v).fewer(by)
            covariance, of_anchors, of_partners = _covariances(x, of_u, of_v, few)
            square = few.means(covariance**2 / (scale[u] * scale[v]))
            product = few.means((of_anchors / scale[u])[:, None] * (of_partners / scale[v]))
            # anchors are few, and as many are the pairs at the same place
            if (both := places.shared(u, v)).size:
                one, other = (_centred(_columns(x, at[both])) for at in (of_u, of_v))
                one, other = one / np.sqrt(scale[u]), other / np.sqrt(scale[v])
                freedom = len(x) - 1
                square[0] = np.mean(((one * other).sum(axis=0) / freedom) ** 2)
                product[0] = np.mean((one**2).sum(axis=0) * (other**2).sum(axis=0)) / freedom**2
            squares[u, v] = squares[v, u] = square
            products[u, v] = products[v, u] = product
    return Moments(squares, products)


def _covariances(
    x: npt.NDArray[Any], of: Indices, other: Indices, pairs: Pairs
) -> tuple[Vector, Vector, Vector]:
    """Return P_ij (a, p), P_ii (a,) and P_jj (a, p) or (1, p).

    `of` and `other`, (n,), are the components at the places of anchors and partners.
    """
    members = len(x)
    near = _centred(_columns(x, of[pairs.anchors]))
    of_anchors = (near**2).sum(axis=0) / (members - 1)
    if len(pairs.partners) == 1:
        others = _centred(_columns(x, other[pairs.partners[0]]))
        of_partners = (others**2).sum(axis=0)[None] / (members - 1)
        return near.T @ others / (members - 1), of_anchors, of_partners
    covariance = np.zeros(pairs.partners.shape)
    total, squares = np.zeros_like(covariance), np.zeros_like(covariance)
    chosen = other[pairs.partners]
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
    """Return rho by pair of variables and distance, (V, V, count).

    It makes rho P closest to the true covariances in mean square: Menetrier, Montmerle, Michel,
    Berre (2015), "Linear filtering of sample covariances for ensemble-based data assimilation", for
    Gaussian members. Within a variable it is one at distance zero; beyond its largest value it is
    non-increasing, and zero from the first value below `LEAST` on.
    """
    s2, vv = found.squares, found.products
    rho = ((members - 1) * s2 - vv) / np.where(s2 > 0, members * s2, 1)
    own = range(len(rho))
    start = rho[own, own, 0]
    known = start > 0  # two members, or no spread: they say nothing
    root = np.sqrt(np.where(known, start, 1))
    rho = rho / (root[:, None] * root[None])[..., None]
    # as far as a pair is correlated at all, it is seen, also where components side by side are not
    peak = np.where(np.eye(len(rho), dtype=bool), 0, rho.argmax(axis=-1))[..., None]
    top = np.take_along_axis(rho, peak, axis=-1)
    rho = np.where(np.arange(rho.shape[-1]) <= peak, top, rho)
    rho = np.minimum.accumulate(np.minimum(rho, 1), axis=-1)
    rho[np.logical_or.accumulate(rho < LEAST, axis=-1)] = 0
    rho[:, ~known] = rho[~known] = 0
    rho[own, own] = np.where(known[:, None], rho[own, own], 1)
    return rho


def squared_correlations(found: Moments, members: int) -> Vector:
    """Return the mean square of true correlations within variables, by distance, (V, count)."""
    own = range(len(found.squares))
    s2 = found.squares[own, own]
    result: Vector = optimal_factor(found, members)[own, own] * s2
    return result / np.where(s2[:, :1] > 0, s2[:, :1], 1)


class Candidates:
    """Cutoffs to choose from on a geometry, and their weights by distance."""

    def __init__(self, places: Places) -> None:
        self._pairs, self._size = places.pairs, places.size
        #: Where variables are, of the anchors; of those that are at none of them, everywhere.
        present = places.present[:, places.pairs.anchors]
        self._present = present | ~present.any(axis=1, keepdims=True)
        farthest = max(1.0, float(self._pairs.distances[-1]) / places.spacing)
        steps = np.arange(int(np.log2(64 * farthest) * _PER_OCTAVE) + 1) / _PER_OCTAVE
        self.tapers = [GaspariCohn(float(c)) for c in places.spacing * 2**steps]
        self.tapers.append(GaspariCohn(np.inf))

    @functools.cached_property
    def _weights(self) -> Vector:
        return np.stack([taper.weight(self._pairs.distances) for taper in self.tapers])

    def fit(self, rho: Vector) -> tuple[Indices, Vector]:
        """Return those closest to `rho` (V, V, count) in mean square over distances, (V, V).

        And their amplitudes, (V, V), which are one within variables.
        """
        widths, weights = self._pairs.widths, self._weights
        amplitude = (rho * widths) @ weights.T / (weights**2 @ widths)
        amplitude = np.clip(amplitude, 0, 1)
        amplitude[range(len(rho)), range(len(rho))] = 1
        square = amplitude**2 * (weights**2 @ widths) - 2 * amplitude * ((rho * widths) @ weights.T)
        found = square.argmin(axis=-1)
        amplitude = np.take_along_axis(amplitude, found[..., None], axis=-1)[..., 0]
        return found, np.where(amplitude < LEAST_BETWEEN, 0, amplitude)

    def wider(self, found: Indices, factor: float) -> Indices:
        """Return the candidates (V, V) that hold so many times as many places as others.

        Or the widest, of those that hold at most `HELD`.
        """
        enough = self._held >= factor * self._held[found][..., None] * (1 - 1e-9)
        last = np.searchsorted(self._held, HELD, side="right") - 1
        wider = np.where(enough.any(axis=-1), enough.argmax(axis=-1), len(self.tapers) - 1)
        result: Indices = np.minimum(wider, max(0, int(last)))
        return result

    @functools.cached_property
    def _held(self) -> Vector:
        """How many places each holds, counted by its weights, on the average."""
        everyone = self._pairs.sums(np.ones(self._size))
        held: Vector = self._weights @ everyone.mean(axis=0)
        return held

    def bounded(self, signal: Vector, most: float, top: Indices, amplitude: Vector) -> Indices:
        """Return the largest up to `top` (V, V) within which places get at most `most` signal.

        Parameters
        ----------
        signal : ndarray, (V, n)
            p_k/(p_k + r_k^2) of what is observed of each variable at each place.
        most : float
        top : ndarray of int, (V, V)
        amplitude : ndarray, (V, V)
        """
        by_distance = np.stack([self._pairs.sums(part) for part in signal])

        def fits(u: int, i: int) -> bool:
            weights = amplitude[u, :, None] * self._weights[np.minimum(top[u], i)]
            freedom = np.einsum("vad,vd->a", by_distance, weights)
            if len(top) == len(self._present):
                freedom = freedom[self._present[u]]
            return bool(np.quantile(freedom, QUANTILE) <= most)

        chosen = top.copy()
        for u in range(len(top)):
            low, high = 0, int(top[u].max())
            if fits(u, high):
                continue
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if fits(u, middle) else (low, middle)
            chosen[u] = np.minimum(top[u], low)
        return chosen
