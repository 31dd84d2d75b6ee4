"""Tapers, the distances of grids, and where observations lie."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import enfilt as ef
from enfilt.filters import neighbours
from enfilt.filters.kept_lists import KeptLists
from enfilt.geometry import Masked
from enfilt.grids import Points, RegularGrid
from enfilt.localization import ByVariable, GaspariCohn, Taper
from enfilt.operators import Arctan, Custom, Every, Identity, Linear, Subset

EPS = np.finfo(float).eps

# -- tapers


def by_the_book(distance, half_width):
    """Gaspari, Cohn (1999), eq. 4.10, in powers of z/c as printed, for one distance."""
    r = distance / half_width
    if r <= 1:
        return -(r**5) / 4 + r**4 / 2 + 5 * r**3 / 8 - 5 * r**2 / 3 + 1
    if r <= 2:
        return r**5 / 12 - r**4 / 2 + 5 * r**3 / 8 + 5 * r**2 / 3 - 5 * r + 4 - 2 / (3 * r)
    return 0.0


@given(cutoff=st.floats(1e-3, 1e6), part=st.floats(0, 3))
def test_taper_by_the_book(cutoff, part):
    expected = by_the_book(part * cutoff, cutoff / 2)
    found = GaspariCohn(cutoff=cutoff).weight(part * cutoff)
    # terms of at most 40/3 in size, a dozen roundings
    assert abs(found - expected) < 200 * EPS


@pytest.mark.parametrize("cutoff", [1e-3, 1.0, 7.3, 1e6])
def test_values_that_are_known(cutoff):
    taper = GaspariCohn(cutoff=cutoff)
    assert taper.weight(0.0) == 1
    np.testing.assert_allclose(taper.weight(cutoff / 2), 5 / 24, rtol=20 * EPS)
    assert taper.weight(cutoff) == 0
    beyond = cutoff * np.array([1 + EPS, 1.5, 100.0, np.inf])
    np.testing.assert_array_equal(taper.weight(beyond), 0)


def test_taper_is_smooth_where_its_pieces_meet():
    """Value, slope and curvature have no jump."""
    taper, h = GaspariCohn(cutoff=2.0), 1e-3
    for meeting in (1.0, 2.0):
        left = taper.weight(meeting - h * np.arange(3))
        right = taper.weight(meeting + h * np.arange(3))
        # differences to the left and to the right: f' and f'' are at most 1.6 and 4, f''' 30
        assert abs((right[1] - right[0]) + (left[1] - left[0])) < 4 * h**2 + 1e-15
        assert abs(np.dot([1, -2, 1], right) - np.dot([1, -2, 1], left)) < 60 * h**3 + 1e-14


def test_taper_falls_with_distance():
    distance = np.linspace(0, 2.2, 4001)
    weight = GaspariCohn(cutoff=2.0).weight(distance)
    steps = np.diff(weight)
    assert (steps <= 40 * EPS).all()  # a rounding apart
    assert (steps[(distance[1:] > 0.01) & (distance[1:] < 1.9)] < 0).all()
    assert ((weight >= 0) & (weight <= 1)).all()


@given(scale=st.floats(1e-3, 1e3), part=st.floats(0, 1.2))
def test_taper_depends_on_the_ratio_alone(scale, part):
    one, other = GaspariCohn(cutoff=3.0), GaspariCohn(cutoff=3.0 * scale)
    # the ratio is rounded three times, the slope is below 4 / cutoff
    assert abs(one.weight(3.0 * part) - other.weight(3.0 * scale * part)) < 200 * EPS


def test_taper_is_a_correlation():
    """Positive definite in up to three dimensions: what it was made for."""
    places = Points(np.random.default_rng(0).random((150, 3)))
    gaps = places.distances(places.coordinates(), places.coordinates())
    smallest = np.linalg.eigvalsh(GaspariCohn(cutoff=0.8).weight(gaps))[0]
    assert smallest > 0
    assert np.linalg.eigvalsh(Taper(cutoff=0.8, shape="step").weight(gaps))[0] < -0.1


def test_step():
    taper = Taper(cutoff=2.0, shape="step")
    distance = [0, 1.999, np.nextafter(2.0, 0), 2.0, 2.1]
    np.testing.assert_array_equal(taper.weight(distance), [1, 1, 1, 0, 0])


def test_a_callable_holds_within_the_cutoff():
    taper = Taper(cutoff=2.0, shape=lambda d: np.exp(-d))
    distance = np.array([[0.0, 1.0], [1.999, 2.0], [3.0, 9.0]])
    expected = np.exp(-distance) * (distance < 2.0)
    np.testing.assert_array_equal(taper.weight(distance), expected)
    endless = dataclasses.replace(taper, cutoff=np.inf)
    np.testing.assert_array_equal(endless.weight(distance), np.exp(-distance))


@pytest.mark.parametrize("taper", ["gaspari-cohn", "step"])
def test_an_infinite_cutoff_is_one_everywhere(taper):
    weight = Taper(cutoff=np.inf, shape=taper).weight([0.0, 1e300])
    np.testing.assert_array_equal(weight, 1)


@pytest.mark.parametrize(
    "taper",
    [
        lambda d: -d,
        lambda d: d[:1],
        lambda d: np.full_like(d, np.nan),
        lambda d: np.full_like(d, np.inf),
        lambda d: 1.0,
    ],
    ids=["negative", "shorter", "nan", "infinite", "scalar"],
)
def test_bad_weights_of_a_callable(taper):
    with pytest.raises(ValueError, match="shape returned"):
        Taper(cutoff=2.0, shape=taper).weight(np.array([0.5, 1.0]))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"cutoff": 0}, ValueError, "cutoff=0: expected a finite number and above 0"),
        ({"cutoff": -np.inf}, ValueError, "cutoff=-inf"),
        ({"cutoff": "wide"}, TypeError, "cutoff='wide'"),
        ({"cutoff": None}, ValueError, "cutoff=None"),
        ({"cutoff": 1, "shape": "gaspari_cohn"}, ValueError, "did you mean 'gaspari-cohn'"),
        ({"cutoff": 1, "shape": 3}, ValueError, "shape=3"),
    ],
)
def test_bad_tapers(options, kind, message):
    with pytest.raises(kind, match=message):
        Taper(**options)


# -- grids


def test_distances_on_a_ring_and_a_line():
    ring, line = RegularGrid((6,)), RegularGrid((6,), periodic=False)
    start, all_points = ring.coordinates([0]), ring.coordinates()
    np.testing.assert_array_equal(all_points, np.arange(6.0)[:, None])
    np.testing.assert_array_equal(ring.distances(start, all_points), [[0, 1, 2, 3, 2, 1]])
    np.testing.assert_array_equal(line.distances(start, all_points), [[0, 1, 2, 3, 4, 5]])


def test_distances_on_a_torus_and_a_rectangle():
    """Components in C order: number 4 of (3, 4) is the second row's first."""
    torus = RegularGrid((3, 4))
    rectangle = dataclasses.replace(torus, periodic=False)
    points = torus.coordinates([0, 4, 3, 8, 11, 6])
    np.testing.assert_array_equal(points, [[0, 0], [1, 0], [0, 3], [2, 0], [2, 3], [1, 2]])
    root = np.sqrt
    np.testing.assert_array_equal(
        torus.distances(points[:1], points), [[0, 1, 1, 1, root(2), root(5)]]
    )
    np.testing.assert_array_equal(
        rectangle.distances(points[:1], points), [[0, 1, 3, 2, root(13), root(5)]]
    )
    assert (torus.size, RegularGrid((7,)).size) == (12, 7)


