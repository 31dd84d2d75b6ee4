"""Lorenz-96: backends against each other and against other integrators, symmetries, noise."""

import functools
import math

import numpy as np
import pytest
from conftest import KINDS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pairs import pairs
from scipy import integrate

import enfilt as ef
from enfilt import kernels
from enfilt.models import Lorenz96
from enfilt.models.lorenz96 import tendency

STEPS = (0, 1, 3, 16, 17, 40)
DT = 0.01


def start(rows, dim):
    """States near the attractor: some 6 time units from noise on a short ring, tiled."""
    rng = np.random.default_rng([rows, dim])
    short = kernels.lorenz96(
        8 + rng.standard_normal((rows, 40)), dt=0.05, steps=120, backend="numpy"
    )
    long = np.tile(short, -(-dim // 40))[:, :dim]
    return long + 0.1 * rng.standard_normal((rows, dim))


@functools.cache
def course(dim, rows, name):
    """States after each of STEPS by the oracle, and what a rounding of the start does to them.

    Every step rounds some ten times, each time by no more than eps/2 of |x| + dt |f|, which is
    below 4 |x| in the norm of the largest component. Such an error then grows as a perturbation
    of the start does; so (1 + steps) 20 times the effect of one bounds the difference between
    two ways to compute the same, as long as it stays small.
    """
    dtype = np.dtype(name)
    eps = float(np.finfo(dtype).eps)
    x = start(rows, dim).astype(dtype)
    rng = np.random.default_rng(dim)
    signs = rng.choice([-1.0, 1.0], (2, *x.shape))
    size = 2**20 * float(np.finfo(np.float64).eps)
    exact = x.astype(np.float64)
    pushed = [exact + size * np.abs(exact).max() * s for s in signs]
    found, before = {}, 0
    for steps in STEPS:
        more = {"dt": DT, "steps": steps - before, "backend": "numpy"}
        exact = kernels.lorenz96(exact, **more)
        pushed = [kernels.lorenz96(p, **more) for p in pushed]
        before = steps
        effect = max(np.abs(p - exact).max() for p in pushed) / size
        found[steps] = exact, (1 + steps) * 20 * eps * effect
    return x, found


@pairs({"backend, dtype": KINDS, "dim": [4, 5, 40, 2047, 2048, 2049, 5000, 70001], "steps": STEPS})
def test_backends_agree_with_float64(dim, steps, dtype, backend):
    rows = 2 if dim > 2049 else 3
    x, states = course(dim, rows, dtype.name)
    wanted, limit = states[steps]
    before = x.copy()
    found = kernels.lorenz96(x, dt=DT, steps=steps, backend=backend)
    assert found.dtype == dtype
    np.testing.assert_array_equal(x, before)
    if steps == 0:
        np.testing.assert_array_equal(found, x)
    else:
        assert limit < 0.1  # or the test would say nothing
        np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)


@pairs({"backend, dtype": KINDS, "dim": [4, 40, 2049, 5000], "steps": STEPS, "rows": [1, 3]})
def test_out(rows, dim, steps, dtype, backend):
    x = start(rows, dim).astype(dtype)
    wanted = kernels.lorenz96(x, dt=DT, steps=steps, backend=backend)
    out = np.full_like(x, np.nan)
    assert kernels.lorenz96(x, dt=DT, steps=steps, out=out, backend=backend) is out
    np.testing.assert_array_equal(out, wanted)
    assert kernels.lorenz96(x, dt=DT, steps=steps, out=x, backend=backend) is x
    np.testing.assert_array_equal(x, wanted)


def test_out_that_overlaps_in_part(backend):
    memory = start(3, 40)
    wanted = kernels.lorenz96(memory[:2], dt=DT, steps=5, backend=backend)
    found = kernels.lorenz96(memory[:2], dt=DT, steps=5, out=memory[1:], backend=backend)
    np.testing.assert_array_equal(found, wanted)


def test_leading_axes_and_strides(backend):
    x = start(6, 40)
    wanted = kernels.lorenz96(x, steps=3, backend=backend)
    np.testing.assert_array_equal(kernels.lorenz96(x[0], steps=3, backend=backend), wanted[0])
    batch = kernels.lorenz96(x.reshape(2, 3, 40), steps=3, backend=backend)
    np.testing.assert_array_equal(batch, wanted.reshape(2, 3, 40))
    np.testing.assert_array_equal(kernels.lorenz96(x[::2], steps=3, backend=backend), wanted[::2])
    column_major = np.asfortranarray(x)
    np.testing.assert_array_equal(kernels.lorenz96(column_major, steps=3, backend=backend), wanted)


def test_rows_do_not_depend_on_each_other(backend):
    for dim in (40, 5000):
        x = start(5, dim)
        together = kernels.lorenz96(x, steps=20, backend=backend)
        alone = [kernels.lorenz96(row[None], steps=20, backend=backend)[0] for row in x]
        np.testing.assert_array_equal(together, alone)


def test_steps_add_up(backend):
    x = start(2, 5000)
    once = kernels.lorenz96(x, steps=19, backend=backend)
    twice = kernels.lorenz96(
        kernels.lorenz96(x, steps=16, backend=backend), steps=3, backend=backend
    )
    # the same operations in the same order, whatever is kept in cache between them
    np.testing.assert_array_equal(once, twice)


def test_order_of_convergence(backend):
    """Halving dt divides the error by 16, up to terms of order dt."""
    x = start(1, 40)
    exact = integrate.solve_ivp(
        lambda _, z: tendency(z), (0, 0.4), x[0], method="DOP853", rtol=1e-13, atol=1e-13
    ).y[:, -1]
    errors = [
        np.linalg.norm(kernels.lorenz96(x, dt=0.4 / n, steps=n, backend=backend)[0] - exact)
        for n in (40, 80, 160)
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 4, atol=0.2)


def test_against_scipy(backend):
    x = start(1, 40)
    exact = integrate.solve_ivp(
        lambda _, z: tendency(z), (0, 1.0), x[0], method="DOP853", rtol=1e-13, atol=1e-13
    ).y[:, -1]
    coarse, fine = (kernels.lorenz96(x, dt=1 / n, steps=n, backend=backend)[0] for n in (500, 1000))
    # Richardson: the error of the finer one is a fifteenth of the difference, here doubled;
    # 1e-10 for rounding and solve_ivp: 1e-13 a time unit, grown by no more than e^4
    limit = 2 * np.abs(coarse - fine).max() / 15 + 1e-10
    assert limit < 1e-7
    np.testing.assert_allclose(fine, exact, rtol=0, atol=limit)


def test_one_step_by_hand(backend):
    x = start(2, 6)
    k1 = tendency(x, 5.0)
    k2 = tendency(x + 0.01 * k1, 5.0)
    k3 = tendency(x + 0.01 * k2, 5.0)
    k4 = tendency(x + 0.02 * k3, 5.0)
    wanted = x + 0.02 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    found = kernels.lorenz96(x, dt=0.02, steps=1, forcing=5.0, backend=backend)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=40 * np.finfo(float).eps * 20)


