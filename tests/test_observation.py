"""Observations: the error's standard deviation, misfit, gradient, simulated observations."""

import numpy as np
import pytest

import enfilt as ef
from enfilt.operators import Arctan, Custom, Every, Identity, Linear, Power, Subset, Tanh

DIM = 6


@pytest.mark.parametrize(
    ("std", "kind", "message"),
    [
        (0, ValueError, "std=0"),
        (0.0, ValueError, "std=0"),
        (-0.1, ValueError, "std=-0.1"),
        (np.nan, ValueError, "std=nan"),
        (np.inf, ValueError, "std=inf"),
        ([0.1, 0.0, 0.1], ValueError, r"std\[1\]=0"),
        ([0.1, 0.1, -1.0], ValueError, r"std\[2\]=-1"),
        ([[0.1, 0.1]], ValueError, r"std has shape \(1, 2\)"),
        ("small", TypeError, "std can't be read as an array of numbers: it has dtype <U5"),
        (None, ValueError, "std"),
        ({"r": 1}, TypeError, "std can't be read"),
        ([], ValueError, r"std has shape \(0,\)"),
    ],
)
def test_bad_std(std, kind, message):
    with pytest.raises(kind, match=message):
        ef.Observation(Identity(), std)


@pytest.mark.parametrize("std", [[0.1] * 5, [0.1] * 7, [0.1]])
def test_std_of_wrong_length(std):
    obs = ef.Observation(Identity(), std)
    with pytest.raises(ValueError, match=f"std has {len(std)} entries: expected {DIM}"):
        obs.size(DIM)


def test_operator_must_be_one():
    with pytest.raises(TypeError, match="operator="):
        ef.Observation(np.arctan, 0.1)


