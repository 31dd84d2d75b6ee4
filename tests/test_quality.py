"""Quality control: what is rejected is not observed, and is told."""

import dataclasses
import pickle

import numpy as np
import pytest
from test_contract import FILTERS

import enfilt as ef
from enfilt.quality import Flag, GrossError, Quality

N, D = 9, 10
GRID = ef.grids.RegularGrid((D,))
STD = np.where(np.arange(D) % 3, 0.3, 0.8)
OBS = ef.Observation(ef.operators.Identity(), STD, grid=GRID, quality=GrossError(2.5))


def problem(rng):
    """Return a batch of two forecasts, and observations with one missing and three far away."""
    forecast = rng.standard_normal((2, N, D)) + 3
    y = forecast.mean(axis=1) + 0.3 * rng.standard_normal((2, D))
    y[0, 4] = np.nan
    y[0, 2], y[1, 5:7] = 30, [-9, 19]
    known = y.copy()
    known[0, 2] = known[1, 5:7] = np.nan
    return forecast, y, known


def both(filt, forecast, y, known, obs, **given):
    """Return the analyses with a quality control, and with NaN where that rejects."""
    options = {"previous": forecast, "rng": 1} | given
    filt.reset()
    screened = filt.analysis(forecast, y, obs, **options)
    facts = filt.facts, filt.flags
    filt.reset()
    plain = filt.analysis(forecast, known, dataclasses.replace(obs, quality=None), **options)
    assert filt.flags is None
    return screened, plain, *facts


@pytest.mark.parametrize("name", FILTERS)
def test_what_is_rejected_is_not_observed(name, rng):
    filt = FILTERS[name]
    forecast, y, known = problem(rng)
    screened, plain, facts, flags = both(filt, forecast, y, known, OBS)
    assert np.array_equal(screened, plain)
    assert facts | {"used": 16, "missing": 1, "rejected": 3} == facts
    assert flags.tolist() == [[0, 0, 2, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2, 2, 0, 0, 0]]
    one, _, facts, flags = both(filt, forecast[1], y[1], known[1], OBS)
    assert np.isfinite(one).all()
    assert facts["rejected"] == 2
    assert flags.shape == (D,)


@pytest.mark.parametrize("name", ["etkf", "enkf localized", "lenff auto", "monte-carlo", "kalman"])
@pytest.mark.parametrize("correlated", [False, True])
def test_given_values_and_correlated_errors(name, correlated, rng):
    forecast, y, known = problem(rng)
    values = forecast[:, :, ::-1].copy()
    y, known = y[:, ::-1].copy(), known[:, ::-1].copy()
    options = {"std": STD}
    if correlated:
        apart = np.subtract.outer(np.arange(D), np.arange(D))
        options = {"covariance": np.outer(STD, STD) * 0.4 ** np.abs(apart)}
    obs = ef.Observation(None, **options, grid=GRID, locations=GRID.coordinates()[::-1])
    obs = dataclasses.replace(obs, quality=GrossError(2.5))
    screened, plain, facts, _ = both(FILTERS[name], forecast, y, known, obs, observed=values)
    assert np.array_equal(screened, plain)
    assert facts["rejected"] == 3


def test_the_threshold_is_where_spread_and_error_say(rng, dtype):
    forecast = rng.standard_normal((N, D)).astype(dtype)
    h = np.arctan(forecast).astype(np.float64)
    edge = 2.5 * np.sqrt(h.var(axis=0, ddof=1) + STD**2)
    obs = dataclasses.replace(OBS, operator=ef.operators.Arctan())
    filt = ef.ETKF()
    for sign in (-1, 1):
        for factor, flag in ((1 - 1e-5, Flag.USED), (1 + 1e-5, Flag.REJECTED)):
            y = h.mean(axis=0) + sign * factor * edge
            filt.analysis(forecast, y.astype(dtype), obs)
            assert (filt.flags == flag).all()


