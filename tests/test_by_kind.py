"""Tapers by kind of observation, against plain loops over components and observations."""

import dataclasses
import pickle

import numpy as np
import pytest

import enfilt as ef
from enfilt.localization import ByKind, GaspariCohn, Taper

N, D, M = 8, 30, 18
TAPER = ByKind({"wind": GaspariCohn(3.0), "rain": GaspariCohn(7.0)}, others=Taper(2.0, "step"))
NAMES = ["wind", "rain", "other"]


def problem(std=0.5):
    rng = np.random.default_rng(0)
    forecast = rng.standard_normal((N, D))
    kinds = np.array(NAMES)[rng.integers(0, 3, M)]
    places = np.sort(rng.uniform(0, D, M))
    values = np.tanh(forecast[:, places.astype(int) % D]) + 0.1 * rng.standard_normal((N, M))
    y = rng.standard_normal(M)
    y[4] = np.nan
    grid = ef.grids.RegularGrid((D,))
    obs = ef.Observation(None, std=std, grid=grid, locations=places, kinds=kinds)
    return forecast, values, y, obs


def weights(of, by, kinds):
    """rho of places `of` and observations `by`, one by one."""
    found = np.zeros((len(of), len(by)))
    for d, k in np.ndindex(found.shape):
        apart = abs(of[d] - by[k])
        taper = TAPER.tapers.get(kinds[k], TAPER.others)
        found[d, k] = taper.weight(min(apart, D - apart))
    return found


def rho():
    _, _, y, obs = problem()
    seen = ~np.isnan(y)
    places, kinds = obs.locations[seen, 0], obs.kinds[seen]
    return weights(np.arange(D), places, kinds), weights(places, places, kinds), seen


def test_weights_are_those_of_the_kind():
    assert TAPER.cutoff == 7.0
    found = TAPER.weight(np.ones((2, 3)), ["rain", "x", "wind"])
    expected = [GaspariCohn(7.0).weight(1.0), 1.0, GaspariCohn(3.0).weight(1.0)]
    np.testing.assert_array_equal(found, [expected] * 2)


def test_letkf(backend):
    forecast, values, y, obs = problem()
    of_state, _, seen = rho()
    filt = ef.LETKF(TAPER, backend=backend)
    found = filt.analysis(forecast, y, obs, observed=values)
    given = {"observed": values[:, seen], "std": 0.5, "backend": "numpy"}
    expected = ef.kernels.letkf(forecast, y[seen], weights=of_state, **given)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    other = ef.LETKF(GaspariCohn(7.0)).analysis(forecast, y, obs, observed=values)
    assert not np.allclose(expected, other)


def test_lenff(backend):
    """Each step by the formulas of LEnFF's docstring."""
    forecast, values, y, obs = problem()
    of_state, between, seen = rho()
    filt = ef.LEnFF(TAPER, steps=3, backend=backend)
    found = filt.analysis(forecast, y, obs, observed=values)
    x, h = forecast.copy(), values[:, seen].copy()
    for w in filt.pseudo_times:
        a, b = x - x.mean(axis=0), h - h.mean(axis=0)
        # what an observation moves: by its own taper
        bound = np.abs(between * (b.T @ b) / (N - 1)).sum(axis=0)
        gain = (y[seen] - (h + h.mean(axis=0)) / 2) / (bound + 0.25 / w)
        x = x + gain @ (of_state * (a.T @ b) / (N - 1)).T
        h = h + gain @ (between * (b.T @ b) / (N - 1)).T
    np.testing.assert_allclose(found, x, rtol=0, atol=1e-12)


def test_enkf():
    forecast, values, y, obs = problem()
    of_state, between, seen = rho()
    found = ef.EnKF(localization=TAPER, method="denkf").analysis(forecast, y, obs, observed=values)
    h = values[:, seen]
    a, b = forecast - forecast.mean(axis=0), h - h.mean(axis=0)
    inner = np.sqrt(between * between.T) * (b.T @ b) / (N - 1) + 0.25 * np.eye(len(b.T))
    pull = np.linalg.solve(inner, (y[seen] - h.mean(axis=0) - b / 2).T)
    expected = forecast + (of_state * (a.T @ b) / (N - 1) @ pull).T
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


