"""Filters that run the model again, in cycles that are not of one length."""

import datetime
import pickle

import numpy as np
import pytest

import enfilt as ef
from enfilt.geometry import RegularGrid
from enfilt.localization import GaspariCohn
from enfilt.operators import Every, Linear

DIM, DT = 4, 0.5
TIMES = (0.0, 0.5, 1.0, 3.0, 3.0, 3.5, 6.0, 6.5)
NOTHING = 5  # the window in which nothing is observed


class Turning(ef.models.Model):
    """A linear model: a step turns each component into the next, and widens it."""

    dim, dt, model_noise = DIM, DT, 0.0

    @property
    def grid(self):
        return RegularGrid((DIM,))

    def initial_state(self, rng=None):
        return np.zeros(DIM)

    def _advance(self, rows, steps, out):
        out[...] = 1.05**steps * np.roll(rows, steps, axis=1)


def of_times(ensemble, start, stop, rng):
    steps = round((stop - start) / DT)
    return 1.05**steps * np.roll(ensemble, steps, axis=1)


def of_dates(ensemble, start, stop, rng):
    return of_times(ensemble, 0.0, (stop - start).total_seconds(), rng)


def date(time):
    return datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=time)


H = np.random.default_rng(3).standard_normal((2, DIM))
OBS = ef.Observation(Linear(H), std=0.5)


def windows(when=float):
    rng = np.random.default_rng(1)
    found = [(when(time), rng.standard_normal(2), OBS) for time in TIMES]
    found[NOTHING] = (found[NOTHING][0], None, None)
    return found


