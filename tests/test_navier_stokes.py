"""Two-dimensional flow: backends against each other, what the scheme keeps, and known flows."""

import functools

import numpy as np
import pytest
from conftest import BACKENDS, KINDS
from pairs import pairs

import enfilt as ef
from enfilt.models import NavierStokes2D

DT, VISCOSITY = 1e-3, 0.02  # within both limits for the speeds and grids here
# One above and below whole vectors, odd and even, and one above each number of iterations a pass.
SIZES = [(4, 100), (5, 7), (31, 100), (33, 1), (64, 13), (97, 30), (193, 27)]


def flow(n, **options):
    settings = {"viscosity": VISCOSITY, "dt": DT, "iterations": 50} | options
    return NavierStokes2D(n, **settings)


def states(n, members, seed=0):
    """Initial states with a pressure, and with some divergence."""
    rng = np.random.default_rng([seed, n])
    x = np.stack([NavierStokes2D(n).initial_state(rng) for _ in range(members)])
    return x + 0.1 * rng.standard_normal(x.shape)


def fields(x, n):
    """p, u and v of one state."""
    return x.reshape(3, n, n)


def d_x(a, h):
    return (np.roll(a, -1, 1) - np.roll(a, 1, 1)) / (2 * h)


def d_y(a, h):
    return (np.roll(a, -1, 0) - np.roll(a, 1, 0)) / (2 * h)


def laplacian(a, h):
    return sum(np.roll(a, s, axis) for s in (1, -1) for axis in (0, 1)) / h**2 - 4 * a / h**2


def divergence(x, n):
    _, u, v = fields(x, n)
    return d_x(u, 2 / n) + d_y(v, 2 / n)


def predicted(x, n, viscosity=VISCOSITY, dt=DT):
    """u* and v* of an unforced flow."""
    _, u, v = fields(x, n)
    h = 2 / n
    return [a + dt * (viscosity * laplacian(a, h) - u * d_x(a, h) - v * d_y(a, h)) for a in (u, v)]


def poisson(b, n):
    """The solution, of mean zero, of the five-point Laplacian p = b."""
    k = 2 * np.pi * np.fft.fftfreq(n)
    symbol = (2 * np.cos(k) - 2)[:, None] + (2 * np.cos(k) - 2)
    symbol[0, 0] = 1
    solution = np.fft.fft2(b) * (2 / n) ** 2 / symbol
    solution[0, 0] = 0
    return np.fft.ifft2(solution).real


# -- backends


@functools.cache
def course(n, iterations, name):
    """Three states after three steps by the oracle in float64, and how far rounding may be off.

    A velocity is rounded some twenty times a step, which acts on the pressure as a change of the
    start does; a pressure once in each iteration, and no iteration makes an error grow.
    """
    x = states(n, 3).astype(name)
    eps = float(np.finfo(name).eps)
    model = flow(n, iterations=iterations, backend="numpy")
    exact = x.astype(np.float64)
    size = 1e-8 * np.abs(exact).max()
    rng = np.random.default_rng(n)
    pushed = exact + size * rng.choice([-1.0, 1.0], exact.shape)
    exact, pushed = model.step(exact, 3), model.step(pushed, 3)
    effect = np.abs(pushed - exact).max() / 1e-8
    limit = 3 * eps * (20 * effect + 4 * iterations * np.abs(exact).max())
    assert limit < 0.2 * np.abs(exact).max()  # or the tests would say nothing
    return x, exact, limit


@pairs({"backend, dtype": KINDS, "n, iterations": SIZES, "members": [1, 2, 3]})
def test_backends_agree_with_float64(n, iterations, members, dtype, backend):
    x, wanted, limit = course(n, iterations, dtype.name)
    x = x[:members]
    before = x.copy()
    found = flow(n, iterations=iterations, backend=backend).step(x, 3)
    assert found.dtype == dtype
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(found, wanted[:members], rtol=0, atol=limit)


@pytest.mark.skipif("cpp" not in BACKENDS, reason="the compiled core is not built")
def test_every_instruction_set(dtype):
    core = pytest.importorskip("enfilt._core")
    x, wanted, limit = course(33, 1, dtype.name)
    before = core.level()
    for level in core.usable_levels():
        assert core.use_level(level)
        found = flow(33, iterations=1, backend="cpp").step(x, 3)
        assert core.use_level(before)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)