def test_std_is_kept_as_a_copy():
    std = np.full(DIM, 0.1)
    obs = ef.Observation(Identity(), std)
    std[0] = 5
    assert obs.std[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        obs.std[0] = 1


def test_size():
    assert ef.Observation(Every(4, offset=1), 0.1).size(DIM) == 2
    assert ef.Observation(Identity(), [0.1] * DIM).size(DIM) == DIM
    with pytest.raises(ValueError, match="indices"):
        ef.Observation(Subset([DIM]), 0.1).size(DIM)


@pytest.mark.parametrize("std", [0.5, [0.5, 0.1, 2.0]])
def test_misfit_is_the_plain_sum(std, rng):
    obs = ef.Observation(Arctan() @ Every(2), std)
    x, y = rng.standard_normal((4, DIM)), rng.standard_normal(3)
    r = np.broadcast_to(std, 3)
    expected = [
        sum((y[k] - np.arctan(row[2 * k])) ** 2 / r[k] ** 2 for k in range(3)) / 2 for row in x
    ]
    np.testing.assert_allclose(obs.misfit(x, y), expected, rtol=1e-14)
    np.testing.assert_allclose(obs.misfit(x[0], y), expected[0], rtol=1e-14)
    innovation = [[(y[k] - np.arctan(row[2 * k])) / r[k] ** 2 for k in range(3)] for row in x]
    np.testing.assert_allclose(obs.innovation(x, y), innovation, rtol=1e-13)


@pytest.mark.parametrize("std", [0.5, [0.5, 0.1, 2.0]])
def test_missing_observations_are_left_out(std, rng):
    x, y = rng.standard_normal((4, DIM)), rng.standard_normal(3)
    y[1] = np.nan
    obs = ef.Observation(Tanh() @ Every(2), std)
    fewer = ef.Observation(Tanh() @ Subset([0, 4]), std if np.isscalar(std) else [std[0], std[2]])
    np.testing.assert_allclose(obs.misfit(x, y), fewer.misfit(x, y[[0, 2]]), rtol=1e-14)
    np.testing.assert_allclose(obs.gradient(x, y), fewer.gradient(x, y[[0, 2]]), rtol=1e-14)
    assert (obs.innovation(x, y)[:, 1] == 0).all()
    nothing = np.full(3, np.nan)
    assert (obs.misfit(x, nothing) == 0).all()
    assert (obs.gradient(x, nothing) == 0).all()


@pytest.mark.parametrize(
    "operator",
    [
        Identity(),
        Arctan() @ Every(2),
        Power(3),
        Subset([1, 1, 4]),
        Linear(np.random.default_rng(1).standard_normal((4, DIM))),
        Custom(lambda x: x**2, lambda x, u: 2 * x * u),
    ],
    ids=["identity", "arctan of every", "power", "twice", "linear", "custom"],
)
def test_gradient_against_finite_differences(operator, rng):
    m = operator.size(DIM)
    obs = ef.Observation(operator, rng.uniform(0.3, 2, m))
    x, y = rng.standard_normal((3, DIM)), rng.standard_normal(m)
    y[0] = np.nan
    step = 1e-5
    shifts = step * np.eye(DIM)
    expected = np.stack(
        [(obs.misfit(x + s, y) - obs.misfit(x - s, y)) / (2 * step) for s in shifts], axis=1
    )
    # J below some 1e3 here: rounding eps J/step = 2e-8, truncation step^2 J'''/6 < 1e-6 for x^3
    np.testing.assert_allclose(obs.gradient(x, y), expected, rtol=1e-6, atol=1e-6)


def test_gradient_needs_a_vjp():
    obs = ef.Observation(Custom(lambda x: x), 0.1)
    x = np.zeros((2, DIM))
    assert obs.misfit(x, np.zeros(DIM)).shape == (2,)
    with pytest.raises(TypeError, match="vjp"):
        obs.gradient(x, np.zeros(DIM))


def test_results_have_the_dtype_of_the_state(dtype, rng):
    obs = ef.Observation(Arctan(), rng.uniform(0.3, 2, DIM))
    x, y = rng.standard_normal((3, DIM)).astype(dtype), np.zeros(DIM, dtype)
    assert obs.gradient(x, y).dtype == dtype
    assert obs.innovation(x, y).dtype == dtype
    assert obs.simulate(x[0], rng=0).dtype == dtype
    assert obs.misfit(x, y).dtype == np.float64  # a sum over D


def test_simulate_is_reproducible(rng):
    obs = ef.Observation(Arctan(), 0.1)
    truth = rng.standard_normal(DIM)
    np.testing.assert_array_equal(obs.simulate(truth, rng=3), obs.simulate(truth, rng=3))
    stream = np.random.default_rng(3)
    first = obs.simulate(truth, rng=stream)
    np.testing.assert_array_equal(first, obs.simulate(truth, rng=3))
    assert not np.array_equal(obs.simulate(truth, rng=stream), first)
    assert not np.array_equal(obs.simulate(truth, rng=4), first)


def test_simulate_draws_the_error_that_it_says():
    std = np.repeat([0.1, 2.0], 20_000)
    obs = ef.Observation(Identity(), std)
    error = (obs.simulate(np.full(std.size, 3.0), rng=0) - 3.0) / std
    for part in np.split(error, 2):
        # five standard deviations of the mean and of the standard deviation of 20,000 normals
        assert abs(part.mean()) < 5 / np.sqrt(part.size)
        assert abs(part.std() - 1) < 5 / np.sqrt(2 * part.size)


def test_simulate_checks_the_sizes():
    with pytest.raises(ValueError, match="std has 2 entries: expected 3"):
        ef.Observation(Identity(), [0.1, 0.1]).simulate(np.zeros(3), rng=0)


@pytest.mark.parametrize("method", ["innovation", "misfit", "gradient"])
def test_an_infinite_observation_is_an_error(method):
    obs = ef.Observation(ef.operators.Every(2), std=[0.5, 1.0])
    with pytest.raises(ValueError, match=r"y\[1\] is infinite"):
        getattr(obs, method)(np.zeros((2, 4)), np.array([0.0, np.inf]))