FIRST = np.random.default_rng(2).standard_normal((8, DIM))
FLOW = ef.LEnFF(GaspariCohn(np.inf), inflation=1.0)
FILTERS = {
    "IEnKF": (ef.ETKF(), lambda *model: ef.IEnKF(*model)),
    "IEnKS, lag 1": (ef.ETKF(1.1), lambda *model: ef.IEnKS(*model, lag=1, inflation=1.1)),
    "IEnKS, lag 3": (ef.ETKF(1.1), lambda *model: ef.IEnKS(*model, lag=3, inflation=1.1)),
    "ILEnFF, lag 1": (FLOW, lambda *model: ef.ILEnFF(*model, FLOW)),
    "ILEnFF, lag 2": (FLOW, lambda *model: ef.ILEnFF(*model, FLOW, 2)),
}
MODELS = {
    "of the library": (Turning(), (Turning(), 1), float),
    "of times": (of_times, (of_times, None), float),
    "of dates": (of_dates, (of_dates, None), date),
    "of times, and one of the library": (of_times, (Turning(), None), float),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", FILTERS)
def test_the_analyses_of_a_linear_model_are_those_of_the_filter(name, model):
    filt, made = FILTERS[name]
    stepped, again, when = MODELS[model]
    found = []
    for one in (filt, made(*again)):
        kept = []
        run = ef.Assimilation(
            stepped, windows(when), analysis_to=lambda t, x, kept=kept: kept.append(x.copy())
        )
        run.run(one, ensemble=FIRST, seed=0)
        found.append(np.array(kept))
    np.testing.assert_allclose(found[1], found[0], atol=1e-8)


@pytest.mark.parametrize("smoother", ["EnKS", "IEnKS", "ILEnFF"])
def test_a_window_with_nothing_in_it_is_one_of_missing_observations(smoother):
    """And the past goes on over it, in an assimilation and in a twin experiment."""
    made = {
        "EnKS": lambda: ef.EnKS(ef.ETKF(), lag=3),
        "IEnKS": lambda: ef.IEnKS(Turning(), 1, lag=3, inflation=1.1),
        "ILEnFF": lambda: ef.ILEnFF(Turning(), 1, FLOW, 3),
    }[smoother]
    missing = windows()
    missing[NOTHING] = (TIMES[NOTHING], np.full(2, np.nan), OBS)
    pasts = []
    for seen in (windows(), missing):
        one = made()
        ef.Assimilation(Turning(), seen).run(one, ensemble=FIRST, seed=0)
        pasts.append(one.smoothed)
    assert len(pasts[0]) == len(pasts[1]) == 4
    for a, b in zip(*pasts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    one = made()
    twin = ef.TwinExperiment(Turning(), [OBS, None], cycles=6, steps_per_cycle=1, spinup=3)
    twin.run(one, members=8, seed=0)
    assert len(one.smoothed) == 4


def test_what_lies_between_is_kept_for_a_restart(tmp_path):
    def result(count):
        run = ef.Assimilation(Turning(), windows()[:count])
        smoother = ef.IEnKS(Turning(), 1, lag=3, inflation=1.1)
        kept = {"checkpoint": tmp_path / "run", "resume": True}
        found = run.run(smoother, ensemble=FIRST, seed=0, **(kept if count else {}))
        return found.ensemble, smoother

    result(4)
    resumed, smoother = result(len(TIMES))
    whole = ef.Assimilation(Turning(), windows()).run(
        ef.IEnKS(Turning(), 1, lag=3, inflation=1.1), ensemble=FIRST, seed=0
    )
    np.testing.assert_array_equal(resumed, whole.ensemble)
    other = ef.IEnKS(Turning(), 1, lag=3, inflation=1.1)
    other.restore(pickle.loads(pickle.dumps(smoother.state())))
    y, later = np.zeros(2), Turning().step(resumed, 3)
    ends = [
        one.analysis(later, y, OBS, previous=resumed, between=(6.5, 8.0))
        for one in (smoother, other)
    ]
    np.testing.assert_array_equal(*ends)


def test_steps_of_a_length_that_nobody_knows():
    def steps(ensemble, count):
        return 1.05**count * np.roll(ensemble, count, axis=1)

    regular = [(float(k), y, obs) for k, (_, y, obs) in enumerate(windows())]
    one = ef.IEnKS(steps, 2, lag=2)
    found = ef.Assimilation(of_times, regular).run(one, ensemble=FIRST)
    wanted = ef.Assimilation(of_times, regular).run(ef.ETKF(), ensemble=FIRST)
    np.testing.assert_allclose(found.ensemble, wanted.ensemble, atol=1e-8)
    with pytest.raises(ValueError, match=r"another time than 0\.5.*expected cycles of one length"):
        ef.Assimilation(of_times, windows()).run(one, ensemble=FIRST)
    # an assimilation by a function has times of its own, that a model of the library may not know
    with pytest.raises(ValueError, match="another time than"):
        ef.Assimilation(of_times, windows()).run(ef.IEnKF(Turning(), 1), ensemble=FIRST)


def test_bad_arguments():
    filt, model = ef.IEnKF(Turning(), 1), Turning()
    forecast = model.step(FIRST, 1)

    def analysis(filt, between):
        filt.analysis(forecast, np.zeros(2), OBS, previous=FIRST, between=between)

    with pytest.raises(ValueError, match=r"between=\(0\.0, 0\.7\), 1\.4 steps"):
        analysis(filt, (0.0, 0.7))
    for wrong in ((1.0, 0.0), 3, (0.0, "late"), (np.nan, 1.0)):
        with pytest.raises(ValueError, match=r"between=.*expected \(start, stop\)"):
            analysis(filt, wrong)
    with pytest.raises(ValueError, match="between is missing, and steps_per_cycle=None"):
        analysis(ef.IEnKF(of_times, None), None)

    class Remembers(ef.Model):
        def __call__(self, ensemble, start, stop, rng):
            return ensemble

        def save(self):
            return 1.0

    with pytest.raises(ValueError, match="remembers more than the ensemble"):
        ef.ILEnFF(Remembers(), None)
    with pytest.raises(ValueError, match="previous is missing"):
        ef.IEnKS(Turning(), 1).skip(FIRST)


@pytest.mark.parametrize("inflation", [ef.inflation.Adaptive(), ef.inflation.FiniteSize()])
@pytest.mark.parametrize("lag", [1, 3])
def test_what_follows_from_innovations_widens_the_start_of_a_window(inflation, lag):
    """For a linear model that is to widen the forecast, and the analyses are the ETKF's."""
    rng, model = np.random.default_rng(5), Turning()
    filt = ef.ETKF(inflation=inflation)
    smoother = ef.IEnKS(model, 1, lag=lag, inflation=inflation)
    one = two = forecast = FIRST
    for k in range(6):
        y = 4 * rng.standard_normal(2)
        two = filt.analysis(model.step(two, 1) if k else two, y, OBS)
        one = smoother.analysis(forecast, y, OBS, previous=one)
        assert abs(filt.facts["inflation"] - 1) > 0.01
        assert smoother.facts["inflation"] == pytest.approx(filt.facts["inflation"], rel=1e-9)
        np.testing.assert_allclose(one, two, atol=1e-8)
        forecast = model.step(one, 1)


def test_innovations_by_place_widen_the_start_of_a_window():
    """Where a forecast is too narrow in one half, that half is widened, at the start as well."""
    model = ef.models.Lorenz96(dim=20, dt=0.05)
    obs = ef.Observation(Every(2), std=0.3, grid=model.grid)
    rng = np.random.default_rng(7)
    x = model.step(3 + rng.standard_normal((12, 20)), 100)
    x = x.mean(axis=0) + 0.1 * (x - x.mean(axis=0))
    filt = ef.IEnKF(model, 1, inflation=ef.inflation.Adaptive(local=True))
    for _ in range(5):
        forecast = model.step(x, 1)
        y = forecast.mean(axis=0)[::2] + np.where(np.arange(10) < 5, 3.0, 0.1)
        analysis = filt.analysis(forecast, y, obs, previous=x)
    plain = ef.IEnKF(model, 1).analysis(forecast, y, obs, previous=x)
    wider = analysis.std(axis=0) / plain.std(axis=0)
    assert wider[2:8].mean() > 1.1 * wider[12:18].mean() > 0
