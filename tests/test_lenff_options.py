"""What a user of the LEnFF may leave to it, and say to it: steps, variables, operators, tapers."""

import numpy as np
import pytest
from conftest import KINDS
from pairs import pairs
from scipy import sparse
from test_lenff import GRIDS, assert_close, dense, problem

import enfilt as ef
from enfilt.filters.lenff import MOST_STEPS, SETTLED
from enfilt.localization import GaspariCohn, Taper
from enfilt.operators import Arctan, Every, Identity, Linear

TAPER = GaspariCohn(cutoff=5.0)
DOUBLE = np.dtype(np.float64)


# -- steps="auto"


def change(fine, coarse, forecast):
    """The definition, on the components that moved."""
    moved = (fine != forecast).any(axis=0)
    apart = np.sqrt(np.mean((fine - coarse)[:, moved] ** 2))
    return apart / np.sqrt(np.mean(fine[:, moved].var(axis=0, ddof=1)))


@pairs({"backend, dtype": KINDS, "std": [3.0, 0.3, 0.05], "grid": list(GRIDS)})
def test_auto_takes_the_fewest_steps_that_are_enough(backend, dtype, std, grid):
    obs = ef.Observation(Arctan(), std=std, grid=GRIDS[grid](60))
    x, y = problem(12, 60, obs, dtype, missing=0.3)
    filt = ef.LEnFF(TAPER, steps="auto", backend=backend)
    analysis = filt.analysis(x, y, obs)
    steps = filt.facts["steps"]
    runs = {
        n: ef.LEnFF(TAPER, steps=n, backend=backend).analysis(x, y, obs)
        for n in 2 ** np.arange(1, int(np.log2(steps)) + 1)
    }
    assert np.array_equal(analysis, runs[steps])
    changes = [change(runs[n], runs[n // 2], x) for n in runs if n > 2]
    assert all(c > SETTLED for c in changes[:-1])
    assert changes[-1] <= SETTLED or steps == MOST_STEPS


def test_auto_takes_more_steps_for_more_precise_observations():
    taken = []
    for std in (10.0, 1.0, 0.2):
        obs = ef.Observation(Identity(), std=std, grid=ef.grids.RegularGrid((60,)))
        x, y = problem(20, 60, obs, np.float64)
        filt = ef.LEnFF(TAPER, steps="auto")
        filt.analysis(x, y, obs)
        taken.append(filt.facts["steps"])
    assert taken[0] == 4  # the fewest: two steps and their double must agree
    assert taken == sorted(taken)
    assert taken[-1] > 8


def test_what_moves_decides_however_much_does_not():
    """One observation on a long ring takes as many steps as on a short one."""
    taken = []
    for dim in (20, 40_000):
        obs = ef.Observation(Every(dim), std=0.1, grid=ef.grids.RegularGrid((dim,)))
        x, y = problem(8, 20, ef.Observation(Identity(), 1.0), np.float64)
        wide = np.random.default_rng(0).standard_normal((8, dim))
        wide[:, :10], wide[:, -10:] = x[:, :10], x[:, -10:]
        filt = ef.LEnFF(TAPER, steps="auto")
        filt.analysis(wide, y[:1] + 5, obs)
        taken.append(filt.facts["steps"])
    assert taken[0] == taken[1] > 4


def test_auto_gives_each_ensemble_of_a_batch_its_own_steps(backend):
    obs = ef.Observation(Identity(), std=0.2, grid=ef.grids.RegularGrid((40,)))
    x, y = problem(8, 40, obs, np.float64)
    narrow = x.mean(axis=0) + 0.01 * (x - x.mean(axis=0))
    filt = ef.LEnFF(TAPER, steps="auto", backend=backend)
    both, rows = filt.analysis(np.array([x, narrow, x]), np.array([y, y, y * np.nan]), obs), []
    told = filt.facts["steps"]
    for one in (x, narrow):
        rows.append(filt.analysis(one, y, obs))
        assert filt.facts["steps"] == (told if one is x else 4)
    assert np.array_equal(both, np.array([*rows, x]))


def test_auto_with_nothing_to_do(backend, dtype):
    obs = ef.Observation(Identity(), std=1e-6, grid=ef.grids.RegularGrid((10,)))
    flat = np.zeros((4, 10), dtype)
    filt = ef.LEnFF(TAPER, steps="auto", backend=backend)
    assert np.array_equal(filt.analysis(flat, np.ones(10, dtype), obs), flat)
    assert filt.facts == {"steps": 4}
    assert np.array_equal(filt.analysis(flat, np.full(10, np.nan, dtype), obs), flat)
    assert filt.facts == {}


def test_facts_of_a_run(tmp_path):
    model = ef.models.Lorenz96(dim=40)
    twin = ef.TwinExperiment(
        model, ef.Observation(Arctan(), std=0.1), cycles=5, steps_per_cycle=5, spinup=50
    )
    result = twin.run(ef.LEnFF(TAPER, steps="auto"), members=8, seed=0)
    steps = result.facts["steps"]
    assert steps.shape == (5,)
    assert set(steps) <= set(2.0 ** np.arange(2, 7))
    assert result.summary(last=2)["steps"] == steps[-2:].mean()
    again = ef.Result.load(result.save(tmp_path / "result.npz"))
    np.testing.assert_array_equal(again.facts["steps"], steps)
    assert twin.run(ef.LEnFF(TAPER), members=8, seed=0).facts == {}


def test_auto_is_an_option_like_any_other():
    filt = ef.LEnFF(TAPER, steps="auto")
    assert filt == ef.LEnFF(TAPER, steps="auto")
    assert hash(filt) == hash(ef.LEnFF(TAPER, steps="auto"))
    assert "steps='auto'" in filt.describe()
    assert "_memory" not in filt.describe()
    with pytest.raises(ValueError, match=r"steps='auto'.*not known beforehand"):
        _ = filt.pseudo_times
    with pytest.raises(ValueError, match=r"steps='automatic' is not known.*did you mean 'auto'"):
        ef.LEnFF(TAPER, steps="automatic")
    with pytest.raises(TypeError, match=r"steps=2\.0"):
        ef.LEnFF(TAPER, steps=2.0)


# -- several variables on one grid


@pairs(
    {
        "backend, dtype": KINDS,
        "shape": [(9,), (4, 5)],
        "operator": [Arctan(), Every(3, offset=1)],
        "periodic": {"ring": True, "edges": False},
    }
)
def test_variables_that_do_not_correlate(backend, dtype, shape, periodic, operator):
    """As an analysis of each variable by its own observations."""
    grid = ef.grids.RegularGrid(
        shape, periodic=periodic, spacing=0.5, variables=3, between_variables=False
    )
    obs = ef.Observation(operator, std=0.4, grid=grid)
    x, y = problem(6, grid.size, obs, dtype, missing=0.1)
    taper = GaspariCohn(cutoff=1.3)
    points = int(np.prod(shape))
    components = np.arange(grid.size)[operator.pointwise(grid.size).components]
    for filt in (ef.LEnFF(taper, steps=3, backend=backend), ef.LETKF(taper, backend=backend)):
        found = filt.analysis(x, y, obs)
        for v in range(3):
            mine = slice(v * points, (v + 1) * points)
            own = (components >= mine.start) & (components < mine.stop)
            chosen = ef.operators.Subset(components[own] - mine.start)
            function = Arctan() if isinstance(operator, Arctan) else Identity()
            alone = ef.Observation(
                function @ chosen,
                std=0.4,
                grid=ef.grids.RegularGrid(shape, periodic=periodic, spacing=0.5),
            )
            wanted = filt.analysis(x[:, mine].copy(), y[own], alone)
            assert_close(found[:, mine], wanted, dtype)
    assert_close(ef.LEnFF(taper, steps=3, backend=backend).analysis(x, y, obs),
                 dense(x, y, obs, ef.LEnFF(taper, steps=3)), dtype)  # fmt: skip


def test_an_observation_of_one_variable_leaves_the_other_alone(backend, dtype):
    obs = {}
    for between in (True, False):
        grid = ef.grids.RegularGrid((30,), variables=2, between_variables=between)
        obs[between] = ef.Observation(ef.operators.Subset([7]), std=0.1, grid=grid)
    x, y = problem(5, 60, obs[True], dtype)
    for filt in (ef.LEnFF(TAPER, backend=backend), ef.LETKF(TAPER, backend=backend)):
        changed = {
            b: np.flatnonzero((filt.analysis(x, y, o) != x).any(axis=0)) for b, o in obs.items()
        }
        near = np.arange(3, 12)
        assert np.array_equal(changed[True], np.concatenate([near, near + 30]))
        assert np.array_equal(changed[False], near)


@pytest.mark.parametrize("cutoff", [2.5, np.inf])
def test_locations_tell_the_variable(backend, dtype, cutoff):
    grid = ef.grids.RegularGrid((4, 6), variables=2, between_variables=False)
    rng = np.random.default_rng(4)
    # the first four are of variable 0, the rest of variable 1, between the points of the grid
    where = np.column_stack([np.repeat([0, 1], 4), 4 * rng.random(8), 6 * rng.random(8)])
    h = Linear(rng.standard_normal((8, 48)) / 7)
    obs = ef.Observation(h, std=0.3, grid=grid, locations=where)
    x, y = problem(7, 48, obs, dtype)
    filt = ef.LEnFF(GaspariCohn(cutoff=cutoff), steps=3, backend=backend)
    assert_close(filt.analysis(x, y, obs), dense(x, y, obs, filt), dtype)
    y[4:] = np.nan
    analysis = filt.analysis(x, y, obs)
    assert (analysis[:, :24] != x[:, :24]).any()
    assert np.array_equal(analysis[:, 24:], x[:, 24:])


@pytest.mark.parametrize("periodic", [True, False])
def test_the_search_for_neighbours_finds_what_distances_say(periodic):
    from enfilt.filters.kept_lists import KeptLists

    grid = ef.grids.RegularGrid((5, 7), periodic=periodic, variables=3, between_variables=False)
    rng = np.random.default_rng(0)
    # also of a variable that there is none of: it is far from all
    places = np.column_stack([rng.integers(-1, 5, 40), 9 * rng.random((40, 2)) - 1])
    taper = GaspariCohn(cutoff=2.2)
    wanted = taper.weight(grid.distances(grid.coordinates(), places))
    found = np.zeros_like(wanted)
    for part in KeptLists().of(grid, places, slice(None), taper, each=True):
        rows = np.repeat(np.arange(len(part.starts) - 1), np.diff(part.starts)) + part.first
        found[rows, part.indices] = part.weights
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    assert (wanted > 0).any()


def test_between_variables_is_true_or_false():
    with pytest.raises(TypeError, match=r"between_variables='no'"):
        ef.grids.RegularGrid((5,), variables=2, between_variables="no")
    grid = ef.grids.RegularGrid((5,), variables=2, between_variables=False)
    obs = ef.Observation(Linear(np.eye(1, 10)), 1.0, grid=grid, locations=[2.0])
    with pytest.raises(ValueError, match=r"locations has shape \(1, 1\): expected \(1, 2\)"):
        ef.LEnFF(TAPER).analysis(np.eye(10), [0.0], obs)


# -- operators that are no choice of components


def test_sparse_linear(backend, dtype):
    rng = np.random.default_rng(3)
    matrix = sparse.random_array((15, 60), density=0.1, rng=rng, format="csr") + sparse.eye_array(
        15, 60, format="csr"
    )
    grid = ef.grids.RegularGrid((60,), periodic=False)
    obs = ef.Observation(Linear(matrix), 0.3, grid=grid, locations=60 * rng.random(15))
    x, y = problem(6, 60, obs, dtype, missing=0.2)
    filt = ef.LEnFF(TAPER, steps=4, backend=backend)
    assert_close(filt.analysis(x, y, obs), dense(x, y, obs, filt), dtype)


# -- what is allowed, and what is not


@pytest.mark.parametrize("std", [1e-3, 1e-18, 1e-150])
def test_ever_more_precise_observations_are_met(backend, std):
    """Of one component, without neighbours: the analysis tends to y as the steps grow."""
    obs = ef.Observation(Identity(), std=std, grid=ef.grids.RegularGrid((6,), spacing=9.0))
    x, y = problem(20, 6, obs, np.float64)
    errors = []
    for steps in (4, 16, 64):
        filt = ef.LEnFF(TAPER, steps=steps, backend=backend)
        with pytest.warns(UserWarning, match="no longer correlate"):
            analysis = filt.analysis(x, y, obs)
        assert np.isfinite(analysis).all()
        errors.append(np.abs(analysis - y).max())
    # a step with r = 0 takes the mean all the way, and the anomalies by half
    assert errors[0] < 0.2 * np.abs(x - y).max()
    # the members' own spread is about r
    assert errors[1] < 1e-3 + 5 * std
    assert errors[2] < 1e-3 + 5 * std


@pytest.mark.parametrize(
    ("taper", "message"),
    [
        (lambda d: 1 - d, r"shape returned -1\.0 at distance 2\.0: expected weights from 0 to 1"),
        (lambda d: 1 + d, r"shape returned [23]\.0 at distance [12]\.0"),
        (lambda d: np.where(d == 2, np.nan, 1.0), "shape returned nan at"),
        (lambda d: d[:1], r"shape returned weights of shape .* expected the same"),
    ],
)
def test_bad_tapers(backend, taper, message):
    obs = ef.Observation(Identity(), 1.0, grid=ef.grids.RegularGrid((10,)))
    x, y = problem(4, 10, obs, np.float64)
    localization = Taper(cutoff=3.0, shape=taper)
    for filt in (ef.LEnFF(localization, backend=backend), ef.LETKF(localization, backend=backend)):
        with pytest.raises(ValueError, match=message):
            filt.analysis(x, y, obs)


def test_a_taper_may_be_anything_beyond_the_cutoff():
    taper = Taper(cutoff=2.0, shape=lambda d: 1 - d / 2)
    np.testing.assert_array_equal(taper.weight([0.0, 1.0, 2.0, 5.0, np.inf]), [1, 0.5, 0, 0, 0])


@pytest.mark.parametrize("members", [0, 1])
def test_fewer_than_two_members(members):
    obs = ef.Observation(Identity(), 1.0, grid=ef.grids.RegularGrid((10,)))
    with pytest.raises(ValueError, match=rf"forecast has shape \({members}, 10\).*at least 2"):
        ef.LEnFF(TAPER).analysis(np.zeros((members, 10)), np.zeros(10), obs)


def test_no_grid_says_what_to_pass():
    with pytest.raises(ValueError, match=r"Observation\(\.\.\., grid=model\.grid\)"):
        ef.LEnFF(TAPER).analysis(np.eye(4), np.zeros(4), ef.Observation(Identity(), 1.0))
