"""The adaptive inflation finds the factor that is true, forgets when told to, and needs no number.

One estimate has the standard deviation d = sqrt(2/m) (f p + r^2)/p for m observations of a forecast
whose variance p is too small by f; the filter's factor averages over cycles as an AR(1) process of
gain g = q^2/(q^2 + d^2). A mean over K cycles is then off by d/sqrt(K), whatever g, four of which
are the tolerance. Estimates beyond two deviations are drawn in; their skewness sqrt(8/m) makes
that a bias of less than d/20.
"""

import dataclasses
import pickle

import numpy as np
import pytest
import threadpoolctl

import enfilt as ef
from enfilt import backends
from enfilt.inflation import MEMORY, Adaptive
from enfilt.localization import GaspariCohn
from enfilt.operators import (
    Arctan,
    Componentwise,
    Custom,
    Every,
    Identity,
    Linear,
    Mask,
    Power,
    Sigmoid,
    Subset,
)

M, N = 1000, 15


def exact_moments(rng, members, dim, dtype=np.float64):
    """An ensemble of mean zero and variance one in every component, so that p is known."""
    x = rng.standard_normal((members, dim))
    x -= x.mean(axis=0)
    return (x / x.std(axis=0, ddof=1)).astype(dtype)


def cycle_factors(factor, std, *, m=M, cycles, dtype=np.float64, obs=None, told=None):
    """The factor after each of many cycles whose true errors have the variance `factor`."""
    rng = np.random.default_rng(5)
    obs = obs or ef.Observation(Identity(), std)
    known, found = 1.0, []
    for _ in range(cycles):
        forecast = exact_moments(rng, N, m, dtype)
        truth = np.sqrt(factor) * rng.standard_normal(m)
        y = truth[: obs.size(m)] + (told or std) * rng.standard_normal(obs.size(m))
        known = Adaptive().estimate(forecast, y.astype(dtype), obs, known)
        found.append(known)
    return np.array(found)


@pytest.mark.parametrize("factor", [1.3, 2.0, 4.0])
@pytest.mark.parametrize("std", [0.2, 1.0, 2.0])
def test_finds_the_factor_in_expectation(factor, std, dtype):
    cycles = 200
    deviation = np.sqrt(2 / M) * (factor + std**2)
    gain = MEMORY**2 / (MEMORY**2 + deviation**2)
    burn = int(10 / gain)
    found = cycle_factors(factor, std, cycles=burn + cycles, dtype=dtype)[burn:]
    # neighbours in time share what they remember: K g/(2 - g) of them are independent
    assert abs(found.mean() - factor) < deviation * (4 / np.sqrt(cycles) + 1 / 20)
    stationary = deviation * np.sqrt(gain / (2 - gain))
    assert np.abs(found - factor).max() < 6 * stationary


def test_a_forecast_that_is_wide_enough_is_left_alone():
    for factor in (0.5, 0.9):
        found = cycle_factors(factor, 0.5, cycles=50)
        assert found[-1] == 1
    assert np.mean(cycle_factors(1.0, 0.5, cycles=200)) < 1.1


def test_observations_worse_than_they_claim_count_as_a_narrow_forecast():
    """r = 1 said to be 0.5: lambda p + 0.25 = p + 1."""
    found = cycle_factors(1.0, 0.5, cycles=300, told=1.0)[100:]
    assert abs(found.mean() - 1.75) < 0.1


def test_a_step_of_the_estimate_by_hand():
    forecast = exact_moments(np.random.default_rng(0), 6, 4)
    y, known = np.array([2.0, -1.0, np.nan, 2.0]), 1.7
    r2 = np.array([0.25, 1.0, 9.0, 4.0])
    obs = ef.Observation(Identity(), std=np.sqrt(r2))
    seen = [0, 1, 3]
    total = (1 / r2[seen]).sum()
    alpha = (y[seen] ** 2 / r2[seen] - 1).sum() / total
    variance = 2 * ((known / r2[seen] + 1) ** 2).sum() / total**2
    assert abs(alpha - known) < 2 * np.sqrt(variance)
    wanted = known + (alpha - known) * MEMORY**2 / (MEMORY**2 + variance)
    assert Adaptive().estimate(forecast, y, obs, known) == pytest.approx(wanted, rel=1e-12)
    # an innovation far out of proportion moves it by two deviations' worth, not by its own
    y[0] = 1e6
    wanted = known + 2 * np.sqrt(variance) * MEMORY**2 / (MEMORY**2 + variance)
    assert Adaptive().estimate(forecast, y, obs, known) == pytest.approx(wanted, rel=1e-12)
    assert wanted - known <= MEMORY


def test_nothing_to_learn_from():
    obs = ef.Observation(Identity(), 1.0)
    forecast = np.zeros((4, 3))
    assert Adaptive().estimate(forecast, np.ones(3), obs, 1.4) == 1.4
    forecast = np.random.default_rng(0).standard_normal((4, 3))
    assert Adaptive().estimate(forecast, np.full(3, np.nan), obs, 1.4) == 1.4


