"""Geometry: the sphere, and grids whose axes differ."""

import numpy as np
import pytest
from conftest import BACKENDS

import enfilt as ef
from enfilt.geometry import EARTH_RADIUS, Masked, Points, RegularGrid, Sphere
from enfilt.localization import FromEnsemble, GaspariCohn, Taper

RNG = np.random.default_rng(11)


def haversine(a, b):
    """Return the distances (n, m) of places in degrees along great circles, in km."""
    (lon, lat), (lon2, lat2) = np.deg2rad(a).T[..., None], np.deg2rad(b).T[:, None]
    square = np.sin((lat - lat2) / 2) ** 2
    square = square + np.cos(lat) * np.cos(lat2) * np.sin((lon - lon2) / 2) ** 2
    return 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.minimum(square, 1)))


# over the poles, on them, over the date line, and a turn on
EDGES = np.array(
    [[0, 90], [77, 90], [0, -90], [0, 89], [180, 89], [179, 0], [-179, 0], [539, 10], [12, -40]],
    dtype=float,
)


def test_distances_over_poles_and_date_line():
    places = np.vstack(
        [EDGES, np.column_stack([RNG.uniform(-360, 360, 50), RNG.uniform(-90, 90, 50)])]
    )
    sphere, chord = Sphere(*places.T), Sphere(*places.T, distance="chord")
    where = sphere.coordinates()
    np.testing.assert_array_equal(where, places)
    exact = haversine(places, places)
    # near the antipode an arcsine halves the digits
    np.testing.assert_allclose(sphere.distances(where, where), exact, atol=1e-3)
    near = exact < 15_000
    np.testing.assert_allclose(sphere.distances(where, where)[near], exact[near], atol=1e-8)
    through = 2 * EARTH_RADIUS * np.sin(exact / (2 * EARTH_RADIUS))
    np.testing.assert_allclose(chord.distances(where, where), through, atol=1e-8)
    assert sphere.distances(where[:2], where[2:3]).round(3).tolist() == [[20015.087]] * 2


def forecast(grid, members=8):
    return np.random.default_rng(1).standard_normal((members, grid.size))


class Plain(Sphere):
    """Distances of its own: all are computed."""


def filters(taper):
    yield ef.LETKF(taper)
    yield ef.LEnFF(taper, steps=2)
    yield ef.EnKF(localization=taper, method="denkf")


# a quarter of the circumference is 10,007 km
@pytest.mark.parametrize("cutoff", [3000.0, 14_000.0, np.inf])
@pytest.mark.parametrize("heights", [None, RNG.uniform(0, 20, 60)])
def test_what_a_tree_finds_is_what_all_distances_tell(cutoff, heights):
    options = {"vertical": heights, "vertical_scale": 100.0}
    where = RNG.uniform(-180, 180, 60), np.rad2deg(np.arcsin(RNG.uniform(-1, 1, 60)))
    found = []
    for kind in (Sphere, Plain):
        grid = kind(*where, **options)
        obs = ef.Observation(ef.operators.Every(4), std=0.5, grid=grid)
        found.append(
            [f.analysis(forecast(grid), np.zeros(15), obs) for f in filters(GaspariCohn(cutoff))]
        )
    np.testing.assert_allclose(*found, atol=1e-9)


def grid_of(turn=0.0, mirrored=False, **options):
    latitude = np.linspace(-87.5, 87.5, 10) * (-1 if mirrored else 1)
    return Sphere(np.arange(0, 360, 30) + turn, latitude[:, None], **options)


@pytest.mark.parametrize("moved", [{"turn": 147.0}, {"turn": -720.0}, {"mirrored": True}])
@pytest.mark.parametrize("variables", [1, 2])
def test_turned_and_mirrored_problems(moved, variables):
    components = RNG.permutation(120 * variables)[:60]
    results = []
    for grid in (grid_of(variables=variables), grid_of(variables=variables, **moved)):
        smooth = np.tile(
            np.exp(-grid_of().distances([[0, 0]], grid_of().coordinates()) / 3000), variables
        )
        x = forecast(grid) + 3 * forecast(grid)[:, :1] * smooth
        obs = ef.Observation(ef.operators.Subset(components), std=0.5, grid=grid)
        y = np.zeros(60)
        found = [f.analysis(x, y, obs) for f in filters(FromEnsemble())]
        found += [f.analysis(x, y, obs) for f in filters(GaspariCohn(5000.0))]
        found.append(ef.LEnFF().analysis(x, y, obs))
        results.append(found)
    np.testing.assert_allclose(*results, atol=1e-8)


