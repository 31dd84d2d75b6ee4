"""Smoothers: against the Kalman smoother, against filters, and what they remember."""

import copy
import dataclasses
import pickle
import tracemalloc

import numpy as np
import pytest

import enfilt as ef
from enfilt.geometry import RegularGrid, Sphere, WithParameters
from enfilt.localization import ByVariable, FromEnsemble, GaspariCohn
from enfilt.operators import Every, Identity, Linear, Subset

INFINITE = GaspariCohn(np.inf)
GRID = RegularGrid((12,))
TAPER = GaspariCohn(4.0)
FILTERS = {
    "etkf": ef.ETKF(),
    "etkf rotate": ef.ETKF(rotate=True),
    "enkf": ef.EnKF(),
    "denkf": ef.EnKF(method="denkf"),
    "enkf localized": ef.EnKF(localization=TAPER),
    "letkf": ef.LETKF(TAPER),
    "letkf rotate": ef.LETKF(TAPER, rotate=True),
    "letkf infinite": ef.LETKF(INFINITE),
    "lenff": ef.LEnFF(TAPER, inflation=1.0),
    "lenff from ensemble": ef.LEnFF(FromEnsemble(), inflation=1.0),
}
#: Without an option its inflation follows from its taper.
ANALYSES = FILTERS | {"lenff without options": ef.LEnFF()}
DRAWS = {"etkf rotate", "enkf", "enkf localized", "letkf rotate"}