@pytest.mark.parametrize(
    "operator", [Arctan() @ Every(2), Linear(np.eye(5, 20)), Custom(lambda x: np.sin(x[:, :7]))]
)
def test_any_operator(operator, dtype, rng):
    obs = ef.Observation(operator, 0.3)
    forecast = rng.standard_normal((8, 20)).astype(dtype)
    y = rng.standard_normal(obs.size(20)).astype(dtype)
    values = operator(forecast.astype(np.float64))
    d, p = y - values.mean(axis=0), values.var(axis=0, ddof=1)
    total = p.sum() / 0.09
    alpha = (d**2 / 0.09 - 1).sum() / total
    deviation = np.sqrt(2 * ((p / 0.09 + 1) ** 2).sum()) / total
    moved = np.clip(alpha - 1, -2 * deviation, 2 * deviation)
    wanted = max(1, 1 + moved * MEMORY**2 / (MEMORY**2 + deviation**2))
    found = Adaptive().estimate(forecast, y, obs)
    assert found == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-12)


# Operator, dtype, members, components.
PROBLEMS = [
    (Identity(), "f4", 2, 1),
    (Identity(), "f8", 20, 3001),
    (Arctan() @ Every(3, 1), "f4", 9, 1000),
    (Power(2) @ Subset(np.array([700, 3, 512, 90])), "f8", 33, 9001),
    (Sigmoid(2.0) @ Mask(np.arange(517) % 7 > 2), "f8", 5, 517),
    (Componentwise(lambda x: x * x), "f4", 7, 600),
    (Identity(), "f8", 1, 5),
]


def observed_problem(operator, dtype, members, dim):
    rng = np.random.default_rng([members, dim])
    x = (1 + rng.standard_normal((members, dim))).astype(dtype)
    m = operator.size(dim)
    y = rng.standard_normal(m).astype(dtype)
    y[1::4] = np.nan
    obs = ef.Observation(operator, 0.5 + rng.random(m))
    return x, obs.components(dim, y)


def innovations(backend, x, observed):
    moments = np.zeros((2, observed.y.size), x.dtype)
    sums = backends.get(backend).innovations(x, observed, moments)
    assert sums == backends.get(backend).innovations(x, observed)
    return np.array(sums), moments


@pytest.mark.parametrize("case", PROBLEMS, ids=lambda case: "-".join(map(str, case)))
def test_backends_agree(other_backend, case):
    """Of functions that are within some roundings of each other; values up to 30."""
    x, observed = observed_problem(*case)
    found, expected = (innovations(name, x, observed) for name in (other_backend, "numpy"))
    eps = np.finfo(x.dtype).eps
    np.testing.assert_allclose(found[0], expected[0], rtol=200 * eps)
    assert found[0][0] == np.count_nonzero(~np.isnan(observed.y))
    np.testing.assert_allclose(found[1], expected[1], rtol=200 * eps, atol=200 * eps * 30)
    np.testing.assert_array_equal(np.isnan(found[1]), np.isnan([observed.y] * 2))


def test_variances_are_rounded_as_the_spread_is(backend):
    """A spread of a thousand roundings of the values, against float64."""
    x = (1e4 + np.random.default_rng(3).standard_normal((40, 50))).astype("f4")
    observed = ef.Observation(Identity(), 1.0).components(50, np.full(50, 1e4, "f4"))
    sums, (departure, variance) = innovations(backend, x, observed)
    exact = x.astype(float)
    tolerance = 16 * float(np.finfo("f4").eps)
    np.testing.assert_allclose(variance, exact.var(axis=0, ddof=1), rtol=tolerance)
    np.testing.assert_allclose(departure, 1e4 - exact.mean(axis=0), atol=tolerance)
    assert sums[1] == pytest.approx(exact.var(axis=0, ddof=1).sum(), rel=tolerance)


def test_the_same_bits_with_any_number_of_threads(backend, monkeypatch):
    x, observed = observed_problem(Arctan(), "f4", 5, 40_001)
    found = []
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads, user_api="openmp"):
            found.append(innovations(backend, x, observed))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_factor_for_each_component(dtype, rng):
    x = rng.standard_normal((2, 6, 37)).astype(dtype)
    factor = 1 + rng.random(37)
    factor[::5] = 1
    out = np.empty_like(x)
    Adaptive().widen(x, factor, out)
    rtol = 1e-5 if dtype == "f4" else 1e-13
    np.testing.assert_allclose(out.var(axis=1), factor * x.var(axis=1), rtol=rtol)
    np.testing.assert_array_equal(out[..., ::5], x[..., ::5])
    with pytest.raises(ValueError, match=r"factor has shape \(2,\)"):
        Adaptive().widen(x, [1.0, 2.0], out)


def test_outliers_that_overflow_move_it_by_two_deviations(rng):
    forecast, obs = rng.standard_normal((6, 9)), ef.Observation(Identity(), 1.0)
    y = np.zeros(9)
    far, farther = (
        Adaptive().estimate(forecast, np.where(np.arange(9) == 4, value, y), obs)
        for value in (1e9, 1e300)
    )
    assert 1 < far == farther
    assert Adaptive().estimate(1e200 * forecast, y, obs, 1.3) == 1.3  # nothing can be said