def test_one_step_cell_by_cell(backend):
    n, h, iterations, forcing = 6, 2 / 6, 3, 0.5
    x = states(n, 1)
    p, u, v = fields(x[0].copy(), n)
    cells = [(j, i) for j in range(n) for i in range(n)]

    def around(a, j, i):
        return a[j, i - 1], a[j, (i + 1) % n], a[j - 1, i], a[(j + 1) % n, i]

    star = {}
    for name, a in (("u", u), ("v", v)):
        star[name] = np.empty_like(a)
        for j, i in cells:
            west, east, south, north = around(a, j, i)
            rate = -u[j, i] * (east - west) / (2 * h) - v[j, i] * (north - south) / (2 * h)
            rate += VISCOSITY * (west + east + south + north - 4 * a[j, i]) / h**2
            if name == "u":
                rate += forcing * np.sin(2 * np.pi * 8 * (j * h) / 2)
            star[name][j, i] = a[j, i] + DT * rate
    for _ in range(iterations):
        following = np.empty_like(p)
        for j, i in cells:
            west, east, _, _ = around(star["u"], j, i)
            _, _, south, north = around(star["v"], j, i)
            b = (east - west + north - south) / (2 * h) / DT
            following[j, i] = (sum(around(p, j, i)) - h**2 * b) / 4
        p = following
    for j, i in cells:
        west, east, south, north = around(p, j, i)
        star["u"][j, i] -= DT * (east - west) / (2 * h)
        star["v"][j, i] -= DT * (north - south) / (2 * h)
    found = flow(n, iterations=iterations, forcing=forcing, backend=backend).step(x, 1)
    np.testing.assert_allclose(fields(found, n), [p, star["u"], star["v"]], rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [5, 100])
def test_members_steps_and_out(n, backend, dtype):
    """The same operations in the same order, however the calls are cut."""
    model = flow(n, iterations=9, backend=backend)
    x = states(n, 3).astype(dtype)
    wanted = model.step(x, 3)
    alone = [model.step(state, 3) for state in x]
    np.testing.assert_array_equal(wanted, alone)
    np.testing.assert_array_equal(model.step(x[None], 3)[0], wanted)
    np.testing.assert_array_equal(model.step(model.step(x, 1), 2), wanted)
    np.testing.assert_array_equal(model.step(x, 0), x)
    assert model.step(x, 3, out=x) is x
    np.testing.assert_array_equal(x, wanted)


def test_bits_do_not_depend_on_threads(other_backend, monkeypatch, dtype):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    x = states(65, 5).astype(dtype)
    model = flow(65, backend=other_backend)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads):
            results.append(model.step(x, 2))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# -- the scheme


@pytest.mark.parametrize("n", [17, 16])
def test_many_iterations_solve_the_poisson_equation(backend, n):
    """The slowest waves shrink by cos(pi / n)^2 or so an iteration: e^-200 after 6000."""
    x = NavierStokes2D(n).initial_state(1)
    u, v = predicted(x, n)
    wanted = poisson((d_x(u, 2 / n) + d_y(v, 2 / n)) / DT, n)
    result = flow(n, iterations=6000, forcing=0.0, backend=backend).step(x, 1)
    p = fields(result, n)[0]
    np.testing.assert_allclose(p - p.mean(), wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())


def test_iterations_approach_the_solution():
    n = 33
    x = NavierStokes2D(n).initial_state(1)
    u, v = predicted(x, n)
    wanted = poisson((d_x(u, 2 / n) + d_y(v, 2 / n)) / DT, n)
    errors = []
    for iterations in (1, 10, 100, 1000):
        p = fields(flow(n, iterations=iterations, forcing=0.0).step(x, 1), n)[0]
        errors.append(np.linalg.norm(p - wanted) / np.linalg.norm(wanted))
    assert errors[0] < 1  # from p = 0
    assert (np.diff(errors) < 0).all()
    # of the longest wave, (1 + cos(2 pi / n)) / 2 is left by an iteration
    assert errors[3] < ((1 + np.cos(2 * np.pi / n)) / 2) ** 1000 * 2


def test_the_projection_reduces_the_divergence(dtype):
    n = 64
    rng = np.random.default_rng(0)
    x = NavierStokes2D(n).initial_state(rng)
    p, u, _ = fields(x, n)
    # v of its own, divergent, then x is both
    x = np.stack([p, u, fields(NavierStokes2D(n).initial_state(rng), n)[1]]).ravel().astype(dtype)
    model = flow(n, iterations=100, forcing=0.0)
    sizes = [np.linalg.norm(divergence(x, n))]
    for _ in range(4):
        x = model.step(x, 10)
        sizes.append(np.linalg.norm(divergence(x, n)))
    assert sizes[1] < 0.2 * sizes[0]
    assert sizes[4] < 0.05 * sizes[0]


