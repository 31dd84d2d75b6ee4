"""The Kalman family against the textbook's formulas, with matrices of D x m, in float64.

Tolerances. In float64 both sides are some hundred rounded operations on matrices with condition
numbers up to 1e3: 1e-10. In float32 the matrices of the ensemble's space are float64 from values
rounded to eps = 6e-8, and the members are combined in float32 with at most N terms: 3e-6 of the
largest anomaly or shift.
"""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from conftest import BACKENDS, DTYPES, KINDS
from pairs import pairs

import enfilt as ef
from enfilt import presets
from enfilt.filters.etkf import mean_preserving_rotation
from enfilt.kernels import ensemble_space

RTOL = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 3e-6}
MATRIX = np.random.default_rng(4).standard_normal((4, 6))

# Linear operators for states of 6 components.
LINEAR = {
    "Identity": ef.operators.Identity(),
    "Every": ef.operators.Every(2, offset=1),
    "Subset": ef.operators.Subset([5, 0, 3, 2]),  # not in order
    "Linear": ef.operators.Linear(MATRIX),
    "Linear@Subset": ef.operators.Linear(MATRIX[:, :3]) @ ef.operators.Subset([4, 1, 2]),
}
OPERATORS = LINEAR | {
    "Arctan": ef.operators.Arctan(),
    "Arctan@Subset": ef.operators.Arctan() @ ef.operators.Subset([5, 0, 3, 2]),
    "Custom": ef.operators.Custom(lambda x: x[:, :2] ** 2),
}


def textbook(x, y, obs):
    """Mean, anomalies A and Y, innovation and R of the observations that hold a value."""
    x = x.astype(np.float64)
    seen = ~np.isnan(y)
    h = obs.operator(x)[:, seen]
    std = np.broadcast_to(obs.std, y.shape)[seen]
    return x.mean(0), x - x.mean(0), h - h.mean(0), y[seen] - h.mean(0), np.diag(std**2)


def gain(a, values, r):
    members = len(a)
    return (a.T @ values / (members - 1)) @ np.linalg.inv(values.T @ values / (members - 1) + r)


def moments(x):
    return x.mean(axis=0), np.cov(x, rowvar=False)


def make(operator, members=7, dim=6, dtype=np.float64, *, seed=0, missing=True, vector_std=True):
    rng = np.random.default_rng([seed, members, dim])
    mixing = rng.standard_normal((dim, dim)) / np.sqrt(dim)
    forecast = rng.standard_normal((members, dim)) @ mixing + rng.standard_normal(dim)
    m = operator.size(dim)
    std = 0.5 + rng.random(m) if vector_std else 0.7
    y = operator(rng.standard_normal((1, dim)))[0] + 0.3 * rng.standard_normal(m)
    if missing and m > 1:
        y[1::3] = np.nan
    obs = ef.Observation(operator, std=std, grid=ef.grids.RegularGrid((dim,)))
    return forecast.astype(dtype), y.astype(dtype), obs


def assert_close(result, expected, dtype=np.float64):
    __tracebackhide__ = True
    assert result.dtype == dtype
    assert result.shape == expected.shape
    error = np.abs(result - expected).max() / np.abs(expected).max()
    assert error <= RTOL[np.dtype(dtype)], f"relative error {error:.2e}"


# -- the Kalman filter


@pytest.mark.parametrize("name", LINEAR)
def test_moments_are_those_of_bayes_rule(name):
    """In the form with inverses: precisions add up, P_a^-1 = P^-1 + H^T R^-1 H."""
    forecast, y, obs = make(LINEAR[name], members=40)
    mean, p = moments(forecast)
    seen = ~np.isnan(y)
    h = LINEAR[name](np.eye(6)).T[seen]
    precision = np.diag(obs.std[seen] ** -2.0)
    expected = np.linalg.inv(np.linalg.inv(p) + h.T @ precision @ h)
    centre = expected @ (np.linalg.inv(p) @ mean + h.T @ precision @ y[seen])
    found, covariance = ef.KalmanFilter().analysis_moments(mean, p, y, obs)
    np.testing.assert_allclose(found, centre, rtol=1e-9)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-12)


