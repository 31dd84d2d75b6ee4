"""What a filter that tunes itself knows of a geometry: pairs of places by distance, and windows.

Both follow from the grid alone, so they are made once for it.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _fft
from ..grids import Grid, RegularGrid
from ..localization import GaspariCohn, Taper
from . import neighbours

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: How many places a window holds, each counted by its weight; a cutoff of some 13 spacings on a
#: line, of 4 on a plane.
WINDOW = 9.0
# Pairs that are looked at: where there are more, some of the places stand for all.
_PAIRS = 1 << 19
# Beyond so many places the partners of a place are chosen by distance, too.
_ALL_PARTNERS = 1 << 12
_ANCHORS, _FEWEST, _NEAREST, _THINNING = 128, 32, 256, 8
# Distances up to so many spacings have a bin each; beyond, so many bins a doubling.
_LINEAR, _PER_OCTAVE = 32, 16


@dataclass(frozen=True)
class Pairs:
    """Some places (anchors), and others about each, enough of them at every distance.

    Attributes
    ----------
    anchors : ndarray of int64, (a,)
    partners : ndarray of int64, (a, p) or (1, p)
        One row where all anchors share it.
    weights : ndarray, (a, p) or (1, 1)
        How many places each partner stands for.
    bins : ndarray of int64, (a, p)
        The bin of each distance; that of an anchor itself is 0, and what is not looked at has the
        last, `count`.
    distances, widths : ndarray, (count,)
        The mean distance of a bin, and how much distance it stands for, in spacings.
    """

    anchors: Indices
    partners: Indices
    weights: Vector
    bins: Indices
    distances: Vector
    widths: Vector

    @property
    def count(self) -> int:
        """The number of bins."""
        return len(self.distances)

    def means(self, values: Vector) -> Vector:
        """Return the mean of values (a, p) over the pairs of each bin, (count,).

        A bin of few pairs has a value between those of its neighbours; behind the last that has
        enough, it is zero.
        """
        total = np.bincount(self.bins.ravel(), values.ravel(), self.count + 1)[:-1]
        mean: Vector = total / np.maximum(self._numbers, 1)
        if not self._enough.all():
            known = np.flatnonzero(self._enough)
            mean = np.interp(np.arange(self.count), known, mean[known], right=0.0)
        return mean

    @functools.cached_property
    def _numbers(self) -> Vector:
        found = np.bincount(self.bins.ravel(), minlength=self.count + 1)[:-1]
        return found.astype(float)

    @functools.cached_property
    def _enough(self) -> npt.NDArray[np.bool_]:
        """Which bins hold enough pairs; all, where none does."""
        enough: npt.NDArray[np.bool_] = self._numbers >= max(1, len(self.anchors) // 4)
        enough[0] = self._numbers[0] > 0  # the anchors themselves
        return enough if enough.any() else np.ones_like(enough)

    def sums(self, values: Vector) -> Vector:
        """Return, for each anchor, the sum of values (n,) of places by distance, (a, count)."""
        a, width = len(self.anchors), self.count + 1
        weighted = np.broadcast_to(values[self.partners] * self.weights, self.bins.shape)
        total = np.bincount(self._rows, weighted.ravel(), a * width).astype(float)
        return total.reshape(a, width)[:, :-1]

    def fewer(self, by: int) -> Pairs:
        """Return pairs of one in `by` of the anchors, or of enough."""
        step = max(1, min(by, len(self.anchors) // _FEWEST))
        if step == 1:
            return self
        partners = self.partners if len(self.partners) == 1 else self.partners[::step]
        weights = self.weights if len(self.weights) == 1 else self.weights[::step]
        return dataclasses.replace(
            self,
            anchors=self.anchors[::step],
            partners=partners,
            weights=weights,
            bins=self.bins[::step],
        )

    @functools.cached_property
    def _rows(self) -> Indices:
        rows = np.arange(len(self.anchors))[:, None] * (self.count + 1) + self.bins
        return rows.ravel()


@dataclass(frozen=True)
class _Bins:
    """Distances as bins.

    Attributes
    ----------
    spacing : float
        That which distances are counted in.
    kept : ndarray of bool
        Of all bins that there could be, those that are looked at.
    distances, widths : ndarray, (count,)
        As `Pairs` has them.
    """

    spacing: float
    kept: npt.NDArray[np.bool_]
    distances: Vector
    widths: Vector

    def pairs(
        self, anchors: Indices, partners: Indices, weights: Vector, distances: Vector
    ) -> Pairs:
        """Return pairs at their distances (a, p)."""
        bins = _numbered(distances, self.spacing, partners == anchors[:, None])
        size = len(self.kept)
        bins[(bins < 0) | (bins > size)] = size
        kept = np.append(self.kept, False)
        new = np.where(kept, np.cumsum(kept) - 1, len(self.distances))
        return Pairs(anchors, partners, weights, new[bins], self.distances, self.widths)


def _numbered(distances: Vector, spacing: float, same: npt.NDArray[np.bool_]) -> Indices:
    """Return the number of each distance (a, p); 0 of the `same` place, -1 of infinite ones."""
    steps = distances / spacing
    finite = np.isfinite(steps)
    steps = np.where(finite, np.maximum(steps, 1), 1)  # places beside each other are no bin
    beyond = _LINEAR + np.rint(_PER_OCTAVE * np.log2(np.maximum(steps / _LINEAR, 1)))
    bins = np.where(steps <= _LINEAR, np.rint(steps), beyond).astype(np.int64)
    bins[np.broadcast_to(same, bins.shape)] = 0
    bins[~finite] = -1
    return bins


class Places:
    """The places of the components of a grid, each once, and which variables are there.

    Fields on them are (V, n), and a cell of these is numbered v n + place. Where variables do not
    share all places (levels of some, and a surface of others), some cells have no component.

    Attributes
    ----------
    grid : Grid
    variables : int
        V.
    size : int
        n, the number of places.
    cells : ndarray of int64, (D,)
        The cell of each component.
    components : ndarray of int64, (V, n)
        The component of each cell, or -1.
    present : ndarray of bool, (V, n)
        Which cells have one.
    spacing : float
        The distance between neighbours, that of a regular grid or a typical one.
    pairs : Pairs
        Of all places.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.variables = grid.variable_count
        #: A component at each place.
        self._some: slice | Indices
        if grid.variables_at_places == self.variables:
            self.size = grid.size // self.variables
            self.cells = np.arange(grid.size)
            self._some = slice(0, self.size)
        else:
            place, self.size = _placed(grid)
            self.cells = self.size * grid.variables_of() + place
            self._some = np.unique(place, return_index=True)[1]
        self.components: Indices = np.full((self.variables, self.size), -1)
        self.components.flat[self.cells] = np.arange(grid.size)
        self.present = self.components >= 0
        self._embedding = grid.embedding()
        self.spacing = self._spacing()
        everyone = np.arange(self.size)
        self._bins, self.pairs = self._binned(*self._paired(everyone, everyone))
        self._between: dict[tuple[bytes, bytes], Pairs] = {}

    def pairs_of(self, u: int, v: int) -> Pairs:
        """Return pairs of places, anchors where variable u is and partners where v is.

        In the bins of all `pairs`, some of which may be empty.
        """
        anchors, partners = self.present[u], self.present[v]
        if anchors.all() and partners.all():
            return self.pairs
        key = anchors.tobytes(), partners.tobytes()
        if key not in self._between:
            found = self._paired(np.flatnonzero(anchors), np.flatnonzero(partners))
            self._between[key] = self._bins.pairs(*found)
        return self._between[key]

    def shared(self, u: int, v: int) -> Indices:
        """Return some thousand places, or all, where two variables are, evenly spread."""
        both = np.flatnonzero(self.present[u] & self.present[v])
        return both[_spread_out(len(both), _ALL_PARTNERS)]

    @functools.cached_property
    def _coordinates(self) -> Vector:
        return self.grid.coordinates(self._some)

    def _inside(self, coordinates: Vector) -> Vector:
        """Return the coordinates of places, those for a tree where there are such."""
        return coordinates if self._embedding is None else self._embedding.inside(coordinates)

    @functools.cached_property
    def _everywhere(self) -> Vector:
        """The coordinates of all places."""
        return self._inside(self._coordinates)

    def _spacing(self) -> float:
        if isinstance(self.grid, RegularGrid):
            return self.grid.least_spacing
        if self.size == 1:
            return 1.0
        some = _spread_out(self.size, _ANCHORS)
        if self._embedding is not None:
            different = np.unique(self._everywhere, axis=0)
            some = _spread_out(len(different), _ANCHORS)
            gaps = self._embedding.tree(different).query(different[some], k=2)[0][:, 1]
        else:
            table = self.grid.distances(self._everywhere[some], self._everywhere)
            table[np.arange(len(some)), some] = np.inf
            gaps = table.min(axis=1)
        gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
        return float(np.median(gaps)) if gaps.size else 1.0

    def _paired(self, of: Indices, among: Indices) -> tuple[Indices, Indices, Vector, Vector]:
        """Return anchors of some places, their partners among others, weights and distances."""
        n = len(among)
        if n <= _ALL_PARTNERS or self._embedding is None:
            partners, weight = among, 1.0
            if n > _ALL_PARTNERS:
                partners = among[np.sort(_thinned(n, n // _ALL_PARTNERS))]
                weight = n / len(partners)
            anchors = of[_spread_out(len(of), max(_ANCHORS, _PAIRS // len(partners)))]
            distances = self._distances(anchors, partners)
            return anchors, partners[None], np.array([[weight]]), distances
        anchors = of[_spread_out(len(of), _ANCHORS)]
        where, everywhere = self._everywhere[anchors], self._everywhere
        found, level = [], among
        beyond: Vector = np.zeros(len(anchors))
        while True:
            k = min(_NEAREST, len(level))
            distances, nearest = self._embedding.tree(everywhere[level]).query(where, k=k)
            # of those as far as the last, some may be missing: they belong to the next level
            last = len(level) == k
            limit = np.full(len(anchors), np.inf) if last else distances[:, -1]
            known = (distances < beyond[:, None]) | (distances >= limit[:, None])
            counted = np.full(distances.shape, n / len(level))
            partner = level[nearest]
            pairs = np.repeat(where, k, axis=0), everywhere[partner.ravel()]
            apart = self._embedding.distances(*pairs, distances.ravel()).reshape(partner.shape)
            found.append((partner, counted, np.where(known, np.inf, apart)))
            if last:
                break
            beyond = limit
            level = level[_thinned(len(level), _THINNING)]
        partners, weights, distances = (np.hstack(part) for part in zip(*found, strict=True))
        return anchors, partners, weights, distances

    def _distances(self, anchors: Indices, partners: Indices) -> Vector:
        if self.size == 1:
            return np.zeros((1, 1))
        return self.grid.distances(self._coordinates[anchors], self._coordinates[partners])

    def _binned(
        self, anchors: Indices, partners: Indices, weights: Vector, distances: Vector
    ) -> tuple[_Bins, Pairs]:
        """Return bins of those distances that enough pairs are apart by, and the pairs in them."""
        bins = _numbered(distances, self.spacing, partners == anchors[:, None])
        finite = bins >= 0
        size = int(bins.max()) + 1
        bins[~finite] = size
        numbers = np.bincount(bins.ravel(), minlength=size)[:size]
        # what few pairs are apart by (the ends of a line) is not looked at
        kept = numbers >= max(1, len(anchors) // 2)
        kept[0] = True
        total = np.bincount(bins.ravel(), np.where(finite, distances, 0).ravel(), size)[:size]
        b = np.arange(size)
        width = np.where(b <= _LINEAR, 1.0, _LINEAR * 2.0 ** ((b - _LINEAR) / _PER_OCTAVE))
        width[b > _LINEAR] *= np.log(2) / _PER_OCTAVE
        mean = total / np.maximum(numbers, 1)
        found = _Bins(self.spacing, kept, mean[kept], width[kept])
        return found, found.pairs(anchors, partners, weights, distances)

    def nearest(self, places: Vector, variables: Indices | None = None) -> Indices:
        """Return the place (m,) nearest to each of coordinates (m, k).

        Of those where the variable (m,) of each is, if these are given.
        """
        found = np.zeros(len(places), np.int64)
        kinds = [None] if variables is None or self.present.all() else np.unique(variables).tolist()
        for v in kinds:
            chosen: Any = slice(None) if v is None else np.flatnonzero(variables == v)
            among = np.arange(self.size) if v is None else np.flatnonzero(self.present[v])
            found[chosen] = among[self._nearest(places[chosen], among)]
        return found

    def _nearest(self, places: Vector, among: Indices) -> Indices:
        if self._embedding is None:
            step = max(1, _PAIRS // max(1, self.size))
            everywhere = self._coordinates[among]
            found = [
                self.grid.distances(places[i : i + step], everywhere).argmin(axis=1)
                for i in range(0, len(places), step)
            ]
            return np.concatenate(found)
        tree = self._embedding.tree(self._everywhere[among])
        return np.asarray(tree.query(self._inside(places))[1], np.int64)

    @functools.cached_property
    def windows(self) -> Windows:
        """Sums over a window about each place: the fewest that hold `WINDOW` places."""
        counted = self.pairs.sums(np.ones(self.size)).mean(axis=0)
        octaves = np.arange(1, 64 * _PER_OCTAVE) / _PER_OCTAVE
        for cutoff in self.spacing * 2**octaves:
            taper = GaspariCohn(float(cutoff))
            if counted @ taper.weight(self.pairs.distances) >= WINDOW:
                break
            if cutoff > 64 * self.pairs.distances[-1]:  # there are fewer
                break
        if type(self.grid) is RegularGrid and len(self.grid.shape) <= 2:
            return _GridWindows(self.grid, taper)
        return _ListedWindows(self.grid, taper, self._everywhere)


class Windows(ABC):
    """Weighted sums over the places near each, by the weights of a taper and by their squares."""

    @abstractmethod
    def sums(self, values: Vector, power: int = 1) -> Vector:
        """Return the sums (..., n) of values (..., n) of places."""


class _GridWindows(Windows):
    """On a regular grid: convolutions by Fourier transforms."""

    def __init__(self, grid: RegularGrid, taper: Taper) -> None:
        axes = list(zip(grid.shape, grid.spacings, grid.joined, strict=True))
        axes = [(1, 1.0, True), *axes][-2:]
        if axes[1][0] == 1:
            axes = axes[::-1]
        self.shape = tuple(n for n, _, _ in axes)
        # where ends are not joined, zeros continue the fields as far as a window reaches
        self.padded = tuple(
            n if joined or n == 1 else _fft.good_size(n + min(int(taper.cutoff / spacing), n - 1))
            for n, spacing, joined in axes
        )
        lags: Vector = np.hypot(
            *np.ix_(
                *(
                    spacing * np.minimum(np.arange(n), n - np.arange(n))
                    for n, (_, spacing, _) in zip(self.padded, axes, strict=True)
                )
            )
        )
        weights = taper.weight(lags)
        self._kernels = {power: self._forth(weights**power).real for power in (1, 2)}

    def _forth(self, fields: Vector) -> npt.NDArray[np.complex128]:
        modes = _fft.rfft(fields, _fft.threads())
        return modes if self.shape[0] == 1 else _fft.fft_columns(modes, _fft.threads())

    def sums(self, values: Vector, power: int = 1) -> Vector:
        fields: Vector = values.reshape(-1, *self.shape)
        if self.padded != self.shape:
            larger = np.zeros((len(fields), *self.padded))
            larger[:, : self.shape[0], : self.shape[1]] = fields
            fields = larger
        modes = self._forth(fields) * self._kernels[power]
        if self.shape[0] > 1:
            modes = _fft.ifft_columns(modes, _fft.threads())
        found = _fft.irfft(modes, self.padded[1], _fft.threads())
        return found[:, : self.shape[0], : self.shape[1]].reshape(values.shape)


class _ListedWindows(Windows):
    """Elsewhere: a sparse matrix of the weights."""

    def __init__(self, grid: Grid, taper: Taper, everywhere: Vector) -> None:
        from scipy import sparse

        n, embedding = len(everywhere), grid.embedding()
        if embedding is not None:
            tree = embedding.tree(everywhere)
            pairs = tree.sparse_distance_matrix(tree, taper.cutoff, output_type="ndarray")
            i, j = pairs["i"], pairs["j"]
            distances = embedding.distances(everywhere[i], everywhere[j], pairs["v"])
        else:
            step = max(1, _PAIRS // n)
            parts = []
            for first in range(0, n, step):
                table = grid.distances(everywhere[first : first + step], everywhere)
                a, b = np.nonzero(table < taper.cutoff)
                parts.append((a + first, b, table[a, b]))
            i, j, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
        weights = taper.weight(distances)
        self._matrices = {p: sparse.csr_array((weights**p, (i, j)), (n, n)) for p in (1, 2)}

    def sums(self, values: Vector, power: int = 1) -> Vector:
        found: Vector = (self._matrices[power] @ values.reshape(-1, values.shape[-1]).T).T
        return found.reshape(values.shape)


def _spread_out(n: int, most: int) -> Indices:
    """Return at most so many of n, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _thinned(n: int, by: int) -> Indices:
    """Return one in `by` of n: at random, or it could be those that are observed; ever the same."""
    return np.sort(np.random.default_rng(n).choice(n, max(1, n // by), replace=False))


def _placed(grid: Grid) -> tuple[Indices, int]:
    """Return the place of each component, and how many there are.

    Two components of one variable have two, wherever they are.
    """
    variable = grid.variables_of()
    row = neighbours.distinct(grid.coordinates())[1]
    group = row * grid.variable_count + variable
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    rank = np.empty_like(row)
    rank[order] = np.arange(len(row)) - np.repeat(first, np.diff(first, append=len(row)))
    if rank.any():
        row = np.unique(rank * (row.max() + 1) + row, return_inverse=True)[1]
    return row, int(row.max()) + 1