def test_locations_and_components_are_the_same_places():
    grid = grid_of(vertical=np.array([0.0, 5.0, 10.0])[:, None, None], vertical_scale=100.0)
    assert grid.size == 360
    x, chosen = forecast(grid), np.arange(3, 360, 17)
    of = ef.operators.Subset(chosen)
    here = ef.Observation(of, std=0.5, grid=grid)
    where = grid.coordinates(chosen) + np.array([360.0, 0, 0])
    there = ef.Observation(of, std=0.5, grid=grid, locations=where)
    for filt in (*filters(GaspariCohn(4000.0)), *filters(FromEnsemble()), ef.LEnFF()):
        found = [filt.analysis(x, np.zeros(len(chosen)), obs) for obs in (here, there)]
        filt.reset()
        np.testing.assert_allclose(*found, atol=1e-8)
        assert not np.array_equal(found[0], x)


def test_levels_by_name():
    heights = np.array([0.0, 4.0, 9.0])
    grid = grid_of(vertical=heights, variables={"u": 3, "t": 3, "ps": 1}, vertical_scale=50.0)
    assert grid.size == 7 * 120
    assert grid.components("t") == slice(360, 720)
    np.testing.assert_array_equal(grid.coordinates(grid.components("ps"))[:, 2], 0)
    third = grid.coordinates(grid.components("t")).reshape(3, 120, 3)
    np.testing.assert_array_equal(third[:, :, 2], np.repeat(heights[:, None], 120, axis=1))
    np.testing.assert_array_equal(third[1, :, :2], grid_of().coordinates())
    own = grid_of(vertical={"u": heights, "ps": [9.0]}, variables={"u": 3, "ps": 1})
    np.testing.assert_array_equal(own.coordinates()[:, 2], np.repeat([0.0, 4.0, 9.0, 9.0], 120))
    other = grid_of(vertical={"u": heights, "t": heights + 1}, variables={"u": 3, "t": 3})
    assert other.variables_at_places == own.variables_at_places == 1
    alike = grid_of(vertical=heights, variables={"u": 3, "t": 3})
    assert (grid.variables_at_places, alike.variables_at_places) == (1, 2)
    obs = ef.Observation(ef.operators.Every(9), std=0.5, grid=grid)
    filt = ef.LEnFF()
    assert np.isfinite(filt.analysis(forecast(grid), np.zeros(94), obs)).all()
    obs = ef.Observation(ef.operators.Every(9), std=0.5, grid=alike)
    filt.analysis(forecast(alike), np.zeros(80), obs)
    assert {"cutoff of variable 0", "cutoff of variable 1"} < set(filt.facts)