def turning(dim):
    """A linear model: a step turns the components about each other."""
    angle = 0.3 * np.arange(1, dim)
    step = np.eye(dim)
    for i, a in enumerate(angle):
        turn = np.eye(dim)
        turn[i : i + 2, i : i + 2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
        step = step @ turn
    return 1.02 * step


class Kalman:
    """The Kalman filter of the states of several cycles, the latest first: a smoother."""

    def __init__(self, ensemble, step):
        self.step, self.dim = step, ensemble.shape[1]
        self.mean, self.covariance = ensemble.mean(axis=0), np.cov(ensemble.T)

    def forecast(self):
        d, n = self.dim, len(self.mean)
        move = np.vstack([np.hstack([self.step, np.zeros((d, n - d))]), np.eye(n)])
        self.mean, self.covariance = move @ self.mean, move @ self.covariance @ move.T

    def analysis(self, h, y, std):
        h = np.hstack([h, np.zeros((len(h), len(self.mean) - self.dim))])
        s = h @ self.covariance @ h.T + std**2 * np.eye(len(h))
        gain = np.linalg.solve(s, h @ self.covariance).T
        self.mean = self.mean + gain @ (y - h @ self.mean)
        self.covariance -= gain @ h @ self.covariance

    def of(self, j):
        part = slice(j * self.dim, (j + 1) * self.dim)
        return self.mean[part], self.covariance[part, part]


def smoothers(step):
    def model(x, steps):
        return x @ np.linalg.matrix_power(step, steps).T

    return {
        "EnKS": ef.EnKS(ef.ETKF(), lag=3),
        "EnKS of an LETKF": ef.EnKS(ef.LETKF(INFINITE), lag=3),
        "IEnKS": ef.IEnKS(model, 1, lag=3),
        "IEnKS by a bundle": ef.IEnKS(model, 1, lag=3, method="bundle"),
    }


@pytest.mark.parametrize("name", smoothers(np.eye(2)))
def test_a_linear_model_makes_it_the_kalman_smoother(name, rng):
    step, h = turning(4), rng.standard_normal((2, 4))
    smoother = smoothers(step)[name]
    obs = ef.Observation(Linear(h), 0.4)
    ensemble = rng.standard_normal((7, 4))
    kalman, previous, forecast = Kalman(ensemble, step), ensemble, ensemble
    for cycle in range(6):
        y = rng.standard_normal(2)
        kalman.analysis(h, y, 0.4)
        previous = smoother.analysis(forecast, y, obs, previous=previous)
        assert len(smoother.smoothed) == min(cycle, 3) + 1
        for j, past in enumerate(smoother.smoothed):
            mean, covariance = kalman.of(j)
            np.testing.assert_allclose(past.mean(axis=0), mean, atol=1e-6)
            np.testing.assert_allclose(np.cov(past.T), covariance, atol=1e-6)
        forecast = previous @ step.T
        kalman.forecast()


@pytest.mark.parametrize("name", FILTERS)
def test_the_past_of_a_state_that_stays_is_its_presence(name, rng, dtype):
    obs = ef.Observation(Every(2), 0.5, grid=GRID)
    smoother, draws = ef.EnKS(FILTERS[name], lag=3), np.random.default_rng(5)
    x = rng.standard_normal((6, 12)).astype(dtype)
    for _ in range(5):
        y = rng.standard_normal(6).astype(dtype)
        y[1] = np.nan
        x = smoother.analysis(x, y, obs, rng=draws)
        for past in smoother.smoothed:
            np.testing.assert_allclose(past, x, atol=2e-5 if dtype == "f4" else 1e-12)


def test_the_past_of_variables_at_different_places(rng):
    """Their tapers are by pair of variables, and parameters are known as they are now."""
    sphere = Sphere(
        np.arange(0, 360, 60.0),
        np.arange(-60, 61, 30.0)[:, None],
        vertical=[0.0, 5.0],
        vertical_scale=200.0,
        variables={"u": 2, "ps": 1},
    )
    grid = WithParameters(sphere, 2)
    tapers = ByVariable(
        ((GaspariCohn(5000.0),) * 2, (GaspariCohn(9000.0),) * 2), ((1.0, 0.5), (0.3, 1.0))
    )
    places = np.column_stack([rng.uniform(0, 360, 9), rng.uniform(-60, 60, 9), np.zeros(9)])
    h, where = ef.operators.interpolate(grid, places, variable=["u", "ps", "u"] * 3)
    obs = ef.Observation(h, 0.5, grid=grid, locations=where)
    for filt in (ef.LETKF(tapers), ef.LEnFF(tapers, inflation=1.0), ef.EnKF(localization=tapers)):
        smoother, draws = ef.EnKS(filt, lag=2), np.random.default_rng(5)
        x = rng.standard_normal((6, grid.size))
        for _ in range(4):
            x = smoother.analysis(x, rng.standard_normal(9), obs, rng=draws)
            for past in smoother.smoothed:
                np.testing.assert_allclose(past, x, atol=1e-11)


@pytest.mark.parametrize("filt", [ef.ETKF(), ef.LETKF(TAPER), ef.LEnFF(TAPER, inflation=1.0)])
def test_values_that_were_given_move_the_past_as_an_operator_does(filt, rng):
    obs, bare = (
        ef.Observation(h, 0.5, grid=GRID, locations=GRID.coordinates(slice(0, 12, 2)))
        for h in (Every(2), None)
    )
    one, two = ef.EnKS(filt, lag=2), ef.EnKS(filt, lag=2)
    for _ in range(4):
        x, y = rng.standard_normal((6, 12)), rng.standard_normal(6)
        one.analysis(x, y, obs)
        two.analysis(x, y, bare, observed=np.ascontiguousarray(x[:, ::2]))
        for wanted, found in zip(one.smoothed, two.smoothed, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("name", ANALYSES)
def test_analyses_are_those_of_the_filter(name):
    model = ef.models.Lorenz96(dim=12)
    obs = ef.Observation(Identity(), 0.5, grid=model.grid)
    twin = ef.TwinExperiment(model, obs, cycles=6, steps_per_cycle=5, spinup=100)
    for inflation in (ef.inflation.RTPS(0.3), ef.inflation.Adaptive()):
        filt = ANALYSES[name]
        if name in FILTERS:
            filt = dataclasses.replace(filt, inflation=inflation)
        wanted = twin.run(filt, members=5, seed=1)
        found = twin.run(ef.EnKS(filt, lag=2), members=5, seed=1)
        np.testing.assert_array_equal(found.rmse.analysis, wanted.rmse.analysis)
        np.testing.assert_array_equal(found.deviation, wanted.deviation)
        assert found.facts.keys() == wanted.facts.keys()


def test_smoothed_states_are_nearer_to_the_truth():
    model = ef.models.Lorenz96(dim=40, dt=0.05)
    obs = ef.Observation(Identity(), 1.0, grid=model.grid)
    rng = np.random.default_rng(0)
    truth = model.step(model.initial_state(rng)[None], 500)[0]
    x = truth + rng.standard_normal((20, 40))
    for smoother in (
        ef.EnKS(ef.LEnFF(), lag=4),
        ef.IEnKS(model, 1, lag=4, inflation=1.02),
        ef.ILEnFF(model, 1, lag=4),
    ):
        rmse, state, previous, known = [], truth, x, []
        for cycle in range(40):
            if cycle:
                state, forecast = model.step(state[None])[0], model.step(previous)
            else:
                forecast = previous
            known.insert(0, state)
            y = obs.simulate(state, rng)
            previous = smoother.analysis(forecast, y, obs, previous=previous)
            if cycle >= 20:
                pairs = zip(smoother.smoothed, known[:5], strict=True)
                rmse.append([ef.metrics.rmse(past, then) for past, then in pairs])
        error = np.mean(rmse, axis=0)
        assert error[4] < 0.9 * error[0] < 0.3


def test_a_window_of_one_cycle_is_the_filter(rng):
    model = ef.models.Lorenz96(dim=10, dt=0.05)
    obs = ef.Observation(Every(2), 0.3)
    twin = ef.TwinExperiment(model, obs, cycles=8, steps_per_cycle=3, spinup=100)
    for inflation in (1.05, ef.inflation.RTPS(0.2)):
        runs = [
            twin.run(filt, members=11, seed=2)
            for filt in (
                ef.IEnKF(model, 3, inflation=inflation),
                ef.IEnKS(model, 3, lag=1, inflation=inflation),
            )
        ]
        np.testing.assert_array_equal(runs[0].mean, runs[1].mean)
        np.testing.assert_array_equal(runs[0].deviation, runs[1].deviation)


@pytest.mark.parametrize("lag", [1, 3])
def test_the_iterative_flow_filter_of_a_linear_model_is_the_flow_filter(lag, rng):
    """Without localization: what moves the start by its covariances moves what becomes of it."""
    step = turning(5)
    filt = ef.LEnFF(INFINITE, inflation=1.0)
    iterative = ef.ILEnFF(lambda x, steps: x @ np.linalg.matrix_power(step, steps).T, 1, filt, lag)
    obs = ef.Observation(Linear(rng.standard_normal((3, 5))), 0.5)
    previous = forecast = wanted = rng.standard_normal((8, 5))
    for _ in range(5):
        y = rng.standard_normal(3)
        wanted = filt.analysis(wanted, y, obs)
        previous = iterative.analysis(forecast, y, obs, previous=previous)
        np.testing.assert_allclose(previous, wanted, atol=1e-9)
        forecast = previous @ step.T
        wanted = wanted @ step.T


def made(model):
    return {
        "EnKS": ef.EnKS(ef.LEnFF(), lag=2),
        "IEnKS": ef.IEnKS(model, 2, lag=3, inflation=1.02),
        "ILEnFF": ef.ILEnFF(model, 2, lag=2),
    }


@pytest.mark.parametrize("unobserved", [(), (2, 3), (5,)])
@pytest.mark.parametrize("lag", [1, 2, 3])
def test_windows_go_on_over_cycles_without_observations(lag, unobserved, rng):
    """For a linear model the analyses are the ETKF's, whenever there is nothing to see."""
    step = turning(3)

    def model(x, steps):
        return x @ np.linalg.matrix_power(step, steps).T

    obs = ef.Observation(Every(2), 0.5)
    smoother, filt = ef.IEnKS(model, 1, lag=lag, inflation=1.1), ef.ETKF(inflation=1.1)
    one = two = forecast = rng.standard_normal((6, 3))
    for k in range(8):
        y = np.full(2, np.nan) if k in unobserved else rng.standard_normal(2)
        one = smoother.analysis(forecast, y, obs, previous=one)
        two = filt.analysis(model(two, 1) if k else two, y, obs)
        np.testing.assert_allclose(one, two, atol=1e-12)
        # again, without anything to see and without time: it is no cycle
        smoother.analysis(one, np.full(2, np.nan), obs, previous=one)
        assert len(smoother.smoothed) == min(k + 1, lag)
        forecast = model(one, 1)


@pytest.mark.parametrize("name", ["IEnKS", "ILEnFF"])
def test_an_ensemble_of_a_batch_without_observations(name, rng):
    """It is what it is alone: past, window and what the filter tunes."""
    model = ef.models.Lorenz96(dim=14, dt=0.05)
    obs = ef.Observation(Every(2), 0.5, grid=model.grid)
    alone, batch = made(model)[name], made(model)[name]
    one = rng.standard_normal((9, 14))
    both = np.stack([one, 1.1 * one])
    of_one, of_both = one, both
    for k in range(6):
        y = rng.standard_normal((2, 7))
        y[0] = np.nan if k == 3 else y[0]
        one = alone.analysis(of_one, y[0], obs, previous=one)
        both = batch.analysis(of_both, y, obs, previous=both)
        np.testing.assert_allclose(both[0], one, atol=1e-9)
        for found, expected in zip(batch.smoothed, alone.smoothed, strict=True):
            np.testing.assert_allclose(found[0], expected, atol=1e-9)
        of_one, of_both = model.step(one, 2), np.stack([model.step(x, 2) for x in both])


@pytest.mark.parametrize("name", ["EnKS", "IEnKS", "ILEnFF"])
def test_what_is_remembered(name, rng):
    """A restored smoother goes on with the same bits; a batch is its ensembles."""
    model = ef.models.Lorenz96(dim=14, dt=0.05)
    obs = ef.Observation(Every(2), 0.5, grid=model.grid)
    smoother, other = made(model)[name], made(model)[name]

    def cycles(smoother, previous, forecast, seeds):
        for seed in seeds:
            y = np.random.default_rng(seed).standard_normal(7)
            previous = smoother.analysis(forecast, y, obs, previous=previous)
            forecast = np.stack([model.step(x, 2) for x in previous.reshape(-1, 9, 14)])
            forecast = forecast.reshape(previous.shape)
        return previous, forecast

    x = rng.standard_normal((9, 14))
    middle = cycles(smoother, x, x, range(4))
    assert smoother.state()["filter"] == name
    other.restore(pickle.loads(pickle.dumps(smoother.state())))
    third = copy.deepcopy(smoother)
    ends = [cycles(s, *middle, range(4, 7))[0] for s in (smoother, other, third)]
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])
    for one, two in zip(smoother.smoothed, other.smoothed, strict=True):
        np.testing.assert_array_equal(one, two)
    batch = np.stack([x, 1.1 * x])
    fresh = made(model)[name]
    found = cycles(fresh, batch, batch, range(4))[0]
    np.testing.assert_allclose(found[0], middle[0], atol=1e-10)
    assert fresh.smoothed[1].shape == (2, 9, 14)
    # nothing observed: the window goes on
    before = smoother.smoothed
    previous, forecast = ends[0], model.step(ends[0], 2)
    unseen = smoother.analysis(forecast, np.full(7, np.nan), obs, previous=previous)
    np.testing.assert_array_equal(unseen, forecast)
    for past, then in zip(smoother.smoothed[1:], before, strict=False):
        np.testing.assert_array_equal(past, then)
    # another ensemble: the past is none of its
    smoother.analysis(forecast, np.zeros(7), obs, previous=previous + 1)
    assert len(smoother.smoothed) == (1 if name == "EnKS" else 2)
    smoother.reset()
    assert smoother.smoothed == []