RINGS = st.integers(4, 70).flatmap(
    lambda dim: arrays(np.float64, dim, elements=st.floats(-10, 10, allow_subnormal=False))
)


@pytest.mark.parametrize("name", ef.config()["backends"].split(", "))
@given(x=RINGS, shift=st.integers(-80, 80), steps=st.integers(1, 5))
def test_a_shift_of_the_ring_shifts_the_result(name, x, shift, steps):
    shifted = kernels.lorenz96(np.roll(x, shift), dt=DT, steps=steps, backend=name)
    wanted = np.roll(kernels.lorenz96(x, dt=DT, steps=steps, backend=name), shift)
    # |x| stays below 20 for 0.05 time units; the rows of the Jacobian sum to at most
    # 20 + 20 + 40 + 1, so an error grows by less than e^(81 * 0.05) < 60; ten roundings a step
    limit = 60 * steps * 10 * np.finfo(float).eps * 20
    np.testing.assert_allclose(shifted, wanted, rtol=0, atol=limit)


@given(x=RINGS)
def test_advection_conserves_energy(x):
    """sum_d x_d (x_{d+1} - x_{d-2}) x_{d-1} = 0: advection does not change sum_d x_d^2."""
    advection = tendency(x, 0.0) + x
    energy = math.fsum(x * advection)
    size = math.fsum(np.abs(x) * (np.abs(advection) + np.abs(x)))
    # advection is rounded four times, by eps/2 of itself or of itself less x; its product once
    assert abs(energy) <= 4 * np.finfo(float).eps * size + 1e-300