def test_places_between_and_beyond_the_points():
    ring = RegularGrid((10,), spacing=0.5)  # the period is 5
    found = ring.distances(
        np.array([[0.25]]), np.array([[4.75], [-0.25], [5.25], [1003.0], [2.75]])
    )
    np.testing.assert_allclose(found, [[0.5, 0.5, 0, 2.25, 2.5]], atol=1e-12)


GRIDS = st.builds(
    RegularGrid,
    st.one_of(st.tuples(st.integers(1, 30)), st.tuples(st.integers(1, 8), st.integers(1, 8))),
    periodic=st.booleans(),
    spacing=st.floats(0.01, 100),
)


@given(grid=GRIDS, seed=st.integers(0, 2**32))
def test_distances_are_a_metric(grid, seed):
    axes = len(grid.shape)
    span = grid.spacing * max(grid.shape)
    a, b, c = np.random.default_rng(seed).uniform(-span, 2 * span, (3, 5, axes))
    ab, rounding = grid.distances(a, b), 50 * EPS * span
    np.testing.assert_allclose(grid.distances(b, a).T, ab, rtol=0, atol=rounding)
    np.testing.assert_array_equal(np.diag(grid.distances(a, a)), 0)
    assert (ab >= 0).all()
    through = ab[:, :, None] + grid.distances(b, c)[None]
    assert (grid.distances(a, c)[:, None] <= through + rounding).all()
    if grid.periodic:
        half = grid.spacing * np.array(grid.shape) / 2
        assert ab.max() <= np.sqrt(np.sum(half**2)) + rounding
        # some places turned by whole periods
        turns = np.random.default_rng(seed).integers(-2, 3, b.shape)
        turned = b + 2 * half * turns
        np.testing.assert_allclose(grid.distances(a, turned), ab, rtol=0, atol=10 * rounding)