def test_order_of_convergence():
    """First order in time: halving dt halves the error."""
    n, time = 16, 0.16
    x = NavierStokes2D(n).initial_state(2)
    exact, *coarse = (
        flow(n, dt=time / steps, iterations=300).step(x, steps)[n * n :]
        for steps in (1600, 20, 40, 80)
    )
    errors = [np.linalg.norm(c - exact) for c in coarse]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    # what is taken for exact has an error of its own, a twentieth of the last one's
    np.testing.assert_allclose(orders, 1, atol=0.15)


def test_momentum(backend):
    """Summed by parts, advection changes the mean of u by dt mean(u divergence), all else by 0."""
    n = 33
    model = flow(n, backend=backend)
    for x in (states(n, 1)[0], NavierStokes2D(n).initial_state(3)):
        _, u, v = fields(x, n)
        wanted = [(a + DT * a * divergence(x, n)).mean() for a in (u, v)]
        found = fields(model.step(x, 1), n)[1:].mean(axis=(1, 2))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)
    # the last state is free of divergence
    np.testing.assert_allclose(found, 0, atol=1e-14)


def test_kinetic_energy_decays_without_forcing(dtype):
    n = 64
    x = NavierStokes2D(n).initial_state(4).astype(dtype)
    model = flow(n, forcing=0.0, viscosity=5e-3, iterations=100)
    energies = []
    for _ in range(10):
        energies.append(np.sum(x[n * n :].astype(np.float64) ** 2))
        x = model.step(x, 20)
    assert (np.diff(energies) < 0).all()
    assert energies[-1] > 0.1 * energies[0]


@pytest.mark.parametrize(("n", "rate_error"), [(32, 0.01), (64, 0.0025)])
def test_taylor_green_vortex(backend, n, rate_error):
    """u = cos(pi x) sin(pi y), v = -sin(pi x) cos(pi y) decays as exp(-2 pi^2 viscosity t)."""
    y, x = np.meshgrid(2 * np.arange(n) / n, 2 * np.arange(n) / n, indexing="ij")
    u, v = np.cos(np.pi * x) * np.sin(np.pi * y), -np.sin(np.pi * x) * np.cos(np.pi * y)
    p = -(np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 4
    steps, dt, viscosity = 300, 1e-3, 0.05
    model = flow(n, forcing=0.0, dt=dt, viscosity=viscosity, backend=backend)
    _, found_u, found_v = fields(model.step(np.stack([p, u, v]).ravel(), steps), n)
    left = np.sum(found_u * u + found_v * v) / np.sum(u * u + v * v)
    rate = -np.log(left) / (steps * dt)
    # the Laplacian is (2 - 2 cos(pi h)) / h^2 in place of pi^2: h^2 pi^2 / 12, less 1/2 rate dt
    assert abs(rate / (2 * np.pi**2 * viscosity) - 1) < rate_error
    # and nothing else is there, but for what differs between both Laplacians, of order h^2
    assert np.abs(found_u - left * u).max() < 8 * rate_error


def test_rest_and_uniform_flow_stay(backend, dtype):
    n = 5
    model = flow(n, forcing=0.0, backend=backend)
    still = np.zeros((2, 3 * n * n), dtype)
    np.testing.assert_array_equal(model.step(still, 4), still)
    uniform = np.repeat(np.array([0.0, 0.5, -0.25], dtype), n * n)
    np.testing.assert_array_equal(model.step(uniform, 4), uniform)


def test_forcing_drives_a_shear_flow():
    """From rest, u = forcing sin(8 pi y) (1 - (1 - a)^steps) / a dt, a = dt viscosity k^2."""
    n, steps = 64, 50
    model = flow(n, forcing=0.3)
    _, u, v = fields(model.step(np.zeros(model.dim), steps), n)
    a = DT * VISCOSITY * (2 - 2 * np.cos(16 * np.pi / n)) / (2 / n) ** 2
    wanted = 0.3 * DT * (1 - (1 - a) ** steps) / a * np.sin(16 * np.pi * np.arange(n) / n)
    np.testing.assert_allclose(u, np.repeat(wanted[:, None], n, axis=1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(v, 0, atol=1e-14)


# -- the model


def test_grid():
    model = NavierStokes2D(8)
    assert (model.dim, model.shape, model.grid.size) == (192, (3, 8, 8), 192)
    np.testing.assert_allclose(model.grid.coordinates([64 + 8 + 2]), [[0.25, 0.5]])


@pytest.mark.parametrize("n", [4, 5, 32])
def test_initial_state(n):
    model = NavierStokes2D(n)
    state = model.initial_state(3)
    np.testing.assert_array_equal(state, model.initial_state(np.random.default_rng(3)))
    assert not fields(state, n)[0].any()
    np.testing.assert_allclose(divergence(state, n), 0, atol=1e-11)
    np.testing.assert_allclose(fields(state, n).mean(axis=(1, 2)), 0, atol=1e-14)


def test_initial_states_have_the_spectrum_that_they_say():
    n, count = 16, 300
    model = NavierStokes2D(n)
    x = np.stack([model.initial_state(seed) for seed in range(count)]).reshape(count, 3, n, n)
    # what is free of divergence is half of two fields of variance one
    energy = np.mean(np.sum(x**2, axis=1), axis=(1, 2))
    assert abs(energy.mean() - 1) < 5 * energy.std() / np.sqrt(count)
    waves = np.mean(np.sum(np.abs(np.fft.fft2(x)) ** 2, axis=1), axis=0)
    for k in (2, 3):
        one, other = (waves[0, 1] + waves[1, 0]) / 2, (waves[0, k] + waves[k, 0]) / 2
        wanted = np.exp(-2 * np.pi**2 * 0.2**2 * (k**2 - 1) / 4)
        # each is a mean of 600 exponential variables; the scaling of each field binds them a bit
        assert abs(other / one / wanted - 1) < 5 * np.sqrt(2 / 600)


def test_a_twin_experiment():
    model = NavierStokes2D(16, dt=2e-3)
    obs = ef.Observation(ef.operators.Arctan(), 0.1)
    options = {"cycles": 3, "steps_per_cycle": 5, "spinup": 20, "initial_mean": "truth"}
    twin = ef.TwinExperiment(model, obs, initial_std=0.3, **options)
    for filt in (ef.EnFF(steps=5), ef.LETKF(ef.localization.GaspariCohn(0.5))):
        result = twin.run(filt, members=5, seed=0)
        assert result.rmse.analysis[-1] < 0.3


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"n": 3}, ValueError, "n=3: expected an integer of at least 4"),
        ({"n": 8.0}, TypeError, "n=8.0"),
        ({"dt": 0}, ValueError, "dt=0"),
        ({"dt": np.nan}, ValueError, "dt=nan"),
        ({"viscosity": 0}, ValueError, "viscosity=0"),
        ({"forcing": np.inf}, ValueError, "forcing=inf"),
        ({"iterations": 0}, ValueError, "iterations=0"),
        ({"model_noise": -1}, ValueError, "model_noise=-1"),
        ({"backend": "fortran"}, ValueError, "backend='fortran'"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        NavierStokes2D(**options)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (np.zeros((2, 47)), ValueError, r"ensemble has shape \(2, 47\): expected \(..., 48\)"),
        (np.zeros((3, 4, 4)), ValueError, r"ensemble has shape \(3, 4, 4\)"),
        (np.zeros((2, 48), int), TypeError, "ensemble has dtype int64"),
    ],
)
def test_bad_input(x, kind, message):
    with pytest.raises(kind, match=message):
        NavierStokes2D(4).step(x)