def test_tapers_by_variable_on_a_sphere():
    grid, one = grid_of(variables=2), GaspariCohn(4000.0)
    obs = ef.Observation(ef.operators.Every(7), std=0.5, grid=grid)
    tapers = ((one, one), (one, one))
    alike = ef.localization.ByVariable(tapers, np.ones((2, 2)))
    apart = ef.localization.ByVariable(tapers, np.eye(2))
    x, y, half = forecast(grid), np.zeros(35), grid_of()
    for both, same, own in zip(filters(one), filters(alike), filters(apart), strict=True):
        expected = both.analysis(x, y, obs)
        np.testing.assert_allclose(same.analysis(x, y, obs), expected, atol=1e-10)
        single = ef.Observation(ef.operators.Every(7), std=0.5, grid=half)
        alone = both.analysis(x[:, :120], y[:18], single)
        np.testing.assert_allclose(own.analysis(x, y, obs)[:, :120], alone, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Sphere([0, 1], [0, 91.5]), ValueError, "latitude holds the latitude 91.5"),
        (lambda: Sphere([0, np.nan], [0, 1]), ValueError, r"longitude\[1\] is nan"),
        (lambda: Sphere([0, 1], [0, 1, 2]), ValueError, r"longitude \(2,\), latitude \(3,\)"),
        (lambda: Sphere([], []), ValueError, r"shape \(0,\)"),
        (lambda: Sphere("east", 0), TypeError, "longitude"),
        (lambda: Sphere(0, 0, variables=0), ValueError, "variables=0"),
        (lambda: Sphere(0, 0, variables={"u": 0}), ValueError, r"variables\['u'\]=0"),
        (lambda: Sphere(0, 0, variables={}), ValueError, "at least one variable"),
        (lambda: Sphere(0, 0, vertical=[1, 2], variables={"u": 3}), ValueError, r"shape \(2,\)"),
        (
            lambda: Sphere(0, 0, vertical={"u": [1, 2]}, variables={"u": 3}),
            ValueError,
            r"vertical\['u'\] has shape \(2,\): expected \(3,\)",
        ),
        (
            lambda: Sphere(0, 0, vertical={"u": [1]}, variables={"u": 1, "t": 1}),
            ValueError,
            r"the heights of \['u'\]: expected those of variables=.*'t'",
        ),
        (lambda: Sphere(0, 0, vertical_scale=0), ValueError, "vertical_scale=0"),
        (lambda: Sphere(0, 0, distance="crow"), ValueError, "distance='crow'"),
        (lambda: Sphere(0, 0).components("u"), ValueError, "variable='u'"),
        (lambda: Sphere(0, 0).distances([[0, -95]], [[0, 0]]), ValueError, "a holds the latitude"),
        (lambda: RegularGrid((2, 3), periodic=(True,)), ValueError, r"periodic=\(True,\) has 1"),
        (lambda: RegularGrid((2, 3), spacing=(1, -2)), ValueError, "spacing=-2"),
    ],
)
def test_bad_geometry(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_location_beyond_the_pole():
    obs = ef.Observation(None, std=1.0, grid=grid_of(), locations=[[0, 0], [20, -90.5]])
    with pytest.raises(ValueError, match=r"locations holds the latitude -90\.5"):
        ef.LETKF(GaspariCohn(1000.0)).analysis(
            forecast(grid_of()),
            np.zeros(2),
            obs,
            observed=np.zeros((8, 2)) + forecast(grid_of())[:, :2],
        )


# -- grids whose axes differ

MIXED = RegularGrid((5, 6), periodic=(False, True), spacing=(2.0, 0.5))


def test_spacing_and_period_of_each_axis():
    where = MIXED.coordinates()
    rows, columns = np.divmod(np.arange(30), 6)
    along = np.abs(np.subtract.outer(columns, columns))
    expected = np.hypot(2.0 * np.subtract.outer(rows, rows), 0.5 * np.minimum(along, 6 - along))
    np.testing.assert_allclose(MIXED.distances(where, where), expected)


@pytest.mark.parametrize(
    ("grid", "cutoff"),
    [
        (RegularGrid((4, 5, 6), periodic=False, spacing=(2.0, 1.0, 0.5)), 3.0),
        (RegularGrid((8, 9), periodic=False, spacing=(2.0, 0.5)), 4.0),
        (RegularGrid((60,), periodic=False, spacing=0.1), 0.55),
    ],
)
@pytest.mark.parametrize("variables", [1, 2])
def test_grids_of_all_axes_against_points(grid, cutoff, variables):
    grid = RegularGrid(grid.shape, grid.periodic, grid.spacing, variables=variables)
    points = Points(grid.coordinates())
    x, chosen = forecast(grid), np.arange(1, grid.size, 5)
    results = []
    for place in (grid, points):
        obs = ef.Observation(ef.operators.Subset(chosen), std=0.5, grid=place)
        found = [f.analysis(x, np.zeros(chosen.size), obs) for f in filters(GaspariCohn(cutoff))]
        if variables == 1 and len(grid.shape) == 3:
            found += [f.analysis(x, np.zeros(chosen.size), obs) for f in filters(FromEnsemble())]
        results.append(found)
    np.testing.assert_allclose(*results, atol=1e-9)


class Closed(RegularGrid):
    """Distances of its own: all are computed."""


@pytest.mark.parametrize("locations", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (3, 5, 4)])
def test_ends_of_some_axes_joined(locations, shape):
    options = {
        "periodic": (False, True, True)[: len(shape)],
        "spacing": (2.0, 0.5, 1.0)[: len(shape)],
    }
    results = []
    for kind in (RegularGrid, Closed):
        grid = kind(shape, **options)
        chosen = np.arange(1, grid.size, 4)
        where = grid.coordinates(chosen) + 0.3 if locations else None
        obs = ef.Observation(ef.operators.Subset(chosen), std=0.5, grid=grid, locations=where)
        y = np.zeros(chosen.size)
        results.append([f.analysis(forecast(grid), y, obs) for f in filters(GaspariCohn(2.3))])
    np.testing.assert_allclose(*results, atol=1e-9)