def test_an_analysis_that_fails_leaves_the_past_as_it_is(rng):
    calls = []

    def model(x, steps):
        calls.append(steps)
        if len(calls) > 12:
            raise RuntimeError("no power")
        return 1.1 * x

    smoother = ef.IEnKS(model, 1, lag=2, iterations=1)
    obs = ef.Observation(Subset([0]), 0.5)
    previous = forecast = rng.standard_normal((5, 3))
    for _ in range(3):
        previous = smoother.analysis(forecast, [0.5], obs, previous=previous)
        forecast, before = 1.1 * previous, smoother.smoothed
    calls.extend([0] * 12)
    with pytest.raises(RuntimeError, match="no power"):
        smoother.analysis(forecast, [0.5], obs, previous=previous)
    for one, two in zip(smoother.smoothed, before, strict=True):
        np.testing.assert_array_equal(one, two)


def test_bad_options():
    model = ef.models.Lorenz96(dim=8)
    with pytest.raises(TypeError, match=r"filt=EnFF.*expected one of ETKF, LETKF, LEnFF, EnKF"):
        ef.EnKS(ef.EnFF(), lag=2)
    with pytest.raises(ValueError, match="lag=0"):
        ef.EnKS(ef.ETKF(), lag=0)
    with pytest.raises(ValueError, match=r"inflation=1\.1: expected it to be given to the filter"):
        ef.EnKS(ef.ETKF(), lag=1, inflation=1.1)
    with pytest.raises(ValueError, match="lag=0"):
        ef.IEnKS(model, 2, lag=0)
    with pytest.raises(TypeError, match="filt=ETKF"):
        ef.ILEnFF(model, 2, ef.ETKF())
    with pytest.raises(ValueError, match="parameter_inflation"):
        ef.ILEnFF(model, 2, parameter_inflation=1.1)
    with pytest.raises(ValueError, match="model_noise"):
        ef.ILEnFF(ef.models.Lorenz96(dim=8, model_noise=0.1), 2)
    x, obs = np.eye(4, 8), ef.Observation(Identity(), 1.0, grid=model.grid)
    with pytest.raises(TypeError, match="observed is given"):
        ef.IEnKS(model, 2).analysis(x, np.zeros(8), obs, observed=x, previous=x)
    with pytest.raises(ValueError, match="previous is missing"):
        ef.ILEnFF(model, 2).analysis(x, np.zeros(8), obs)


