"""EnSF: backends against the step-by-step form, limits that are exact, and the regression.

Tolerances, relative in norm. A paired analysis of 6 steps is some 50 rounded operations a
component: 4 eps of float32, 5e-7. The mixture's weights have the error of a squared distance of
some D, which adds up like a random walk to eps sqrt(D), times the precision of at most 4: with
members 1 apart in norm that is 1e-6 of |x| = sqrt(D) and less. So 4e-6 in float32; float64 1e-12.
"""

import dataclasses
import itertools

import numpy as np
import pytest
import threadpoolctl
from conftest import KINDS, OTHER_KINDS
from pairs import pairs

import enfilt as ef
from enfilt import backends
from enfilt.filters import regression
from enfilt.localization import GaspariCohn

RTOL = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 4e-6}

# Around a vector, a tile, a block (2 KB a row) and a chunk (8192 components) of the kernels.
SIZES = [(2, 1), (3, 31), (5, 33), (20, 129), (33, 257), (3, 8193), (4, 16391)]

OPERATORS = {
    "Identity": lambda dim: ef.operators.Identity(),
    "Arctan": lambda dim: ef.operators.Arctan(),
    "Tanh": lambda dim: ef.operators.Tanh(),
    "Sigmoid": lambda dim: ef.operators.Sigmoid(alpha=1.5),
    "Power(2)": lambda dim: ef.operators.Power(2),
    "Power(1.5)": lambda dim: ef.operators.Power(1.5),
    "Subset": lambda dim: ef.operators.Subset(
        np.random.default_rng(6).permutation(dim)[: max(1, dim // 2)]
    ),
    "Arctan@Every": lambda dim: ef.operators.Arctan() @ ef.operators.Every(2),
    "Linear": lambda dim: ef.operators.Linear(np.eye(min(dim, 7), dim, 1) + np.eye(dim)[:7]),
    "Custom": lambda dim: ef.operators.Custom(
        lambda x: x[:, ::2] ** 2 / 2,
        lambda x, u: (
            np.repeat(u, 2, axis=1)[:, : x.shape[1]] * x * (np.arange(x.shape[1]) % 2 == 0)
        ),
    ),
}
FORMS = list(itertools.product(["mixture", "paired"], ["sde", "ode"]))


@dataclasses.dataclass(frozen=True)
class Setting:
    """The arrays of one analysis."""

    forecast: np.ndarray
    y: np.ndarray
    obs: ef.Observation

    def analysis(self, filt, **options):
        return filt.analysis(self.forecast, self.y, self.obs, **options)


def make_setting(members, dim, operator, dtype, *, vector_std=False, batch=(), grid=None):
    """Members about 1 apart in norm; every third observation is missing if there are three."""
    rng = np.random.default_rng([members, dim])
    truth = rng.uniform(-1, 1, dim)
    forecast = truth + rng.standard_normal((*batch, members, dim)) / np.sqrt(dim)
    m = operator.size(dim)
    std = 0.7 + 0.3 * rng.random(m) if vector_std else 0.8
    y = operator(truth[None])[0] + std * rng.standard_normal((*batch, m))
    if m > 2:
        y[..., 1::3] = np.nan
    obs = ef.Observation(operator, std=std, grid=grid)
    return Setting(forecast.astype(dtype), y.astype(dtype), obs)


def draw_noise(filt, setting, seed=0):
    """Draw normals of the shape that the filter asks for."""
    shape = setting.forecast.shape
    draws = shape if filt.sampler == "ode" else (*shape[:-2], filt.steps + 1, *shape[-2:])
    normals = np.random.default_rng(seed).standard_normal(draws)
    return normals.astype(setting.forecast.dtype)


def relative_error(result, expected):
    return np.linalg.norm(result.astype(np.float64) - expected) / np.linalg.norm(expected)


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "name": list(OPERATORS),
        "size": SIZES,
        "score": ["mixture", "paired"],
        "sampler": ["sde", "ode"],
        "score_limit": [None, 1.5, 40.0],
        "standardized": {"as drawn": False, "standardized": True},
        "eps_alpha": [0.4, 1.0],
        "vector_std": {"one std": False, "std each": True},
    },
    # a dense matrix is no kernel's, and its products would take the time of all others
    without=[{"name": "Linear", "size": size} for size in SIZES[5:]],
)
def test_equals_numpy(
    other_backend,
    dtype,
    name,
    size,
    score,
    sampler,
    score_limit,
    standardized,
    eps_alpha,
    vector_std,
):
    setting = make_setting(*size, OPERATORS[name](size[1]), dtype, vector_std=vector_std)
    filt = ef.EnSF(
        steps=6,
        eps_alpha=eps_alpha,
        eps_beta=0.25,
        score=score,
        sampler=sampler,
        # far out the powers' gradients grow without bound, and Euler's steps with them
        score_limit=4.0 if "Power" in name else score_limit,
        standardize_start=standardized,
        backend="numpy",
    )
    noise = draw_noise(filt, setting)
    expected = setting.analysis(filt, noise=noise)
    result = setting.analysis(dataclasses.replace(filt, backend=other_backend), noise=noise)
    assert result.dtype == dtype
    assert relative_error(result, expected) <= RTOL[dtype]