def test_a_step_too_long_for_diffusion():
    with pytest.warns(RuntimeWarning, match=r"limit of 0\.00391 \(diffusion") as caught:
        NavierStokes2D(16, viscosity=1.0, dt=0.004)
    assert caught[0].filename == __file__
    NavierStokes2D(16, viscosity=1.0, dt=0.0039)


def test_a_step_too_long_for_advection(dtype):
    x = np.repeat(np.array([[0, 0, 0], [7, 3, 4]], dtype), 16, axis=1)  # at rest, and at speed 5
    with pytest.warns(RuntimeWarning, match=r"limit of 0\.008 \(advection") as caught:
        NavierStokes2D(4, viscosity=0.1, dt=0.0081).step(x)
    assert caught[0].filename == __file__
    NavierStokes2D(4, viscosity=0.1, dt=0.0079).step(x)


def test_vorticity_of_a_wave_is_its_derivative():
    model = ef.models.NavierStokes2D(n=64)
    x = 2 * np.arange(64) / 64
    u = np.sin(np.pi * x)[:, None] * np.ones(64)  # of y alone
    v = np.cos(2 * np.pi * x)[None, :] * np.ones((64, 1))  # of x alone
    state = np.stack([np.zeros((64, 64)), u, v]).ravel()
    h = 2 / 64  # central differences of a wave k: sin(k h) / h for k
    exact = -np.sin(2 * np.pi * h) / h * np.sin(2 * np.pi * x)[None, :]
    exact = exact - np.sin(np.pi * h) / h * np.cos(np.pi * x)[:, None]
    np.testing.assert_allclose(model.vorticity(state), exact, atol=1e-12)
    np.testing.assert_array_equal(model.field(state[None])[0], model.vorticity(state))
    with pytest.raises(ValueError, match=r"state has shape \(5,\)"):
        model.vorticity(np.zeros(5))