@given(grid=GRIDS, data=st.data())
def test_distances_do_not_change_with_a_shift_or_the_unit(grid, data):
    shift = data.draw(st.lists(st.floats(-50, 50), min_size=len(grid.shape), max_size=2))
    shift = np.array(shift[: len(grid.shape)]) * grid.spacing
    points = grid.coordinates()[:20]
    expected = grid.distances(points, points)
    span = grid.spacing * (max(grid.shape) + 50)
    moved = grid.distances(points + shift, points + shift)
    np.testing.assert_allclose(moved, expected, rtol=0, atol=20 * EPS * span)
    unit = RegularGrid(grid.shape, periodic=grid.periodic)
    plain = unit.distances(unit.coordinates()[:20], unit.coordinates()[:20])
    np.testing.assert_allclose(grid.spacing * plain, expected, rtol=20 * EPS)


@given(n=st.integers(1, 9), k=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_points_have_the_euclidean_distance(n, k, seed):
    rng = np.random.default_rng(seed)
    places = rng.standard_normal((n, k))
    grid = Points(places)
    assert grid.size == n
    np.testing.assert_array_equal(grid.coordinates([n - 1, 0]), places[[n - 1, 0]])
    expected = [[np.linalg.norm(a - b) for b in places] for a in places]
    found = grid.distances(grid.coordinates(), grid.coordinates())
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    turn = np.linalg.qr(rng.standard_normal((k, k)))[0]
    moved = Points(places @ turn + 3).coordinates()
    np.testing.assert_allclose(grid.distances(moved, moved), found, rtol=0, atol=1e-13)


def test_points_are_kept_as_a_copy():
    places = np.arange(4.0)
    grid = Points(places)
    places[0] = 9
    np.testing.assert_array_equal(grid.coordinates(), np.arange(4.0)[:, None])
    with pytest.raises(ValueError, match="read-only"):
        grid.coordinates()[0] = 1


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: RegularGrid(5), TypeError, r"shape=5: expected a tuple of one to three integers"),
        (lambda: RegularGrid(()), ValueError, r"shape=\(\): expected one to three axes"),
        (lambda: RegularGrid((2,) * 4), ValueError, r"shape=\(2, 2, 2, 2\): expected one to three"),
        (lambda: RegularGrid((0,)), ValueError, "shape=0"),
        (lambda: RegularGrid((4, 2.5)), TypeError, "shape=2.5"),
        (lambda: RegularGrid((4,), spacing=0), ValueError, "spacing=0"),
        (lambda: RegularGrid((4,), spacing=np.inf), ValueError, "spacing=inf"),
        (lambda: RegularGrid((4,), periodic="no"), TypeError, "periodic='no'"),
        (lambda: Points([0.0], spacing=0), ValueError, "spacing=0"),
        (lambda: Points([]), ValueError, r"places has shape \(0, 1\)"),
        (lambda: Points(3.0), ValueError, r"places has shape \(\)"),
        (lambda: Points(np.zeros((2, 2, 2))), ValueError, r"places has shape \(2, 2, 2\)"),
        (lambda: Points([[0, 1], [2, np.nan]]), ValueError, r"places\[1, 1\] is nan"),
        (lambda: Points("ring"), TypeError, "places can't be read as an array"),
    ],
)
def test_bad_grids(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_list_is_a_shape():
    assert RegularGrid([3, 4]) == RegularGrid((3, 4))
    assert hash(RegularGrid([5])) == hash(RegularGrid((5,)))


# -- where the observations lie

LETKF = ef.LETKF(GaspariCohn(cutoff=3.0))
FORECAST = np.random.default_rng(0).standard_normal((5, 8))
RING = RegularGrid((8,))


@pytest.mark.parametrize(
    ("operator", "chosen"),
    [
        (Identity(), np.arange(8)),
        (Every(3, offset=1), [1, 4, 7]),
        (Subset([6, 0, 3]), [6, 0, 3]),
        (Arctan() @ Every(4), [0, 4]),
    ],
    ids=str,
)
def test_operators_that_choose_tell_the_places(operator, chosen):
    for grid in (RING, RegularGrid((2, 4), spacing=0.5), Points(FORECAST[0])):
        found, places = ef.Observation(operator, 1.0, grid=grid).places(8)
        assert found is grid
        np.testing.assert_array_equal(places, grid.coordinates(chosen))


def test_locations_that_are_given_come_first():
    where = [0.5, 3.0, 6.25]
    for operator in (Subset([1, 2, 3]), Linear(np.ones((3, 8)))):
        _, places = ef.Observation(operator, 1.0, grid=RING, locations=where).places(8)
        np.testing.assert_array_equal(places, np.array(where)[:, None])


def test_an_array_of_coordinates_is_a_grid():
    plain, points = (
        ef.Observation(Identity(), 1.0, grid=grid)
        for grid in (FORECAST[0].tolist(), Points(FORECAST[0]))
    )
    y = np.ones(8)
    np.testing.assert_array_equal(
        LETKF.analysis(FORECAST, y, plain), LETKF.analysis(FORECAST, y, points)
    )


def test_the_unit_of_the_cutoff_is_the_grids():
    y = np.ones(8)
    results = [
        ef.LETKF(GaspariCohn(cutoff=3.0 * spacing)).analysis(
            FORECAST, y, ef.Observation(Identity(), 1.0, grid=RegularGrid((8,), spacing=spacing))
        )
        for spacing in (1.0, 0.25)
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("operator", "options", "kind", "message"),
    [
        (Identity(), {}, ValueError, r"grid is missing.*Observation\(\.\.\., grid=model\.grid\)"),
        (Identity(), {"locations": np.zeros(8)}, ValueError, "grid is missing"),
        (Identity(), {"grid": RegularGrid((3, 3))}, ValueError, "grid has 9 points: expected 8"),
        (Identity(), {"grid": np.arange(7.0)}, ValueError, "grid has 7 points: expected 8"),
        (Identity(), {"grid": "ring"}, TypeError, "places can't be read"),
        (Identity(), {"grid": [0.0, np.nan] * 4}, ValueError, r"places\[1, 0\] is nan"),
        (Linear(np.eye(2, 8)), {"grid": RING}, ValueError, r"locations is missing.*locations="),
        (
            Every(4),
            {"grid": RING, "locations": np.zeros(3)},
            ValueError,
            r"locations has shape \(3, 1\): expected \(2, 1\)",
        ),
        (
            Every(4),
            {"grid": RegularGrid((2, 4)), "locations": np.zeros(2)},
            ValueError,
            r"locations has shape \(2, 1\): expected \(2, 2\)",
        ),
        (
            Every(4),
            {"grid": RING, "locations": [1.0, np.nan]},
            ValueError,
            r"locations\[1, 0\] is nan: expected finite",
        ),
        (
            Every(4),
            {"grid": Points(np.arange(8.0)), "locations": [-np.inf, 1.0]},
            ValueError,
            r"locations\[0, 0\] is -inf",
        ),
    ],
)
@pytest.mark.parametrize("filt", [LETKF, ef.EnKF(localization=GaspariCohn(cutoff=3.0))], ids=str)
def test_bad_places(filt, operator, options, kind, message):
    obs = ef.Observation(operator, 1.0, **options)
    out = FORECAST.copy()
    with pytest.raises(kind, match=message):
        filt.analysis(FORECAST, np.zeros(obs.size(8)), obs, out=out)
    np.testing.assert_array_equal(out, FORECAST)


# -- none


def without_places(filt, obs, y, **options):
    """The analysis with a localization that is none, and nothing said of places."""
    none = GaspariCohn(cutoff=np.inf)
    return dataclasses.replace(filt, localization=none).analysis(FORECAST, y, obs, **options)


@pytest.mark.parametrize("operator", [Every(2), Linear(np.eye(3, 8)), Custom(np.sin)])
@pytest.mark.parametrize("grid", [None, RING, RegularGrid((2, 4), variables=1), FORECAST[0]])
def test_no_localization_needs_no_places_and_is_the_filter_without(operator, grid):
    obs, plain = (ef.Observation(operator, 0.5, grid=g) for g in (grid, None))
    y = 0.1 * np.arange(operator(FORECAST).shape[1])
    y[1] = np.nan
    pairs = [(LETKF, ef.ETKF()), (dataclasses.replace(LETKF, rotate=True), ef.ETKF(rotate=True))]
    pairs += [(ef.EnKF(method=m), ef.EnKF(method=m)) for m in ("perturbed", "denkf")]
    for localized, without in pairs:
        found = without_places(localized, obs, y, rng=3)
        np.testing.assert_array_equal(found, without.analysis(FORECAST, y, plain, rng=3))
    # the flow filter has no other form: on a grid of its own all are near
    flow = ef.LEnFF(GaspariCohn(cutoff=np.inf))
    wide = ef.LEnFF(Taper(cutoff=1e9, shape="step"))
    somewhere = ef.Observation(operator, 0.5, grid=RING, locations=np.zeros(y.size))
    np.testing.assert_allclose(
        without_places(flow, obs, y), wide.analysis(FORECAST, y, somewhere), rtol=1e-12
    )


def test_no_localization_of_a_regression_and_of_a_prior():
    y, obs = np.array([0.3, -0.2]), ef.Observation(Every(4), 0.5)
    regression = ef.EnSF(steps=3, regress_unobserved=True)
    np.testing.assert_array_equal(
        without_places(regression, obs, y, rng=3), regression.analysis(FORECAST, y, obs, rng=3)
    )
    none, sample = (ef.priors.GaussianPrior(taper) for taper in (GaspariCohn(np.inf), None))
    found, wanted = (ef.SSLS(prior=p, steps=5).analysis(FORECAST, y, obs, rng=3)
                     for p in (none, sample))  # fmt: skip
    np.testing.assert_array_equal(found, wanted)


def test_an_infinite_cutoff_localizes_where_distances_or_a_taper_do():
    apart = RegularGrid((4,), variables=2, between_variables=False)
    obs = ef.Observation(Subset([1]), 0.5, grid=apart)
    for filt in (LETKF, ef.LEnFF(GaspariCohn(1.0)), ef.EnKF()):
        moved = (without_places(filt, obs, [1.0], rng=0) != FORECAST).any(axis=0)
        np.testing.assert_array_equal(moved, np.arange(8) < 4)
    fading = Taper(np.inf, shape=lambda d: np.exp(-d))
    for filt in (ef.LETKF(fading), ef.LEnFF(fading), ef.EnKF(localization=fading)):
        with pytest.raises(ValueError, match="grid is missing"):
            filt.analysis(FORECAST, [1.0], ef.Observation(Subset([1]), 0.5))


FILTERS = {
    "LEnFF": ef.LEnFF,
    "LETKF": ef.LETKF,
    "EnKF": lambda taper: ef.EnKF(localization=taper, method="denkf"),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("apart", [False, True])
def test_tapers_by_variable(name, apart, rng, dtype):
    """Variables that don't see each other are problems of their own; like ones have one taper."""
    grid = RegularGrid((6, 7), variables=2, between_variables=not apart)
    tapers = GaspariCohn(2.5), GaspariCohn(4.0)
    x = rng.standard_normal((6, 84)).astype(dtype)
    y = rng.standard_normal(84).astype(dtype)
    y[[3, 50]] = np.nan
    tolerance = 1e-5 if dtype == "f4" else 1e-12

    def analysis(taper, where, part=slice(None)):
        obs = ef.Observation(Arctan(), 0.5, grid=where)
        return FILTERS[name](taper).analysis(x[:, part], y[part], obs)

    both = ByVariable(((tapers[0], tapers[0]), tapers), np.eye(2))
    one = RegularGrid((6, 7))
    wanted = [analysis(tapers[0], one, slice(42)), analysis(tapers[1], one, slice(42, 84))]
    np.testing.assert_allclose(analysis(both, grid), np.hstack(wanted), atol=tolerance)
    alike = ByVariable(((tapers[1],) * 2,) * 2, np.eye(2) if apart else np.ones((2, 2)))
    np.testing.assert_allclose(analysis(alike, grid), analysis(tapers[1], grid), atol=tolerance)


@pytest.mark.parametrize("name", ["LEnFF", "LETKF"])
def test_a_variable_that_sees_another_weakly(name, rng, backend):
    """The lists of a regular grid hold what all distances and all pairs of variables say."""
    grid = RegularGrid((5, 6), variables=2, periodic=False)
    taper = ByVariable(
        ((GaspariCohn(2.5), GaspariCohn(3.5)), (GaspariCohn(2.0), GaspariCohn(4.0))),
        ((1.0, 0.4), (0.2, 1.0)),
    )
    x, seen = rng.standard_normal((6, 60)), np.array([40, 2, 31, 7, 59, 11])
    obs = ef.Observation(Subset(seen), 0.5, grid=grid)
    parts = neighbours.in_windows(grid, taper, np.arange(60), seen)
    table = np.zeros((60, 6))
    for part in parts:
        rows = np.repeat(np.arange(60)[part.columns], np.diff(part.starts))
        np.add.at(table, (rows, part.indices), part.weights)
    apart = grid.distances(grid.coordinates(), grid.coordinates(seen))
    wanted = taper.weight(apart, np.arange(60)[:, None] // 30, seen // 30)
    np.testing.assert_allclose(table, wanted, atol=1e-15)
    y = rng.standard_normal(6)
    found = FILTERS[name](taper)
    other = dataclasses.replace(found, backend=backend).analysis(x, y, obs)
    oracle = dataclasses.replace(found, backend="numpy").analysis(x, y, obs)
    np.testing.assert_allclose(other, oracle, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("tapers", "amplitudes", "error"),
    [
        ((), (), "amplitudes has shape"),
        (((GaspariCohn(1.0),),), ((1.5,),), "from 0 to 1"),
        (((GaspariCohn(1.0),),), ((0.0,),), "not all of them 0"),
        (((GaspariCohn(1.0),),), ((1.0, 1.0), (1.0, 1.0)), "2 rows of as many"),
        (((2.0,),), ((1.0,),), "expected a Taper or GaspariCohn in all rows"),
    ],
)
def test_bad_tapers_by_variable(tapers, amplitudes, error):
    with pytest.raises((TypeError, ValueError), match=error):
        ByVariable(tapers, amplitudes)


def test_tapers_by_variable_need_variables():
    filt = ef.LETKF(ByVariable(((GaspariCohn(1.0),) * 2,) * 2, np.ones((2, 2))))
    x, y = np.eye(3, 8), np.zeros(8)
    with pytest.raises(ValueError, match="grid of 2 variables"):
        filt.analysis(x, y, ef.Observation(Identity(), 1.0, grid=RegularGrid((8,))))
    grid = RegularGrid((4,), variables=2)
    places = grid.coordinates()
    obs = ef.Observation(None, 1.0, grid=grid, locations=places)
    with pytest.raises(ValueError, match="locations do not tell the variable"):
        filt.analysis(x, y, obs, observed=x)
    # an operator does, wherever its observations are
    found = filt.analysis(x, y, ef.Observation(Identity(), 1.0, grid=grid, locations=places))
    wanted = filt.analysis(x, y, ef.Observation(Identity(), 1.0, grid=grid))
    np.testing.assert_allclose(found, wanted, atol=1e-12)


LEVELS = ef.geometry.Sphere(
    np.arange(0, 360, 40.0),
    np.arange(-80, 90, 20.0)[:, None],
    vertical=[0.0, 5.0, 9.0],
    vertical_scale=200.0,
    variables={"u": 3, "t": 3, "ps": 1},
)
OF_LEVELS = ByVariable(
    (
        (GaspariCohn(4000.0), GaspariCohn(3000.0), GaspariCohn(5000.0)),
        (GaspariCohn(3000.0), GaspariCohn(6000.0), GaspariCohn(2500.0)),
        (GaspariCohn(5000.0), GaspariCohn(2500.0), GaspariCohn(7000.0)),
    ),
    ((1.0, 0.5, 0.3), (0.5, 1.0, 0.0), (0.3, 0.0, 1.0)),
)


@pytest.mark.parametrize("name", FILTERS)
def test_interpolated_observations_tell_their_variable(name, rng):
    """Variables of different levels that don't see each other are problems of their own."""
    kinds = np.array(["ps", "u", "t", "u", "ps", "t", "u"])
    places = np.column_stack(
        [rng.uniform(0, 360, 7), rng.uniform(-80, 80, 7), rng.uniform(0, 9, 7)]
    )
    x, y = rng.standard_normal((6, LEVELS.size)), rng.standard_normal(7)
    y[5] = np.nan

    def analysis(taper, part, chosen):
        h, where = ef.operators.interpolate(LEVELS, places[chosen], variable=kinds[chosen])
        h, grid = (
            h.matrix[:, part],
            Masked(LEVELS, np.isin(np.arange(LEVELS.size), np.arange(LEVELS.size)[part])),
        )
        obs = ef.Observation(ef.operators.Linear(h), 0.5, grid=grid, locations=where)
        return FILTERS[name](taper).analysis(x[:, part], y[chosen], obs)

    apart = ByVariable(OF_LEVELS.tapers, np.eye(3))
    found = analysis(apart, slice(0, LEVELS.size), np.arange(7))
    for v, variable in enumerate(["u", "t", "ps"]):
        part = LEVELS.components(variable)
        alone = analysis(OF_LEVELS.tapers[v][v], part, np.flatnonzero(kinds == variable))
        np.testing.assert_allclose(found[:, part], alone, atol=1e-12)


def test_lists_of_variables_of_different_levels(rng):
    """They hold what all distances and all pairs of variables say."""
    kinds = np.tile(["u", "ps", "t"], 5)
    places = np.column_stack([rng.uniform(0, 360, 15), rng.uniform(-80, 80, 15), np.full(15, 4.0)])
    h, where = ef.operators.interpolate(LEVELS, places, variable=kinds)
    by = ef.Observation(h, 0.5, grid=LEVELS, locations=where).variables(LEVELS.size)
    np.testing.assert_array_equal(by, np.tile([0, 2, 1], 5))
    table = np.zeros((LEVELS.size, 15))
    for part in KeptLists().of(LEVELS, where, slice(None), OF_LEVELS, by=by, each=True):
        rows = part.first + np.repeat(np.arange(len(part.starts) - 1), np.diff(part.starts))
        np.add.at(table, (rows, part.indices), part.weights)
    apart = LEVELS.distances(LEVELS.coordinates(), where)
    wanted = OF_LEVELS.weight(apart, LEVELS.variables_of()[:, None], by)
    np.testing.assert_allclose(table, wanted, atol=1e-12)


def test_the_window_of_a_grid_is_made_once_for_a_taper():
    """A small analysis would spend a quarter of its time on making it anew."""
    grid, taper = ef.geometry.RegularGrid((40,)), GaspariCohn(10.0)
    first = neighbours.window(grid, taper)
    assert neighbours.window(ef.geometry.RegularGrid((40,)), GaspariCohn(10.0)) is first
    assert neighbours.window(grid, GaspariCohn(11.0)) is not first
    assert not first.weights.flags.writeable
    assert not first.offsets.flags.writeable