def test_moments_of_the_forecast():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 3))
    propagator = rng.standard_normal((3, 3))
    mean, p = moments(x)
    found, covariance = ef.KalmanFilter().forecast_moments(mean, p, propagator)
    expected, spread = moments(x @ propagator.T)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(covariance, spread, rtol=1e-12)
    error = 0.3 * np.eye(3)
    noisy = ef.KalmanFilter().forecast_moments(mean, p, propagator, error=error)[1]
    np.testing.assert_allclose(noisy, covariance + error, rtol=1e-12)


def test_moments_with_nothing_observed_are_the_forecasts():
    obs = ef.Observation(ef.operators.Identity(), std=0.1)
    mean, p = np.array([1.0, 2.0]), np.array([[2.0, 0.3], [0.3, 1.0]])
    found, covariance = ef.KalmanFilter().analysis_moments(mean, p, [np.nan, np.nan], obs)
    np.testing.assert_array_equal(found, mean)
    np.testing.assert_array_equal(covariance, p)


def test_moments_in_float32():
    obs = ef.Observation(ef.operators.Identity(), std=0.5)
    p = np.array([[2, 0.3], [0.3, 1]], np.float32)
    mean = np.array([1, 2], np.float32)
    y = np.array([0, 1], np.float32)
    exact = ef.KalmanFilter().analysis_moments(*(a.astype(float) for a in (mean, p, y)), obs)
    for found, expected in zip(
        ef.KalmanFilter().analysis_moments(mean, p, y, obs), exact, strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_ensemble_carries_the_kalman_filter_through_cycles():
    """Through a linear model, mean and covariance of 8 members in 4 dimensions stay exact."""
    rng = np.random.default_rng(3)
    propagator = np.linalg.qr(rng.standard_normal((4, 4)))[0] * 1.1
    obs = ef.Observation(ef.operators.Every(2), std=0.4)
    ensemble = rng.standard_normal((8, 4))
    mean, p = moments(ensemble)
    kf = ef.KalmanFilter()
    for _ in range(20):
        y = rng.standard_normal(2)
        mean, p = kf.analysis_moments(mean, p, y, obs)
        ensemble = kf.analysis(ensemble, y, obs)
        np.testing.assert_allclose(ensemble.mean(axis=0), mean, atol=1e-11)
        np.testing.assert_allclose(np.cov(ensemble.T), p, atol=1e-11)
        mean, p = kf.forecast_moments(mean, p, propagator)
        ensemble = ensemble @ propagator.T


# -- square root filters: mean and covariance of the Kalman update, at any N


@pairs(
    {
        "backend": BACKENDS,
        "filt": {
            "ETKF": ef.ETKF(),
            "rotated": ef.ETKF(rotate=True),
            "KalmanFilter": ef.KalmanFilter(),
        },
        "members": [2, 3, 7, 60],
        "name": list(LINEAR),
    }
)
def test_mean_and_covariance_are_kalmans(backend, filt, members, name):
    forecast, y, obs = make(LINEAR[name], members)
    mean, p = ef.KalmanFilter().analysis_moments(*moments(forecast), y, obs)
    filt = dataclasses.replace(filt, backend=backend)
    analysis = filt.analysis(forecast, y, obs, rng=1)
    assert_close(analysis.mean(axis=0), mean)
    assert_close(np.cov(analysis.T), p)


@pytest.mark.parametrize("filt", [ef.ETKF(), ef.ETKF(rotate=True), ef.KalmanFilter()])
@pytest.mark.parametrize("name", LINEAR)
def test_observations_at_once_or_in_two_halves(filt, name):
    forecast, y, obs = make(LINEAR[name], missing=False)
    first, second = y.copy(), y.copy()
    first[::2] = np.nan
    second[1::2] = np.nan
    halves = filt.analysis(filt.analysis(forecast, first, obs, rng=1), second, obs, rng=2)
    for one, two in zip(moments(halves), moments(filt.analysis(forecast, y, obs)), strict=True):
        assert_close(one, two)


def etkf_by_the_book(x, y, obs):
    """Hunt et al. (2007): eqs. 20 to 23."""
    mean, a, values, d, r = textbook(x, y, obs)
    members = len(x)
    c = (members - 1) * np.eye(members) + values @ np.linalg.inv(r) @ values.T
    lam, v = np.linalg.eigh(c)
    w = v @ np.diag(1 / lam) @ v.T @ values @ np.linalg.inv(r) @ d
    return mean + w @ a + np.sqrt(members - 1) * v @ np.diag(lam**-0.5) @ v.T @ a


@pairs({"backend, dtype": KINDS, "name": list(OPERATORS)})
def test_etkf_by_the_book(backend, dtype, name):
    forecast, y, obs = make(OPERATORS[name], dtype=dtype)
    analysis = ef.ETKF(backend=backend).analysis(forecast, y, obs)
    assert_close(analysis, etkf_by_the_book(forecast, y, obs), dtype)


@pairs(
    {
        "dtype": DTYPES,
        "size": [(20, 5000), (3, 70_001), (45, 300)],
        "operator": {
            "Arctan": ef.operators.Arctan(),
            "Every": ef.operators.Every(3),
            "Subset": ef.operators.Subset,
        },
    }
)
def test_blocks(dtype, size, operator):
    """More components and observations than a block, and not a multiple of it."""
    if operator is ef.operators.Subset:
        operator = operator(np.random.default_rng(1).permutation(size[1])[: size[1] // 2])
    forecast, y, obs = make_large(operator, *size, dtype)
    x, seen = forecast.astype(np.float64), ~np.isnan(y)
    values = operator(x)[:, seen]
    d, values = y[seen] - values.mean(axis=0), values - values.mean(axis=0)
    c = (len(x) - 1) * np.eye(len(x)) + values @ values.T / obs.std**2
    lam, v = np.linalg.eigh(c)
    w = (v / lam) @ v.T @ (values @ d) / obs.std**2
    root = np.sqrt(len(x) - 1) * (v / np.sqrt(lam)) @ v.T
    expected = x.mean(axis=0) + (w + root) @ (x - x.mean(axis=0))
    assert_close(ef.ETKF().analysis(forecast, y, obs), expected, dtype)


def make_large(operator, members, dim, dtype):
    rng = np.random.default_rng(dim)
    forecast = rng.standard_normal((members, dim)).astype(dtype)
    y = operator(rng.standard_normal((1, dim)))[0].astype(dtype)
    y[::7] = np.nan
    return forecast, y, ef.Observation(operator, std=30.0)


@pytest.mark.parametrize("filt", [ef.ETKF(rotate=True), ef.EnKF(), ef.EnKF(method="denkf")])
def test_memory_beside_the_result(filt):
    """The draws live in the result; matrices and blocks are a tenth of an ensemble."""
    forecast, y, obs = make_large(ef.operators.Arctan(), 20, 100_000, np.float32)
    out = np.ones_like(forecast)
    filt.analysis(forecast[:, :100], y[:100], obs, rng=0)
    tracemalloc.start()
    try:
        filt.analysis(forecast, y, obs, rng=0, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # arrays over observations alone, (m,), are of float64: two of them a tenth of the twenty
    assert peak < 0.25 * forecast.nbytes


# -- rotation


@pytest.mark.parametrize("members", [2, 3, 24])
def test_rotation_is_orthogonal_and_keeps_the_mean(rng, members):
    omega = mean_preserving_rotation(rng.standard_normal((members, members)))
    np.testing.assert_allclose(omega @ omega.T, np.eye(members), atol=1e-13)
    np.testing.assert_allclose(omega.sum(axis=1), 1, atol=1e-13)
    np.testing.assert_allclose(omega.sum(axis=0), 1, atol=1e-13)


def test_rotation_is_uniform(rng):
    """E Omega = 1 1^T / N, E Omega_ij^2 = 1/N^2 + (1 - 1/N)^2 / (N - 1), in 5 deviations."""
    members, count = 4, 4000
    draws = np.array(
        [mean_preserving_rotation(rng.standard_normal((members, members))) for _ in range(count)]
    )
    # an entry lies in [-1, 1]: its deviation, and that of its square, is at most 1
    tolerance = 5 / np.sqrt(count)
    np.testing.assert_allclose(draws.mean(axis=0), 1 / members, atol=tolerance)
    expected = 1 / members**2 + (1 - 1 / members) ** 2 / (members - 1)
    np.testing.assert_allclose((draws**2).mean(axis=0), expected, atol=tolerance)


def test_rotation_by_given_noise_and_by_seed(backend, dtype):
    forecast, y, obs = make(ef.operators.Identity(), dtype=dtype)
    filt = ef.ETKF(rotate=True, backend=backend)
    noise = np.random.default_rng(1).standard_normal((7, 7)).astype(dtype)
    plain = etkf_by_the_book(forecast, y, obs)
    mean = plain.mean(axis=0)
    expected = mean + mean_preserving_rotation(noise) @ (plain - mean)
    assert_close(filt.analysis(forecast, y, obs, noise=noise), expected, dtype)
    one = filt.analysis(forecast, y, obs, rng=3)
    np.testing.assert_array_equal(one, filt.analysis(forecast, y, obs, rng=3))
    assert not np.allclose(one, filt.analysis(forecast, y, obs, rng=4), rtol=1e-2)
    oracle = dataclasses.replace(filt, backend="numpy").analysis(forecast, y, obs, rng=3)
    assert_close(one, oracle, dtype)


# -- the EnKF


def enkf_by_the_book(x, y, obs, noise, taper=None):
    """Burgers et al. (1998), or the DEnKF where `noise` is None; tapers (rho_xy, rho_yy)."""
    mean, a, values, d, r = textbook(x, y, obs)
    seen = ~np.isnan(y)
    members = len(x)
    p_xy, p_yy = a.T @ values / (members - 1), values.T @ values / (members - 1)
    if taper is not None:
        p_xy = p_xy * taper[0][:, seen]
        p_yy = p_yy * taper[1][np.ix_(seen, seen)]
    k = p_xy @ np.linalg.inv(p_yy + r)
    if noise is None:
        return mean + k @ d + a - values @ k.T / 2
    perturbed = y[seen] + noise[:, seen] @ np.sqrt(r)
    return x + (perturbed - obs.operator(x.astype(np.float64))[:, seen]) @ k.T


@pairs({"backend, dtype": KINDS, "name": list(OPERATORS), "method": ["perturbed", "denkf"]})
def test_enkf_by_the_book(backend, dtype, name, method):
    forecast, y, obs = make(OPERATORS[name], dtype=dtype)
    noise = np.random.default_rng(1).standard_normal((7, y.size)).astype(dtype)
    if method == "denkf":
        noise = None
    filt = ef.EnKF(method=method, backend=backend)
    analysis = filt.analysis(forecast, y, obs, noise=noise)
    assert_close(analysis, enkf_by_the_book(forecast, y, obs, noise), dtype)


@pairs({"dtype": DTYPES, "name": list(OPERATORS), "method": ["perturbed", "denkf"]})
def test_localized_enkf_by_the_book(dtype, name, method):
    """Schur products with whole matrices of tapers on a ring of 6 points."""
    operator = OPERATORS[name]
    forecast, y, obs = make(operator, dtype=dtype)
    places = np.array([0.2, 1.7, 3.0, 4.9])[: y.size, None]
    if operator.pointwise(6) is None:
        obs = dataclasses.replace(obs, locations=places)
    else:
        places = np.arange(6.0)[operator.pointwise(6).components][:, None]
    localization = ef.localization.GaspariCohn(cutoff=2.5)

    def taper(one, other):
        gap = np.abs(one[:, None, 0] - other[None, :, 0])
        return localization.weight(np.minimum(gap, 6 - gap))

    tapers = taper(np.arange(6.0)[:, None], places), taper(places, places)
    noise = np.random.default_rng(1).standard_normal((7, y.size)).astype(dtype)
    if method == "denkf":
        noise = None
    filt = ef.EnKF(localization=localization, method=method)
    analysis = filt.analysis(forecast, y, obs, noise=noise)
    expected = enkf_by_the_book(forecast, y, obs, noise, tapers)
    assert_close(analysis, expected, dtype)
    assert np.abs(expected - enkf_by_the_book(forecast, y, obs, noise)).max() > 1e-3


@pytest.mark.parametrize("method", ["perturbed", "denkf"])
def test_infinite_cutoff_is_no_localization(method):
    forecast, y, obs = make_large(ef.operators.Arctan(), 20, 600, np.float64)
    obs = ef.Observation(obs.operator, std=3.0, grid=ef.grids.RegularGrid((20, 30)))
    far = ef.localization.GaspariCohn(cutoff=np.inf)
    one = ef.EnKF(localization=far, method=method).analysis(forecast, y, obs, rng=5)
    assert_close(one, ef.EnKF(method=method).analysis(forecast, y, obs, rng=5))


def test_localized_enkf_changes_nothing_beyond_the_cutoff():
    forecast, y, obs = make_large(ef.operators.Every(500), 10, 1000, np.float64)
    obs = ef.Observation(obs.operator, std=0.5, grid=ef.grids.RegularGrid((1000,)))
    y = np.array([np.nan, 1.0])
    filt = ef.EnKF(localization=ef.localization.GaspariCohn(cutoff=20))
    analysis = filt.analysis(forecast, y, obs, rng=0)
    near = np.abs(np.arange(1000) - 500) < 20
    np.testing.assert_array_equal(analysis[:, ~near], forecast[:, ~near])
    assert (analysis[:, near] != forecast[:, near]).all()
    # an observation that is far from every component is allowed, and does nothing
    away = ef.Observation(
        ef.operators.Subset([3]), std=0.5, grid=np.arange(1000.0), locations=[[1e6]]
    )
    np.testing.assert_array_equal(filt.analysis(forecast, [1.0], away, rng=0), forecast)


@pytest.mark.parametrize(
    "filt",
    [ef.ETKF(), ef.ETKF(rotate=True), ef.EnKF(), ef.EnKF(method="denkf")],
    ids=["ETKF", "rotated", "perturbed", "denkf"],
)
def test_many_members_approach_the_kalman_filter(filt):
    """Drawn from N(m, P): the analysis is within sampling error of Kalman's with m and P.

    The errors of mean, gain and perturbations are sums of at most ten terms whose deviations are
    below (1 + |K|) (1 + |d|) |P| / sqrt(N). The DEnKF's covariance is larger by K H P H^T K^T / 4,
    exactly.
    """
    members = 40_000
    p = np.array([[1.0, 0.7, 0.2], [0.7, 2.0, 0.0], [0.2, 0.0, 0.5]])
    mean, y = np.array([0.5, -1.0, 2.0]), np.array([1.7, 1.0])
    obs = ef.Observation(ef.operators.Subset([0, 2]), std=np.array([0.5, 1.0]))
    expected, covariance = ef.KalmanFilter().analysis_moments(mean, p, y, obs)
    if getattr(filt, "method", "") == "denkf":
        h = np.eye(3)[[0, 2]]
        k = p @ h.T @ np.linalg.inv(h @ p @ h.T + np.diag(obs.std**2))
        covariance = covariance + k @ h @ p @ h.T @ k.T / 4
    few = members if not getattr(filt, "rotate", False) else 400
    if isinstance(filt, ef.ETKF):
        few = 400  # its matrices are N x N
    if isinstance(filt, ef.EnKF):
        few = 1000
    rng = np.random.default_rng(1)
    forecast = rng.multivariate_normal(mean, p, size=few)
    analysis = filt.analysis(forecast, y, obs, rng=2)
    tolerance = 10 / np.sqrt(few)
    np.testing.assert_allclose(analysis.mean(axis=0), expected, atol=tolerance)
    np.testing.assert_allclose(np.cov(analysis.T), covariance, atol=tolerance)


def test_enkf_draws():
    forecast, y, obs = make(ef.operators.Identity(), missing=False)
    filt = ef.EnKF()
    one = filt.analysis(forecast, y, obs, rng=3)
    np.testing.assert_array_equal(one, filt.analysis(forecast, y, obs, rng=3))
    assert not np.allclose(one, filt.analysis(forecast, y, obs, rng=4), rtol=1e-2)
    # the key of the generator, and the normals that come of it
    key = int(np.random.default_rng(3).integers(2**64, dtype=np.uint64))
    noise = ef.kernels.standard_normal(key, (7, 6))
    np.testing.assert_array_equal(one, filt.analysis(forecast, y, obs, noise=noise))
    # more observations than components: the draws need memory of their own
    more = ef.Observation(ef.operators.Linear(np.ones((20, 6))), std=1.0)
    noise = ef.kernels.standard_normal(key, (7, 20))
    np.testing.assert_array_equal(
        filt.analysis(forecast, np.ones(20), more, rng=3),
        filt.analysis(forecast, np.ones(20), more, noise=noise),
    )


# -- what all of them promise

LOCAL = ef.localization.GaspariCohn(cutoff=3.0)
FAMILY = {
    "ETKF": ef.ETKF(),
    "rotated": ef.ETKF(rotate=True),
    "perturbed": ef.EnKF(),
    "denkf": ef.EnKF(method="denkf"),
    "localized": ef.EnKF(localization=LOCAL),
    "localized denkf": ef.EnKF(localization=LOCAL, method="denkf"),
    "KalmanFilter": ef.KalmanFilter(),
}
family = pytest.mark.parametrize("filt", FAMILY.values(), ids=FAMILY)


@family
def test_zero_spread_changes_nothing(filt):
    forecast, y, obs = make(ef.operators.Identity(), missing=False)
    forecast[:] = forecast[0]
    np.testing.assert_allclose(filt.analysis(forecast, y, obs, rng=0), forecast, atol=1e-14)


@pytest.mark.parametrize("name", ["ETKF", "denkf", "localized denkf", "KalmanFilter"])
def test_members_permuted_in_members_permuted_out(name):
    forecast, y, obs = make(ef.operators.Identity())
    order = np.random.default_rng(2).permutation(7)
    analysis = FAMILY[name].analysis(forecast, y, obs)
    assert_close(FAMILY[name].analysis(forecast[order], y, obs), analysis[order])


@family
def test_inflation_widens_the_anomalies(filt):
    forecast, y, obs = make(ef.operators.Identity())
    plain = filt.analysis(forecast, y, obs, rng=1)
    wide = dataclasses.replace(filt, inflation=1.5).analysis(forecast, y, obs, rng=1)
    mean = plain.mean(axis=0)
    assert_close(wide, mean + 1.5 * (plain - mean))


# -- published errors


def mean_error(preset, filt, members, seed):
    result = preset.twin.run(filt, members=members, seed=seed)
    assert not result.stopped
    assert result.cycles - 400 >= 1000
    return result.rmse.analysis[400:].mean()


def test_lorenz96_40_etkf_reaches_the_published_error():
    """The median of five seeds, since this inflation is at the edge of what is stable.

    With 24 members and 1.013 some 5 to 10 % of runs lose the truth within 1,500 cycles (1 of these
    five), as they do in a plain loop written for the purpose; with 1.02 none of ten did.
    """
    preset = presets.get("lorenz96-40")
    assert preset.members == 24
    assert preset.filter == ef.ETKF(1.013, rotate=True)
    assert (preset.published.low, preset.published.high) == (0.16, 0.20)
    assert preset.published.last == preset.twin.cycles - 400
    errors = [mean_error(preset, preset.filter, 24, seed) for seed in range(5)]
    assert abs(np.median(errors) - 0.18) <= 0.02
    assert mean_error(preset, ef.ETKF(1.02, rotate=True), 24, 1) <= 0.20


def test_lorenz96_40_enkf_reaches_the_published_error():
    preset = presets.get("lorenz96-40")
    assert abs(mean_error(preset, ef.EnKF(1.06), 40, 0) - 0.22) <= 0.02


def test_lorenz63_etkf_reaches_the_published_error():
    """The mean of five seeds: single ones scatter by 0.03, and a last bit changes each of them."""
    preset = presets.get("lorenz63")
    assert preset.members == 10
    assert preset.filter == ef.ETKF(1.02, rotate=True)
    assert (preset.published.low, preset.published.high) == (0.55, 0.65)
    errors = [mean_error(preset, preset.filter, 10, seed) for seed in range(5)]
    assert abs(np.mean(errors) - 0.60) <= 0.05


# -- errors


def test_bad_options():
    with pytest.raises(TypeError, match="rotate=1"):
        ef.ETKF(rotate=1)
    with pytest.raises(ValueError, match="inflation=0"):
        ef.ETKF(0)
    with pytest.raises(ValueError, match=r"method='square'.*'perturbed', 'denkf'"):
        ef.EnKF(method="square")
    with pytest.raises(TypeError, match=r"localization=3.*GaspariCohn"):
        ef.EnKF(localization=3)
    for cutoff in (0, -1.0, np.nan):
        with pytest.raises(ValueError, match="cutoff="):
            ef.localization.GaspariCohn(cutoff=cutoff)


def test_localization_needs_places():
    forecast, y, obs = make(ef.operators.Identity())
    filt = ef.EnKF(localization=LOCAL)
    with pytest.raises(ValueError, match="grid is missing"):
        filt.analysis(forecast, y, dataclasses.replace(obs, grid=None))
    with pytest.raises(ValueError, match="grid is missing"):
        filt.analysis(forecast, np.full(6, np.nan), dataclasses.replace(obs, grid=None))
    with pytest.raises(ValueError, match="grid has 5 points: expected 6"):
        filt.analysis(forecast, y, dataclasses.replace(obs, grid=ef.grids.RegularGrid((5,))))
    out = forecast.copy()
    with pytest.raises(ValueError, match=r"locations has shape \(5, 1\): expected \(6, 1\)"):
        filt.analysis(forecast, y, dataclasses.replace(obs, locations=np.zeros(5)), out=out)
    np.testing.assert_array_equal(out, forecast)
    matrix = ef.Observation(ef.operators.Linear(MATRIX), std=1.0, grid=obs.grid)
    with pytest.raises(ValueError, match="locations is missing"):
        filt.analysis(forecast, np.ones(4), matrix)


@family
def test_bad_arrays(filt):
    forecast, y, obs = make(ef.operators.Identity())
    with pytest.raises(ValueError, match="at least 2"):
        filt.analysis(forecast[:1], y, obs)
    bad = forecast.copy()
    bad[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"forecast\[1, 2\] is nan"):
        filt.analysis(bad, y, obs)
    with pytest.raises(ValueError, match=r"noise has shape \(7, 5\)"):
        filt.analysis(forecast, y, obs, noise=np.zeros((7, 5)))
    with pytest.raises(TypeError, match="y has dtype int64"):
        filt.analysis(forecast, np.ones(y.shape, int), obs)


def test_kalman_filter_refuses():
    kf, obs = ef.KalmanFilter(), ef.Observation(ef.operators.Identity(), std=1.0)
    bent = ef.Observation(ef.operators.Arctan(), std=1.0)
    mean, p, y = np.zeros(2), np.eye(2), np.ones(2)
    with pytest.raises(ValueError, match=r"Arctan\(\) is not linear"):
        kf.analysis_moments(mean, p, y, bent)
    with pytest.raises(ValueError, match=r"Arctan\(\) is not linear"):
        kf.analysis(np.eye(2), y, bent)
    with pytest.raises(ValueError, match="covariance is not symmetric"):
        kf.analysis_moments(mean, np.array([[1.0, 0.5], [0.0, 1.0]]), y, obs)
    with pytest.raises(ValueError, match=r"covariance has shape \(3, 3\): expected \(2, 2\)"):
        kf.analysis_moments(mean, np.eye(3), y, obs)
    with pytest.raises(ValueError, match=r"y has shape \(3,\): expected \(2,\)"):
        kf.analysis_moments(mean, p, np.ones(3), obs)
    with pytest.raises(ValueError, match=r"propagator has shape \(3, 3\)"):
        kf.forecast_moments(mean, p, np.eye(3))
    with pytest.raises(TypeError, match="obs=None"):
        kf.analysis_moments(mean, p, y, None)
    with pytest.raises(ValueError, match=r"mean has shape \(2, 2\)"):
        kf.analysis_moments(p, p, y, obs)


def test_blocks_cover_an_axis_once():
    for size, members in ((1, 2), (655, 20), (656, 20), (5000, 400)):
        parts = list(ensemble_space.blocks(size, members))
        np.testing.assert_array_equal(
            np.concatenate([np.arange(size)[p] for p in parts]), np.arange(size)
        )
