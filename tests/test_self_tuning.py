"""A taper from the ensemble, and inflation in two levels: by the book, and in the limits."""

import dataclasses
import functools
import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import enfilt as ef
from enfilt import presets, tables
from enfilt.filters import places as places_module
from enfilt.filters import spread_factors, taper_range
from enfilt.filters.places import WINDOW, Places
from enfilt.filters.spread_factors import Amounts, Innovations, LocalFactors, NearSums
from enfilt.filters.taper_range import Candidates, Moments
from enfilt.geometry import EARTH_RADIUS, Sphere
from enfilt.grids import Embedding, Grid, Points, RegularGrid
from enfilt.inflation import Adaptive
from enfilt.localization import FromEnsemble, GaspariCohn
from enfilt.operators import Arctan, Every, Identity, Linear, Subset


class CityBlocks(Grid):
    """A user's grid, which measures distances its own way."""

    size = 12

    def coordinates(self, components=slice(None)):
        found = np.stack(np.divmod(np.arange(12), 4), axis=-1).astype(float)[components]
        return found if found.ndim == 2 else found[None]

    def distances(self, a, b):
        return np.abs(a[:, None] - b[None]).sum(axis=-1)


SCATTERED = Points(np.random.default_rng(4).random((60, 2)))
GRIDS = {
    "ring": RegularGrid((37,), spacing=0.5),
    "line": RegularGrid((30,), periodic=False),
    "torus": RegularGrid((6, 9)),
    "plane": RegularGrid((9, 7), periodic=False, spacing=3.0),
    "one row": RegularGrid((1, 20)),
    "one column": RegularGrid((20, 1), periodic=False),
    "one place": RegularGrid((1,)),
    "two variables": RegularGrid((13,), variables=2),
    "variables apart": RegularGrid((4, 4), variables=2, between_variables=False),
    "points": SCATTERED,
    "user's": CityBlocks(),
}


def distances_of(grid, n):
    where = grid.coordinates(slice(n))
    return grid.distances(where, where)


# -- pairs and windows


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_pairs_of_few_places_are_all_of_them(grid):
    places = Places(grid)
    n, pairs = places.size, places.pairs
    apart = distances_of(grid, n)
    assert n * places.variables == grid.size
    np.testing.assert_array_equal(pairs.anchors, np.arange(n))
    assert (np.diag(np.broadcast_to(pairs.bins, (n, n))) == 0).all()
    kept = pairs.bins < pairs.count
    np.testing.assert_array_equal(kept.sum(axis=1), [p.size for p in map(np.flatnonzero, kept)])
    # of a bin the distances are alike, and their mean is that of the pairs
    np.testing.assert_allclose(pairs.means(apart), pairs.distances, rtol=1e-12, atol=1e-12)
    assert np.ptp(apart[kept] - pairs.distances[pairs.bins[kept]]) <= 2 * places.spacing
    values = np.random.default_rng(0).random(n)
    by_distance = pairs.sums(values)
    np.testing.assert_allclose(by_distance.sum(axis=1), kept @ values, rtol=1e-12)


def test_pairs_of_a_ring_are_its_lags():
    pairs = Places(RegularGrid((40,), spacing=2.0)).pairs
    np.testing.assert_array_equal(pairs.distances, 2.0 * np.arange(21))
    np.testing.assert_array_equal(pairs.widths, 1)


