"""Lorenz-63: against other integrators, its symmetry and fixed points, noise, checks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

import enfilt as ef
from enfilt.models import Lorenz63

SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3
START = np.array([1.509, -1.531, 25.46])


def tendency(s, sigma=SIGMA, rho=RHO, beta=BETA):
    x, y, z = s
    return np.array([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])


def integrated(start, time):
    return integrate.solve_ivp(
        lambda _, s: tendency(s), (0, time), start, method="DOP853", rtol=1e-13, atol=1e-13
    ).y[:, -1]


def start(members):
    """States on the attractor: 10 time units from ones that lie about."""
    rng = np.random.default_rng(members)
    return Lorenz63(dt=0.01).step(START + rng.standard_normal((members, 3)), 1000)


def test_defaults_are_the_published_parameters():
    model = Lorenz63()
    assert (model.sigma, model.rho, model.beta, model.dt) == (SIGMA, RHO, BETA, 0.05)
    assert (model.dim, model.shape, model.model_noise) == (3, (3,), 0)
    assert not model.grid.periodic


def test_order_of_convergence():
    """Halving dt divides the error by 16, up to terms of order dt."""
    exact = integrated(START, 0.4)
    errors = [
        np.linalg.norm(Lorenz63(dt=0.4 / n).step(START, n) - exact) for n in (100, 200, 400, 800)
    ]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(slopes, 4, atol=0.15)


def test_against_scipy():
    """Over one time unit, in which an error grows by some e^0.9 and nowhere by more than 1e3."""
    exact = integrated(START, 1.0)
    coarse, fine = (Lorenz63(dt=1 / n).step(START, n) for n in (1000, 2000))
    # Richardson: the error of the finer one is a fifteenth of the difference, here doubled; 2,000
    # steps round numbers of 50 by 6e-15 each, solve_ivp allows 1e-13
    limit = 2 * np.abs(coarse - fine).max() / 15 + 1e-10
    assert limit < 1e-8
    np.testing.assert_allclose(fine, exact, rtol=0, atol=limit)


def test_one_step_by_hand():
    h, options = 0.02, {"sigma": 9.0, "rho": 20.0, "beta": 2.0}
    x = start(1)[0]
    k1 = tendency(x, **options)
    k2 = tendency(x + h / 2 * k1, **options)
    k3 = tendency(x + h / 2 * k2, **options)
    k4 = tendency(x + h * k3, **options)
    expected = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    np.testing.assert_allclose(Lorenz63(dt=h, **options).step(x), expected, rtol=1e-14)


STATES = st.lists(st.floats(-40, 40, allow_subnormal=False), min_size=3, max_size=3)


@given(state=STATES, steps=st.integers(0, 5))
def test_a_turn_about_the_z_axis_turns_the_result(state, steps):
    """(x, y, z) -> (-x, -y, z) changes signs of whole products and sums: no bit else."""
    turn = np.array([-1.0, -1.0, 1.0])
    model = Lorenz63(dt=0.01)
    np.testing.assert_array_equal(
        model.step(turn * state, steps), turn * model.step(np.array(state), steps)
    )


def test_the_z_axis_decays_to_the_origin():
    """With x = y = 0 it is dz/dt = -beta z; a step multiplies by the series of e^(-beta dt)."""
    u = -BETA * 0.05
    factor = 1 + u + u**2 / 2 + u**3 / 6 + u**4 / 24
    found = Lorenz63().step(np.array([0.0, 0.0, 7.0]), 20)
    np.testing.assert_allclose(found, [0, 0, 7 * factor**20], rtol=1e-13)


@pytest.mark.parametrize("sign", [-1.0, 0.0, 1.0])
def test_fixed_points_stay(dtype, sign):
    side = sign * np.sqrt(BETA * (RHO - 1))
    rest = np.array([[side, side, (RHO - 1) * abs(sign)]], dtype)
    # the wings' spirals grow by less than e^0.1 a time unit; 100 steps round by eps/2 of 28
    atol = 2 * 100 * np.finfo(dtype).eps * 28
    np.testing.assert_allclose(Lorenz63(dt=0.01).step(rest, 100), rest, rtol=0, atol=atol)


def test_float32_is_computed_in_float32():
    model, x = Lorenz63(dt=0.01), start(50)
    single = model.step(x.astype(np.float32), 20)
    assert single.dtype == np.float32
    error = np.abs(single - model.step(x, 20)).max()
    # 20 steps round some ten times by eps/2 of 50; an error grows by less than e^3 in 0.2
    assert 0 < error < 20 * 10 * 6e-8 * 50 * 20


def test_members_do_not_depend_on_each_other(dtype):
    model, x = Lorenz63(dt=0.02), start(6).astype(dtype)
    together = model.step(x, 30)
    np.testing.assert_array_equal(model.step(x[2], 30), together[2])
    np.testing.assert_array_equal(model.step(x.reshape(2, 3, 3), 30), together.reshape(2, 3, 3))
    np.testing.assert_array_equal(model.step(x[::2], 30), together[::2])
    np.testing.assert_array_equal(model.step(model.step(x, 13), 17), together)
    np.testing.assert_array_equal(model.step(x, 0), x)


def test_out(dtype):
    model, x = Lorenz63(), start(4).astype(dtype)
    before = x.copy()
    expected = model.step(x, 5)
    np.testing.assert_array_equal(x, before)
    out = np.full_like(x, np.nan)
    assert model.step(x, 5, out=out) is out
    np.testing.assert_array_equal(out, expected)
    memory = np.concatenate([x, x[:1]])
    np.testing.assert_array_equal(model.step(memory[:4], 5, out=memory[1:]), expected)
    assert model.step(x, 5, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_initial_state():
    """N((1.509, -1.531, 25.46), 2 I), in five standard errors of 2,000 draws."""
    model, stream = Lorenz63(), np.random.default_rng(0)
    states = np.array([model.initial_state(stream) for _ in range(2000)])
    np.testing.assert_allclose(states.mean(axis=0), START, atol=5 * np.sqrt(2 / 2000))
    np.testing.assert_allclose(np.cov(states.T), 2 * np.eye(3), atol=5 * 2 * np.sqrt(2 / 2000))
    np.testing.assert_array_equal(model.initial_state(3), model.initial_state(3))


def test_model_noise(dtype):
    """Variance noise^2 dt in each component and step, in five standard errors."""
    options = {"sigma": 0.0, "rho": 0.0, "beta": 0.0, "dt": 0.04}  # dx/dt = 0
    noisy = Lorenz63(**options, model_noise=0.7)
    x = np.zeros((20_000, 3), dtype)
    for steps in (1, 4):
        added = noisy.step(x, steps, rng=5)[:, [0, 2]].astype(np.float64)
        scaled = added / (0.7 * np.sqrt(0.04 * steps))
        assert abs(scaled.mean()) < 5 / np.sqrt(scaled.size)
        assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * scaled.size)
        assert abs(np.corrcoef(scaled.T)[0, 1]) < 5 / np.sqrt(len(scaled))
    one = noisy.step(x, 2, rng=1)
    np.testing.assert_array_equal(one, noisy.step(x, 2, rng=np.random.default_rng(1)))
    assert not np.array_equal(one, noisy.step(x, 2, rng=2))
    # a member's noise does not depend on how many there are
    np.testing.assert_array_equal(one[:10], noisy.step(x[:10], 2, rng=1))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"dt": 0}, ValueError, "dt=0"),
        ({"dt": -0.01}, ValueError, "dt=-0.01"),
        ({"dt": "0.01"}, TypeError, "dt='0.01'"),
        ({"sigma": np.inf}, ValueError, "sigma=inf"),
        ({"rho": np.nan}, ValueError, "rho=nan"),
        ({"beta": None}, TypeError, "beta=None"),
        ({"model_noise": -1}, ValueError, "model_noise=-1"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        Lorenz63(**options)


@pytest.mark.parametrize(
    ("x", "steps", "options", "kind", "message"),
    [
        (np.zeros((2, 4)), 1, {}, ValueError, r"ensemble has shape \(2, 4\): expected \(..., 3\)"),
        (np.zeros((2, 3), int), 1, {}, TypeError, "ensemble has dtype int64"),
        (np.zeros((2, 3)), -1, {}, ValueError, "steps=-1"),
        (np.zeros((2, 3)), 1.0, {}, TypeError, "steps=1.0"),
        (np.zeros((2, 3)), 1, {"out": np.zeros((3, 3))}, ValueError, "out has shape"),
        (np.zeros((2, 3)), 1, {"out": np.zeros((2, 3), "f4")}, TypeError, "out has dtype"),
    ],
)
def test_bad_input(x, steps, options, kind, message):
    with pytest.raises(kind, match=message):
        ef.models.Lorenz63().step(x, steps, **options)