@given(x=RINGS, forcing=st.floats(-10, 10))
def test_tendency_component_by_component(x, forcing):
    n = len(x)
    wanted = [(x[(d + 1) % n] - x[d - 2]) * x[d - 1] - x[d] + forcing for d in range(n)]
    np.testing.assert_array_equal(tendency(x, forcing), wanted)


@pytest.mark.parametrize("forcing", [0.0, -3.0, 8.0])
def test_the_state_of_rest_stays(forcing, backend, dtype):
    for dim in (4, 5000):
        rest = np.full((2, dim), forcing, dtype)
        np.testing.assert_array_equal(
            kernels.lorenz96(rest, steps=50, forcing=forcing, backend=backend), rest
        )


# -- the model


def test_the_model_is_the_kernel(backend, dtype):
    model = Lorenz96(dim=40, forcing=7.0, dt=0.02, backend=backend)
    x = start(3, 40).astype(dtype)
    wanted = kernels.lorenz96(x, dt=0.02, steps=7, forcing=7.0, backend=backend)
    np.testing.assert_array_equal(model.step(x, 7), wanted)
    assert model.step(x, 7, out=x) is x
    np.testing.assert_array_equal(x, wanted)
    assert (model.dim, model.shape, model.grid.shape) == (40, (40,), (40,))


def test_initial_state():
    model = Lorenz96(dim=10_000)
    state = model.initial_state(3)
    assert state.shape == (10_000,)
    np.testing.assert_array_equal(state, model.initial_state(np.random.default_rng(3)))
    # five standard errors of the standard deviation of 10,000 normals
    assert abs(state.std() / 3 - 1) < 5 / np.sqrt(2 * 10_000)


def test_model_noise_has_the_width_that_it_says(dtype, backend):
    dim, noise, dt = 10_000, 0.7, 0.04
    noisy = Lorenz96(dim=dim, dt=dt, model_noise=noise, backend=backend)
    still = Lorenz96(dim=dim, dt=dt, backend=backend)
    x = start(4, dim).astype(dtype)
    added = (noisy.step(x, 1, rng=5) - still.step(x, 1)).astype(np.float64)
    scaled = added / (noise * np.sqrt(dt))
    # five standard errors
    assert abs(scaled.mean()) < 5 / np.sqrt(scaled.size)
    assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * scaled.size)
    correlation = np.corrcoef(scaled)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(dim)


def test_model_noise_comes_after_every_step(backend):
    """From a state of rest, and for a short time, variances of the steps add up."""
    model = Lorenz96(dim=10_000, forcing=0.0, dt=1e-4, model_noise=1.0, backend=backend)
    x = model.step(np.zeros((1, 10_000)), 9, rng=2)
    # five standard errors, and the damping of 9e-4
    assert abs(x.std() / np.sqrt(9e-4) - 1) < 5 / np.sqrt(2 * 10_000) + 1e-3


