"""Statistics against observations: by hand, against theory, and by kind and level."""

import numpy as np
import pytest

import enfilt as ef
from enfilt import diagnostics

ONE = ef.Observation(ef.operators.Identity(), std=0.5)


def test_departures_by_hand():
    rng = np.random.default_rng(0)
    forecast, analysis = rng.standard_normal((2, 7, 4))
    y = np.array([0.3, np.nan, -2.0, 9.0])
    std = np.array([0.5, 0.5, 1.0, 2.0])
    obs = ef.Observation(ef.operators.Identity(), std=std)
    found = diagnostics.departures(y, obs, forecast, analysis, rng=1)
    perturbed = forecast + std * np.random.default_rng(1).standard_normal((7, 4))
    np.testing.assert_array_equal(found.y, y)
    np.testing.assert_array_equal(found.std, std)
    np.testing.assert_allclose(found.forecast, forecast.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.forecast_variance, forecast.var(axis=0, ddof=1), rtol=1e-14)
    np.testing.assert_allclose(found.analysis, analysis.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.analysis_variance, analysis.var(axis=0, ddof=1), rtol=1e-14)
    assert found.rank.tolist() == [
        -1 if np.isnan(v) else int((x < v).sum()) for x, v in zip(perturbed.T, y, strict=True)
    ]
    for k in (0, 2, 3):
        x = perturbed[:, k]
        wanted = np.abs(x - y[k]).mean() - np.abs(np.subtract.outer(x, x)).mean() / 2
        assert found.crps[k] == pytest.approx(wanted, rel=1e-12)
    assert np.isnan(found.crps[1])
    seen = [0, 2, 3]
    d, a = (y - forecast.mean(axis=0))[seen], (y - analysis.mean(axis=0))[seen]
    variance, r2 = found.forecast_variance[seen], std[seen] ** 2
    told = diagnostics.statistics(found)
    wanted = {
        "number": 3,
        "bias": d.mean(),
        "rmse": np.sqrt(np.mean(d**2)),
        "spread": np.sqrt(variance.mean()),
        "expected": np.sqrt(np.mean(variance + r2)),
        "chi_square": np.mean(d**2 / (variance + r2)),
        "crps": found.crps[seen].mean(),
        "given_r": np.sqrt(r2.mean()),
        "analysis_rmse": np.sqrt(np.mean(a**2)),
        "analysis_spread": np.sqrt(found.analysis_variance[seen].mean()),
    }
    for name, square in (
        ("r", np.mean(a * d)),
        ("forecast_std", np.mean((d - a) * d)),
        ("analysis_std", np.mean((d - a) * a)),
    ):
        wanted[name] = np.sqrt(square) if square >= 0 else np.nan
    assert told._asdict() == pytest.approx(wanted, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("claimed", [1.0, 0.5])
def test_desroziers_in_the_linear_case(claimed):
    """Errors of the forecast 0.7, of observations 0.4: found where the gain is the right one.

    With r taken for half of what it is, the gain is too large, and the two estimates are those of
    the formulas with that gain; their sum, the innovations' variance, is right in any case.
    """
    b, r, m = 0.7, 0.4, 200_000
    rng = np.random.default_rng(2)
    forecast, y = b * rng.standard_normal(m), r * rng.standard_normal(m)
    gain = b**2 / (b**2 + (claimed * r) ** 2)
    analysis = forecast + gain * (y - forecast)
    # two members a spread apart, whose variance is what the filter believes
    pair = np.array([[-1.0], [1.0]]) / np.sqrt(2)
    obs = ef.Observation(ef.operators.Identity(), std=claimed * r)
    found = diagnostics.statistics(
        diagnostics.departures(y, obs, forecast + b * pair, analysis + 0.1 * pair, rng=0)
    )
    # relative errors of mean squares: five standard errors of chi-square with m degrees
    close = 5 * np.sqrt(2 / m)
    innovation = b**2 + r**2
    assert found.r**2 == pytest.approx((1 - gain) * innovation, rel=close)
    assert found.forecast_std**2 == pytest.approx(gain * innovation, rel=close)
    assert found.r**2 + found.forecast_std**2 == pytest.approx(found.rmse**2, rel=1e-10)
    if claimed == 1:
        assert found.r == pytest.approx(r, rel=close)
        assert found.forecast_std == pytest.approx(b, rel=close)
        assert found.analysis_std**2 == pytest.approx((1 - gain) * b**2, rel=close)
        assert found.chi_square == pytest.approx(1, rel=close)
    else:
        assert found.chi_square == pytest.approx(innovation / (b**2 + r**2 / 4), rel=close)


@pytest.mark.parametrize("correlated", [False, True])
def test_ranks_are_flat_with_the_error_of_y_and_not_without(correlated):
    members, cycles, m, r = 9, 400, 30, 1.0
    rng = np.random.default_rng(3)
    apart = np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    error = {"covariance": r**2 * 0.5**apart} if correlated else {"std": r}
    obs = ef.Observation(ef.operators.Identity(), **error)
    tiny = ef.Observation(ef.operators.Identity(), std=1e-9)
    counts = np.zeros((2, members + 1))
    for _ in range(cycles):
        x = 0.5 * rng.standard_normal((members + 1, m))
        y = obs.simulate(x[0], rng)
        for k, o in enumerate((obs, tiny)):
            counts[k] += diagnostics.departures(y, o, x[1:], rng=rng).ranks()
    share = counts / counts.sum(axis=1, keepdims=True)
    # with a tenth each, five standard errors (neighbours that correlate count for a third)
    close = 5 * np.sqrt(0.09 / (cycles * m)) * (1.75 if correlated else 1)
    np.testing.assert_allclose(share[0], 0.1, atol=close)
    assert share[1, [0, -1]].min() > 0.25


def test_crps_of_the_next_observation():
    """Of a Gaussian of standard deviation s at y ~ N(0, s^2) it is s / sqrt(pi) on average."""
    members, m = 400, 2000
    rng = np.random.default_rng(4)
    x, y = 1.2 * rng.standard_normal((members, m)), 1.3 * rng.standard_normal(m)
    found = diagnostics.statistics(diagnostics.departures(y, ONE, x, rng=0))
    # 1.3^2 = 1.2^2 + 0.5^2; the empirical form is larger by 1/N of it, its deviation below s
    assert found.crps == pytest.approx(1.3 / np.sqrt(np.pi), abs=5 * 1.3 / np.sqrt(m) + 0.002)


def test_nothing_observed():
    found = diagnostics.departures([np.nan, np.nan], ONE, np.zeros((3, 2)), rng=0)
    assert found.rank.tolist() == [-1, -1]
    told = diagnostics.statistics(found)
    assert told.number == 0
    assert np.isnan([*told[1:]]).all()
    assert diagnostics.statistics([]).number == 0


def test_what_is_not_finite_is_not_known():
    forecast = np.array([[np.inf, 1.0], [0.0, 2.0]])
    found = diagnostics.departures([1.0, 1.0], ONE, forecast, rng=0)
    assert diagnostics.statistics(found).number == 1


def test_masked_entries_are_missing():
    y = np.ma.masked_array([1.0, 1e36], [False, True])
    assert diagnostics.statistics(diagnostics.departures(y, ONE, np.ones((3, 2)))).number == 1


def test_several_cycles():
    rng = np.random.default_rng(5)
    parts = [
        diagnostics.departures(rng.standard_normal(3), ONE, rng.standard_normal((4, 3)), rng=rng)
        for _ in range(4)
    ]
    whole = diagnostics.Departures(
        *(np.concatenate([p[k] for p in parts]) for k in range(8)), members=4
    )
    one, other = diagnostics.statistics(parts), diagnostics.statistics(whole)
    assert one._asdict() == pytest.approx(other._asdict(), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"obs": 3}, TypeError, "obs=3: expected an"),
        ({"y": [1.0]}, ValueError, r"y has shape \(1,\): expected \(2,\)"),
        ({"forecast": np.zeros((1, 2))}, ValueError, "forecast"),
        ({"analysis": np.zeros((2, 2))}, ValueError, r"analysis has shape \(2, 2\)"),
        ({"rng": "x"}, TypeError, "rng='x'"),
        ({"obs": ef.Observation(None, std=[1.0, 2.0, 3.0])}, ValueError, "std has 3 entries"),
    ],
)
def test_bad_arguments(arguments, kind, message):
    usual = {"y": [1.0, 2.0], "obs": ONE, "forecast": np.zeros((3, 2))}
    with pytest.raises(kind, match=message):
        diagnostics.departures(**(usual | arguments))