@pytest.mark.parametrize("name", ["EnKS", "IEnKS", "ILEnFF"])
def test_a_twin_scores_what_is_known_later(name, tmp_path):
    """Each cycle's state against the truth of its time, when it leaves the window; and resumed."""
    model = ef.models.Lorenz96(dim=14, dt=0.05)
    obs = ef.Observation(Every(2), 0.5, grid=model.grid)
    twin = ef.TwinExperiment(model, obs, cycles=8, steps_per_cycle=2, spinup=50)
    smoother, lag = made(model)[name], made(model)[name].lag
    result = twin.run(smoother, members=9, seed=3)
    truth = result.truth[-1 - lag]  # all components are tracked
    scores = ef.metrics.score(smoother.smoothed[-1], truth)
    for score in ("rmse", "spread", "crps", "energy_score", "nrmse", "fair_crps"):
        smoothed = getattr(result, score).smoothed
        assert smoothed[-1 - lag] == getattr(scores, score)
        assert np.isnan(smoothed[-lag:]).all()
        assert np.isfinite(smoothed[:-lag]).all()
        assert result.summary(last=5)[f"{score}.smoothed"] == smoothed[3:-lag].mean()
    ranks = result.rank_histogram.smoothed
    np.testing.assert_array_equal(ranks.sum(axis=1), [14] * (8 - lag) + [0] * lag)
    np.testing.assert_array_equal(result.ensemble, smoother.smoothed[0])
    # from a file, and from a checkpoint in the middle of the window
    read = ef.Result.load(result.save(tmp_path / "run.npz"))
    np.testing.assert_array_equal(read.rmse.smoothed, result.rmse.smoothed)
    assert read.ensemble.shape == (0, 0)
    short = dataclasses.replace(twin, cycles=5)
    for one in (short, twin):
        kept = {"checkpoint": tmp_path / "run", "resume": True}
        resumed = one.run(made(model)[name], members=9, seed=3, **kept)
    np.testing.assert_array_equal(resumed.crps.smoothed, result.crps.smoothed)
    assert twin.run(ef.ETKF(), members=9, seed=3).rmse.smoothed is None


