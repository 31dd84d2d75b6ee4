"""The LETKF on every backend against the loop over components, and what it must be exactly.

Tolerances, relative to the largest analysis anomaly or increment. float64: the local problem
I + S is reduced and solved with errors of some N eps (trace S), 1e-12 for the traces here, up to
1e4. float32 solves in float32 where the trace of S is at most 512: 512 eps is 3e-5 in the worst
case, and a tenth of that is seen.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from conftest import KINDS, OTHER_KINDS
from pairs import pairs

import enfilt as ef
from enfilt import backends
from enfilt.localization import GaspariCohn, Taper
from enfilt.operators import Arctan, Custom, Every, Identity, Linear, Power, Subset

RTOL = {np.dtype(np.float64): 2e-12, np.dtype(np.float32): 2e-5}
GRIDS = {
    "ring": lambda dim: ef.grids.RegularGrid((dim,)),
    "line": lambda dim: ef.grids.RegularGrid((dim,), periodic=False, spacing=0.5),
}
# One more or less than a vector or a tile of 512, rings shorter than the window, one component.
SIZES = [(2, 1), (3, 2), (2, 31), (20, 33), (33, 40), (7, 257), (5, 1100)]


def problem(members, dim, obs, dtype, seed=3, missing=0.0, spread=1.0):
    """A forecast and observations of a truth within its spread."""
    rng = np.random.default_rng(seed)
    truth = 2 * rng.standard_normal(dim)
    forecast = truth + spread * rng.standard_normal((members, dim))
    y = obs.simulate(truth, rng)
    y[rng.random(y.size) < missing] = np.nan
    return forecast.astype(dtype), y.astype(dtype)


def assert_close(found, wanted, dtype):
    """Compare with the scale of the problem, not of one component."""
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    assert np.abs(found - wanted).max() <= RTOL[dtype] * np.abs(wanted).max()


def etkf(x, y, operator, std, weight):
    """The transform of Hunt et al. (2007), eq. 20 to 25, as it stands, in float64."""
    x = x.astype(np.float64)
    seen = ~np.isnan(y)
    members = len(x)
    h = operator(x)[:, seen]
    observed = h - h.mean(axis=0)
    precision = (weight / np.broadcast_to(std, y.shape) ** 2)[seen]
    covariance = (members - 1) * np.eye(members) + (observed * precision) @ observed.T
    values, vectors = np.linalg.eigh(covariance)
    transform = np.sqrt(members - 1) * vectors @ np.diag(values**-0.5) @ vectors.T
    mean_weights = np.linalg.solve(covariance, (observed * precision) @ (y[seen] - h.mean(axis=0)))
    return x.mean(axis=0) + (mean_weights + transform) @ (x - x.mean(axis=0))


def by_component(x, y, obs, localization):
    """One transform a component, distances from the grid's own formula."""
    grid, places = obs.places(x.shape[1])
    result = x.astype(np.float64)
    for d in range(x.shape[1]):
        weight = localization.weight(grid.distances(grid.coordinates([d]), places)[0])
        if (weight[~np.isnan(y)] > 0).any():
            result[:, d] = etkf(x, y, obs.operator, np.asarray(obs.std), weight)[:, d]
    return result


@pairs({"backend, dtype": KINDS, "members, dim": SIZES, "grid": list(GRIDS)})
def test_agrees_with_one_transform_a_component(backend, dtype, members, dim, grid):
    std = 0.5 + np.random.default_rng(0).random(dim)
    obs = ef.Observation(Arctan(), std=std, grid=GRIDS[grid](dim))
    x, y = problem(members, dim, obs, dtype, missing=0.2)
    taper = GaspariCohn(cutoff=7.3)
    analysis = ef.LETKF(taper, backend=backend).analysis(x, y, obs)
    assert analysis.dtype == dtype
    assert_close(analysis, by_component(x, y, obs, taper), dtype)


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "shape": [(1, 9), (9, 1), (5, 7), (20, 70), (33, 3)],
        "taper": {
            "gaspari-cohn": "gaspari-cohn",
            "step": "step",
            "callable": lambda d: 1 / (1 + d),
        },
        "periodic": {"ring": True, "edges": False},
    }
)
def test_agrees_on_grids_of_two_axes(other_backend, dtype, shape, periodic, taper):
    grid = ef.grids.RegularGrid(shape, periodic=periodic)
    obs = ef.Observation(Power(3) @ Every(2, offset=1), std=0.8, grid=grid)
    x, y = problem(6, grid.size, obs, dtype, missing=0.1, spread=0.3)
    localization = Taper(cutoff=3.5, shape=taper)
    analysis = ef.LETKF(localization, backend=other_backend).analysis(x, y, obs)
    wanted = ef.LETKF(localization, backend="numpy").analysis(x, y, obs)
    assert_close(analysis, wanted, dtype)