FILTERS = [
    ef.LEnFF(GaspariCohn(cutoff=4.0)),
    ef.LETKF(GaspariCohn(cutoff=4.0)),
    ef.ETKF(),
    ef.EnFF(steps=3),
    ef.BootstrapPF(),
]


@pytest.mark.parametrize("filt", FILTERS, ids=lambda f: type(f).__name__)
def test_in_a_filter(filt, dtype, rng):
    """The analysis starts from the widened forecast, and the factor lives until the reset."""
    obs = ef.Observation(Arctan(), 0.5, grid=ef.grids.RegularGrid((12,)))
    adaptive = dataclasses.replace(filt, inflation=Adaptive(local=False))
    known = 1.0
    forecasts = rng.standard_normal((3, 6, 12)).astype(dtype)
    for cycle, forecast in enumerate(forecasts):
        y = (4 * rng.standard_normal(12)).astype(dtype)
        previous = forecasts[cycle - 1]
        copy = forecast.copy()
        found = adaptive.analysis(forecast, y, obs, previous=previous, rng=cycle)
        assert np.array_equal(forecast, copy)
        known = Adaptive().estimate(forecast, y, obs, known)
        assert adaptive.facts["inflation"] == known > 1
        widened = np.empty_like(forecast)
        Adaptive().widen(forecast, known, widened)
        np.testing.assert_allclose(
            widened.var(axis=0), known * forecast.var(axis=0), rtol=1e-4 if dtype == "f4" else 1e-12
        )
        wanted = filt.analysis(widened, y, obs, previous=previous, rng=cycle)
        np.testing.assert_array_equal(found, wanted)
    adaptive.reset()
    assert adaptive.facts == {}
    first = adaptive.analysis(forecasts[0], y, obs, previous=forecasts[1], rng=0)
    fresh = dataclasses.replace(filt, inflation=Adaptive(local=False))
    again = fresh.analysis(forecasts[0], y, obs, previous=forecasts[1], rng=0)
    np.testing.assert_array_equal(first, again)


def test_one_value_in_two_filters_and_each_ensemble_of_a_batch_learn_apart(rng):
    obs = ef.Observation(Identity(), 0.5)
    shared = Adaptive()
    one, other = ef.ETKF(inflation=shared), ef.ETKF(inflation=shared)
    assert one == other
    assert hash(one) == hash(other)
    forecast = rng.standard_normal((2, 6, 30))
    y = np.array([3.0, 5.0])[:, None] * np.ones(30)
    one.analysis(forecast, y, obs)
    both = one.facts["inflation"]
    alone = []
    for x, values in zip(forecast, y, strict=True):
        fresh = ef.ETKF(inflation=shared)
        fresh.analysis(x, values, obs)
        alone.append(fresh.facts["inflation"])
    assert both == np.mean(alone)
    assert other.facts == {}
    assert pickle.loads(pickle.dumps(one)).facts == one.facts


def test_an_analysis_that_fails_teaches_nothing(rng):
    calls = []

    def fails(x):
        calls.append(x.shape)
        if len(calls) > 1:  # in the analysis, after the innovations have been looked at
            raise RuntimeError("no")
        return x

    filt, forecast = ef.ETKF(inflation=Adaptive()), rng.standard_normal((4, 3))
    with pytest.raises(RuntimeError, match="no"):
        filt.analysis(forecast, np.full(3, 9.0), ef.Observation(Custom(fails), 1.0))
    assert filt._memory.tuning == {}


def test_nothing_observed_keeps_forecast_and_factor(rng):
    obs = ef.Observation(Identity(), 0.5)
    forecast = rng.standard_normal((5, 40))
    filt = ef.ETKF(inflation=Adaptive())
    filt.analysis(forecast, np.full(40, 4.0), obs)
    before = dict(filt._memory.tuning)
    analysis = filt.analysis(forecast, np.full(40, np.nan), obs)
    np.testing.assert_array_equal(analysis, forecast)
    assert filt._memory.tuning == before
    assert before[0].factor > 1


@pytest.mark.parametrize("name", ["lenff", "letkf"])
def test_lorenz96_without_a_number(name):
    """With 10 members; without inflation both lose the truth within 2,500 cycles."""
    twin = ef.TwinExperiment(
        ef.models.Lorenz96(dim=40, dt=0.05),
        ef.Observation(Identity(), std=1.0),
        cycles=500,
        steps_per_cycle=1,
        initial_mean="truth",
    )
    make = {"lenff": ef.LEnFF, "letkf": ef.LETKF}[name]
    filt = make(GaspariCohn(cutoff=14.56), inflation=Adaptive())
    result = twin.run(filt, members=10, seed=0)
    rmse, spread = result.rmse.analysis[100:].mean(), result.spread.analysis[100:].mean()
    assert rmse < 0.22
    assert 0.85 < spread / rmse < 1.2
    factors = result.facts["inflation"]
    assert 1 < factors[100:].mean() < 1.1
    np.testing.assert_array_equal(twin.run(filt, members=10, seed=0).facts["inflation"], factors)
