"""Which observations components see, kept from one analysis to the next."""

import pickle

import numpy as np
import pytest
from pairs import pairs

import enfilt as ef
from enfilt import backends
from enfilt.filters import kept_lists, list_parts, neighbours
from enfilt.filters.kept_lists import KeptLists
from enfilt.grids import Points, RegularGrid
from enfilt.localization import ByVariable, GaspariCohn, Taper

RNG = np.random.default_rng(5)
CLOUD = RNG.uniform(0, 6, (90, 2))
ROUND = RNG.uniform(-180, 180, 90), np.append(RNG.uniform(-90, 90, 88), [-90, 90])
SPHERE = ef.geometry.Sphere(*ROUND)
APART = RegularGrid((9, 10), variables=2, between_variables=False)


class Doubled(Points):
    """Measures distances its own way."""

    def distances(self, a, b):
        return 2 * super().distances(a, b)


def table(parts, size, observations):
    """Return lists as a table of weights, components against observations."""
    rows, found = np.zeros((size, observations)), np.zeros(size, int)
    for part in parts:
        columns = np.arange(size)[part.columns]
        owners = np.arange(len(part.starts)) if part.owners is None else part.owners
        for i, (begin, end) in enumerate(zip(part.starts[:-1], part.starts[1:], strict=True)):
            assert (np.diff(part.indices[begin:end]) > 0).all()
            here = columns[owners[i] : owners[i + 1], None]
            assert here.size
            found[here] += 1
            rows[here, part.indices[begin:end]] = part.weights[begin:end]
    assert (found == 1).all()
    return rows


def expected(grid, places, taper, of, blocks):
    """Return the same from all distances."""
    weights = grid.distances(of, places)
    if isinstance(taper, ByVariable):
        # of variables kept apart, places begin with their variable
        weights = taper.weight(weights, of[:, :1].astype(int), places[:, 0].astype(int))
    else:
        weights = taper.weight(weights)
    for block in () if blocks is None else np.unique(blocks):
        weights[:, blocks == block] = weights[:, blocks == block].max(axis=1, keepdims=True)
    return weights


def by_variable(long, short):
    tapers = ((GaspariCohn(long), GaspariCohn(short)), (GaspariCohn(short), GaspariCohn(short)))
    return ByVariable(tapers, ((1.0, 0.5), (0.5, 0.0)))


GRIDS = {
    "variable after variable": Points(np.tile(CLOUD, (3, 1))),
    "place after place": Points(np.repeat(CLOUD, 3, axis=0)),
    "all apart": Points(np.vstack([CLOUD, CLOUD + 0.01])),
    "distances of its own": Doubled(np.tile(CLOUD, (2, 1))),
    "a torus": RegularGrid((9, 10), variables=2),
    "a channel": RegularGrid((9, 10), periodic=(False, True), spacing=(0.3, 0.9)),
    "a sphere": SPHERE,
    "heights": ef.geometry.Sphere(*ROUND, vertical=RNG.uniform(0, 3, 90), vertical_scale=3000.0),
    "five axes": Points(RNG.uniform(0, 2, (90, 5))),
    "variables apart": APART,
}


CORES = [None] if backends.core() is None else [None, backends.core()]