def _operators(dim):
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((5, dim)) / np.sqrt(dim)
    return {
        "unsorted": (Subset(rng.permutation(dim)[: dim // 2]), None),
        "linear": (Linear(matrix), rng.random((5, 2)) * 10),
        "custom": (Custom(lambda x: np.sin(x[:, ::3])), rng.random((-(-dim // 3), 2)) * 10),
        "located": (Identity(), rng.random((dim, 2)) * 10),
    }


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "operator": list(_operators(3)),
        "coordinates": [True, False],
    }
)
def test_agrees_for_any_operator_and_coordinates(other_backend, dtype, operator, coordinates):
    dim = 77
    if coordinates:
        grid = ef.grids.Points(np.random.default_rng(2).random((dim, 2)) * 10)
    else:
        grid = ef.grids.RegularGrid((7, 11))
    h, locations = _operators(dim)[operator]
    obs = ef.Observation(h, std=0.4, grid=grid, locations=locations)
    x, y = problem(9, dim, obs, dtype, missing=0.2)
    taper = GaspariCohn(cutoff=2.5)
    analysis = ef.LETKF(taper, backend=other_backend).analysis(x, y, obs)
    assert_close(analysis, by_component(x, y, obs, taper), dtype)


@pytest.mark.parametrize("shape", [(40,), (5, 7)])
def test_several_variables_on_one_grid_are_as_many_points(backend, dtype, shape):
    grid = ef.grids.RegularGrid(shape, periodic=False, spacing=0.5, variables=3)
    points = ef.grids.Points(np.tile(0.5 * np.argwhere(np.ones(shape)), (3, 1)))
    np.testing.assert_array_equal(grid.coordinates(), points.coordinates())
    np.testing.assert_array_equal(grid.coordinates([3, -1]), points.coordinates([3, -1]))
    filt = ef.LETKF(GaspariCohn(cutoff=1.6), backend=backend)
    obs, same = (ef.Observation(Arctan() @ Every(4), 0.4, grid=g) for g in (grid, points))
    x, y = problem(6, grid.size, obs, dtype, missing=0.1)
    analysis = filt.analysis(x, y, obs)
    assert_close(analysis, filt.analysis(x, y, same), dtype)
    assert_close(analysis, by_component(x, y, obs, filt.localization), dtype)
    # what is observed of one variable corrects the others
    first = ef.Observation(Identity() @ Subset([0]), 0.4, grid=grid)
    changed = (filt.analysis(x, np.ones(1, dtype), first) != x).any(axis=0)
    assert changed.reshape(3, -1)[:, 0].all()


def test_a_tree_and_a_look_at_all_pairs_find_the_same():
    class Own(ef.grids.RegularGrid):
        """Measures distances its own way, for all that is known."""

    grid = ef.grids.RegularGrid((9, 9), spacing=0.3)
    places = np.random.default_rng(0).random((81, 2)) * 9 - 3  # some beyond the period
    obs = ef.Observation(Identity(), 1.0, grid=grid, locations=places)
    own = dataclasses.replace(obs, grid=Own((9, 9), spacing=0.3))
    x, y = problem(5, 81, obs, np.float64)
    filt = ef.LETKF(GaspariCohn(cutoff=0.9))
    assert_close(filt.analysis(x, y, obs), filt.analysis(x, y, own), np.dtype(np.float64))


def test_infinite_cutoff_is_the_etkf(backend, dtype):
    for grid, h in itertools.product(
        [ef.grids.RegularGrid((33,)), ef.grids.RegularGrid((3, 11), periodic=False)],
        [Arctan() @ Every(2), Linear(np.eye(5, 33))],
    ):
        places = None if h.pointwise(33) else np.zeros((5, len(grid.shape)))
        obs = ef.Observation(h, std=0.3, grid=grid, locations=places)
        x, y = problem(8, 33, obs, dtype, missing=0.2)
        analysis = ef.LETKF(GaspariCohn(cutoff=np.inf), backend=backend).analysis(x, y, obs)
        assert_close(analysis, etkf(x, y, h, 0.3, np.ones(y.size)), dtype)


@pytest.mark.filterwarnings("ignore:every component sees every observation")
def test_a_window_too_wide_for_a_whole_tile(other_backend):
    """Of pairs of component and place no more than a million are made at once."""
    obs = ef.Observation(Arctan(), std=0.3, grid=ef.grids.RegularGrid((40, 30)))
    x, y = problem(5, 1200, obs, np.dtype(np.float64), missing=0.2)
    filt = ef.LETKF(Taper(cutoff=50, shape="step"), backend=other_backend)
    assert_close(
        filt.analysis(x, y, obs), etkf(x, y, Arctan(), 0.3, np.ones(1200)), np.dtype(np.float64)
    )


def test_is_the_kalman_filter_for_one_component(backend):
    """x and y scalar: mean and variance by the textbook, whatever N."""
    obs = ef.Observation(Identity(), std=0.7, grid=ef.grids.RegularGrid((1,)))
    x, y = problem(6, 1, obs, np.dtype(np.float64))
    analysis = ef.LETKF(GaspariCohn(cutoff=1.0), backend=backend).analysis(x, y, obs)
    variance = x.var(ddof=1)
    gain = variance / (variance + 0.49)
    np.testing.assert_allclose(analysis.mean(), x.mean() + gain * (y[0] - x.mean()), rtol=1e-13)
    np.testing.assert_allclose(analysis.var(ddof=1), (1 - gain) * variance, rtol=1e-12)


def test_accurate_observations_of_a_wide_ensemble(other_backend, dtype):
    """A condition of 1e6, where float32 would keep nothing, is solved in float64."""
    obs = ef.Observation(Identity(), std=0.01, grid=ef.grids.RegularGrid((100,)))
    x, y = problem(20, 100, obs, dtype, spread=3.0)
    taper = GaspariCohn(cutoff=14.0)
    analysis = ef.LETKF(taper, backend=other_backend).analysis(x, y, obs)
    wanted = by_component(x, y, obs, taper)
    tolerance = 5e-6 if dtype == np.float32 else 1e-10
    assert np.abs(analysis - wanted).max() <= tolerance * np.abs(wanted).max()


def test_components_without_observations_keep_their_forecast(backend, dtype):
    grid = ef.grids.RegularGrid((200,))
    obs = ef.Observation(Subset([50, 140]), std=0.1, grid=grid)
    x, y = problem(5, 200, obs, dtype)
    y[1] = np.nan
    analysis = ef.LETKF(GaspariCohn(cutoff=10.0), backend=backend).analysis(x, y, obs)
    changed = np.flatnonzero((analysis != x).any(axis=0))
    assert np.array_equal(changed, np.arange(41, 60))


def test_observations_far_from_every_component_do_nothing(backend, dtype):
    grid = ef.grids.Points(np.arange(20.0))
    near = np.array([[3.0], [9.5]])
    x, y = problem(4, 20, ef.Observation(Linear(np.eye(2, 20)), 1.0), dtype)
    filt = ef.LETKF(GaspariCohn(cutoff=3.0), backend=backend)
    one = filt.analysis(x, y, ef.Observation(Linear(np.eye(2, 20)), 0.5, grid=grid, locations=near))
    more = ef.Observation(
        Linear(np.eye(3, 20)), 0.5, grid=grid, locations=np.append(near, [[23.0]], axis=0)
    )
    other = filt.analysis(x, np.append(y, y[:1]), more)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("lists", [False, True])
def test_bits_do_not_depend_on_threads(other_backend, monkeypatch, dtype, lists):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    grid = ef.grids.RegularGrid((40, 100))
    places = grid.coordinates() if lists else None
    obs = ef.Observation(Identity(), std=0.3, grid=grid, locations=places)
    x, y = problem(10, 4000, obs, dtype, missing=0.3)
    filt = ef.LETKF(GaspariCohn(cutoff=4.0), backend=other_backend)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads):
            results.append(filt.analysis(x, y, obs))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.skipif("cpp" not in backends.available(), reason="needs the compiled core")
def test_simd_levels_agree(dtype):
    core = backends.get("cpp").core
    obs = ef.Observation(Arctan(), std=0.2, grid=ef.grids.RegularGrid((5, 67)))
    x, y = problem(13, 335, obs, dtype, missing=0.3)
    before = core.level()
    try:
        results = []
        for level in core.usable_levels():
            core.use_level(level)
            results.append(ef.LETKF(GaspariCohn(cutoff=3.0), backend="cpp").analysis(x, y, obs))
    finally:
        core.use_level(before)
    for result in results[1:]:
        assert_close(result, results[0], dtype)


@pytest.mark.parametrize("lists", [False, True])
def test_rotation_turns_what_no_observation_reaches(other_backend, dtype, lists):
    """Also in a last group that is no whole vector, and beside components that see some."""
    x, y, obs = sparsely_observed(77, dtype, lists)
    filters = [
        ef.LETKF(GaspariCohn(cutoff=3.0), rotate=True, backend=b) for b in (other_backend, "numpy")
    ]
    found, wanted = (filt.analysis(x, y, obs, rng=1) for filt in filters)
    assert_close(found, wanted, dtype)
    assert np.abs(found - x)[:, -20:].min() > 0  # which see nothing, and turn


@pytest.mark.parametrize("lists", [False, True])
def test_precise_observations_in_float32(other_backend, lists):
    """Errors of 1e-3 of the spread: I + S has a condition of 1e6, which float32 can't resolve."""
    x, y, obs = sparsely_observed(77, np.dtype(np.float32), lists, std=1e-3)
    taper = GaspariCohn(cutoff=3.0)
    found, wanted = (
        ef.LETKF(taper, backend=b).analysis(x, y, obs) for b in (other_backend, "numpy")
    )
    assert_close(found, wanted, x.dtype)


def test_lists_longer_than_a_kernel_takes_at_once(other_backend, dtype):
    """Observations of a dense cloud: a hundred in each list, and no two the same."""
    places = np.random.default_rng(4).random((120, 2))
    obs = ef.Observation(Arctan(), std=2.0, grid=ef.grids.Points(places))
    x, y = problem(9, 120, obs, dtype)
    taper = GaspariCohn(cutoff=2.0)
    analysis = ef.LETKF(taper, backend=other_backend).analysis(x, y, obs)
    assert_close(analysis, by_component(x, y, obs, taper), dtype)


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "order": ["variables", "places", "any"],
        "std": [0.02, 0.5],  # float32 is solved in float64, and as it is
        "rotate": [True, False],
    }
)
def test_components_at_one_place(other_backend, dtype, order, std, rotate):
    """They share a transform, however many there are and wherever they stand; some see nothing."""
    rng = np.random.default_rng(8)
    cloud = np.append(rng.uniform(0, 6, (21, 2)), [[50.0, 50.0]], axis=0)
    at = {
        "variables": np.tile(np.arange(22), 3),
        "places": np.repeat(np.arange(22), 3),
        "any": rng.permutation(np.repeat(np.arange(22), rng.integers(1, 7, 22))),
    }[order]
    obs = ef.Observation(Every(4), std=std, grid=ef.grids.Points(cloud[at]))
    x, y = problem(20, at.size, obs, dtype, missing=0.1)
    y[at[::4] == 21] = np.nan
    found, wanted = (
        ef.LETKF(GaspariCohn(2.0), rotate=rotate, backend=b).analysis(x, y, obs, rng=1)
        for b in (other_backend, "numpy")
    )
    assert_close(found, wanted, dtype)
    unseen = at == 21
    assert rotate or np.array_equal(found[:, unseen], x[:, unseen])
    if not rotate:
        assert_close(wanted, by_component(x, y, obs, GaspariCohn(2.0)), dtype)


def sparsely_observed(dim, dtype, lists, std=0.5):
    """Every second of the first half is observed, on a ring; with places of its own in lists."""
    grid = ef.grids.RegularGrid((dim,))
    obs = ef.Observation(
        Every(2), std=std, grid=grid, locations=grid.coordinates()[::2] if lists else None
    )
    x, y = problem(20, dim, obs, dtype)
    y[len(y) // 2 :] = np.nan
    return x, y, obs


def test_one_rotation_turns_all_components(backend, dtype):
    obs = ef.Observation(Every(30), std=0.5, grid=ef.grids.RegularGrid((90,)))
    x, y = problem(6, 90, obs, dtype)
    noise = np.random.default_rng(0).standard_normal((6, 6)).astype(dtype)
    taper = GaspariCohn(cutoff=5.0)
    plain = ef.LETKF(taper, backend=backend).analysis(x, y, obs).astype(np.float64)
    turned = ef.LETKF(taper, rotate=True, backend=backend).analysis(x, y, obs, noise=noise)
    turned = turned.astype(np.float64)
    tolerance = 10 * RTOL[dtype]
    np.testing.assert_allclose(turned.mean(axis=0), plain.mean(axis=0), atol=tolerance)
    a, b = plain - plain.mean(axis=0), turned - turned.mean(axis=0)
    np.testing.assert_allclose(b.T @ b, a.T @ a, atol=20 * tolerance)  # across components, too
    assert np.abs(a - b).max() > 0.1
    again = ef.LETKF(taper, rotate=True).analysis(x, y, obs, rng=1)
    assert np.array_equal(again, ef.LETKF(taper, rotate=True).analysis(x, y, obs, rng=1))


def test_no_spread_moves_nothing(backend, dtype):
    """Y = 0: the gain is zero however far the observation is away."""
    obs = ef.Observation(Identity(), std=0.1, grid=ef.grids.RegularGrid((40,)))
    x = np.full((5, 40), 2.5, dtype)
    analysis = ef.LETKF(GaspariCohn(cutoff=5.0), backend=backend).analysis(
        x, np.full(40, 9, dtype), obs
    )
    np.testing.assert_allclose(analysis, x, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_kernel_is_the_filter(rng):
    obs = ef.Observation(Identity(), std=0.5, grid=ef.grids.RegularGrid((40,)))
    x, y = problem(5, 40, obs, np.float64)
    taper = GaspariCohn(cutoff=5.0)
    out = x.copy()
    assert ef.kernels.letkf(out, y, obs, localization=taper, out=out) is out
    assert np.array_equal(out, ef.LETKF(taper).analysis(x, y, obs))


def test_lorenz96_reaches_the_published_error():
    """Sakov, Oke (2008): 0.22 with 7 members, over 1000 cycles or more."""
    model = ef.models.Lorenz96(dim=40, dt=0.05)
    twin = ef.TwinExperiment(
        model,
        ef.Observation(Identity(), std=1.0),
        cycles=1800,
        steps_per_cycle=1,
        spinup=1000,
        initial_mean="truth",
        initial_std=1.0,
    )
    filt = ef.LETKF(GaspariCohn(cutoff=14.56), inflation=1.04, rotate=True)
    result = twin.run(filt, members=7, seed=0)
    assert result.rmse.analysis.size == 1800
    assert result.rmse.analysis[400:].mean() == pytest.approx(0.22, abs=0.02)


class TestBadInput:
    x = np.random.default_rng(0).standard_normal((4, 10))
    y = np.zeros(10)
    filt = ef.LETKF(GaspariCohn(cutoff=3.0))
    grid = ef.grids.RegularGrid((10,))

    @pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan])
    def test_cutoff(self, cutoff):
        with pytest.raises(ValueError, match="cutoff="):
            ef.LETKF(GaspariCohn(cutoff=cutoff))

    def test_localization(self):
        with pytest.raises(TypeError, match=r"localization=3\.0"):
            ef.LETKF(3.0)

    def test_rotate(self):
        with pytest.raises(TypeError, match="rotate='yes'"):
            ef.LETKF(GaspariCohn(cutoff=3.0), rotate="yes")

    def test_no_grid(self):
        for y in (self.y, np.full(10, np.nan)):
            with pytest.raises(ValueError, match="grid is missing"):
                self.filt.analysis(self.x, y, ef.Observation(Identity(), 1.0))

    def test_grid_of_another_size(self):
        obs = ef.Observation(Identity(), 1.0, grid=ef.grids.RegularGrid((11,)))
        with pytest.raises(ValueError, match="11 points"):
            self.filt.analysis(self.x, self.y, obs)

    def test_locations(self):
        obs = ef.Observation(Identity(), 1.0, grid=self.grid, locations=np.zeros((9, 1)))
        with pytest.raises(ValueError, match="locations"):
            self.filt.analysis(self.x, self.y, obs)
        obs = ef.Observation(Linear(np.eye(10)), 1.0, grid=self.grid)
        with pytest.raises(ValueError, match="locations is missing"):
            self.filt.analysis(self.x, self.y, obs)

    def test_one_member(self):
        with pytest.raises(ValueError, match="at least 2"):
            self.filt.analysis(self.x[:1], self.y, ef.Observation(Identity(), 1.0, grid=self.grid))

    def test_nothing_observed_is_the_forecast(self, backend):
        obs = ef.Observation(Identity(), 1.0, grid=self.grid)
        filt = ef.LETKF(GaspariCohn(cutoff=3.0), inflation=1.1, rotate=True, backend=backend)
        assert np.array_equal(filt.analysis(self.x, np.full(10, np.nan), obs), self.x)