@pytest.mark.parametrize(
    "grid", [RegularGrid((30_000,)), RegularGrid((150, 180), periodic=False)], ids=["line", "plane"]
)
def test_some_pairs_stand_for_all(grid):
    """At any distance: a count by partners, each chosen as one in w, has a variance of w - 1."""
    places = Places(grid)
    pairs = places.pairs
    assert pairs.bins.size < 2**19 < grid.size**2
    found = pairs.sums(np.ones(grid.size)).cumsum(axis=1)
    where = grid.coordinates(pairs.anchors[::16])
    apart = grid.distances(where, grid.coordinates())
    for bound in (5, 50):
        b = int(np.searchsorted(pairs.distances, bound))
        reach = pairs.distances[b - 1] + (pairs.distances[b] - pairs.distances[b - 1]) / 2
        wanted = (apart <= reach).sum(axis=1)
        largest = 1.0 if bound == 5 else pairs.weights.max()
        # a bin has no sharp end: a spacing's worth of places may be on the other side
        edge = (np.abs(apart - reach) <= places.spacing).sum(axis=1)
        tolerance = 6 * np.sqrt((largest - 1) * wanted) + edge
        assert (np.abs(found[::16, b - 1] - wanted) <= tolerance).all()
    again = Places(grid).pairs
    np.testing.assert_array_equal(again.partners, pairs.partners)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_windows_against_all_distances(grid):
    places = Places(grid)
    n, v = places.size, places.variables
    windows = places.windows
    apart = distances_of(grid, n)
    unit = np.zeros(n)
    unit[n // 2] = 1
    weights = windows.sums(unit)
    # the cutoff is where the weight ends, which a sum over all distances then must agree with
    cutoffs = places.spacing * 2 ** (np.arange(1, 400) / 16)
    errors = [np.abs(GaspariCohn(c).weight(apart[n // 2]) - weights).max() for c in cutoffs]
    taper = GaspariCohn(float(cutoffs[int(np.argmin(errors))]))
    values = np.random.default_rng(1).random((2, v, n))
    for power in (1, 2):
        wanted = values @ taper.weight(apart) ** power
        np.testing.assert_allclose(windows.sums(values, power), wanted, atol=1e-12 * n)
    held = taper.weight(apart).sum(axis=1).mean()
    assert held >= WINDOW * (1 - 0.1) or held > 0.9 * n


@pytest.mark.parametrize("name", ["ring", "plane", "points", "user's", "variables apart"])
def test_the_nearest_component(name):
    grid = GRIDS[name]
    places = Places(grid)
    where = grid.coordinates(slice(places.size))
    np.testing.assert_array_equal(places.nearest(where), np.arange(places.size))
    moved = where.copy()
    moved[:, -1] += 1e-3 * places.spacing
    np.testing.assert_array_equal(places.nearest(moved), np.arange(places.size))


# -- the taper


def by_the_book(x, grid, u, v):
    """Mean P_ij^2 and P_ii P_jj over the pairs of each bin, variables scaled."""
    places = Places(grid)
    pairs, n = places.pairs, places.size
    parts = [x[:, w * n : (w + 1) * n] for w in (u, v)]
    size = [part.var(axis=0, ddof=1) for part in parts]
    p = np.cov(*parts, rowvar=False)[:n, n:] / np.sqrt(size[0].mean() * size[1].mean())
    one, other = (part / part.mean() for part in size)
    s2, vv = np.zeros(pairs.count), np.zeros(pairs.count)
    for b in range(pairs.count):
        i, j = np.nonzero(pairs.bins == b)
        s2[b], vv[b] = np.mean(p[i, j] ** 2), np.mean(one[i] * other[j])
    return s2, vv


@pytest.mark.parametrize("name", ["ring", "plane", "two variables", "points"])
def test_moments_by_the_book(name, rng, dtype):
    grid = GRIDS[name]
    places = Places(grid)
    n, variables = places.size, places.variables
    x = (rng.standard_normal((5, grid.size)) * 10 + 300).astype(dtype)
    x[:, :n] *= 7  # variables of different size count alike
    found = taper_range.moments(x, places, variables, between=True)
    for u in range(variables):
        for v in range(u + 1):
            s2, vv = by_the_book(x.astype(float), grid, u, v)
            np.testing.assert_allclose(found.squares[u, v], s2, rtol=1e-9)
            np.testing.assert_allclose(found.products[u, v], vv, rtol=1e-9)
            np.testing.assert_array_equal(found.squares[v, u], found.squares[u, v])
    if variables == 1:
        return
    own = taper_range.moments(x, places, variables, between=False)
    np.testing.assert_array_equal(own.squares[0, 1], 0)
    np.testing.assert_array_equal(own.squares[0, 0], found.squares[0, 0])
    mean = taper_range.moments(x, places, 1, between=True)
    np.testing.assert_allclose(mean.squares[0, 0], own.squares.sum(axis=(0, 1)) / 2, rtol=1e-12)
    # a variable without spread is left out
    x[:, n:] = 1
    flat = taper_range.moments(x, places, 1, between=True)
    np.testing.assert_array_equal(flat.squares, own.squares[:1, :1])
    alone = taper_range.moments(x, places, 2, between=True)
    rho = taper_range.optimal_factor(alone, 5)
    np.testing.assert_array_equal(rho[0, 1], 0)
    np.testing.assert_array_equal(rho[1, 1], 1)


LEVELS = Sphere(
    np.arange(0, 360, 30.0),
    np.arange(-75, 90, 30.0)[:, None],
    vertical=[0.0, 5.0, 9.0],
    vertical_scale=200.0,
    variables={"ps": 1, "u": 3, "t": 3},
)
ALIKE = dataclasses.replace(LEVELS, variables={"u": 3, "t": 3})


class Unlike(Sphere):
    """A sphere whose variables do not say that they share their places."""

    variables_at_places = 1

    def embedding(self):
        return Embedding(self._inside, None, self._measured, EARTH_RADIUS)


def test_places_of_variables_with_different_levels():
    places = Places(LEVELS)
    n = 12 * 6
    assert (places.variables, places.size) == (3, 3 * n)
    np.testing.assert_array_equal(places.present[0], np.arange(3 * n) < n)
    assert places.present[1:].all()
    np.testing.assert_array_equal(places.components.ravel()[places.cells], np.arange(LEVELS.size))
    where = LEVELS.coordinates()
    for v in range(3):
        own = places.components[v, places.present[v]]
        np.testing.assert_array_equal(where[own], where[n : 4 * n][places.present[v]])
    # of a high place, that of the surface
    high = where[n : 4 * n][[2 * n + 5, 2 * n + 5]]
    np.testing.assert_array_equal(places.nearest(high, np.array([1, 0])), [2 * n + 5, 5])
    # levels without heights are all at one place, and still apart
    flat = Places(dataclasses.replace(LEVELS, vertical=None))
    assert flat.size == 3 * n
    np.testing.assert_array_equal(flat.components, places.components)


def test_moments_of_variables_with_different_levels(rng):
    places = Places(LEVELS)
    x = rng.standard_normal((5, LEVELS.size)) + 300
    found = taper_range.moments(x, places, 3, between=True)
    p, variance = np.cov(x.T), x.var(axis=0, ddof=1)
    where = LEVELS.coordinates()
    n = places.size
    for u in range(3):
        for v in range(u + 1):
            i, j = (np.flatnonzero(LEVELS.variables_of() == k) for k in (u, v))
            pairs = places.pairs_of(u, v)
            assert (len(pairs.anchors), pairs.partners.shape) == (len(i), (1, len(j)))
            apart = LEVELS.distances(where[i], where[j])
            in_bin = pairs.bins < pairs.count
            spread = np.abs(apart - np.append(pairs.distances, np.nan)[pairs.bins])
            assert spread[in_bin].max() <= places.spacing
            scale = np.sqrt(variance[i].mean() * variance[j].mean())
            same = places.cells[i][:, None] % n == places.cells[j] % n
            for b in range(pairs.count):
                chosen = pairs.bins == b
                if chosen.sum() < len(i) / 4:
                    continue
                if b == 0:
                    np.testing.assert_array_equal(chosen, same)
                square = np.mean((p[np.ix_(i, j)][chosen] / scale) ** 2)
                product = np.mean(np.outer(variance[i], variance[j])[chosen]) / scale**2
                np.testing.assert_allclose(found.squares[u, v, b], square, rtol=1e-9)
                np.testing.assert_allclose(found.products[u, v, b], product, rtol=1e-9)


def test_variables_that_share_places_need_not_say_so(rng):
    fields = [getattr(ALIKE, f.name) for f in dataclasses.fields(ALIKE)]
    names = [f.name for f in dataclasses.fields(ALIKE)]
    unlike = Unlike(**dict(zip(names, fields, strict=True)))
    x, y = rng.standard_normal((8, ALIKE.size)), rng.standard_normal(72)
    results = []
    for grid in (ALIKE, unlike):
        filt = ef.LEnFF()
        obs = ef.Observation(Subset(np.arange(0, 432, 6)), 0.5, grid=grid)
        results.append((filt.analysis(x, y, obs), filt.facts))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-9)
    assert results[0][1] == pytest.approx(results[1][1])


def test_a_variable_at_the_surface_has_a_taper_of_its_own(rng):
    """Independent variables of smooth fields: each is seen by itself, ps as far as it reaches."""
    where = LEVELS.embedding().inside(LEVELS.coordinates()) / EARTH_RADIUS
    x = np.zeros((20, LEVELS.size))
    for name, number in (("ps", 0.7), ("u", 6.0), ("t", 6.0)):
        part = LEVELS.components(name)
        waves = number * rng.standard_normal((200, 4)) @ where[part].T
        phases = rng.uniform(0, 2 * np.pi, (200, 1))
        x[:, part] = rng.standard_normal((20, 200)) @ np.cos(waves + phases) / 10
    obs = ef.Observation(Identity(), 3.0, grid=LEVELS)
    filt = ef.LETKF(FromEnsemble())
    filt.analysis(x, np.zeros(LEVELS.size), obs)
    cutoff = [filt.facts[f"cutoff of variable {v}"] for v in range(3)]
    assert cutoff[0] > 1.5 * max(cutoff[1:])


def test_moments_of_chosen_partners_are_those_of_all(monkeypatch, rng):
    """The same pairs through the other path: every level holds all places."""
    grid, x = RegularGrid((300,)), rng.standard_normal((6, 300)) + 50
    whole = taper_range.moments(x, Places(grid), 1, between=True)
    monkeypatch.setattr(places_module, "_ALL_PARTNERS", 10)
    monkeypatch.setattr(places_module, "_ANCHORS", 300)
    monkeypatch.setattr(places_module, "_NEAREST", 300)
    chosen = Places(grid)
    assert len(chosen.pairs.partners) == 300
    found = taper_range.moments(x, chosen, 1, between=True)
    np.testing.assert_allclose(found.squares, whole.squares, rtol=1e-9)
    np.testing.assert_allclose(found.products, whole.products, rtol=1e-9)


def test_the_optimal_factor_of_known_covariances(rng):
    """E rho from moments of Gaussian samples is P^2 (N - 1)/(P^2 N + P_ii P_jj), over i = j.

    With P = 1 at distance 0: E P_ij^2 = (N P^2 + P_ii P_jj)/(N - 1), as of a Wishart matrix.
    """
    members, n = 8, 400
    grid = RegularGrid((n,))
    places = Places(grid)
    kernel = np.exp(-(np.minimum(np.arange(n), n - np.arange(n)) ** 2) / 18)
    root = np.fft.irfft(np.sqrt(np.maximum(np.fft.rfft(kernel).real, 0)), n)
    total = []
    for _ in range(300):
        noise = rng.standard_normal((members, n))
        x = np.fft.irfft(np.fft.rfft(noise) * np.fft.rfft(root), n)
        total.append(taper_range.moments(x, places, 1, between=True))
    found = Moments(*(np.mean([getattr(m, k) for m in total], axis=0) for k in
                      ("squares", "products")))  # fmt: skip
    p2 = kernel[: places.pairs.count] ** 2
    s2, vv = (members * p2 + 1) / (members - 1), 1 + 2 / (members - 1) * p2
    wanted = ((members - 1) * s2 - vv) / (members * s2)
    wanted = np.minimum.accumulate(wanted / wanted[0])
    wanted[np.flatnonzero(wanted < taper_range.LEAST)[0] :] = 0
    got = taper_range.optimal_factor(found, members)[0, 0]
    near = wanted > 0.1  # means over 300 x 400 places of some 12 correlated ones: errors of 1 %
    np.testing.assert_allclose(got[near], wanted[near], atol=0.03)


def test_the_best_cutoff_of_a_gaspari_cohn_function_is_its_own():
    places = Places(RegularGrid((200,), spacing=0.3))
    candidates = Candidates(places)
    table = np.stack([taper.weight(places.pairs.distances) for taper in candidates.tapers])
    chosen = np.array([[20, 60], [40, 90]])
    size = np.array([[1, 0.5], [0.25, 1]])
    found, amplitude = candidates.fit(size[..., None] * table[chosen])
    np.testing.assert_array_equal(found, chosen)
    np.testing.assert_allclose(amplitude, size)
    np.testing.assert_array_equal(candidates.wider(chosen, 1.0), chosen)
    np.testing.assert_array_equal(candidates.fit(np.zeros((2, 2, len(table[0]))))[1], np.eye(2))
    tapers = candidates.tapers
    wide = tapers[candidates.wider(np.array(40), 2.0)].cutoff
    assert wide == pytest.approx(2 * tapers[40].cutoff, rel=0.05)  # a line has length
    plane = Candidates(Places(RegularGrid((60, 60))))
    wide = plane.tapers[plane.wider(np.array(60), 2.0)].cutoff
    assert wide == pytest.approx(np.sqrt(2) * plane.tapers[60].cutoff, rel=0.05)  # and a plane area
    widest = plane.tapers[plane.wider(np.array(60), 1e9)].cutoff
    weights = GaspariCohn(widest).weight(np.hypot(*np.indices((60, 60)) - 30))
    assert weights.sum() == pytest.approx(taper_range.HELD, rel=0.1)
    assert candidates.wider(np.array(60), 1e9) == len(tapers) - 1  # all 200 are fewer


@pytest.mark.parametrize("grid", [GRIDS["ring"], GRIDS["plane"]], ids=["ring", "plane"])
def test_the_bound_is_the_largest_that_fits(grid, rng):
    places = Places(grid)
    candidates = Candidates(places)
    signal, amplitude = rng.random((2, places.size)), np.array([[1.0, 0.5], [0.0, 1.0]])
    apart = places.pairs.distances[np.minimum(places.pairs.bins, places.pairs.count - 1)]
    seen = places.pairs.bins < places.pairs.count
    last = len(candidates.tapers) - 1
    top = np.array([[last, 60], [last, last]])

    def fits(u, chosen):
        within = [
            amplitude[u, v] * (candidates.tapers[chosen[v]].weight(apart) * seen) @ signal[v]
            for v in range(2)
        ]
        return np.quantile(sum(within), 0.9) <= 3.0

    chosen = candidates.bounded(signal, 3.0, top, amplitude)
    for u in range(2):
        assert fits(u, chosen[u])
        assert not fits(u, np.minimum(chosen[u].max() + 1, top[u]))
    np.testing.assert_array_equal(candidates.bounded(signal, 1e9, top, amplitude), top)
    np.testing.assert_array_equal(
        candidates.bounded(signal, 3.0, chosen - 2, amplitude), chosen - 2
    )


# -- inflation


def innovations_of(places, rng, *, factor=1.0, ratio=1.0, every=1):
    components = np.arange(0, places.grid.size, every)
    ratios = ratio * (0.5 + rng.random(components.size))
    excess = (factor * ratios + 1) * rng.standard_normal(components.size) ** 2 - 1
    return Innovations(excess, ratios, components, np.arange(components.size))


@pytest.mark.parametrize("name", ["ring", "plane", "two variables", "points"])
def test_local_factors_by_the_book(name, rng):
    places = Places(GRIDS[name])
    v, n = places.variables, places.size
    found = innovations_of(places, rng, factor=1.7, every=2)
    near = NearSums(found, places.windows, places.present)
    level = np.broadcast_to(np.array([1.2, 1.1])[:v, None], (v, n))
    scatter = np.array([0.2, 0.4])[:v]
    others = found.ratio * (1 + rng.random(found.ratio.size))
    local = LocalFactors(near, level, others)
    got = local.drawn(scatter)
    weights = [places.windows.sums(np.eye(n), power) for power in (1, 2)]
    for k in range(v):
        own = found.cells // n == k
        at = found.cells[own] % n
        once, twice = (w[at].T for w in weights)
        ratio = once @ found.ratio[own]
        a = (once @ found.excess[own]) / ratio
        mine = level[k, 0] * found.ratio[own]
        squares = mine * level[k, 0] * others[own] + 2 * mine + 1
        variance = 2 * (twice @ squares) / ratio**2
        gain = scatter[k] / (scatter[k] + variance)
        wanted = np.clip(level[k, 0] + (a - level[k, 0]) * gain, 1, 4 * level[k, 0])
        np.testing.assert_allclose(got[k], wanted, rtol=1e-9)


def test_what_nothing_observes_has_the_factor_of_its_variable(rng):
    places = Places(RegularGrid((400,), variables=2))
    components = np.arange(20)  # of the first variable alone, at one end
    found = Innovations(np.full(20, 30.0), np.full(20, 1.0), components, components)
    near = NearSums(found, places.windows, places.present)
    level = np.full((2, 400), 1.1)
    factor = LocalFactors(near, level, found.ratio).drawn(np.full(2, 0.09))
    assert (factor[0, :20] > 1.1).all()
    np.testing.assert_array_equal(factor[1], 1.1)
    np.testing.assert_array_equal(factor[0, 60:-60], 1.1)


def test_scatter_is_learned(rng):
    """Factors that differ from place to place, by as much as they do; and none where they don't."""
    places = Places(RegularGrid((2000,)))
    waves = np.cos(2 * np.pi * np.arange(2000) / 200)
    for amplitude, low, high in ((2.0, 1.0, 2.6), (0.0, 0.01, 0.09)):
        true = 3 + amplitude * waves  # scatter of variance amplitude^2/2, less what windows average
        known = np.array([0.09])
        for _ in range(100):
            ratio = np.full(2000, 2.0)
            excess = (true * ratio + 1) * rng.standard_normal(2000) ** 2 - 1
            near = NearSums(
                Innovations(excess, ratio, np.arange(2000), np.arange(2000)),
                places.windows,
                places.present,
            )
            known = LocalFactors(near, np.full((1, 2000), 3.0), ratio).scatter(known)
        assert low <= known[0] <= high


def test_amounts_by_the_book(rng):
    places = Places(RegularGrid((50,), variables=2))
    found = innovations_of(places, rng, factor=1.3, ratio=0.4)
    near = NearSums(found, places.windows, places.present)
    noise = 0.05 + 0.1 * rng.random((2, 50))
    start = Amounts.by_noise(near, noise)
    others = found.ratio * (1 + rng.random(100))
    got = start.faded(start).after(near, noise, others)
    for k in range(2):
        own = slice(50 * k, 50 * (k + 1))
        t, ratio, excess = noise[k], found.ratio[own], found.excess[own]
        prior = (spread_factors.DEVIATION / ((t * ratio).sum() / ratio.sum())) ** 2
        squares = (1 + t) ** 2 * ratio * others[own] + 2 * (1 + t) * ratio + 1
        error = 2 * squares.sum() / (t * ratio).sum() ** 2
        told = (excess - ratio).sum() / (t * ratio).sum()
        moved = np.clip(told - 1, -2 * np.sqrt(error), 2 * np.sqrt(error))
        gain = prior / (prior + error)
        assert got.mean[k] == pytest.approx(max(0, 1 + gain * moved), rel=1e-12)
        assert got.variance[k] == pytest.approx((1 - gain) * prior, rel=1e-12)


def test_sampling_noise_of_equal_observations_is_the_sum_itself():
    """On a ring where all is alike, the shares about the anchors are those about every place."""
    places = Places(RegularGrid((60,)))
    near = NearSums(
        Innovations(np.zeros(60), np.full(60, 0.3), np.arange(60), np.arange(60)),
        places.windows,
        places.present,
    )
    d = places.pairs.distances
    square, taper = np.exp(-d / 4), GaspariCohn(11.0).weight(d)
    both = np.where((d > 0) & (d < 30), 2.0, 1.0)  # places on either side
    others = spread_factors.correlated(near, places, square[None])
    np.testing.assert_allclose(others, 0.3 * (both * square).sum(), rtol=1e-9)
    wanted = (both * taper**2).sum() * 0.3 / (1 + others[0])
    got = spread_factors.sampling_noise(near, others, places, taper[None, None])
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_noise_of_variables_that_see_each_other_is_that_of_both():
    """Two variables of the same innovations are one that is observed twice."""
    places, one = Places(RegularGrid((60,), variables=2)), Places(RegularGrid((60,)))
    taper = GaspariCohn(11.0).weight(places.pairs.distances)
    twice = Innovations(np.zeros(120), np.full(120, 0.3), np.arange(120), np.arange(120))
    near = NearSums(twice, places.windows, places.present)
    others = np.full(120, 0.7)
    both = spread_factors.sampling_noise(
        near, others, places, np.array([[1, 1], [1, 1]])[..., None] * taper
    )
    apart = spread_factors.sampling_noise(near, others, places, np.eye(2)[..., None] * taper)
    once = Innovations(
        *(values[:60] for values in (twice.excess, twice.ratio, twice.cells, twice.numbers))
    )
    near = NearSums(once, one.windows, one.present)
    alone = spread_factors.sampling_noise(near, others[:60], one, taper[None, None])
    np.testing.assert_allclose(apart, np.tile(alone, (2, 1)), rtol=1e-9)
    np.testing.assert_allclose(both, 2 * apart, rtol=1e-9)


@pytest.mark.parametrize("every", [1, 2])
def test_what_is_known_gives_way_to_what_contradicts_it(every):
    """The factor is 30, and beforehand said to be 1 give or take 0.1; or it is 1, as was said.

    Where some are unobserved, nothing gives way, or these were widened without end.
    """
    places, noise = Places(RegularGrid((400,))), np.full((1, 400), 0.02)
    components = np.arange(0, 400, every)
    ratio = np.full(components.size, 0.2)
    for factor in (30.0, 1.0):
        found = Innovations(factor * ratio, ratio, components, components)
        near = NearSums(found, places.windows, places.present)
        known = start = Amounts.by_noise(near, noise)
        for _ in range(60):
            known = known.faded(start).after(near, noise, ratio)
        got = 1 + 0.02 * known.mean[0]
        error = np.sqrt(2 * (got**2 * 0.04 + 2 * got * 0.2 + 1) / components.size) / 0.2
        assert (abs(got - factor) < 6.5 * error) == (every == 1 or factor == 1)
    assert got < 1.03


def test_an_outlier_contradicts_nothing():
    places = Places(RegularGrid((40,)))
    components, ratio, noise = np.arange(40), np.full(40, 0.2), np.full((1, 40), 0.1)
    excess = ratio + np.where(components == 7, 400.0, 0.0)
    near = NearSums(
        Innovations(excess, ratio, components, components), places.windows, places.present
    )
    start = Amounts.by_noise(near, noise)
    got = start.after(near, noise, ratio)
    # 0.1 of the level is known, and 0.5 what innovations tell, so that they count little
    assert got.mean[0] < start.mean[0] + 1


@pytest.mark.parametrize(("ratio", "true", "r2"), [(100, 0.15, 1), (100, 1, 1), (2, 0.6, 1),
                                                   (100, 0.5, 0.25), (0.5, 1, 0.25)])  # fmt: skip
def test_a_spread_that_is_certainly_too_wide_is_narrowed(ratio, true, r2, rng):
    """Never below what it has to be, also where r^2 is said to be four times what it is."""
    places, m = Places(RegularGrid((900,))), np.arange(900)
    ratios = np.full(900, float(ratio))
    excess = (true * ratios + r2) * rng.standard_normal(900) ** 2 - 1
    near = NearSums(Innovations(excess, ratios, m, m), places.windows, places.present)
    factor = spread_factors.too_wide(near, ratios)[0]
    assert factor >= true
    assert factor < 2 * true
    assert (factor == 1) == (ratio < 10 or true == 1)


# -- in the filters

RING = RegularGrid((60,))


def waves(rng, members, grid=RING, shift=3):
    noise = rng.standard_normal((members, grid.size))
    return sum(np.roll(noise, k, axis=1) for k in range(shift)) / np.sqrt(shift)


FILTERS = {
    "LEnFF": lambda localization, **k: ef.LEnFF(localization, **k),
    "LETKF": lambda localization, **k: ef.LETKF(localization, **k),
    "EnKF": lambda localization, **k: ef.EnKF(localization=localization, method="denkf", **k),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_that_of_its_taper_and_its_forecast_widened(name, dtype, rng, backend):
    x = waves(rng, 8).astype(dtype)
    obs = ef.Observation(Arctan() @ Every(2), 0.4, grid=RING)
    y = obs.simulate(2 * waves(rng, 1)[0].astype(dtype), 0)
    filt = FILTERS[name](FromEnsemble(), inflation=Adaptive(), backend=backend)
    found = filt.analysis(x, y, obs)
    facts = filt.facts
    taper = GaspariCohn(facts["cutoff"])
    plain = FILTERS[name](taper, inflation=1.0, backend=backend)
    adaptive = FILTERS[name](taper, inflation=Adaptive(), backend=backend)
    np.testing.assert_array_equal(adaptive.analysis(x, y, obs), found)
    only = FILTERS[name](FromEnsemble(), inflation=1.0, backend=backend)
    np.testing.assert_array_equal(only.analysis(x, y, obs), plain.analysis(x, y, obs))
    assert only.facts == {"cutoff": facts["cutoff"]}
    oracle = FILTERS[name](FromEnsemble(), inflation=Adaptive(), backend="numpy")
    wanted = oracle.analysis(x, y, obs)
    np.testing.assert_allclose(found, wanted, atol=1e-4 if dtype == "f4" else 1e-11)
    assert facts["cutoff"] == oracle.facts["cutoff"]
    assert facts["inflation"] > 1
    assert facts["inflation"] == pytest.approx(oracle.facts["inflation"], rel=1e-5)
    assert facts["lost"] == 0


def test_looking_for_the_truth_no_member_leaves_the_attractor():
    """Half observed, seldom and well: what is not observed is not widened without end."""
    model = ef.models.Lorenz96(dim=40, dt=0.01)
    operator = Arctan() @ Every(2)
    twin = ef.TwinExperiment(
        model, ef.Observation(operator, 0.2, grid=model.grid), cycles=60, steps_per_cycle=5,
        spinup=1000, initial_mean="zero",
    )  # fmt: skip
    result = twin.run(ef.LEnFF(), members=40, seed=1, progress=False)
    assert not result.stopped
    assert result.rmse.analysis[-20:].mean() < 0.5


def test_each_pair_of_variables_has_its_own_taper(rng):
    """Of three variables one is rough, two are smooth, and of these one is the other's half."""
    grid = RegularGrid((1500,), variables=3)
    obs = ef.Observation(Identity(), 500.0, grid=grid)
    line = RegularGrid((1500,))
    rough, smooth = waves(rng, 10, line, 3), waves(rng, 10, line, 15)
    other = (smooth + waves(rng, 10, line, 15)) / np.sqrt(2)
    filt = ef.LETKF(FromEnsemble())
    x = np.hstack([rough, 10 * smooth, other])
    filt.analysis(x, np.zeros(4500), obs)
    cutoffs = [filt.facts[f"cutoff of variable {v}"] for v in range(3)]
    assert 2 * cutoffs[0] < min(cutoffs[1:])
    assert filt.facts["cutoff"] == max(cutoffs)
    known = filt._memory.tuning[0].moments
    rho = taper_range.optimal_factor(known, 10)[..., 0]
    # corr^2 = 1/2: mean P_ij^2 = (10/2 + 1)/9, mean P_ii P_jj = 1 + 1/9, and over rho = 4/5 within
    assert rho[1, 2] == rho[2, 1] == pytest.approx((6 - 10 / 9) / (60 / 9) / 0.8, abs=0.1)
    assert rho[0, 1] < 0.3
    alone = ef.LETKF(FromEnsemble())
    alone.analysis(smooth, np.zeros(1500), ef.Observation(Identity(), 500.0, grid=line))
    assert alone.facts["cutoff"] == pytest.approx(cutoffs[1], rel=0.1)


def test_one_factor_beside_a_taper_from_the_ensemble(rng):
    obs = ef.Observation(Identity(), 0.4, grid=RING)
    filt = ef.LEnFF(inflation=Adaptive(local=False))
    x, level = waves(rng, 8), 1.0
    for _ in range(3):
        y = 3 * waves(rng, 1)[0]
        level = Adaptive().estimate(x, y, obs, level)
        found = filt.analysis(x, y, obs)
        assert filt.facts["inflation"] == level > 1
        assert set(filt.facts) == {"cutoff", "inflation"}
        wide = np.empty_like(x)
        Adaptive().widen(x, level, wide)
        plain = ef.LEnFF(GaspariCohn(filt.facts["cutoff"])).analysis(wide, y, obs)
        np.testing.assert_array_equal(found, plain)
        x = found


def test_the_default_is_both():
    assert ef.LEnFF() == ef.LEnFF(FromEnsemble())
    assert ef.LEnFF()._inflation == Adaptive()
    assert ef.LEnFF(GaspariCohn(3.0))._inflation.is_identity  # as it was given
    assert not isinstance(ef.LEnFF(GaspariCohn(3.0))._inflation, Adaptive)


@given(scale=st.sampled_from([1e-6, 3.0, 1e5]), shift=st.floats(-10, 10), roll=st.integers(0, 59))
@settings(max_examples=15, deadline=None)
def test_units_and_the_place_of_the_first_component_do_not_matter(scale, shift, roll):
    rng = np.random.default_rng(2)
    x, y = waves(rng, 7), 3 * waves(rng, 1)[0]
    filters = ef.LEnFF(), ef.LEnFF()
    for cycle in range(3):
        y[cycle::7] = np.nan
        found = filters[0].analysis(x, y, ef.Observation(Identity(), 0.3, grid=RING))
        moved = filters[1].analysis(
            np.roll(scale * (x + shift), roll, axis=1),
            np.roll(scale * (y + shift), roll),
            ef.Observation(Identity(), 0.3 * scale, grid=RING),
        )
        back = np.roll(moved, -roll, axis=1) / scale - shift
        np.testing.assert_allclose(back, found, atol=1e-9)
        x = found


def test_the_order_of_places_does_not_matter(rng):
    where, order = SCATTERED.coordinates(), rng.permutation(60)
    x, y = rng.standard_normal((6, 60)), 2 * rng.standard_normal(60)
    one, other = ef.LEnFF(), ef.LEnFF()
    found = one.analysis(x, y, ef.Observation(Identity(), 0.5, grid=where))
    moved = other.analysis(
        x[:, order], y[order], ef.Observation(Identity(), 0.5, grid=where[order])
    )
    np.testing.assert_allclose(moved, found[:, order], atol=1e-12)


def test_with_many_members_nothing_is_tapered_nor_widened(rng):
    """Of forecasts that are right, and correlated throughout, it becomes the Kalman filter."""
    n, found = 80, {}
    root = np.linalg.cholesky(0.5 + 0.5 * np.eye(n))
    obs = ef.Observation(Every(2), 1.0, grid=RegularGrid((n,)))
    for members in (20, 1000):
        filt, facts = ef.LEnFF(steps=20), []
        for cycle in range(50):
            x = rng.standard_normal((members, n)) @ root.T
            y = obs.simulate(root @ rng.standard_normal(n), cycle)
            analysis = filt.analysis(x, y, obs)
            facts.append(filt.facts["inflation"])
        found[members] = np.mean(facts[-20:]), filt.facts["cutoff"]
    assert found[20][1] < np.inf == found[1000][1]
    # one mode is most of it: a cycle tells one square, and the level is known to 0.1 at first
    assert found[1000][0] < 1.1
    p = np.cov(x, rowvar=False)
    h = np.eye(n)[::2]
    gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + np.eye(n // 2))
    wanted = x.mean(axis=0) + gain @ (y - x[:, ::2].mean(axis=0))
    # 2 % of the variance of the forecast, and 20 steps
    np.testing.assert_allclose(analysis.mean(axis=0), wanted, atol=0.05)


def test_of_many_places_the_inflation_tends_to_one(rng):
    """Forecasts that are right, with correlations over some ten places of two thousand."""
    grid, found = RegularGrid((2000,)), {}
    obs = ef.Observation(Identity(), 1.0, grid=grid)
    for members in (10, 400):
        filt, facts = ef.LEnFF(steps=1), []
        for cycle in range(40):
            ensemble = waves(rng, members + 1, grid, shift=10)
            y = obs.simulate(ensemble[0], cycle)
            filt.analysis(ensemble[1:], y, obs)
            facts.append(filt.facts["inflation"])
        found[members] = np.mean(facts[-20:])
    # some 200 independent places: a cycle tells the level to 0.2, forty of them to 0.03
    assert found[400] < 1.03
    assert found[400] < found[10]


def test_each_ensemble_of_a_batch_has_its_own(rng):
    x = np.stack([waves(rng, 6, shift=2), waves(rng, 6, shift=9)])
    y = 2 * rng.standard_normal((2, 60))
    y[1, ::2] = np.nan
    obs = ef.Observation(Identity(), 0.5, grid=RING)
    both = ef.LEnFF()
    together = both.analysis(x, y, obs)
    alone = [ef.LEnFF(), ef.LEnFF()]
    for b, filt in enumerate(alone):
        np.testing.assert_array_equal(filt.analysis(x[b], y[b], obs), together[b])
    cutoffs = [filt.facts["cutoff"] for filt in alone]
    assert cutoffs[1] > 1.5 * cutoffs[0]
    assert both.facts["cutoff"] == pytest.approx(np.mean(cutoffs))
    # another problem in between is another memory
    both.analysis(rng.standard_normal((6, 9)), np.zeros(9),
                  ef.Observation(Identity(), 1.0, grid=RegularGrid((9,))))  # fmt: skip
    again = pickle.loads(pickle.dumps(alone[0]))
    np.testing.assert_array_equal(
        again.analysis(x[0], y[0], obs), alone[0].analysis(x[0], y[0], obs)
    )


OTHERS = {
    "unsorted": (Subset(np.array([40, 3, 17])), RING, None),
    "linear": (Linear(np.eye(5, 60)), RING, np.arange(5.0)[:, None]),
    "places off the grid": (Linear(np.eye(5, 60)), RING, np.arange(5.0)[:, None] + 0.4),
    "located components": (Every(12), RING, np.array([[59.0], [11], [23], [35], [47]])),
    "variables": (Every(5), RegularGrid((20,), variables=3), None),
    "linear of variables": (
        Linear(np.eye(4, 60)), RegularGrid((20,), variables=3), np.arange(4.0)[:, None]),
    "variables apart": (
        Linear(np.eye(4, 60)), RegularGrid((20,), variables=3, between_variables=False),
        np.array([[0, 1], [0, 7], [2, 3], [2, 4.0]])),
    "points": (Every(7), np.arange(60.0) ** 1.1, None),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", ["LEnFF", "LETKF"])
def test_any_observations(name, kind, rng, dtype):
    """On every backend the same, and what the filter with the taper it found makes."""
    operator, grid, locations = OTHERS[name]
    obs = ef.Observation(operator, 0.3, grid=grid, locations=locations)
    x, y = waves(rng, 6).astype(dtype), rng.standard_normal(operator.size(60)).astype(dtype)
    y[1] = np.nan
    found = {}
    for backend in ("cpp", "numba", "numpy"):
        filt = FILTERS[kind](FromEnsemble(), inflation=Adaptive(), backend=backend)
        found[backend] = filt.analysis(x, y, obs), filt.facts
    for backend in ("cpp", "numba"):
        tolerance = 1e-4 if dtype == "f4" else 1e-10
        np.testing.assert_allclose(found[backend][0], found["numpy"][0], atol=tolerance)
        assert found[backend][1] == pytest.approx(found["numpy"][1], rel=1e-5)
    assert np.isfinite(found["numpy"][0]).all()


def test_unsorted_observations_are_those_in_order(rng):
    x, y = waves(rng, 6), rng.standard_normal(60)
    order = rng.permutation(60)
    one, other = ef.LEnFF(), ef.LEnFF()
    std = 0.2 + rng.random(60)
    found = one.analysis(x, y, ef.Observation(Identity(), std, grid=RING))
    again = other.analysis(x, y[order], ef.Observation(Subset(order), std[order], grid=RING))
    np.testing.assert_allclose(again, found, atol=1e-12)


def test_a_filter_of_global_weights_has_local_factors_where_there_is_a_grid(rng):
    """ETKF: the level is as without a grid, one for all; about it patches that are astray."""
    x = waves(rng, 10)
    y = np.zeros(60)
    y[20:30] = 9.0
    obs = ef.Observation(Identity(), 0.5, grid=RING)
    local, one = ef.ETKF(inflation=Adaptive()), ef.ETKF(inflation=Adaptive(local=False))
    placed = local.analysis(x, y, obs)
    plain = one.analysis(x, y, obs)
    without = ef.ETKF(inflation=Adaptive())
    np.testing.assert_array_equal(without.analysis(x, y, ef.Observation(Identity(), 0.5)), plain)
    assert without.facts == one.facts
    assert np.abs(placed[:, 24] - 9).mean() < np.abs(plain[:, 24] - 9).mean()


def test_lost_and_found():
    """Innovations of many r, three cycles in a row, somewhere: it says where, and widens there."""
    rng = np.random.default_rng(3)
    grid = RegularGrid((300,))
    obs = ef.Observation(Identity(), 0.1, grid=grid)
    filt = ef.LEnFF()
    lost = []
    for cycle in range(6):
        x = 0.1 * waves(rng, 12, grid)
        truth = 0.1 * waves(rng, 1, grid)[0]
        if cycle < 4:
            truth[100:130] += 2
        filt.analysis(x, obs.simulate(truth, cycle), obs)
        lost.append(filt.facts["lost"])
    assert lost[:2] == [0, 0]
    assert 0.07 < lost[2] < 0.16  # 30 of 300, and the windows
    assert lost[3] == pytest.approx(lost[2], abs=0.03)
    assert lost[4:] == [0, 0]
    filt.reset()
    assert filt.facts == {}


def test_an_outlier_is_left_out_once_and_then_believed(rng, dtype):
    """Alone, it changes nothing; where it stays, or most about it are far, too, it is the truth."""
    grid = RegularGrid((80,))
    obs = ef.Observation(Every(2), 0.5, grid=grid)
    x = waves(rng, 12, grid).astype(dtype)
    y = x.mean(axis=0)[::2].copy()
    y[20] += 40
    missing = y.copy()
    missing[20] = np.nan
    filt, without = ef.LEnFF(), ef.LEnFF()
    found = filt.analysis(x, y, obs)
    np.testing.assert_array_equal(found, without.analysis(x, missing, obs))
    assert (filt.facts["outliers"], without.facts["outliers"]) == (1, 0)
    again = filt.analysis(x, y, obs)
    assert filt.facts["outliers"] == 0
    assert abs(again[:, 40].mean() - y[20]) < abs(found[:, 40].mean() - y[20]) - 10
    y[18:23] += 40
    filt.reset()
    filt.analysis(x, y, obs)
    assert filt.facts["outliers"] == 0
    # through the caller's own h, and observations that are not in order
    order = rng.permutation(40)
    other = ef.LEnFF()
    chosen = ef.Observation(Subset(2 * order), 0.5, grid=grid)
    y = missing.copy()
    y[20] = 99
    turned = other.analysis(x, y[order], chosen)
    np.testing.assert_allclose(turned, found, atol=1e-4 if dtype == "f4" else 1e-12)
    assert other.facts["outliers"] == 1


def test_a_class_of_the_users_estimates_its_own_way(rng):
    class Doubled(Adaptive):
        def estimate(self, forecast, y, obs, known=1.0):
            return known + 1

    x, obs = waves(rng, 6), ef.Observation(Identity(), 0.5, grid=RING)
    filt = ef.LETKF(GaspariCohn(5.0), inflation=Doubled())
    for wanted in (2.0, 3.0):
        found = filt.analysis(x, np.zeros(60), obs)
        assert filt.facts["inflation"] == wanted
    wide = np.empty_like(x)
    Adaptive().widen(x, 3.0, wide)
    plain = ef.LETKF(GaspariCohn(5.0)).analysis(wide, np.zeros(60), obs)
    np.testing.assert_array_equal(found, plain)


def test_what_is_missing_is_said():
    x, y, obs = np.eye(4), np.zeros(4), ef.Observation(Identity(), 1.0)
    for filt in (ef.LEnFF(), ef.LETKF(FromEnsemble()), ef.EnKF(localization=FromEnsemble()),
                 ef.ETKF(inflation=Adaptive(local=True))):  # fmt: skip
        with pytest.raises(ValueError, match="grid is missing"):
            filt.analysis(x, y, obs)
    with pytest.raises(ValueError, match="locations is missing"):
        ef.LEnFF().analysis(x, y, ef.Observation(Linear(np.eye(4)), 1.0, grid=RegularGrid((4,))))
    with pytest.raises(TypeError, match="local=1: expected True, False or None"):
        Adaptive(local=1)
    with pytest.raises(TypeError, match=r"FromEnsemble\(\), ByVariable"):
        ef.LETKF(FromEnsemble)


@functools.cache
def untuned(members, seed, cycles=300):
    twin = ef.TwinExperiment(
        ef.models.Lorenz96(dim=40, dt=0.01),
        ef.Observation(Arctan() @ Every(2), std=0.05),
        cycles=cycles,
        steps_per_cycle=10,
    )
    return twin.run(ef.LEnFF(), members=members, seed=seed, progress=False)


@pytest.mark.parametrize("members", [8, 20])
def test_finds_the_truth_from_far_and_knows_how_far_it_is(members):
    """Every second component through arctan, five seeds: where every tuned filter loses some."""
    ratios = []
    for seed in range(5):
        result = untuned(members, seed)
        rmse, spread = result.rmse.analysis[200:].mean(), result.spread.analysis[200:].mean()
        assert rmse < 0.3  # of a climate of 3.6
        ratios.append(spread / rmse)
    assert 0.8 < np.mean(ratios) < 1.25


def test_a_result_tells_the_cycles_in_which_it_was_lost():
    """What the filter said cycle by cycle, and what the shell prints of it."""
    result = untuned(8, 0)
    share = np.zeros(300)
    share[[4, 5, 6, 90]] = 0.1, 0.25, 0.1, 0.05
    share[7] = np.nan  # nothing was observed
    result = dataclasses.replace(result, facts={"lost": share})
    np.testing.assert_array_equal(result.lost, [4, 5, 6, 90])
    out = io.StringIO()
    tables.print_result(Console(file=out, width=200), presets.get("lorenz96-partial"), result)
    told = "lost the truth somewhere in 4 of 300 cycles, 4-6, 90 (up to 25 % of the state)"
    assert told in out.getvalue()
    for facts in ({}, {"lost": np.zeros(300)}):
        out = io.StringIO()
        found = dataclasses.replace(result, facts=facts)
        assert found.lost.size == 0
        tables.print_result(Console(file=out, width=200), presets.get("lorenz96-partial"), found)
        assert "somewhere" not in out.getvalue()


@pytest.mark.parametrize("inflation", [1.0, ef.inflation.Adaptive(), ef.inflation.AdaptiveRTPS()])
def test_an_ensemble_of_a_batch_without_observations_tunes_nothing(inflation, rng):
    """What the filter remembers of it is what it would remember of it alone."""
    obs = ef.Observation(Every(2), 0.5, grid=RegularGrid((12,)))
    alone, batch = (ef.LETKF(FromEnsemble(), inflation=inflation) for _ in range(2))
    for k in range(4):
        x, y = 2 * rng.standard_normal((2, 8, 12)), rng.standard_normal((2, 6))
        y[0] = np.nan if k == 2 else y[0]
        one = alone.analysis(x[0], y[0], obs)
        both = batch.analysis(x, y, obs)
        np.testing.assert_array_equal(both[0], one)
    found, expected = (filt.state()["tuning"][0].moments for filt in (batch, alone))
    np.testing.assert_array_equal(found.squares, expected.squares)


@pytest.mark.parametrize("inflation", [ef.inflation.Adaptive(), ef.inflation.FiniteSize()])
def test_a_widened_forecast_is_still_that_of_no_time(inflation, rng):
    """An `IEnKF` whose forecast equals `previous` runs no model, whatever widens the forecast."""

    def model(x, steps):
        raise AssertionError("no time has passed")

    obs, x = ef.Observation(Every(2), 0.5), rng.standard_normal((8, 4))
    filt = ef.IEnKF(model, 1, inflation=inflation)
    analysis = filt.analysis(x, np.full(2, 4.0), obs, previous=x)
    assert filt.facts["inflation"] > 1
    expected = ef.ETKF(inflation=inflation).analysis(x, np.full(2, 4.0), obs)
    np.testing.assert_allclose(analysis, expected, atol=1e-12)