@pytest.mark.parametrize(("score", "sampler"), FORMS)
def test_draws_are_those_of_the_generator(backend, dtype, score, sampler):
    """rng= gives what noise= gives with the normals of its key, step by step, block by block."""
    setting = make_setting(3, 600, ef.operators.Tanh(), dtype, batch=(2,))
    filt = ef.EnSF(steps=4, eps_beta=0.3, score=score, sampler=sampler, backend=backend)
    key = int(np.random.default_rng(5).integers(2**64, dtype=np.uint64))
    noise = np.empty((2, 5, 3, 600), dtype)
    for b, k in np.ndindex(2, 5):
        backends.get(backend).normals(key, b, k, noise[b, k])
    if sampler == "ode":
        noise = noise[:, 0]
    result = setting.analysis(filt, rng=5)
    np.testing.assert_array_equal(result, setting.analysis(filt, noise=noise))
    np.testing.assert_array_equal(result, setting.analysis(filt, rng=5))
    assert not np.array_equal(result, setting.analysis(filt, rng=6))


@pytest.mark.parametrize(("score", "sampler"), FORMS)
def test_batch_is_its_ensembles(backend, score, sampler):
    setting = make_setting(4, 90, ef.operators.Arctan(), np.float64, batch=(3,))
    filt = ef.EnSF(steps=3, score=score, sampler=sampler, standardize_start=True, backend=backend)
    noise = draw_noise(filt, setting)
    whole = setting.analysis(filt, noise=noise)
    for b in range(3):
        one = Setting(setting.forecast[b], setting.y[b], setting.obs)
        np.testing.assert_array_equal(whole[b], one.analysis(filt, noise=noise[b]))
    first = Setting(setting.forecast[0], setting.y[0], setting.obs)
    np.testing.assert_array_equal(setting.analysis(filt, rng=1)[0], first.analysis(filt, rng=1))


@pytest.mark.parametrize("size", [(1000, 3), (20, 200_000)], ids=["many weights", "one-hot"])
@pytest.mark.parametrize("score", ["mixture", "paired"])
def test_float32_is_near_float64(other_backend, score, size):
    """Within the bound of flow fields, 1e-4 of how far members move, in norm.

    Weights of a thousand members in three components are spread out for most of the way; those of
    twenty in many are one-hot at its end.
    """
    setting = make_setting(*size, ef.operators.Arctan(), np.float32)
    filt = ef.EnSF(steps=20, score=score, sampler="ode", backend=other_backend)
    noise = draw_noise(filt, setting)
    wide = Setting(setting.forecast.astype("f8"), setting.y.astype("f8"), setting.obs)
    exact = wide.analysis(filt, noise=noise.astype("f8"))
    error = np.linalg.norm(setting.analysis(filt, noise=noise) - exact)
    assert error <= 1e-4 * np.linalg.norm(exact - noise)


