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
        """Return the mean of values (a, p) over the pairs of each bin, (count,)."""
        total = np.bincount(self.bins.ravel(), values.ravel(), self.count + 1)[:-1]
        result: Vector = total / self._numbers
        return result

    @functools.cached_property
    def _numbers(self) -> Vector:
        found = np.bincount(self.bins.ravel(), minlength=self.count + 1)[:-1]
        return np.maximum(found, 1).astype(float)

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


class Places:
    """The places of the components of a grid, those of one variable after the other.

    Attributes
    ----------
    grid : Grid
    variables : int
        V; they share their places.
    size : int
        n, the number of places: D/V.
    spacing : float
        The distance between neighbours, that of a regular grid or a typical one.
    pairs : Pairs
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.variables = grid.variables_at_places
        self.size = grid.size // self.variables
        self._embedding = grid.embedding()
        self.spacing = self._spacing()
        self.pairs = self._paired()

    def _where(self, chosen: Any) -> Vector:
        """Return the coordinates of places, those for a tree where there are such."""
        coordinates = self.grid.coordinates(chosen)
        return coordinates if self._embedding is None else self._embedding.inside(coordinates)

    @functools.cached_property
    def _everywhere(self) -> Vector:
        """The coordinates of all places."""
        return self._where(slice(0, self.size))

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
            table = self.grid.distances(self._where(some), self._everywhere)
            table[np.arange(len(some)), some] = np.inf
            gaps = table.min(axis=1)
        gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
        return float(np.median(gaps)) if gaps.size else 1.0

    def _paired(self) -> Pairs:
        n = self.size
        everyone = np.arange(n)
        if n <= _ALL_PARTNERS or self._embedding is None:
            partners, weight = everyone, 1.0
            if n > _ALL_PARTNERS:
                partners = np.sort(_thinned(n, n // _ALL_PARTNERS))
                weight = n / len(partners)
            anchors = _spread_out(n, max(_ANCHORS, _PAIRS // len(partners)))
            distances = self._distances(anchors, partners)
            return self._binned(anchors, partners[None], np.array([[weight]]), distances)
        anchors = _spread_out(n, _ANCHORS)
        where, everywhere = self._everywhere[anchors], self._everywhere
        found, level = [], everyone
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
        return self._binned(anchors, partners, weights, distances)

    def _distances(self, anchors: Indices, partners: Indices) -> Vector:
        if self.size == 1:
            return np.zeros((1, 1))
        return self.grid.distances(self.grid.coordinates(anchors), self.grid.coordinates(partners))

    def _binned(
        self, anchors: Indices, partners: Indices, weights: Vector, distances: Vector
    ) -> Pairs:
        steps = distances / self.spacing
        finite = np.isfinite(steps)
        steps = np.where(finite, np.maximum(steps, 1), 1)  # places beside each other are no bin
        beyond = _LINEAR + np.rint(_PER_OCTAVE * np.log2(np.maximum(steps / _LINEAR, 1)))
        bins = np.where(steps <= _LINEAR, np.rint(steps), beyond).astype(np.int64)
        bins[np.broadcast_to(partners, bins.shape) == anchors[:, None]] = 0
        bins[~finite] = size = int(bins.max()) + 1
        numbers = np.bincount(bins.ravel(), minlength=size)[:size]
        # what few pairs are apart by (the ends of a line) is not looked at
        kept = numbers >= max(1, len(anchors) // 2)
        kept[0] = True
        new = np.where(np.append(kept, False), np.cumsum(np.append(kept, False)) - 1, kept.sum())
        total = np.bincount(bins.ravel(), np.where(finite, distances, 0).ravel(), size)[:size]
        b = np.arange(size)
        width = np.where(b <= _LINEAR, 1.0, _LINEAR * 2.0 ** ((b - _LINEAR) / _PER_OCTAVE))
        width[b > _LINEAR] *= np.log(2) / _PER_OCTAVE
        return Pairs(
            anchors,
            partners,
            weights,
            new[bins],
            (total / np.maximum(numbers, 1))[kept],
            width[kept],
        )

    @functools.cached_property
    def some(self) -> Indices:
        """Some thousand places, or all, evenly spread."""
        return _spread_out(self.size, _ALL_PARTNERS)

    def nearest(self, places: Vector) -> Indices:
        """Return the place (m,) nearest to each of coordinates (m, k)."""
        if self._embedding is None:
            step = max(1, _PAIRS // max(1, self.size))
            everywhere = self.grid.coordinates(slice(None))
            found = [
                self.grid.distances(places[i : i + step], everywhere).argmin(axis=1)
                for i in range(0, len(places), step)
            ]
            return np.concatenate(found)
        tree = self._embedding.tree(self._everywhere)
        nearest = tree.query(self._embedding.inside(places))[1]
        return np.asarray(nearest, np.int64)

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
