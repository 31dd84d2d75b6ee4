"""The rivals of the adaptive inflation: adaptive relaxation, and the finite-size filter."""

import pickle

import numpy as np
import pytest

import enfilt as ef
from enfilt.backends.problems import InnovationSums
from enfilt.inflation import AdaptiveRTPS, FiniteSize, factor_after
from enfilt.localization import FromEnsemble, GaspariCohn
from enfilt.operators import Arctan, Custom, Every, Identity

RING = ef.grids.RegularGrid((12,))
FILTERS = {
    "ETKF": lambda inflation, **k: ef.ETKF(inflation, **k),
    "LETKF": lambda inflation, **k: ef.LETKF(GaspariCohn(5.0), inflation, **k),
    "LEnFF": lambda inflation, **k: ef.LEnFF(GaspariCohn(5.0), inflation=inflation, **k),
}


def dual(zeta, anomalies, d, r):
    """D, from the matrices of the observations: eigenvalues appear nowhere."""
    n = len(anomalies)
    covariance = np.diag(r**2) + anomalies.T @ anomalies / zeta
    log = (n + 1) * np.log((n + 1) / zeta) - (n + 1)
    return d @ np.linalg.solve(covariance, d) + (1 + 1 / n) * zeta + log


@pytest.mark.parametrize(("members", "m"), [(2, 1), (5, 3), (20, 40), (9, 9)])
@pytest.mark.parametrize("far", [0.0, 1.0, 8.0])
def test_the_finite_size_factor_makes_the_dual_cost_least(members, m, far):
    rng = np.random.default_rng([members, m])
    h, r = rng.standard_normal((members, m)), 0.3 + rng.random(m)
    anomalies, d = h - h.mean(axis=0), far * rng.standard_normal(m)
    weighted = anomalies / r**2
    found = (members - 1) / FiniteSize().factor(weighted @ anomalies.T, weighted @ d)
    assert 0 < found <= members * (1 + 1e-12)
    least = dual(found, anomalies, d, r)
    others = np.geomspace(found / 1e4, members, 2000)  # (N + 1)/e is N
    assert least <= min(dual(zeta, anomalies, d, r) for zeta in others) + 1e-9


@pytest.mark.parametrize(("far", "wide"), [(12.0, False), (40.0, True)])
def test_the_lower_of_two_minima_is_taken(far, wide):
    """One direction of a hundredth of r, and `far` r off: widened by 1e4, or not at all."""
    n = 20
    anomalies, d, r = np.zeros((n, 1)), np.array([far]), np.ones(1)
    anomalies[-1] = 0.01
    zeta = np.geomspace(1e-9, n, 20_000)
    costs = np.array([dual(z, anomalies, d, r) for z in zeta])
    valleys = np.flatnonzero((costs[1:-1] < costs[:-2]) & (costs[1:-1] < costs[2:]))
    assert len(valleys) + (costs[-1] < costs[-2]) == 2
    found = (n - 1) / FiniteSize().factor(anomalies @ anomalies.T, anomalies @ d)
    assert (found < 1) == wide
    assert dual(found, anomalies, d, r) <= costs.min() + 1e-9


@pytest.mark.parametrize("name", FILTERS)
def test_finite_size_in_a_filter(name, dtype, rng, backend):
    obs = ef.Observation(Arctan() @ Every(2), 0.4, grid=RING)
    x = rng.standard_normal((2, 7, 12)).astype(dtype)
    y = (2 * rng.standard_normal((2, 6))).astype(dtype)
    y[0, 3] = np.nan
    filt = FILTERS[name](FiniteSize(), backend=backend)
    found = filt.analysis(x, y, obs)
    factors = []
    for b in range(2):
        seen = ~np.isnan(y[b])
        h = np.arctan(x[b, :, ::2].astype(float))[:, seen]
        a = (h - h.mean(axis=0)) / 0.4
        factor = FiniteSize().factor(a @ a.T, a @ (y[b, seen] - h.mean(axis=0)) / 0.4)
        mean = x[b].mean(axis=0)
        wide = (mean + np.sqrt(factor) * (x[b] - mean)).astype(dtype)
        wanted = FILTERS[name](1.0, backend=backend).analysis(wide, y[b], obs)
        np.testing.assert_allclose(found[b], wanted, atol=2e-5 if dtype == "f4" else 1e-11)
        factors.append(factor)
    assert filt.facts["inflation"] == pytest.approx(np.mean(factors), rel=1e-4)


def test_finite_size_with_errors_that_are_correlated(rng):
    """Of all of R, which lets some directions of the innovation tell more than others."""
    x, y = rng.standard_normal((6, 5)), 2 * rng.standard_normal(5)
    r = np.exp(-np.abs(np.subtract.outer(np.arange(5), np.arange(5))) / 2)
    filt = ef.ETKF(FiniteSize())
    filt.analysis(x, y, ef.Observation(Identity(), covariance=r))
    a, d = x - x.mean(axis=0), y - x.mean(axis=0)
    factor = FiniteSize().factor(a @ np.linalg.solve(r, a.T), a @ np.linalg.solve(r, d))
    assert filt.facts["inflation"] == pytest.approx(factor, rel=1e-10)


def test_finite_size_where_there_is_nothing_to_see(rng):
    obs = ef.Observation(Identity(), 1.0)
    filt = ef.ETKF(FiniteSize())
    same = np.ones((5, 3))
    np.testing.assert_array_equal(filt.analysis(same, np.full(3, 9.0), obs), same)
    assert filt.facts["inflation"] == pytest.approx(4 / 5)  # zeta = (N + 1)/e = N
    filt.analysis(1e-6 * rng.standard_normal((5, 3)), np.zeros(3), obs)
    assert filt.facts["inflation"] == pytest.approx(4 / 5, rel=1e-4)