@pytest.mark.parametrize(("score", "sampler"), FORMS)
def test_threads_change_no_bit(other_backend, monkeypatch, score, sampler):
    setting = make_setting(5, 40_000, ef.operators.Arctan(), np.float32)
    filt = ef.EnSF(steps=3, score=score, sampler=sampler, backend=other_backend)
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads, user_api="openmp"):
            results.append(setting.analysis(filt, rng=0))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_members_do_not_depend_on_those_behind(backend):
    """The paired score without a standardized start: the first 3 of 7 are those of 3."""
    setting = make_setting(7, 70, ef.operators.Arctan(), np.float64)
    few = Setting(setting.forecast[:3], setting.y, setting.obs)
    filt = ef.EnSF(steps=4, score="paired", backend=backend)
    np.testing.assert_array_equal(setting.analysis(filt, rng=0)[:3], few.analysis(filt, rng=0))


# Limits that are exact.


def without_observations(_):
    return 0.0


def one_forecast(members, dim, value=1.5):
    """A forecast of members that are all the same: a Gaussian, noised."""
    forecast = np.full((members, dim), value)
    return Setting(forecast, np.zeros(dim), ef.Observation(ef.operators.Identity(), std=1.0))


@pytest.mark.parametrize("eps_alpha", [0.5, 1.0])
def test_probability_flow_of_a_gaussian(backend, eps_alpha):
    """N(alpha c, beta^2) moves its points by x -> alpha c + beta (x - alpha c)/beta at t = 1."""
    setting = one_forecast(2, 6)
    errors = []
    for steps in (200, 400):
        filt = ef.EnSF(
            steps=steps,
            eps_alpha=eps_alpha,
            eps_beta=0.09,
            sampler="ode",
            damping=without_observations,
            backend=backend,
        )
        noise = draw_noise(filt, setting)
        expected = 1.5 + np.sqrt(0.09) * (noise - eps_alpha * 1.5)
        errors.append(np.abs(setting.analysis(filt, noise=noise) - expected).max())
    assert errors[0] < 0.03
    assert 1.7 < errors[0] / errors[1] < 2.3  # Euler: first order


@pytest.mark.parametrize("score", ["mixture", "paired"])
def test_diffusion_of_a_gaussian(score):
    """The stochastic sampler ends with N(c, eps_beta): 1e5 components tell 2 % of a deviation."""
    setting = one_forecast(2, 50_000)
    noise_left_by_the_start = 0.3
    filt = ef.EnSF(
        steps=400,
        eps_alpha=0.01,  # the start is then N(0, 1) and the diffusion's own N(0.01 c, 1) at once
        eps_beta=noise_left_by_the_start**2,
        score=score,
        damping=without_observations,
    )
    result = setting.analysis(filt, rng=0)
    assert abs(result.mean() - 1.5) < 0.01
    assert abs(result.std() / noise_left_by_the_start - 1) < 0.02


def test_without_observations_ends_at_the_members():
    """Members 3 apart in every component: each end is within eps_beta of one of them."""
    rng = np.random.default_rng(0)
    forecast = 3 * rng.standard_normal((8, 2000))
    setting = Setting(forecast, np.zeros(2000), ef.Observation(ef.operators.Identity(), std=1.0))
    filt = ef.EnSF(steps=200, eps_alpha=0.05, eps_beta=1e-4, damping=without_observations)
    ends = setting.analysis(filt, rng=1)
    distances = np.sqrt(((ends[:, None] - forecast) ** 2).mean(axis=-1)).min(axis=1)
    assert distances.max() < 0.1
    nearest = ((ends[:, None] - forecast) ** 2).sum(axis=-1).argmin(axis=1)
    assert len(set(nearest)) > 1
    paired = setting.analysis(dataclasses.replace(filt, score="paired"), rng=1)
    assert np.sqrt(((paired - forecast) ** 2).mean(axis=-1)).max() < 0.1