def test_model_noise_is_reproducible(backend):
    model = Lorenz96(dim=40, model_noise=0.1, backend=backend)
    x = start(3, 40)
    before = x.copy()
    one = model.step(x, 4, rng=1)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(one, model.step(x, 4, rng=np.random.default_rng(1)))
    assert not np.array_equal(one, model.step(x, 4, rng=2))
    assert model.step(x, 4, rng=1, out=x) is x
    np.testing.assert_array_equal(x, one)


def test_without_noise_nothing_is_drawn():
    stream = np.random.default_rng(0)
    Lorenz96(dim=4).step(np.zeros((2, 4)), 5, rng=stream)
    assert stream.bit_generator.state == np.random.default_rng(0).bit_generator.state


# -- errors


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"dim": 3}, ValueError, "dim=3"),
        ({"dim": 40.0}, TypeError, "dim=40.0"),
        ({"dt": 0}, ValueError, "dt=0"),
        ({"dt": -0.01}, ValueError, "dt=-0.01"),
        ({"dt": np.nan}, ValueError, "dt=nan"),
        ({"dt": "0.01"}, TypeError, "dt='0.01'"),
        ({"forcing": np.inf}, ValueError, "forcing=inf"),
        ({"model_noise": -1}, ValueError, "model_noise=-1"),
        ({"backend": "fortran"}, ValueError, "backend='fortran'"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        Lorenz96(**options)


@pytest.mark.parametrize(
    ("x", "steps", "options", "kind", "message"),
    [
        (np.zeros((2, 41)), 1, {}, ValueError, r"ensemble has shape \(2, 41\)"),
        (np.float64(1), 1, {}, ValueError, r"ensemble has shape \(\)"),
        (np.zeros((2, 40), int), 1, {}, TypeError, "ensemble has dtype int64"),
        (np.zeros((2, 40), np.float16), 1, {}, TypeError, "ensemble has dtype float16"),
        (np.zeros((2, 40)), -1, {}, ValueError, "steps=-1"),
        (np.zeros((2, 40)), 1.0, {}, TypeError, "steps=1.0"),
        (np.zeros((2, 40)), 1, {"out": np.zeros((3, 40))}, ValueError, "out has shape"),
        (np.zeros((2, 40)), 1, {"out": np.zeros((2, 40), "f4")}, TypeError, "out has dtype"),
        (np.zeros((2, 40)), 1, {"out": np.zeros((40, 2)).T}, ValueError, "out must be C-cont"),
        (np.zeros((2, 40)), 1, {"out": [0.0] * 80}, TypeError, "out is of type list"),
    ],
)
def test_bad_input(x, steps, options, kind, message):
    with pytest.raises(kind, match=message):
        Lorenz96(dim=40).step(x, steps, **options)


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.zeros(0), np.float64(0)])
def test_kernel_needs_four_components(x):
    with pytest.raises(ValueError, match="x has shape"):
        kernels.lorenz96(x)


# -- a model of one's own


def test_a_callable_model_gives_the_same_experiment():
    model = Lorenz96(dim=40)
    obs = ef.Observation(ef.operators.Arctan(), 0.1)
    begin = 8 + np.random.default_rng(0).standard_normal(40)
    options = {"cycles": 4, "steps_per_cycle": 5, "spinup": 30, "initial_state": begin}
    filt = ef.EnFF(steps=5)
    results = [
        ef.TwinExperiment(m, obs, **options).run(filt, members=5, seed=1)
        for m in (model, lambda x, steps: model.step(x, steps))
    ]
    for name in ("rmse", "spread", "crps", "energy_score", "rank_histogram"):
        for kind in ("forecast", "analysis"):
            one, other = (getattr(getattr(r, name), kind) for r in results)
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(results[0].time, 0.05 * np.arange(4), rtol=1e-15)
    np.testing.assert_array_equal(results[1].time, 5.0 * np.arange(4))  # it tells no dt