@pytest.fixture(scope="module")
def result():
    """400 cycles of a filter that is right, its observations of two kinds at three heights."""
    model = ef.models.Lorenz96(dim=12, dt=0.05)
    kinds, heights = np.array(["t", "u"] * 6), np.repeat([1.0, 5.0, 9.0], 4)
    std = np.where(kinds == "t", 0.5, 1.0)
    obs = ef.Observation(
        ef.operators.Identity(),
        std=std,
        kinds=kinds,
        heights=heights,
        quality=ef.quality.GrossError(threshold=6),
    )
    rng = np.random.default_rng(6)
    truth = model.step(model.initial_state(rng), 500)
    ensemble = truth + 0.5 * rng.standard_normal((24, 12))
    windows = []
    for k in range(400):
        truth = model.step(truth, 1) if k else truth
        y = obs.simulate(truth, rng)
        y[0] = 1e3 if k == 7 else np.nan if k == 8 else y[0]
        windows.append((0.05 * k, y, obs))
    run = ef.Assimilation(model, windows, levels=[3.0, 7.0])
    return run.run(ef.ETKF(inflation=1.02), ensemble=ensemble, seed=0)


def test_a_filter_that_is_right(result):
    found = result.innovations
    total = found.total(last=300)
    assert total.number == 3600
    # 2% of inflation, and innovations of neighbouring cycles hardly correlate: five standard errors
    assert total.chi_square == pytest.approx(1, abs=5 * np.sqrt(2 / 3600) + 0.02)
    assert total.rmse == pytest.approx(total.expected, rel=0.08)
    assert total.r == pytest.approx(total.given_r, rel=0.08)
    for kind, r in (("t", 0.5), ("u", 1.0)):
        one = found.by_kind(last=300)[kind]
        assert one.number == 1800
        assert one.given_r == pytest.approx(r)
        assert one.r == pytest.approx(r, rel=0.1)
    assert found.by_kind().keys() == {"t", "u"}