def test_equal_members_make_mixture_and_paired_the_same(backend):
    setting = one_forecast(5, 40)
    filt = ef.EnSF(steps=9, backend=backend)
    other = dataclasses.replace(filt, score="paired")
    np.testing.assert_allclose(
        setting.analysis(filt, rng=0), setting.analysis(other, rng=0), rtol=1e-13
    )


@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_linear_observation_in_closed_form(backend, sampler):
    """Paired with h(x) = x: each step is affine, written here from the paper's f, g and S."""
    steps, alpha1, beta0, r, y, c = 11, 0.3, 0.2, 0.5, 0.7, -0.4
    setting = Setting(
        np.full((2, 3), c), np.full(3, y), ef.Observation(ef.operators.Identity(), std=r)
    )
    filt = ef.EnSF(
        steps=steps,
        eps_alpha=alpha1,
        eps_beta=beta0,
        score="paired",
        sampler=sampler,
        damping=lambda t: (1 - t) ** 2,
        backend=backend,
    )
    noise = draw_noise(filt, setting)
    x = noise.copy() if sampler == "ode" else noise[0].copy()
    dt = 1 / steps
    for k in range(steps):
        t = 1 - k * dt
        alpha, beta2 = 1 - t * (1 - alpha1), beta0 + t * (1 - beta0)
        f = -(1 - alpha1) / alpha
        g2 = (1 - beta0) - 2 * f * beta2
        s = -(x - alpha * c) / beta2 + (1 - t) ** 2 * (y - x) / r**2
        x = x - dt * (f * x - g2 * s / (1 if sampler == "sde" else 2))
        if sampler == "sde":
            x = x + np.sqrt(g2 * dt) * noise[k + 1]
    np.testing.assert_allclose(setting.analysis(filt, noise=noise), x, rtol=1e-12)


def test_score_limit(backend):
    setting = make_setting(4, 30, ef.operators.Identity(), np.float64)
    filt = ef.EnSF(steps=5, eps_alpha=1.0, eps_beta=0.5, sampler="ode", backend=backend)
    noise = draw_noise(filt, setting)
    free = setting.analysis(filt, noise=noise)
    np.testing.assert_array_equal(
        setting.analysis(dataclasses.replace(filt, score_limit=1e9), noise=noise), free
    )
    # f = 0 and g^2 = 1/2 here: a step moves by limit/4/steps at most, and by that where clipped
    held = setting.analysis(dataclasses.replace(filt, score_limit=1e-3), noise=noise)
    moved = np.abs(held - noise)
    assert moved.max() <= 0.25e-3 * (1 + 1e-9)
    assert np.median(moved) == pytest.approx(0.25e-3)


def test_standardized_start(backend):
    """With equal members and a linear h the sampler is affine: the mean starts and stays exact."""
    setting = one_forecast(6, 40)
    filt = ef.EnSF(steps=5, sampler="ode", score="paired", backend=backend)
    noise = draw_noise(filt, setting)
    noise[:, 7] = 2.0  # no spread: becomes 0
    standard = dataclasses.replace(filt, standardize_start=True)
    result = setting.analysis(standard, noise=noise)
    centre = setting.analysis(filt, noise=np.zeros_like(noise))[0]
    np.testing.assert_allclose(result.mean(axis=0), centre, rtol=1e-12)
    slope = setting.analysis(filt, noise=np.ones_like(noise))[0] - centre
    deviation = np.where(np.arange(40) == 7, 0, np.abs(slope))
    np.testing.assert_allclose(result.std(axis=0, ddof=1), deviation, rtol=1e-12, atol=1e-14)
    shifted = setting.analysis(standard, noise=3 * noise + 1)
    np.testing.assert_allclose(shifted, result, rtol=1e-12)