@pytest.mark.parametrize("name", ["EnKS", "IEnKS", "ILEnFF"])
def test_memory_counts_what_a_smoother_keeps(name):
    model = ef.models.Lorenz96(dim=2000, dt=0.05)
    obs = ef.Observation(Every(2), 0.5, grid=model.grid)
    twin = ef.TwinExperiment(model, obs, cycles=5, steps_per_cycle=2, spinup=5, track=0)
    taper = GaspariCohn(4.0)
    smoother = {
        "EnKS": ef.EnKS(ef.LETKF(taper), lag=6),
        "IEnKS": ef.IEnKS(model, 2, lag=6),
        "ILEnFF": ef.ILEnFF(model, 2, ef.LEnFF(taper, steps=2, inflation=1.0), lag=6),
    }[name]
    twin.run(smoother, members=40, seed=0)  # imports and tables
    tracemalloc.start()
    twin.run(smoother, members=40, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(peak / twin.memory(40, smoother), peak / (40 * 2000 * 8))
    assert 0.4 * twin.memory(40, smoother) < peak < twin.memory(40, smoother)
    assert twin.memory(40, smoother) > 2 * twin.memory(40)


def test_a_window_has_a_wider_taper(rng):
    """Where the bound of degrees of freedom rules, it is twice that of the filter."""
    model = ef.models.Lorenz96(dim=40, dt=0.05)
    x = model.step(3 + rng.standard_normal(40)[None], 400)
    x = model.step(x + 0.1 * rng.standard_normal((10, 40)), 40)  # what has grown is wide
    obs, y = ef.Observation(Identity(), 0.1, grid=model.grid), x.mean(axis=0)
    filt, smoother = ef.LEnFF(), ef.ILEnFF(model, 1)
    filt.analysis(x, y, obs)
    smoother.analysis(x, y, obs, previous=x)
    assert 1.5 < smoother.facts["cutoff"] / filt.facts["cutoff"] < 2.5
