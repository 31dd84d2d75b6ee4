"""The Kolmogorov flow: against another integrator, its order, and what it conserves."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import enfilt as ef
from enfilt.models import KolmogorovFlow, _etdrk4


def fields(model, state):
    return state.reshape(-1, *model.shape)


def spectral(f, axis):
    """The derivative along an axis of f (n, n), from a full complex transform."""
    k = np.fft.fftfreq(f.shape[axis], 1 / f.shape[axis])
    shape = (-1, 1) if axis == 0 else (1, -1)
    return np.fft.ifft2(1j * k.reshape(shape) * np.fft.fft2(f)).real


def energy(state):
    return np.mean(state**2)


def test_against_solve_ivp():
    """Velocity, pressure and the advective form, by Runge-Kutta 8(5,3) at tight tolerance."""
    model = KolmogorovFlow(n=24, reynolds=50.0, forcing_wavenumber=2, drag=0.2, dt=0.01)
    n = model.n
    begin = model.initial_state(1) + np.repeat([0.3, -0.2], n * n)  # with a mean wind
    k = np.fft.fftfreq(n, 1 / n)
    k_y, k_x = k[:, None], k[None, :]
    squared = k_x**2 + k_y**2
    kept = np.maximum(abs(k_x), abs(k_y)) * 3 < n
    y = 2 * np.pi * np.arange(n)[:, None] / n

    def tendency(_, state):
        u, v = state.reshape(2, n, n)
        parts = [
            -u * spectral(f, 1) - v * spectral(f, 0) - 0.2 * f + force
            for f, force in ((u, np.sin(2 * y) + 0 * k_x), (v, np.zeros((n, n))))
        ]
        a, b = (np.fft.fft2(p) * kept for p in parts)
        pressure = (k_x * a + k_y * b) / np.where(squared > 0, squared, 1)
        a, b = a - k_x * pressure, b - k_y * pressure
        a -= squared * np.fft.fft2(u) / 50
        b -= squared * np.fft.fft2(v) / 50
        return np.stack([np.fft.ifft2(a).real, np.fft.ifft2(b).real]).reshape(-1)

    wanted = solve_ivp(tendency, (0, 1), begin, method="DOP853", rtol=1e-10, atol=1e-11).y[:, -1]
    found = model.step(begin, 100)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert np.abs(found - begin).max() > 0.5


def test_fourth_order_in_the_inner_step():
    model = KolmogorovFlow(n=32, reynolds=100.0)
    tables = model._tables(np.dtype(float))
    spectrum = model._spectrum(model.initial_state(0)[None], tables)

    def run(count):
        v = spectrum.copy()
        c = model._coefficients(count, np.dtype(float))
        _etdrk4.advance(v, count, c, lambda v: model._tendency(v, tables, 1))
        return v

    fine = run(256)
    steps = np.array([4, 8, 16, 32])
    errors = [np.linalg.norm(run(n) - fine) for n in steps]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 3.8 < slope < 4.3


def test_a_free_flow_without_friction_keeps_energy_and_enstrophy():
    model = KolmogorovFlow(n=64, reynolds=1e12, forcing_wavenumber=0, drag=0.0)
    begin = model.initial_state(2)
    later = model.step(begin, 10)
    assert np.linalg.norm(later - begin) > 0.5 * np.linalg.norm(begin)
    assert energy(later) == pytest.approx(energy(begin), rel=1e-5)
    enstrophy = [np.mean(model.vorticity(s) ** 2) for s in (begin, later)]
    assert enstrophy[1] == pytest.approx(enstrophy[0], rel=1e-4)


def test_a_free_flow_with_friction_loses_energy():
    """Without forcing, d/dt <u^2 + v^2> = -2 drag <u^2 + v^2> - 2 <w^2> / Re."""
    model = KolmogorovFlow(n=32, reynolds=40.0, forcing_wavenumber=0, drag=0.3, dt=0.01)
    states = [model.initial_state(2)]
    for _ in range(2):
        states.append(model.step(states[-1], 1))
    rate = (energy(states[2]) - energy(states[0])) / 0.02
    enstrophy = np.mean(model.vorticity(states[1]) ** 2)
    # energy() is a mean over u and v, half of what the equation speaks of
    wanted = -2 * 0.3 * energy(states[1]) - enstrophy / 40
    assert rate == pytest.approx(wanted, rel=1e-3)


def test_the_laminar_flow_is_steady():
    """sin(k_f y) / (k_f^2 / Re + drag) along x."""
    model = KolmogorovFlow(n=32, reynolds=20.0, forcing_wavenumber=3)
    y = 2 * np.pi * np.arange(32) / 32
    u = np.sin(3 * y)[:, None] / (9 / 20 + 0.1) * np.ones(32)
    rest = np.stack([u, np.zeros((32, 32))]).reshape(-1)
    np.testing.assert_allclose(model.step(rest, 3), rest, rtol=0, atol=1e-12)
    assert model.vorticity(rest)[:, 0] == pytest.approx(-3 * np.cos(3 * y) / 0.55)


def test_the_mean_velocity_decays_with_the_drag_and_carries_the_flow_along(dtype):
    still = KolmogorovFlow(n=32, forcing_wavenumber=0, drag=0.0, reynolds=100.0, dt=0.01)
    begin = still.initial_state(4).astype(dtype)
    wind = np.repeat([4 * np.pi / 32, 0.0], 32 * 32).astype(dtype)  # a point in 50 steps
    carried = fields(still, still.step(begin + wind, 200))[0]
    wanted = np.roll(fields(still, still.step(begin, 200) + wind)[0], 4, axis=-1)
    np.testing.assert_allclose(carried, wanted, rtol=0, atol=1e-5)
    damped = KolmogorovFlow(n=32, drag=0.7)
    means = fields(damped, damped.step(begin + wind, 5))[0].mean(axis=(1, 2))
    np.testing.assert_allclose(means, [4 * np.pi / 32 * np.exp(-0.7), 0], rtol=0, atol=1e-6)


def test_states_are_free_of_divergence(rng):
    model = KolmogorovFlow(n=32)
    begin = model.initial_state(0)
    noisy = begin + 0.3 * rng.standard_normal(model.dim)
    for state in (begin, model.step(noisy, 1)):
        u, v = fields(model, state)[0]
        assert np.abs(spectral(u, 1) + spectral(v, 0)).max() < 1e-12
        np.testing.assert_allclose(
            model.vorticity(state), spectral(v, 1) - spectral(u, 0), rtol=0, atol=1e-11
        )
    assert np.mean(np.sum(fields(model, begin) ** 2, axis=1)) == pytest.approx(1)
    np.testing.assert_array_equal(begin, model.initial_state(np.random.default_rng(0)))


def test_members_do_not_depend_on_each_other(rng, dtype, monkeypatch):
    model = KolmogorovFlow(n=32)
    x = np.stack([model.initial_state(s) * (1 + 2 * s) for s in range(4)])
    x = (x + 0.1 * rng.standard_normal(x.shape)).astype(dtype)
    counts = model._inner_steps(fields(model, x))
    assert len(set(counts)) > 2
    found = model.step(x, 3)
    for member, wanted in zip(x, found, strict=True):
        np.testing.assert_array_equal(model.step(member, 3), wanted)
    big = np.tile(x, (20, 1))  # several blocks
    np.testing.assert_array_equal(model.step(big, 3), np.tile(found, (20, 1)))
    np.testing.assert_array_equal(model.step(x, 0), x)
    assert model.step(x, 3, out=x) is x
    np.testing.assert_array_equal(x, found)


def test_inner_steps_keep_the_courant_number():
    model = KolmogorovFlow(n=64, dt=0.2)
    speeds = np.geomspace(0.01, 400, 60)
    velocity = np.zeros((60, 2, 64, 64))
    velocity[:, 0, 3, 5], velocity[:, 1, 3, 5] = 0.6 * speeds, 0.8 * speeds
    counts = model._inner_steps(velocity)
    needed = 0.2 * speeds / (0.5 * 2 * np.pi / 64)
    assert (counts >= needed).all()
    assert (counts <= np.maximum(1, 1.25 * np.ceil(needed))).all()
    assert len(np.unique(counts)) < 40


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_a_member_that_has_blown_up_comes_out_as_nan_and_leaves_others_alone(bad):
    model = KolmogorovFlow(n=16)
    x = np.stack([model.initial_state(s) for s in range(3)])
    wanted = model.step(x, 2)
    y, found = x.copy(), np.empty_like(x)
    with np.errstate(invalid="ignore"):
        y[1] *= bad
        model._advance(y, 2, found)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], wanted[[0, 2]])


def test_float32_is_near_float64():
    model = KolmogorovFlow(n=48)
    x = model.step(model.initial_state(0), 20)
    found = model.step(x.astype(np.float32), 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.step(x, 3), rtol=0, atol=2e-4)


def test_statistics_of_the_attractor():
    """Forced at wave number 4, the flow gathers its energy in larger eddies; drag balances it."""
    model = KolmogorovFlow(n=48, reynolds=200.0)
    x = np.stack([model.initial_state(s) for s in range(2)]).astype(np.float32)
    x = model.step(x, 75)
    sums, balance = [], []
    y = 2 * np.pi * np.arange(48)[:, None] / 48
    for _ in range(25):
        x = model.step(x, 5)
        u = fields(model, x)[:, 0]
        lost = 0.1 * 2 * energy(x) + np.mean(model.vorticity(x) ** 2) / 200
        balance.append([np.mean(u * np.sin(4 * y)), lost])
        sums.append([np.mean(x), 2 * energy(x)])
    mean, speed = np.mean(sums, axis=0)
    power, lost = np.mean(balance, axis=0)
    assert abs(mean) < 1e-6  # nothing drives a mean wind
    assert 1 < np.sqrt(speed) < 2
    assert power == pytest.approx(lost, rel=0.15)  # over 25 time units


def test_grid_and_pictures():
    model = KolmogorovFlow(n=20)
    assert (model.dim, model.shape, model.grid.shape) == (800, (2, 20, 20), (20, 20))
    assert model.grid.size == model.dim
    places = model.grid.coordinates([1, 20, 401])
    h = 2 * np.pi / 20
    np.testing.assert_allclose(places, [[0, h], [h, 0], [0, h]])
    states = np.stack([model.initial_state(s) for s in range(3)])
    np.testing.assert_array_equal(model.field(states), model.vorticity(states))
    assert model.vorticity(states.astype("f4")[None]).shape == (1, 3, 20, 20)
    assert model.vorticity(states.astype("f4")).dtype == np.float32


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"n": 3}, ValueError, "n=3"),
        ({"n": 12}, ValueError, "n=12: expected at least 13 points for forcing_wavenumber=4"),
        ({"n": 32.0}, TypeError, "n=32.0"),
        ({"reynolds": 0}, ValueError, "reynolds=0"),
        ({"forcing_wavenumber": -1}, ValueError, "forcing_wavenumber=-1"),
        ({"drag": -0.1}, ValueError, "drag=-0.1"),
        ({"dt": 0}, ValueError, "dt=0"),
        ({"model_noise": np.nan}, ValueError, "model_noise=nan"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        KolmogorovFlow(**options)


@pytest.mark.parametrize(
    ("state", "kind", "message"),
    [
        (np.zeros((2, 31)), ValueError, r"state has shape \(2, 31\): expected \(..., 512\)"),
        (np.zeros(512, int), TypeError, "state has dtype int64"),
    ],
)
def test_vorticity_of_something_else(state, kind, message):
    with pytest.raises(kind, match=message):
        KolmogorovFlow(n=16).vorticity(state)


def test_a_small_one_is_tracked_by_the_letkf():
    """The preset kolmogorov-128 at a quarter of its points along each axis."""
    model = KolmogorovFlow(n=32, reynolds=200.0)
    components = np.arange(model.dim).reshape(model.shape)
    seen = ef.operators.Subset(components[:, ::4, ::4].reshape(-1))
    filt = ef.LETKF(ef.localization.GaspariCohn(1.5), ef.inflation.RTPS(0.5))
    twin = ef.TwinExperiment(
        model, ef.Observation(seen, 0.1), cycles=20, steps_per_cycle=1, spinup=100,
        initial_mean="truth", initial_std=1.0,
    )  # fmt: skip
    result = twin.run(filt, members=20, seed=0)
    assert result.rmse.analysis[0] > 0.2
    rmse, spread = (s.analysis[-5:].mean() for s in (result.rmse, result.spread))
    assert rmse < 0.1
    assert 0.5 < spread / rmse < 2