FILTERS = {
    "LETKF": lambda taper: ef.LETKF(taper),
    "LEnFF": lambda taper: ef.LEnFF(taper, steps=3),
    "LEnFF adaptive": lambda taper: ef.LEnFF(taper, steps=3, inflation=ef.inflation.Adaptive()),
    "EnKF": lambda taper: ef.EnKF(localization=taper, method="denkf"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_one_taper_for_all_kinds_is_that_taper(name, backend):
    forecast, values, y, obs = problem()
    one = GaspariCohn(4.0)
    same = ByKind({"wind": one, "rain": one}, others=one)
    found, expected = (
        dataclasses.replace(FILTERS[name](taper), backend=backend).analysis(
            forecast, y, obs, observed=values
        )
        for taper in (same, one)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_values_move_as_the_components_that_they_are(name):
    """An operator that chooses components, and the same values given: bit for bit."""
    forecast, _, _, _ = problem()
    y = np.random.default_rng(3).standard_normal(D // 2)
    kinds = np.resize(NAMES, D // 2)
    grid = ef.grids.RegularGrid((D,))
    obs = ef.Observation(ef.operators.Every(2), std=0.5, grid=grid, kinds=kinds)
    filt = FILTERS[name](TAPER)
    expected = filt.analysis(forecast, y, obs)
    filt.reset()
    found = filt.analysis(forecast, y, obs, observed=forecast[:, ::2].copy())
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", ["LETKF", "LEnFF"])
def test_correlated_errors_are_seen_as_a_whole(name):
    forecast, values, y, obs = problem()
    y = np.nan_to_num(y)
    covariance = 0.25 * np.eye(M)
    covariance[2, 9] = covariance[9, 2] = 0.1
    kinds = np.array(["wind"] * M)
    kinds[9] = "rain"
    given = {"grid": obs.grid, "locations": obs.locations}
    obs = ef.Observation(None, covariance=covariance, kinds=kinds, **given)
    one = ByKind({"wind": GaspariCohn(4.0), "rain": GaspariCohn(4.0)})
    found, expected = (
        FILTERS[name](taper).analysis(forecast, y, obs, observed=values)
        for taper in (one, GaspariCohn(4.0))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_table_tells_the_kinds():
    grid = ef.geometry.RegularGrid((10,), variables=2)
    table = {"time": [0.0] * 3, "kind": ["v", "u", "u"], "x": [2.0, 2.5, 7.0], "value": [0.1] * 3}
    table["error"] = [0.2] * 3
    ((_, y, obs),) = ef.Observations.from_frame(table, grid, places=["x"], kinds={"u": 0, "v": 1})
    forecast = np.random.default_rng(1).standard_normal((6, 20))
    taper = ByKind({0: GaspariCohn(1.0), 1: GaspariCohn(30.0)})
    assert list(obs.kinds) == [0, 0, 1]
    moved = ef.LETKF(taper).analysis(forecast, np.array([y[0], np.nan, np.nan]), obs) != forecast
    assert moved.any(axis=0).sum() == 4  # two cells beside the place, of both variables
    moved = ef.LETKF(taper).analysis(forecast, np.array([np.nan, np.nan, y[2]]), obs) != forecast
    assert moved.all()


def test_it_is_a_value():
    other = ByKind(dict(reversed(TAPER.tapers.items())), others=TAPER.others)
    assert other == TAPER
    assert hash(other) == hash(TAPER)
    assert pickle.loads(pickle.dumps(TAPER)) == TAPER
    assert eval(repr(TAPER), {**vars(ef.localization)}) == TAPER


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tapers": {}}, TypeError, r"tapers=\{\}: expected a dict of kinds"),
        ({"tapers": GaspariCohn(1.0)}, TypeError, "expected a dict of kinds"),
        ({"tapers": {"u": 3.0}}, TypeError, r"tapers\['u'\]=3.0: expected a Taper"),
        ({"tapers": {"u": None}}, TypeError, r"tapers\['u'\]=None"),
        ({"tapers": {"u": Taper(1.0, vertical=2.0)}}, ValueError, "without vertical= or most="),
        ({"tapers": {"u": TAPER.others}, "others": 2.0}, TypeError, "others=2.0"),
    ],
)
def test_wrong_tapers(options, error, message):
    with pytest.raises(error, match=message):
        ByKind(**options)


@pytest.mark.parametrize("name", FILTERS)
def test_wrong_kinds(name):
    forecast, values, y, obs = problem()
    filt = FILTERS[name](ByKind({"wind": GaspariCohn(3.0)}))
    for kinds, message in [
        (None, "kinds is missing: the localization depends on the kind"),
        (["wind"] * 3, "kinds has 3 entries: expected 18"),
        (["wind"] * 17 + ["hail"], "kinds holds 'hail', for which localization has no taper"),
    ]:
        given = dataclasses.replace(obs, kinds=kinds)
        with pytest.raises(ValueError, match=message):
            filt.analysis(forecast, y, given, observed=values)
