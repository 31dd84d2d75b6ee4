"""Interpolation of states to places between grid points."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

import enfilt as ef
from enfilt.geometry import Points, RegularGrid, Sphere
from enfilt.operators import interpolate

RNG = np.random.default_rng(5)
LONGITUDE, LATITUDE = np.arange(0.0, 360, 30), np.array([-80.0, -50, -10, 0, 35, 70])
LEVELS = {"u": 3, "ps": 1, "v": 3}
HEIGHTS = np.array([9.0, 0.0, 2.0])  # in no order
SPHERE = Sphere(LONGITUDE, LATITUDE[:, None], vertical=HEIGHTS, variables=LEVELS)
STATE = RNG.standard_normal(SPHERE.size)


def observed(grid, places, **options):
    return interpolate(grid, places, **options).operator(STATE[: grid.size])


def joined(values, axis):
    """Return values with the first ones again behind the last."""
    return np.concatenate([values, np.take(values, [0], axis)], axis)


@pytest.mark.parametrize(
    ("shape", "periodic", "spacing"),
    [
        ((7,), (True,), (0.3,)),
        ((7,), (False,), (0.3,)),
        ((5, 4), (False, True), (2.0, 0.7)),
        ((3, 4, 5), (True, False, True), (1.0, 3.0, 0.1)),
    ],
)
def test_regular_grids_are_what_scipy_makes_of_them(shape, periodic, spacing):
    grid = RegularGrid(shape, periodic, spacing, variables=2)
    values, axes = STATE[grid.size // 2 : grid.size].reshape(shape), []
    for axis, (n, ends, step) in enumerate(zip(shape, periodic, spacing, strict=True)):
        axes.append(step * np.arange(n + ends))
        values = joined(values, axis) if ends else values
    places = RNG.uniform(0, [a[-1] for a in axes], (50, len(shape)))
    oracle = RegularGridInterpolator(axes, values)(places)
    np.testing.assert_allclose(observed(grid, places, variable=1), oracle, atol=1e-12)
    turned = places - 3 * grid.period
    np.testing.assert_allclose(observed(grid, turned, variable=1), oracle, atol=1e-12)


def test_a_grid_that_keeps_variables_apart_has_them_in_locations():
    grid = RegularGrid((4, 5), variables=3, between_variables=False)
    _, where = interpolate(grid, [[0.5, 1], [2, 3]], variable=[2, 0])
    assert where.tolist() == [[2, 0.5, 1], [0, 2, 3]]


@pytest.mark.parametrize("begin", [0.0, -180.0, 173.0])
def test_a_sphere_is_what_scipy_makes_of_it_over_the_date_line(begin):
    sphere = Sphere(begin + LONGITUDE, LATITUDE[:, None], vertical=HEIGHTS, variables=LEVELS)
    values = STATE[sphere.components("v")].reshape(3, 6, 12)[np.argsort(HEIGHTS)]
    axes = np.sort(HEIGHTS), LATITUDE, begin + np.append(LONGITUDE, 360.0)
    places = RNG.uniform([begin, -80, 0], [begin + 360, 70, 9], (50, 3))
    oracle = RegularGridInterpolator(axes, joined(values, 2))(places[:, ::-1])
    turned = places - np.array([720, 0, 0])
    np.testing.assert_allclose(observed(sphere, turned, variable="v"), oracle, atol=1e-12)


def test_the_order_of_places_does_not_matter():
    order = RNG.permutation(SPHERE.size // 7)
    where = SPHERE.coordinates(slice(0, len(order)))[order]
    shuffled = Sphere(*where.T[:2], vertical=HEIGHTS, variables=LEVELS)
    state = STATE.reshape(7, -1)[:, order].ravel()
    places = RNG.uniform([0, -90, 0], [360, 80, 9], (50, 3))
    result = interpolate(shuffled, places, variable="u").operator(state)
    np.testing.assert_allclose(result, observed(SPHERE, places, variable="u"), atol=1e-12)


def test_heights_without_levels_by_name():
    plain = Sphere(LONGITUDE, LATITUDE[:, None], vertical=HEIGHTS[:, None, None], variables=2)
    places = RNG.uniform([0, -90, 0], [360, 80, 9], (50, 3))
    state = STATE[: plain.size]
    result = interpolate(plain, places, variable=1).operator(state)
    named = np.insert(state, plain.size // 2, np.zeros(72))
    assert np.array_equal(result, interpolate(SPHERE, places, variable="v").operator(named))


def test_at_grid_points_values_are_theirs_to_the_last_bit():
    names = np.repeat(list(LEVELS), [3 * 72, 72, 3 * 72])
    h, where = interpolate(SPHERE, SPHERE.coordinates(), variable=names)
    assert np.array_equal(h(STATE), STATE)
    assert np.array_equal(where, SPHERE.coordinates())
    grid = RegularGrid((7, 6), spacing=(0.1, 0.3))
    for turns in (0, 3):  # which are rounded
        assert np.array_equal(observed(grid, grid.coordinates() - turns * grid.period), STATE[:42])


def test_a_variable_of_one_level_needs_no_height():
    with_height = interpolate(SPHERE, [[10, 20, 5.0], [10, 20, np.nan]], variable="ps")
    np.testing.assert_array_equal(with_height.locations, [[10, 20, 5.0], [10, 20, 9.0]])
    without = interpolate(SPHERE, [[10, 20]], variable="ps")
    assert np.array_equal(with_height.operator(STATE), [without.operator(STATE)[0]] * 2)


def test_each_variable_may_have_heights_of_its_own():
    heights = {"u": HEIGHTS, "ps": [0.1], "v": HEIGHTS + 1}
    sphere = Sphere(LONGITUDE, LATITUDE[:, None], vertical=heights, variables=LEVELS)
    places = RNG.uniform([0, -90, 1], [360, 80, 9], (50, 3))
    found = interpolate(sphere, places + np.array([0, 0, 1.0]), variable="v").operator(STATE)
    np.testing.assert_allclose(found, observed(SPHERE, places, variable="v"), atol=1e-12)
    assert interpolate(sphere, [[0, 0]], variable="ps").locations.tolist() == [[0, 0, 0.1]]
    with pytest.raises(ValueError, match=r"places\[0\] is .*expected height from 1 to 10"):
        interpolate(sphere, [[0, 0, 0.5]], variable="v")


def test_the_points_that_are_there_share_the_weights_of_those_on_land():
    grid = RegularGrid((3, 4), periodic=False, variables=2)
    sea = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], bool)
    masked = ef.geometry.WithParameters(ef.geometry.Masked(grid, sea), 1)
    state = np.append(STATE[:24][np.tile(sea.ravel(), 2)], 99.0)
    field = STATE[12:24].reshape(3, 4)
    places = [[0.25, 0.5], [0.0, 2.0], [1.75, 0.5], [0.5, 2.5]]
    found = interpolate(masked, places, variable=1).operator(state)
    sides = 0.75 * field[0, :2].sum() + 0.25 * field[1, 0]
    wanted = [sides / 1.75, field[0, 2], 0.25 * field[1, 0] + 0.75 * field[2, 0], field[0, 2]]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    for place in ([2.0, 2.0], [1.0, 1.0], [0.0, 3.0]):
        with pytest.raises(ValueError, match=r"places\[1\] is .*, on land"):
            interpolate(masked, [[0, 0], place], variable=1)
    outside = [[0, 4.0], [0, 0]]
    with pytest.raises(ValueError, match=r"places\[0\] is .* outside the grid"):
        interpolate(masked, outside, variable=1)


def test_a_region_ends_where_its_meridians_do():
    region = Sphere(np.arange(350, 371, 5.0), np.arange(40, 61, 5.0)[:, None])
    state = region.coordinates()[:, 0]
    h, _ = interpolate(region, [[-7.5, 41], [359, 60], [370, 40]])
    np.testing.assert_allclose(h(state), [352.5, 359, 370])
    for place in ([349.0, 50], [10.1, 50], [180, 50], [0, 61], [0, 39.9]):
        with pytest.raises(ValueError, match=r"places\[1\] is .* outside the grid"):
            interpolate(region, [[0, 50], place])


def test_a_belt_does_not_reach_the_pole():
    belt = Sphere(LONGITUDE, np.arange(-60, 61, 10.0)[:, None])
    for latitude in (65, -61):
        with pytest.raises(ValueError, match=r"expected latitude from -60 to 60"):
            interpolate(belt, [[0, latitude]])


def test_beyond_the_last_parallel_heights_count_as_elsewhere():
    state = np.repeat(np.concatenate([HEIGHTS, [0], HEIGHTS]), 72)
    places = np.column_stack([[0, 70, -200], [75.0, 90, -87], [0.5, 3.3, 8.9]])
    np.testing.assert_allclose(
        interpolate(SPHERE, places, variable="v").operator(state), places[:, 2]
    )


def in_space(places):
    longitude, latitude = np.deg2rad(places).T
    level = np.cos(latitude)
    return np.stack([level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)], -1)


def wind(places):
    """Return a wind that is constant in space: eastward and northward, (2, n)."""
    longitude, latitude = np.deg2rad(places).T
    east = np.stack([-np.sin(longitude), np.cos(longitude), 0 * longitude])
    north = np.stack(
        [-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude),
         np.cos(latitude)]
    )  # fmt: skip
    flow = np.array([0.6, -0.8, 0.0])
    return np.stack([flow @ east, flow @ north])


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_beyond_the_last_parallel_smooth_fields_and_vectors_go_on_to_the_pole(pole):
    errors = []
    for step in (10.0, 5.0):
        latitude = np.arange(-90 + step / 2, 90, step)
        sphere = Sphere(np.arange(0, 360, step), latitude[:, None], variables={"u": 1, "v": 1})
        where = sphere.coordinates(sphere.components("u"))
        turned = np.linspace(-180, 170, 36)
        fractions = np.tile([0.0, 0.3, 0.7, 1.0], 9)
        places = np.column_stack([turned, pole - np.sign(pole) * fractions * step / 2])
        scalar = (in_space(where) + in_space(where) ** 2).sum(axis=1)
        state = np.concatenate([scalar, 0 * scalar])
        h, _ = interpolate(sphere, places, variable="u")
        exact = (in_space(places) + in_space(places) ** 2).sum(axis=1)
        found = [h(state) - exact]
        for k, name in enumerate("uv"):
            h, _ = interpolate(sphere, places, variable=name, vectors=("u", "v"))
            found.append(h(wind(where).ravel()) - wind(places)[k])
        errors.append(np.abs(found).max(axis=1))
    errors = np.array(errors)
    assert (errors[0] < 0.004).all()
    assert (errors[1] < 0.3 * errors[0] + 1e-14).all()  # of second order


def test_a_problem_turned_and_mirrored_has_results_turned_and_mirrored():
    sphere = Sphere(LONGITUDE, np.arange(-75, 76, 30.0)[:, None])
    field = RNG.standard_normal((6, 12))
    places = RNG.uniform([0, -90], [360, 90], (40, 2))
    straight = interpolate(sphere, places).operator(field.ravel())
    turned = interpolate(sphere, places + np.array([30, 0])).operator(
        np.roll(field, 1, axis=1).ravel()
    )
    mirrored = interpolate(sphere, places * [1, -1]).operator(field[::-1].ravel())
    np.testing.assert_allclose(turned, straight, atol=1e-12)
    np.testing.assert_allclose(mirrored, straight, atol=1e-12)


@pytest.mark.parametrize("make", [ef.LETKF, ef.LEnFF, ef.EnKF])
def test_filters_take_it_as_they_take_a_choice_of_components(make, backend, dtype):
    filt = make(localization=ef.localization.GaspariCohn(8000.0), backend=backend)
    chosen = np.array([3, 100, 230, 400])
    names = ["u", "u", "ps", "v"]
    h, where = interpolate(SPHERE, SPHERE.coordinates(chosen), variable=names)
    forecast = np.random.default_rng(1).standard_normal((6, SPHERE.size)).astype(dtype)
    y = np.array([1.0, np.nan, -1.0, 0.5], dtype)
    both = [
        filt.analysis(forecast, y, obs, rng=0)
        for obs in (
            ef.Observation(h, 0.5, grid=SPHERE, locations=where),
            ef.Observation(ef.operators.Subset(chosen), 0.5, grid=SPHERE),
        )
    ]
    # the one is given values of h, the other evaluates it: sums in another order
    np.testing.assert_allclose(*both, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-12)


RING = RegularGrid((10,), periodic=False)


@pytest.mark.parametrize(
    ("geometry", "places", "options", "message"),
    [
        (Points([0.0, 1.0]), [[0.5]], {}, "geometry is a Points: expected a RegularGrid"),
        (Sphere([0, 5, 9], [1, 2, 3]), [[0, 1]], {}, "3 places, but 3 longitudes x 3 latitudes"),
        (Sphere([0, 360], [[1], [2]]), [[0, 1]], {}, "4 places, but 1 longitudes x 2 latitudes"),
        (SPHERE, [[0, 0, 0], [5, 95, 1]], {"variable": "u"}, r"places\[1\] is \(5, 95, 1\).*-90"),
        (SPHERE, [[0, 75.0, 0], [5, -85, 9.5]], {"variable": "u"}, r"places\[1\].*height from 0"),
        (SPHERE, [[0, 0]], {"variable": "u"}, r"places\[0\] is \(0, 0, nan\).*height from 0 to 9"),
        (RegularGrid((9,)), [[[0.5]]], {}, r"places has shape \(1, 1, 1\): expected \(m, 1\)"),
        (SPHERE, [[np.nan, 0]], {"variable": "ps"}, "expected longitude a finite number"),
        (SPHERE, [[0, 0, 0]], {}, r"variable is missing: expected one of \['u', 'ps', 'v'\]"),
        (SPHERE, [[0, 0, 0]], {"variable": "T"}, r"variable='T': expected one of \['u', 'ps', 'v'"),
        (SPHERE, [[0, 0, 0]], {"variable": 0}, "variable=0: expected one of"),
        (SPHERE, [[0, 0]] * 2, {"variable": ["ps", "q"]}, r"variable\[1\]='q': expected one of"),
        (SPHERE, [[0, 0]], {"variable": ["ps", "ps"]}, r"variable has shape \(2,\): expected one"),
        (SPHERE, [[0, 0]], {"variable": "ps", "vectors": ["w"]}, "vectors='w': expected one of"),
        (SPHERE, [[0, 0, 0, 0]], {"variable": "u"}, r"places has shape \(1, 4\): expected"),
        (Sphere(LONGITUDE, LATITUDE[:, None], variables={"u": 2}), [[0, 0]], {}, "2 levels: expec"),
        (
            Sphere(LONGITUDE, LATITUDE[:, None], variables={"u": 2}, vertical=[1, 1]),
            [[0, 0, 1]], {}, "a height twice among the levels of 'u'",
        ),
        (RING, [[9.0], [9.5]], {}, r"places\[1\] is \(9.5\).*expected coordinate 0 from 0 to 9"),
        (RING, [[-0.5]], {}, "outside the grid"),
        (RING, [[1, 1]], {}, r"places has shape \(1, 2\): expected \(m, 1\)"),
        (RING, np.zeros((0, 1)), {}, r"places has shape \(0, 1\)"),
        (RING, [1.0], {"variable": 1}, r"variable=1: expected one of \[0\]"),
    ],
)  # fmt: skip
def test_bad_input_is_named(geometry, places, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        interpolate(geometry, places, **options)