@pytest.mark.parametrize("shape", [(12, 14), (6, 7, 5)])
def test_nothing_to_tune_on_mixed_axes(shape):
    options = {
        "periodic": (False, True, True)[: len(shape)],
        "spacing": (2.0, 0.5, 1.0)[: len(shape)],
    }
    grid = RegularGrid(shape, variables=2, **options)
    obs = ef.Observation(ef.operators.Every(3), std=0.5, grid=grid)
    filt, x = ef.LEnFF(), forecast(grid)
    analysis = filt.analysis(x, np.zeros(-(-grid.size // 3)), obs)
    assert 0 < np.mean(analysis**2) < np.mean(x**2)
    assert filt.facts["cutoff"] > 0


# ---- masks: components that are not there

SEA = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 1, 0], [0, 1, 1, 1, 1]], bool)


@pytest.mark.parametrize(
    "whole",
    [
        RegularGrid((4, 5), periodic=(False, True), variables=2),
        RegularGrid((4, 5), variables=2, between_variables=False),
        Sphere(np.arange(5) * 70.0, np.linspace(-60, 60, 4)[:, None], variables=2),
    ],
    ids=["plane", "apart", "sphere"],
)
@pytest.mark.parametrize("name", ["LETKF", "LEnFF", "EnKF"])
def test_a_mask_leaves_out_components_alone(whole, name):
    # what is observed stands at sea: the analysis there is that of the whole grid, land and all
    masked = Masked(whole, SEA)
    x = RNG.standard_normal((6, 40))
    sea = np.flatnonzero(np.tile(SEA.ravel(), 2))
    np.testing.assert_array_equal(masked.kept, sea)
    seen = sea[::3]
    taper = GaspariCohn(2.5 if isinstance(whole, RegularGrid) else 9000.0)
    options = {"method": "denkf"} if name == "EnKF" else {}
    filt = getattr(ef, name)(localization=taper, inflation=1.0, **options)
    obs = ef.Observation(ef.operators.Subset(seen), std=0.5, grid=whole)
    wanted = filt.analysis(x, np.zeros(len(seen)), obs)[:, sea]
    inside = np.searchsorted(sea, seen)
    obs = ef.Observation(ef.operators.Subset(inside), std=0.5, grid=masked)
    found = filt.analysis(x[:, sea], np.zeros(len(seen)), obs)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def test_nothing_to_tune_at_sea():
    masked = Masked(RegularGrid((12, 12), variables=2), RNG.random((12, 12)) < 0.7)
    x = RNG.standard_normal((8, masked.size))
    obs = ef.Observation(ef.operators.Every(2), std=0.5, grid=masked)
    filt = ef.LEnFF()
    analysis = filt.analysis(x, np.zeros((masked.size + 1) // 2), obs)
    assert np.isfinite(analysis).all()
    assert {"cutoff of variable 0", "cutoff of variable 1"} <= set(filt.facts)


def test_a_mask_of_levels_and_one_of_components():
    whole = Sphere(
        np.arange(4) * 90.0, [[0.0], [30.0]], vertical=[0.0, 1.0], variables={"t": 2, "ps": 1}
    )
    land = np.array([[True, False, True, True], [True, True, False, True]])
    masked = Masked(whole, land)
    assert masked.size == 18
    assert masked.components("ps") == slice(12, 18)
    np.testing.assert_array_equal(
        masked.coordinates([12]), whole.coordinates([whole.components("ps").start])
    )
    several = np.ones(whole.size, bool)
    several[[0, 9]] = False
    assert Masked(whole, several).size == 22
    assert Masked(whole, several) == Masked(whole, several.copy())


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Masked(np.zeros((3, 1)), [True]), TypeError, "grid="),
        (lambda: Masked(RegularGrid((3,)), [1, 0, 1]), TypeError, "expected an array of booleans"),
        (lambda: Masked(RegularGrid((3,)), [True]), ValueError, "present has 1 entries: expected"),
        (lambda: Masked(RegularGrid((3,)), [False] * 3), ValueError, "nowhere True"),
        (
            lambda: Masked(RegularGrid((3,), variables=2, between_variables=False), [True] * 6),
            ValueError,
            "one a site, of a grid with between_variables=False",
        ),
        (
            lambda: Masked(RegularGrid((3,)), [True] * 3).components("u"),
            TypeError,
            "has no names for its variables",
        ),
    ],
)
def test_bad_masks(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


# ---- a cutoff of heights

HIGH = {
    "sphere": Sphere(
        np.arange(6) * 60.0, [[-40.0], [0.0], [40.0]], vertical=np.arange(4.0)[:, None, None]
    ),
    "box": RegularGrid((4, 3, 6), periodic=(False, False, True), spacing=(1.0, 2000.0, 2000.0)),
    "masked": Masked(
        RegularGrid((4, 3, 6), periodic=(False, True, True), spacing=(1.0, 2e3, 2e3)),
        np.arange(72) % 7 > 0,
    ),
}


@pytest.mark.parametrize("kind", HIGH)
@pytest.mark.parametrize("name", ["LETKF", "LEnFF", "EnKF"])
def test_a_vertical_cutoff_is_one_of_stretched_heights(kind, name):
    # the same problem in coordinates in which one cutoff serves
    grid, ratio = HIGH[kind], 5000.0 / 2.5
    if kind == "sphere":
        scaled = Sphere(grid.longitude, grid.latitude, vertical=grid.vertical, vertical_scale=ratio)
    else:
        inner = grid.grid if kind == "masked" else grid
        scaled = RegularGrid(inner.shape, inner.periodic, spacing=(ratio, 2000.0, 2000.0))
        scaled = Masked(scaled, grid.present) if kind == "masked" else scaled
    x = RNG.standard_normal((6, grid.size))
    y = np.zeros((grid.size + 4) // 5)
    options = {"method": "denkf"} if name == "EnKF" else {}
    analyses = []
    for geometry, taper in (
        (scaled, Taper(5000.0)),
        (grid, GaspariCohn(horizontal=5000.0, vertical=2.5)),
    ):
        obs = ef.Observation(ef.operators.Every(5), std=0.5, grid=geometry)
        filt = getattr(ef, name)(localization=taper, inflation=1.0, **options)
        analyses.append(filt.analysis(x, y, obs))
    np.testing.assert_allclose(analyses[1], analyses[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Taper(), "cutoff=None and horizontal=None: expected one of the two"),
        (lambda: Taper(1.0, horizontal=1.0), "expected one of the two"),
        (lambda: Taper(horizontal=-1.0), "horizontal=-1.0"),
        (lambda: Taper(1.0, vertical=0.0), "vertical=0.0"),
        (lambda: Taper(np.inf, vertical=1.0), "expected a finite cutoff beside it"),
        (lambda: Taper(1.0, "stairs"), "shape='stairs'"),
    ],
)
def test_bad_cutoffs(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_heights_are_needed_for_a_vertical_cutoff():
    obs = ef.Observation(ef.operators.Identity(), std=0.5, grid=RegularGrid((10,)))
    with pytest.raises(ValueError, match="a cutoff of heights needs a Sphere with vertical="):
        ef.LETKF(Taper(3.0, vertical=1.0)).analysis(np.zeros((3, 10)), np.zeros(10), obs)
    pair = ((GaspariCohn(2.0, vertical=1.0),),)
    with pytest.raises(ValueError, match="expected none with vertical= or most="):
        ef.localization.ByVariable(pair, ((1.0,),))


# ---- a largest number of observations, and cutoffs in a wrong unit


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", ["gaspari-cohn", "step"])
def test_a_place_sees_a_largest_number_of_observations(backend, shape):
    grid, dim = RegularGrid((30,), periodic=False), 30
    x, y = RNG.standard_normal((6, dim)), RNG.standard_normal(15)
    seen, taper = np.arange(0, dim, 2), Taper(9.0, shape, most=3)
    wanted = np.empty_like(x)
    for c in range(dim):
        weight = taper.weight(abs(seen - c).astype(float))
        near = np.sort(np.argsort(-weight, kind="stable")[:3])  # the first of equals
        std = 0.5 / np.sqrt(weight[near])
        alone = ef.Observation(ef.operators.Subset(seen[near]), std=std)
        wanted[:, c] = ef.ETKF().analysis(x, y[near], alone)[:, c]
    obs = ef.Observation(ef.operators.Every(2), std=0.5, grid=grid)
    found = ef.LETKF(taper, backend=backend).analysis(x, y, obs)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["LETKF", "LEnFF"])
def test_more_observations_than_there_are_change_nothing(name):
    x, y = RNG.standard_normal((6, 30)), np.zeros(15)
    where = RNG.uniform(0, 30, (15, 1))  # lists of both
    h = ef.operators.Every(2)
    obs = ef.Observation(h, std=0.5, grid=RegularGrid((30,)), locations=where)
    filt = getattr(ef, name)
    few, all_of_them, plain = (
        filt(GaspariCohn(6.0, most=most), inflation=1.0).analysis(x, y, obs)
        for most in (1, 15, None)
    )
    np.testing.assert_array_equal(all_of_them, plain)
    assert (few != plain).any()


def test_where_no_number_of_observations_is_looked_at():
    counted = Taper(3.0, most=2)
    for make in (
        lambda: ef.EnKF(localization=counted),
        lambda: ef.EnSF(regress_unobserved=True, localization=counted),
        lambda: ef.priors.GaussianPrior(counted),
    ):
        with pytest.raises(ValueError, match=r"most=2.*expected one without most="):
            make()
    with pytest.raises(ValueError, match="most=0"):
        Taper(3.0, most=0)
    covariance = np.eye(12) + 0.5
    obs = ef.Observation(ef.operators.Identity(), covariance=covariance, grid=RegularGrid((12,)))
    with pytest.raises(ValueError, match="errors are correlated and observations are seen in blo"):
        ef.LETKF(counted).analysis(RNG.standard_normal((4, 12)), np.zeros(12), obs)


@pytest.mark.parametrize("located", [False, True])
@pytest.mark.parametrize("name", ["LETKF", "LEnFF"])
def test_a_cutoff_in_another_unit_warns(name, located):
    # places in metres, a cutoff in km; and the other way round
    x, y, places = RNG.standard_normal((4, 20)), np.zeros(20), 1e3 * np.arange(20.0)[:, None]
    line = RegularGrid((20,), periodic=False, spacing=1e3)
    located_at = {"locations": places + 100.0} if located else {}
    obs = ef.Observation(ef.operators.Identity(), std=0.5, grid=line, **located_at)
    filt = getattr(ef, name)
    with pytest.warns(UserWarning, match=r"every component sees every observation.*cutoff 5e\+06"):
        filt(GaspariCohn(5e6)).analysis(x, y, obs)
    far = ef.Observation(ef.operators.Identity(), std=0.5, grid=line, locations=places + 1e6)
    with pytest.warns(UserWarning, match=r"no component sees an observation.*cutoff 2000: is it"):
        filt(GaspariCohn(2e3)).analysis(x, y, far)