# EnSF-LR.


def plain_regression(setting, filt, noise, seen):
    """EnSF of the seen components, W dX_o as the paper writes it, by an eigendecomposition."""
    x1 = setting.forecast.astype(np.float64)
    precision = np.broadcast_to(np.asarray(setting.obs.std), setting.y.shape)[..., seen]
    part = Setting(
        np.ascontiguousarray(setting.forecast[:, seen]),
        np.ascontiguousarray(setting.y[seen]),
        ef.Observation(ef.operators.Arctan(), std=precision),
    )
    plain = dataclasses.replace(filt, regress_unobserved=False, localization=None)
    moved = part.analysis(plain, noise=np.ascontiguousarray(noise[..., seen]))
    a = x1 - x1.mean(axis=0)
    values, vectors = np.linalg.eigh(a[:, seen] @ a[:, seen].T)
    inverse = (vectors / (values + 1e-6 * values.mean())) @ vectors.T
    expected = x1 + (moved - x1[:, seen]) @ a[:, seen].T @ inverse @ a
    expected[:, seen] = moved
    return expected


def lr_setting(members, dim, dtype, grid=None):
    """Arctan of all, every second missing: the rest is to be regressed onto."""
    setting = make_setting(members, dim, ef.operators.Arctan(), np.float64, grid=grid)
    y = np.where(np.arange(dim) % 2 == 0, np.nan_to_num(setting.y), np.nan)
    return Setting((20 * setting.forecast).astype(dtype), y.astype(dtype), setting.obs)


@pairs(
    {
        "backend, dtype": KINDS,
        "members, dim": [(3, 2), (5, 33), (12, 257)],
        "score": ["mixture", "paired"],
    }
)
def test_regression_equals_the_formula(backend, dtype, score, members, dim, monkeypatch):
    monkeypatch.setattr(regression, "_BLOCK", 40 * members)  # blocks of components, and a rest
    setting = lr_setting(members, dim, dtype)
    filt = ef.EnSF(steps=5, score=score, regress_unobserved=True, backend=backend)
    noise = draw_noise(filt, setting)
    expected = plain_regression(setting, filt, noise, ~np.isnan(setting.y))
    result = setting.analysis(filt, noise=noise)
    # A A^T is singular along the mean: its condition is that of the ridge, 1e6 and more
    assert relative_error(result, expected) <= {4: 4e-5, 8: 1e-9}[dtype.itemsize]


def test_regression_keeps_linear_relations(backend):
    """What is a linear function of the observed components in the forecast stays one."""
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((12, 3))
    forecast = np.column_stack([seen, seen @ [1.0, -2.0, 0.5] + 4.0])
    obs = ef.Observation(ef.operators.Subset([2, 0, 1]), std=0.5)
    setting = Setting(forecast, np.array([0.3, -0.2, 0.1]), obs)
    result = setting.analysis(ef.EnSF(regress_unobserved=True, backend=backend), rng=0)
    kept = result[:, :3] @ [1.0, -2.0, 0.5] + 4.0
    # 12 members span the increments of 3 components: the regression is exact but for its ridge
    np.testing.assert_allclose(result[:, 3], kept, atol=1e-4)
    assert np.abs(result[:, 3] - forecast[:, 3]).max() > 0.1


def test_regression_with_everything_observed_is_ensf(backend):
    setting = make_setting(4, 30, ef.operators.Arctan(), np.float64)
    whole = Setting(setting.forecast, np.nan_to_num(setting.y), setting.obs)
    filt = ef.EnSF(steps=3, backend=backend)
    np.testing.assert_array_equal(
        whole.analysis(dataclasses.replace(filt, regress_unobserved=True), rng=0),
        whole.analysis(filt, rng=0),
    )