def test_kinds_and_levels(result):
    found = result.innovations
    # of 4800 one was rejected, and one missing; both at height 1, in its own cycle
    assert (found.total().number, result.facts["rejected"].sum()) == (4798, 1)
    assert found.series("number")[6:10].tolist() == [12, 11, 11, 12]
    assert {k: s.number for k, s in found.by_level().items()} == {0: 1598, 1: 1600, 2: 1600}
    assert {k: s.number for k, s in found.by_level("t").items()} == {0: 798, 1: 800, 2: 800}
    assert found.by_group().keys() == {(k, n) for k in "tu" for n in range(3)}
    assert found.rank_histogram().sum() == 4798
    assert found.rank_histogram(last=2).sum() == 24
    parts = found.by_group()
    mean = sum(one.number * one.rmse**2 for one in parts.values()) / found.total().number
    assert found.total().rmse ** 2 == pytest.approx(mean, rel=1e-12)
    with pytest.raises(ValueError, match=r"kind='q': expected one of \['t', 'u'\]"):
        found.by_level("q")
    with pytest.raises(ValueError, match=r"name='rms'.*did you mean 'rmse'"):
        found.series("rms")


def test_kinds_of_a_table():
    sphere = ef.geometry.Sphere(
        np.arange(0, 360, 60.0),
        np.array([[-30.0], [30.0]]),
        vertical=[0.0, 5.0],
        variables={"t": 2, "ps": 1},
    )
    table = {
        "time": [0.0, 0.0, 0.0, 6.0],
        "kind": ["temperature", "temperature", "ps", "ps"],
        "longitude": [10.0, 10.0, 20.0, 30.0],
        "latitude": [0.0, 0.0, 10.0, 10.0],
        "vertical": [1.0, 4.0, 0.0, 0.0],
        "value": [1.0, 2.0, 3.0, 4.0],
        "error": [0.1] * 4,
    }
    kinds = {"temperature": "t"}
    first, second = ef.Observations.from_frame(table, sphere, kinds=kinds)
    assert first.obs.kinds.tolist() == ["t", "t", "ps"]
    assert first.obs.heights.tolist()[:2] == [1.0, 4.0]
    assert second.obs.kinds.tolist() == ["ps"]
    plain = {name: table[name] for name in ("time", "value", "error", "kind")}
    (first, *_) = ef.Observations.from_frame(plain)
    assert sorted(first.obs.kinds) == ["ps", "temperature", "temperature"]
    assert first.obs.heights is None
    del plain["kind"]
    assert ef.Observations.from_frame(plain)[0].obs.kinds is None


@pytest.mark.parametrize("name", ["kinds", "heights"])
def test_kinds_and_heights_are_one_an_observation(name):
    with pytest.raises(ValueError, match=f"{name} has shape"):
        ef.Observation(None, 1.0, **{name: np.zeros((2, 2))})
    obs = ef.Observation(ef.operators.Identity(), 1.0, **{name: [1.0, 2.0]})
    run = ef.Assimilation(lambda x, *_: x, [(0.0, np.zeros(3), obs)], levels=[1.5])
    with pytest.raises(ValueError, match=f"{name} of observations has shape"):
        run.run(ef.ETKF(), ensemble=np.eye(3))