@pairs(
    {
        "core": CORES,
        "bound": [kept_lists.KEPT, 20_000, 100],
        "name": list(GRIDS),
        "each": [True, False],
    }
)
def test_lists_are_what_distances_say(core, bound, name, each, monkeypatch):
    monkeypatch.setattr(kept_lists, "KEPT", bound)
    monkeypatch.setattr(backends, "core", lambda: core)
    grid, kept = GRIDS[name], KeptLists()
    everywhere = grid.coordinates()
    places = np.repeat(grid.coordinates(RNG.integers(0, grid.size, 20)), 2, axis=0)
    places = RNG.permutation(places)
    everything, some, other = np.arange(40), np.arange(0, 40, 3), np.arange(1, 36, 5)
    blocks = RNG.integers(0, 30, 40)
    unit = 3000.0 if isinstance(grid, ef.geometry.Sphere) else 1.0  # km
    for cutoff, seen, values, blocked in [
        (2.0, some, False, False),
        (2.0, some, False, False),
        (1.5, other, False, True),
        (3.0, everything, False, False),
        (np.inf, some, True, False),
        (2.5, everything, True, True),
        (2.5, some, False, False),
    ]:
        tapers = [GaspariCohn(unit * cutoff), Taper(unit * cutoff, shape="step")]
        if grid is APART:
            tapers.append(by_variable(cutoff, 1.2))
        for taper in tapers:
            part, of = blocks[seen] if blocked else None, places[seen] if values else everywhere
            wanted = expected(grid, places[seen], taper, of, part)
            by = places[seen, 0].astype(int) if isinstance(taper, ByVariable) else None
            options = {"values": values, "blocks": part, "by": by, "each": each}
            found = kept.of(grid, places, seen, taper, **options)
            np.testing.assert_allclose(table(found, *wanted.shape), wanted, atol=1e-14)
    held = sum(kept_lists._bytes(parts) for _, parts in kept._lists)
    assert held <= bound
    assert sum(12 * len(pairs.indices) for pairs in kept._pairs) <= 2 * bound


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("reach", [1e-3, 0.3, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("name", ["line", "far off", "ring", "box", "apart", "sphere", "heights"])
def test_pairs_are_those_that_all_distances_say(name, reach, core, monkeypatch):
    """Of thousands of observations, some in one place, about places that may be far from all."""
    monkeypatch.setattr(backends, "core", lambda: core)
    draw = np.random.default_rng(1).uniform
    grid, m = Points(np.zeros((1, 3))), 5000
    seen = draw(0, 5, (m, 3))
    if name == "line":
        grid, seen = Points(np.zeros(1)), draw(0, 3000, (m, 1))
    elif name == "far off":
        seen += 1e7
    elif name == "ring":
        grid, seen = RegularGrid((40,), spacing=0.3), draw(-9, 30, (m, 1))
    elif name == "box":
        grid = RegularGrid((9, 8, 7), periodic=(True, False, True))
    elif name == "apart":
        grid = RegularGrid((9, 8), variables=3, between_variables=False)
        seen[:, 0] //= 2
    elif name in ("sphere", "heights"):
        seen[:, 0], seen[:, 1] = draw(-180, 180, m), np.degrees(np.arcsin(draw(-1, 1, m)))
        seen[:9, 1] = 90
        heights = {"vertical": [0.0], "vertical_scale": 1e3} if name == "heights" else {}
        grid, seen = ef.geometry.Sphere([0.0], [0.0], **heights), seen[:, : 2 + len(heights) // 2]
        reach *= 400
    seen[40:60] = seen[:20]
    where = np.vstack([seen[::40], seen[:9]])
    where[-9:, -1] *= 0.9 if name == "sphere" else 1.7
    starts, indices, distances = neighbours.pairs(grid, seen, reach, where, 10**9)
    found = np.full((len(where), m), np.inf)
    found[np.repeat(np.arange(len(where)), np.diff(starts)), indices] = distances
    wanted = grid.distances(where, seen)
    rounding = 1e-9 * max(reach, 1.0)
    assert (np.isfinite(found) == (wanted < reach))[np.abs(wanted - reach) > rounding].all()
    inside = np.isfinite(found)
    np.testing.assert_allclose(found[inside], wanted[inside], atol=rounding)
    assert inside.any(axis=1).sum() >= 125
    assert neighbours.pairs(grid, seen, reach, where, len(indices) - 1) is None


@pytest.mark.parametrize("bound", [kept_lists.KEPT, 100])
def test_a_taper_by_variable_where_places_do_not_tell_it(bound, monkeypatch):
    monkeypatch.setattr(kept_lists, "KEPT", bound)
    grid = ef.geometry.Sphere(
        np.arange(0, 360, 30), np.array([[-40.0], [10.0], [50.0]]), variables=2
    )
    seen, everyone = RNG.permutation(72)[:30], np.arange(72)
    places, taper = grid.coordinates(seen), by_variable(6000.0, 3500.0)
    weights = grid.distances(grid.coordinates(), places)
    wanted = taper.weight(weights, everyone[:, None] // 36, seen // 36)
    at = everyone, seen
    found = KeptLists().of(grid, places, slice(None), taper, at=at, by=seen // 36)
    np.testing.assert_allclose(table(found, 72, 30), wanted, atol=1e-14)


@pytest.mark.parametrize(("components", "pairs"), [(50, 10**6), (10**6, 300)])
def test_lists_are_long(components, pairs, monkeypatch):
    monkeypatch.setattr(list_parts, "_LONG", components)
    monkeypatch.setattr(list_parts, "_PAIRS", pairs)
    monkeypatch.setattr(neighbours, "_ENTRIES", 64)
    grid, taper, seen = RegularGrid((9, 10), variables=2), GaspariCohn(2.0), np.arange(0, 180, 4)
    short = list(neighbours.in_windows(grid, taper, np.arange(180), seen))
    places, at = grid.coordinates(seen), (np.arange(180), seen)
    found = list(KeptLists().of(grid, places, slice(None), taper, at=at))
    assert 1 < len(found) < len(short) / 2
    assert all(len(p.starts) - 1 <= components and len(p.indices) <= pairs for p in found)
    wanted = expected(grid, places, taper, grid.coordinates(), None)
    np.testing.assert_allclose(table(found, 180, 45), wanted, atol=1e-14)
    np.testing.assert_array_equal(table(short, 180, 45), table(found, 180, 45))


@pytest.mark.parametrize("make", [ef.LETKF, ef.LEnFF])
@pytest.mark.parametrize("taper", [GaspariCohn(2.0), ef.localization.FromEnsemble()])
def test_nothing_is_searched_for_twice(make, taper, monkeypatch):
    searches = []
    search = neighbours.pairs
    monkeypatch.setattr(
        neighbours, "pairs", lambda *args: (searches.append(args[2]), search(*args))[1]
    )
    grid = Points(np.tile(CLOUD, (2, 1)))
    obs = ef.Observation(ef.operators.Every(3), std=0.5, grid=grid)
    filt, y = make(taper), RNG.standard_normal((4, 60))
    y[0, 7], y[2, [3, 5, 8]] = np.nan, np.nan  # some are missing, and others later
    for values in y:
        forecast = RNG.standard_normal((6, 180)) + 3 * np.sin(np.tile(CLOUD.sum(axis=1), 2))
        analysis = filt.analysis(forecast, values, obs)
        if taper != ef.localization.FromEnsemble():
            found = len(searches)
            fresh = make(taper).analysis(forecast, values, obs)
            np.testing.assert_array_equal(analysis, fresh)
            del searches[found:]
    # components, and values that move along; cutoffs differ, and each search reaches farther
    kinds = 2 if make is ef.LEnFF else 1
    assert kinds <= len(searches) <= kinds * len(set(searches))
    assert pickle.loads(pickle.dumps(filt))._memory.lists._lists == []


def test_other_observations_are_no_neighbours_of_before():
    filt = ef.LETKF(GaspariCohn(1.0))
    forecast = RNG.standard_normal((6, 90))
    for chosen in ([0, 1], [5, 7], [0, 1]):
        obs = ef.Observation(ef.operators.Subset(chosen), std=0.5, grid=Points(CLOUD))
        moved = (filt.analysis(forecast, np.zeros(2), obs) != forecast).any(axis=0)
        near = np.linalg.norm(CLOUD[:, None] - CLOUD[chosen], axis=-1) < 1
        np.testing.assert_array_equal(moved, near.any(axis=1))