def test_regression_of_a_batch(other_backend):
    setting = make_setting(4, 40, ef.operators.Identity(), np.float64, batch=(3,))
    setting.y[0, 5:] = np.nan
    setting.y[1] = np.nan
    filt = ef.EnSF(steps=3, regress_unobserved=True, backend=other_backend)
    result = setting.analysis(filt, rng=0)
    oracle = setting.analysis(dataclasses.replace(filt, backend="numpy"), rng=0)
    np.testing.assert_allclose(result, oracle, rtol=1e-9)
    np.testing.assert_array_equal(result[1], setting.forecast[1])
    one = Setting(setting.forecast[2], setting.y[2], setting.obs)
    assert not np.allclose(result[2], one.analysis(filt, rng=0))  # batches draw differently


def test_taper_far_and_wide(backend):
    setting = lr_setting(6, 60, np.float64, grid=ef.grids.RegularGrid((60,)))
    setting.y[10:] = np.nan
    wide = ef.EnSF(steps=3, regress_unobserved=True, backend=backend)
    flat = GaspariCohn(cutoff=np.inf)
    expected = setting.analysis(wide, rng=0)
    flattened = setting.analysis(dataclasses.replace(wide, localization=flat), rng=0)
    np.testing.assert_allclose(flattened, expected, rtol=1e-9)
    near = dataclasses.replace(wide, localization=GaspariCohn(cutoff=5.0))
    result = setting.analysis(near, rng=0)
    # 0, 2, .. 8 are observed; the ring's components 13 .. 55 are 5 or more from all of them
    np.testing.assert_array_equal(result[:, 13:56], setting.forecast[:, 13:56])
    moved = np.abs(result - setting.forecast).max(axis=0)
    assert (moved[[1, 3, 9, 12, 56, 59]] > 0).all()
    np.testing.assert_array_equal(result[:, :9:2], expected[:, :9:2])


def test_taper_equals_the_local_formula(backend):
    """Component by component: a regression weighted by rho, times the largest rho."""
    grid = ef.grids.Points(np.sort(np.random.default_rng(1).uniform(0, 30, 41)))
    setting = lr_setting(5, 41, np.float64, grid=grid)
    localization = GaspariCohn(cutoff=6.0)
    filt = ef.EnSF(steps=3, regress_unobserved=True, localization=localization, backend=backend)
    result = setting.analysis(filt, rng=2)
    x1 = setting.forecast
    a = x1 - x1.mean(axis=0)
    seen = np.flatnonzero(~np.isnan(setting.y))
    increments = (result - x1)[:, seen]
    expected = result.copy()
    for u in np.flatnonzero(np.isnan(setting.y)):
        places = grid.coordinates([u]), grid.coordinates(seen)
        rho = localization.weight(grid.distances(*places)[0])
        expected[:, u] = x1[:, u]
        if rho.any():
            gram = (a[:, seen] * rho) @ a[:, seen].T
            gram += 1e-6 * np.trace(gram) / 5 * np.eye(5)
            weights = (increments * rho) @ a[:, seen].T @ np.linalg.inv(gram)
            expected[:, u] += rho.max() * (weights @ a[:, u])
    np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-9)


def test_lorenz96_every_second(backend):
    """The regression must help: without it the unobserved half drifts as it likes."""
    model = ef.models.Lorenz96(dim=40, dt=0.01)
    obs = ef.Observation(ef.operators.Every(2), std=0.5)
    twin = ef.TwinExperiment(
        model, obs, cycles=40, steps_per_cycle=5, spinup=500, initial_mean="truth"
    )
    options = {"steps": 60, "score_limit": 50.0, "backend": backend}
    plain = twin.run(ef.EnSF(**options), members=20, seed=0)
    taper = GaspariCohn(cutoff=8.0)
    regressed = twin.run(
        ef.EnSF(**options, regress_unobserved=True, localization=taper), members=20, seed=0
    )
    last = [r.rmse.analysis[-20:].mean() for r in (plain, regressed)]
    assert last[1] < 0.6 * last[0]