def test_with_all_rejected_the_analysis_is_the_forecast_and_says_so(rng, backend):
    forecast = rng.standard_normal((N, D))
    filt = ef.LEnFF(backend=backend)
    assert np.array_equal(filt.analysis(forecast, np.full(D, 1e3), OBS), forecast)
    assert filt.facts["rejected"] == D
    assert pickle.loads(pickle.dumps(filt)).flags.tolist() == [2] * D
    filt.flags[:] = 0
    assert (filt.flags == 2).all()
    filt.reset()
    assert filt.flags is None
    assert filt.facts == {}


def test_other_ways_to_an_analysis(rng):
    forecast, y, known = problem(rng)
    mean, covariance = forecast[1].mean(axis=0), np.cov(forecast[1].T)
    kalman, particles = ef.KalmanFilter(), ef.BootstrapPF()
    found = kalman.analysis_moments(mean, covariance, y[1], OBS)
    assert kalman.facts == {"used": 8, "missing": 0, "rejected": 2}
    without = dataclasses.replace(OBS, quality=None)
    np.testing.assert_array_equal(
        found[0], kalman.analysis_moments(mean, covariance, known[1], without)[0]
    )
    assert kalman.flags is None
    _, weights = particles.weighted_analysis(forecast[0], y[0], OBS, rng=0)
    assert particles.facts["rejected"] == 1
    again = particles.weighted_analysis(forecast[0], known[0], without, rng=0)
    np.testing.assert_array_equal(weights, again[1])


def test_a_twin_experiment_counts_cycle_by_cycle():
    model = ef.models.Lorenz96(dim=D, dt=0.05)
    twin = ef.TwinExperiment(
        model, OBS, cycles=20, steps_per_cycle=1, spinup=100, initial_mean="truth"
    )
    told = twin.run(ef.LEnFF(), members=N, seed=0).facts
    assert (told["used"] + told["rejected"] == D).all()
    assert 0 < told["rejected"].sum() < 0.2 * 20 * D


def test_on_a_gpu(cuda, rng):
    forecast, y, known = problem(rng)
    filt = ef.ETKF()
    found = filt.analysis(cuda.asarray(forecast), cuda.asarray(y), OBS)
    assert filt.facts == {"used": 16, "missing": 1, "rejected": 3}
    wanted = filt.analysis(forecast, known, dataclasses.replace(OBS, quality=None))
    np.testing.assert_allclose(found.get(), wanted, atol=1e-10)


class Outside(Quality):
    """A check of the user's."""

    def rejects(self, departure, spread, std):
        return departure > 0


class Wrong(Quality):
    def rejects(self, departure, spread, std):
        return departure


def test_a_check_of_ones_own(rng):
    filt, forecast = ef.ETKF(), rng.standard_normal((N, D))
    y = np.where(np.arange(D) < 3, 5.0, -0.5)
    filt.analysis(forecast, y, dataclasses.replace(OBS, quality=Outside()))
    assert filt.flags.tolist() == [2] * 3 + [0] * 7
    with pytest.raises(TypeError, match=r"quality=.*Wrong.*returned float64.*expected bool, \(10"):
        filt.analysis(forecast, y, dataclasses.replace(OBS, quality=Wrong()))


def test_bad_input_is_named():
    for threshold in (0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="threshold="):
            GrossError(threshold)
    with pytest.raises(TypeError, match="threshold="):
        GrossError("3")
    with pytest.raises(TypeError, match=r"quality=3: expected a check such as .*GrossError"):
        ef.Observation(ef.operators.Identity(), 0.5, quality=3)
    huge = np.full((3, D), 1e200) * [[1], [2], [3]]
    with pytest.raises(FloatingPointError, match=r"h\(forecast\)"):
        ef.ETKF().analysis(
            huge, np.zeros(D), dataclasses.replace(OBS, operator=ef.operators.Power(2))
        )