@pytest.mark.parametrize(("members", "expected"), [(24, 0.19), (40, 0.178)])
def test_finite_size_reaches_published_errors_on_lorenz96(members, expected):
    """Bocquet (2011): about 0.18 from some 25 members on, as the ETKF with tuned inflation."""
    twin = ef.TwinExperiment(
        ef.models.Lorenz96(dim=40, dt=0.05),
        ef.Observation(Identity(), std=1.0),
        cycles=1000,
        steps_per_cycle=1,
        initial_mean="truth",
    )
    result = twin.run(ef.ETKF(FiniteSize()), members=members, seed=1, progress=False)
    # two seeds of 2,500 cycles differed by 0.007 at most
    assert result.rmse.analysis[200:].mean() == pytest.approx(expected, abs=0.02)


def relaxed(make, inflation, x, y, obs, h, r, known):
    """One cycle by NumPy alone around the filter without inflation: the analysis, lambda and a."""
    plain = make(1.0).analysis(x, y, obs).astype(float)
    x = x.astype(float)
    before, after = (h(part).var(axis=0, ddof=1) / r**2 for part in (x, plain))
    d2 = (y - h(x).mean(axis=0)) ** 2 / r**2
    sums = InnovationSums(d2.size, before.sum(), (before**2).sum(), d2.sum())
    factor = factor_after(sums, known)
    a = (np.sqrt(factor) - 1) / (np.sqrt(before.sum() / after.sum()) - 1)
    a = min(a, 2.0)
    s_f, s_a = x.std(axis=0), plain.std(axis=0)
    mean = plain.mean(axis=0)
    return mean + (plain - mean) * (1 + a * (s_f - s_a) / s_a), factor, a


@pytest.mark.parametrize("name", FILTERS)
def test_relaxation_follows_the_innovations(name, dtype, rng, backend):
    obs = ef.Observation(Arctan() @ Every(2), 0.4, grid=RING)
    filt, factor = FILTERS[name](AdaptiveRTPS(), backend=backend), 1.0
    amounts = []

    def h(x):
        return np.arctan(x[:, ::2])

    for scale in (2, 1, 3):
        x = rng.standard_normal((7, 12)).astype(dtype)
        y = (scale * rng.standard_normal(6)).astype(dtype)
        found = filt.analysis(x, y, obs)
        wanted, factor, a = relaxed(FILTERS[name], AdaptiveRTPS(), x, y, obs, h, 0.4, factor)
        amounts.append(a)
        np.testing.assert_allclose(found, wanted, atol=1e-4 if dtype == "f4" else 1e-10)
        assert filt.facts["inflation"] == pytest.approx(factor, rel=1e-4)
        assert filt.facts["relaxation"] == pytest.approx(a, rel=1e-3)
        assert isinstance(pickle.loads(pickle.dumps(filt)), type(filt))
    assert max(amounts) > 0
    filt.reset()
    assert filt.facts == {}


def test_the_relaxation_by_hand():
    relaxation = AdaptiveRTPS().relaxation
    assert relaxation(1.0, 4.0, 1.0) == 0
    assert relaxation(1.44, 4.0, 1.0) == pytest.approx(0.2)
    assert relaxation(4.0, 4.0, 1.0) == pytest.approx(1.0)  # the forecast's spread
    assert relaxation(100.0, 4.0, 1.0) == 2  # no more than that
    for before, after in ((1.0, 1.0), (1.0, 4.0), (0.0, 0.0), (np.inf, 1.0), (np.nan, 1.0)):
        assert relaxation(2.0, before, after) == 0


def test_relaxation_of_a_batch_and_with_a_taper_from_the_ensemble(rng):
    obs = ef.Observation(Identity(), 0.5, grid=RING)
    x, y = rng.standard_normal((2, 6, 12)), 3 * rng.standard_normal((2, 12))
    y[1, ::3] = np.nan
    both = ef.LETKF(FromEnsemble(), AdaptiveRTPS())
    together = both.analysis(x, y, obs)
    for b in range(2):
        alone = ef.LETKF(FromEnsemble(), AdaptiveRTPS())
        np.testing.assert_array_equal(alone.analysis(x[b], y[b], obs), together[b])
    assert set(both.facts) == {"cutoff", "inflation", "relaxation"}


def test_h_of_the_analysis_is_the_operators(rng):
    x, y = rng.standard_normal((6, 12)), 3 * rng.standard_normal(12)
    obs = ef.Observation(Custom(lambda x: np.tanh(x)), 0.5)
    wanted = ef.ETKF(AdaptiveRTPS()).analysis(x, y, obs)
    out = np.zeros_like(x)
    ef.ETKF(AdaptiveRTPS()).analysis(x, y, obs, observed=np.tanh(x), out=out)
    np.testing.assert_allclose(out, wanted, atol=1e-12)
    bare = ef.Observation(None, std=0.5)
    with pytest.raises(TypeError, match=r"inflation=AdaptiveRTPS\(\) needs h of the analysis"):
        ef.ETKF(AdaptiveRTPS()).analysis(x, y, bare, observed=np.tanh(x))
    found = ef.ETKF(FiniteSize()).analysis(x, y, bare, observed=np.tanh(x))
    np.testing.assert_allclose(found.mean(axis=0), wanted.mean(axis=0), atol=3)


def test_alone_they_change_nothing(rng):
    x, forecast = rng.standard_normal((2, 4, 3))
    for inflation in (AdaptiveRTPS(), FiniteSize()):
        before = x.copy()
        inflation.apply(x, forecast)
        np.testing.assert_array_equal(x, before)