def lorenz96_error(dim, score_limit):
    """Return the RMSE of the analysis with the settings of `lorenz96-1m`."""
    model = ef.models.Lorenz96(dim=dim, forcing=8.0, dt=0.01)
    obs = ef.Observation(ef.operators.Arctan(), std=0.05)
    twin = ef.TwinExperiment(
        model,
        obs,
        cycles=80,
        steps_per_cycle=10,
        spinup=1000,
        initial_mean="zero",
        initial_std=1.0,
        dtype=np.float32,
    )
    filt = ef.EnSF(steps=99, eps_alpha=0.6, eps_beta=0.075, score_limit=score_limit)
    return twin.run(filt, members=20, seed=0).summary(last=50)["rmse.analysis"]


def test_lorenz96_reaches_the_published_error():
    """0.403 (Transue et al. 2025, arXiv:2508.13313, their tuned EnSF).

    Their limit of 50 binds nowhere if it is one of the root mean square over components; so it is
    left out here. Seeds 0, 1, 2 give 0.400, 0.407, 0.402.
    """
    assert lorenz96_error(20_000, None) == pytest.approx(0.403, rel=0.1)


def test_lorenz96_with_a_limit_by_component():
    """Clipped component by component at 50 it is better than published: 0.363, 0.377, 0.370.

    (At D = 20,000 0.356, 0.360, 0.355.)
    """
    assert lorenz96_error(2000, 50.0) == pytest.approx(0.37, rel=0.05)


# Bad options and bad input.


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps=0"),
        ({"steps": 2.5}, TypeError, "steps=2.5"),
        ({"eps_alpha": 0.0}, ValueError, "eps_alpha=0.0"),
        ({"eps_alpha": 1.5}, ValueError, "eps_alpha=1.5"),
        ({"eps_beta": -0.1}, ValueError, "eps_beta=-0.1"),
        ({"eps_beta": 1.0}, ValueError, "eps_beta=1.0"),
        ({"eps_beta": float("nan")}, ValueError, "eps_beta=nan"),
        ({"score": "pairs"}, ValueError, "did you mean 'paired'"),
        ({"sampler": "pde"}, ValueError, "sampler='pde'"),
        ({"score_limit": 0.0}, ValueError, "score_limit=0.0"),
        ({"score_limit": "50"}, TypeError, "score_limit='50'"),
        ({"damping": 0.5}, TypeError, "damping=0.5"),
        ({"damping": lambda t: -t}, ValueError, r"damping\(1.0\)"),
        ({"damping": lambda t: np.nan}, ValueError, r"damping\(1.0\)"),
        ({"localization": GaspariCohn(cutoff=3.0)}, ValueError, "regress_unobserved"),
        ({"localization": 3.0, "regress_unobserved": True}, TypeError, "localization=3.0"),
        ({"backend": "fortran"}, ValueError, "backend='fortran'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        ef.EnSF(**options)


def test_operators_that_do_not_fit():
    x, y = np.eye(3), np.zeros(3)
    blind = ef.Observation(ef.operators.Custom(lambda x: x), std=1.0)
    with pytest.raises(TypeError, match="vjp"):
        ef.EnSF().analysis(x, y, blind)
    mixed = ef.Observation(ef.operators.Linear(np.eye(3)), std=1.0)
    with pytest.raises(ValueError, match="regress_unobserved=True needs observations of single"):
        ef.EnSF(regress_unobserved=True).analysis(x, y, mixed)
    nowhere = ef.Observation(ef.operators.Identity(), std=1.0)
    tapered = ef.EnSF(regress_unobserved=True, localization=GaspariCohn(cutoff=2.0))
    with pytest.raises(ValueError, match="grid is missing"):
        tapered.analysis(x, np.array([1.0, np.nan, 0.0]), nowhere)


def test_one_member():
    with pytest.raises(ValueError, match=r"forecast has shape \(1, 4\), 1 member"):
        ef.EnSF().analysis(
            np.zeros((1, 4)), np.zeros(4), ef.Observation(ef.operators.Identity(), std=1.0)
        )
