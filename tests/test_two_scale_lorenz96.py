"""The two-scale Lorenz-96 model: against the equations in loops, its order, what it conserves."""

import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import enfilt as ef
from enfilt import presets
from enfilt.models import Lorenz96, TwoScaleLorenz96


def by_the_book(model, state):
    """Lorenz (1996), eqs. 2 and 3, an index after the other."""
    big_k, big_j = model.slow, model.fast
    x, y = state[:big_k], state[big_k:].reshape(big_k, big_j)

    def fast(j, k):  # beyond the last of a group comes the first of the next
        return y[(k + j // big_j) % big_k, j % big_j]

    coupling = model.h * model.c / model.b
    dx, dy = np.empty(big_k), np.empty((big_k, big_j))
    for k in range(big_k):
        advection = -x[k - 1] * (x[k - 2] - x[(k + 1) % big_k])
        dx[k] = advection - x[k] + model.forcing - coupling * y[k].sum()
        for j in range(big_j):
            advection = -model.c * model.b * fast(j + 1, k) * (fast(j + 2, k) - fast(j - 1, k))
            dy[k, j] = advection - model.c * y[k, j] + coupling * x[k]
    return np.concatenate([dx, dy.ravel()])


SIZES = [(4, 1), (5, 3), (36, 10)]


@pytest.mark.parametrize(("slow", "fast"), SIZES)
def test_the_tendency_is_that_of_the_book(slow, fast, rng):
    model = TwoScaleLorenz96(slow, fast, forcing=7.0, h=0.8, b=9.0, c=11.0)
    states = rng.standard_normal((2, 3, model.dim))
    found = model.tendency(states)
    for index in np.ndindex(2, 3):
        wanted = by_the_book(model, states[index])
        # sums of some ten products of a few hundred
        np.testing.assert_allclose(found[index], wanted, rtol=1e-13, atol=1e-11)


@pytest.mark.parametrize(("slow", "fast"), SIZES)
def test_advection_and_coupling_conserve_the_sum_of_squares(slow, fast, rng):
    model = TwoScaleLorenz96(slow, fast)
    s = rng.standard_normal((5, model.dim))
    x, y = s[:, :slow], s[:, slow:]
    left = (s * model.tendency(s)).sum(axis=1)
    wanted = (model.forcing * x - x**2).sum(axis=1) - model.c * (y**2).sum(axis=1)
    size = (np.abs(s) * np.abs(model.tendency(s))).sum(axis=1).max()
    np.testing.assert_allclose(left, wanted, rtol=0, atol=20 * np.finfo(float).eps * size)


def on_the_attractor(model):
    return model.step(model.initial_state(0), round(5 / model.dt))


def test_against_solve_ivp():
    model = TwoScaleLorenz96(slow=6, fast=4, dt=0.0005)
    begin = on_the_attractor(model)
    wanted = solve_ivp(
        lambda _, s: by_the_book(model, s), (0, 0.5), begin, method="DOP853", rtol=1e-10, atol=1e-12
    ).y[:, -1]
    np.testing.assert_allclose(model.step(begin, 1000), wanted, rtol=0, atol=1e-5)
    assert np.abs(wanted - begin).max() > 1  # or it would say nothing


def test_fourth_order_in_dt():
    begin = on_the_attractor(TwoScaleLorenz96(slow=6, fast=4))
    steps = np.array([50, 100, 200])
    ends = [TwoScaleLorenz96(slow=6, fast=4, dt=0.25 / n).step(begin, n) for n in [*steps, 3200]]
    errors = [np.linalg.norm(end - ends[-1]) for end in ends[:-1]]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 3.8 < slope < 4.2


def test_without_coupling_the_slow_variables_are_lorenz96(rng, dtype):
    model = TwoScaleLorenz96(slow=9, fast=2, forcing=8.0, h=0.0)
    x = np.concatenate([3 * rng.standard_normal((4, 9)), np.zeros((4, 18))], axis=1).astype(dtype)
    found = model.step(x, 20)
    wanted = Lorenz96(dim=9, forcing=8.0, dt=model.dt, backend="numpy").step(x[:, :9].copy(), 20)
    np.testing.assert_allclose(found[:, :9], wanted, rtol=0, atol=500 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(found[:, 9:], 0)


def test_members_do_not_depend_on_each_other(rng, dtype):
    model = TwoScaleLorenz96(slow=5, fast=10)  # ten: where sums along an axis round otherwise
    x = rng.standard_normal((2, 5, model.dim)).astype(dtype)
    found = model.step(x, 7)
    assert found.dtype == dtype
    for index in np.ndindex(2, 5):
        np.testing.assert_array_equal(found[index], model.step(x[index], 7))
    np.testing.assert_array_equal(model.step(x, 0), x)
    assert model.step(x, 7, out=x) is x
    np.testing.assert_array_equal(x, found)


def test_places():
    model = TwoScaleLorenz96(slow=36, fast=10)
    grid = model.grid
    assert (model.dim, model.shape, grid.size, grid.spacing) == (396, (396,), 396, 1.0)
    x, y = grid.coordinates(slice(36)), grid.coordinates(slice(36, None))
    apart = grid.distances(x, x)[0]
    np.testing.assert_allclose(apart[[1, 3, 9, 35]], [1, 3, 9, 1], rtol=0.11)  # chords of arcs
    np.testing.assert_array_less(apart[[1, 3, 9]], [1, 3, 9])
    # of each X its own Y are the nearest, evenly about it
    own = grid.distances(x, y).reshape(36, 36, 10)[5]
    np.testing.assert_array_equal(own.argmin(axis=0), 5)
    np.testing.assert_allclose(own[5], np.abs(np.arange(10) - 4.5) / 10, rtol=1e-3)
    along = np.diff(np.unwrap(np.arctan2(*y.T[::-1])))
    np.testing.assert_allclose(along, 2 * np.pi / 360, rtol=1e-10)


def test_initial_state():
    model = TwoScaleLorenz96(slow=1000, fast=4, b=20.0)
    state = model.initial_state(3)
    np.testing.assert_array_equal(state, model.initial_state(np.random.default_rng(3)))
    # five standard errors of a standard deviation
    assert abs(state[:1000].std() / 3 - 1) < 5 / np.sqrt(2 * 1000)
    assert abs(state[1000:].std() * 20 - 1) < 5 / np.sqrt(2 * 4000)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"slow": 3}, ValueError, "slow=3"),
        ({"fast": 0}, ValueError, "fast=0"),
        ({"slow": 36.0}, TypeError, "slow=36.0"),
        ({"forcing": np.inf}, ValueError, "forcing=inf"),
        ({"h": np.nan}, ValueError, "h=nan"),
        ({"b": 0}, ValueError, "b=0"),
        ({"c": -1}, ValueError, "c=-1"),
        ({"dt": 0}, ValueError, "dt=0"),
        ({"model_noise": -1}, ValueError, "model_noise=-1"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        TwoScaleLorenz96(**options)


@pytest.mark.parametrize(("options", "limit"), [({}, 0.0105), ({"h": 0.0}, 0.119)])
def test_a_step_beyond_the_limit_is_a_warning(options, limit):
    with pytest.warns(RuntimeWarning, match=rf"stability limit of {limit} "):
        TwoScaleLorenz96(**options, dt=1.02 * limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TwoScaleLorenz96(**options, dt=0.98 * limit)


@pytest.mark.parametrize(("name", "limit"), [("lorenz96-two-scale", 0.24), ("lorenz96-sparse", 3)])
def test_the_presets_filter_finds_the_truth(name, limit):
    """From far; 0.24 is the error of those who know the slow variables alone."""
    preset = presets.get(name).replace({"cycles": 200})
    result = preset.twin.run(preset.filter, members=preset.members, seed=2)
    assert result.rmse.forecast[0] > 1.2 * limit
    assert result.rmse.analysis[-100:].mean() < limit
    assert "field" not in result.kinds
    assert ("hovmoeller" in result.kinds) == (name == "lorenz96-sparse")


def test_what_is_observed_follows_the_slow_variables():
    preset = presets.get("lorenz96-two-scale").replace({"model.slow": 8, "model.fast": 3})
    assert preset.twin.obs.operator == ef.operators.Subset(range(8))
    assert preset.twin.model.dim == 32
