"""h(x) given by its values, `observed=`: as good as an operator, and as components of the state."""

import dataclasses

import numpy as np
import pytest

import enfilt as ef

N, D, M = 9, 24, 12
GRID = ef.grids.RegularGrid((D,))
TAPER = ef.localization.GaspariCohn(5.0)
MODEL = ef.models.Linear(0.9 * np.eye(D))

FILTERS = {
    "ETKF": ef.ETKF(rotate=True),
    "EnKF": ef.EnKF(),
    "EnKF localized": ef.EnKF(localization=TAPER),
    "DEnKF": ef.EnKF(method="denkf", localization=ef.localization.FromEnsemble()),
    "LETKF": ef.LETKF(TAPER),
    "LEnFF": ef.LEnFF(),
    "LEnFF, steps": ef.LEnFF(TAPER, steps="auto"),
    "LEnFF, global": ef.LEnFF(ef.localization.GaspariCohn(np.inf)),
    "KalmanFilter": ef.KalmanFilter(),
    "BootstrapPF": ef.BootstrapPF(jitter=1.0),
    "EnFF": ef.EnFF(guidance="monte-carlo"),
    "EnFF covariance": ef.EnFF(path="ve", guidance="covariance", steps=5, sampler="heun"),
    "EnFF none": ef.EnFF(guidance="none"),
    "IEnKF": ef.IEnKF(MODEL, 2),
    "IEnKF bundle": ef.IEnKF(MODEL, 2, method="bundle"),
}
#: Sums in another order than the operator's: products with H, or with the ensemble's weights. The
#: bundle's members are 6e-6 apart, so that its own derivatives are known to 1e-10.
ROUNDED = {"KalmanFilter": 1e-13, "EnFF covariance": 1e-11, "IEnKF": 1e-13, "IEnKF bundle": 1e-9}


def problem(rng, dtype=np.float64):
    """Return forecast, previous, and far observations, one missing, of every second component."""
    previous = rng.standard_normal((2, N, D))
    forecast = np.stack([MODEL.step(p, 2) for p in previous])
    y = 4 * rng.standard_normal((2, M))
    y[0, 3] = np.nan
    std = 0.5 + rng.random(M)
    obs = ef.Observation(ef.operators.Every(2), std, grid=GRID)
    places = GRID.coordinates(np.arange(0, D, 2))
    bare = ef.Observation(None, std, grid=GRID, locations=places)
    return [a.astype(dtype) for a in (forecast, previous, y)], obs, bare


def thrice(filt, forecast, y, obs, **given):
    filt.reset()
    for _ in range(3):
        found = filt.analysis(forecast, y, obs, rng=1, **given)
    return found


@pytest.mark.parametrize("inflation", [None, ef.inflation.Adaptive()], ids=["", "adaptive"])
@pytest.mark.parametrize("name", FILTERS)
def test_values_of_a_linear_operator_are_as_good_as_it(name, inflation, backend, rng):
    filt = dataclasses.replace(FILTERS[name], backend=backend)
    if inflation is not None:
        filt = dataclasses.replace(filt, inflation=inflation)
    (forecast, previous, y), obs, bare = problem(rng)
    wanted = thrice(filt, forecast, y, obs, previous=previous)
    assert inflation is None or filt.facts["inflation"] > 1.2
    given = {"previous": previous, "observed": forecast[..., ::2].copy()}
    # the oracle takes the same sums; kernels evaluate h by windows, and so in another order
    exact = backend == "numpy" and name not in ROUNDED
    atol = 0 if exact else ROUNDED.get(name, 1e-13) * np.abs(wanted).max()
    for which in (bare, obs):
        found = thrice(filt, forecast, y, which, **given)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def augmented(rng):
    """Return an ensemble on a line, its nonlinear h(x), and both as one state on longer places."""
    x = rng.standard_normal((N, D))
    hx = x[:, ::2] ** 3 + np.roll(x, 1, axis=1)[:, ::2]
    line, places = np.arange(float(D)), np.arange(0.3, D, 2)
    y, std = rng.standard_normal(M) * 3, 0.5 + rng.random(M)
    y[5] = np.nan
    bare = ef.Observation(None, std, grid=line, locations=places)
    operator = ef.operators.Subset(np.arange(D, D + M))
    both = ef.Observation(operator, std, grid=np.concatenate([line, places]))
    return x, hx, np.hstack([x, hx]), y, bare, both


@pytest.mark.parametrize("name", ["LEnFF", "EnKF localized", "LETKF", "ETKF", "KalmanFilter"])
def test_values_move_as_components_of_the_state_do(name, backend, dtype, rng):
    x, hx, z, y, bare, both = augmented(rng)
    x, hx, z, y = (a.astype(dtype) for a in (x, hx, z, y))
    filt = ef.LEnFF(TAPER) if name == "LEnFF" else FILTERS[name]
    filt = dataclasses.replace(filt, backend=backend)
    wanted = filt.analysis(z, y, both, rng=1)[:, :D]
    found = filt.analysis(x, y, bare, observed=hx, rng=1)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=200 * np.finfo(dtype).eps)


class Widened(ef.LEnFF):
    """The forecast, widened as that of the LEnFF is."""

    def _update(self, cycle, out):
        out[...] = cycle.forecast


@pytest.mark.parametrize("local", [None, False])
def test_what_widens_the_forecast_widens_the_values(local, rng):
    x, hx, _, y, bare, _ = augmented(rng)
    options = {"localization": TAPER, "inflation": ef.inflation.Adaptive(local)}
    wide = Widened(**options).analysis(x, y, bare, observed=hx)
    filt = ef.LEnFF(**options)
    found = filt.analysis(x, y, bare, observed=hx)
    assert not filt.facts.get("outliers")
    factor = wide.std(axis=0) / x.std(axis=0)
    assert (np.ptp(factor) > 0.01) == (local is None)
    nearest = np.rint(bare.locations[:, 0]).astype(int)
    of_values = hx.mean(axis=0) + factor[nearest] * (hx - hx.mean(axis=0))
    wanted = ef.LEnFF(TAPER).analysis(wide, y, bare, observed=of_values)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_a_class_of_the_users_is_given_the_values(rng):
    class Own(ef.inflation.Adaptive):
        def estimate(self, forecast, y, obs, known=1.0, *, observed=None):
            seen.append(observed)
            return super().estimate(forecast, y, obs, known, observed=observed)

    seen = []
    x, hx, _, y, bare, _ = augmented(rng)
    found = ef.ETKF(inflation=Own()).analysis(x, y, bare, observed=hx)
    assert np.array_equal(seen[0], hx)
    wanted = ef.ETKF(inflation=ef.inflation.Adaptive(local=False))
    np.testing.assert_array_equal(found, wanted.analysis(x, y, bare, observed=hx))


def test_weighted_analysis_and_the_kernel_take_values(rng):
    (forecast, _, y), obs, bare = problem(rng)
    given = {"observed": forecast[..., ::2]}
    pf, one = ef.BootstrapPF(threshold=0.0), {"observed": forecast[0, :, ::2]}
    wanted = pf.weighted_analysis(forecast[0], y[0], obs)[1]
    found = pf.weighted_analysis(forecast[0], y[0], bare, **one)[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    wanted = ef.LETKF(TAPER).analysis(forecast, y, obs)
    found = ef.kernels.letkf(forecast, y, bare, localization=TAPER, **given)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * np.abs(wanted).max())


GRADIENT = {
    "EnFF": ef.EnFF(),
    "EnSF": ef.EnSF(),
    "MASF": ef.MASF(),
    "ScoreFilter": ef.ScoreFilter(),
    "SSLS": ef.SSLS(),
    "callable": ef.EnFF(guidance=lambda t, z, v, x_hat, y, obs: v),
}


@pytest.mark.parametrize("name", GRADIENT)
def test_a_filter_that_needs_more_of_h_says_so(name, rng):
    (forecast, previous, y), obs, bare = problem(rng)
    filt = GRADIENT[name]
    needs = "h itself" if name == "callable" else "the gradient of h"
    values = {"observed": forecast[..., ::2]}
    for which, given in ((bare, {}), (bare, values), (obs, values)):
        with pytest.raises(TypeError, match=f"{'observed' if given else 'obs'}.* needs {needs}"):
            filt.analysis(forecast, y, which, previous=previous, **given)


def test_wrong_values_are_refused(rng):
    (forecast, _, y), obs, bare = problem(rng)
    values = forecast[..., ::2]
    bad = values.copy()
    bad[1, 2, 3] = np.nan
    cases = [
        (bare, None, ValueError, "observed is missing: obs has no operator"),
        (bare, values[0], ValueError, r"observed has shape \(9, 12\): expected \(2, 9, 12\)"),
        # the operator makes 12 observations
        (
            obs,
            values[..., 1:],
            ValueError,
            r"shape \(2, 9, 11\): expected \(2, 9, 12\)",
        ),
        (obs, values.astype("i4"), TypeError, "observed has dtype int32"),
        (obs, bad, ValueError, r"observed\[1, 2, 3\] is nan"),
    ]
    for which, given, kind, message in cases:
        with pytest.raises(kind, match=message):
            ef.ETKF().analysis(forecast, y, which, observed=given)


def test_without_an_operator(rng):
    bare = ef.Observation(None, [0.1, 0.2])
    assert bare.size(5) == 2
    assert ef.Observation(None, 0.1, locations=[1.0]).size(5) == 1
    assert eval(repr(ef.Observation(None, 0.5)), {"Observation": ef.Observation}).operator is None
    x, y = np.zeros(5), np.zeros(2)
    for call in (
        lambda: ef.Observation(None, 0.1).size(5),
        lambda: bare.simulate(x),
        lambda: bare.gradient(x, y),
        lambda: bare.misfit(x, y),
        lambda: ef.KalmanFilter().analysis_moments(x, np.eye(5), y, bare),
    ):
        with pytest.raises(TypeError, match="operator=None: h is needed here"):
            call()
    forecast = rng.standard_normal((3, 5))
    near = ef.Observation(None, 0.1, grid=np.arange(5.0))
    with pytest.raises(ValueError, match="locations is missing"):
        ef.LEnFF().analysis(forecast, y, near, observed=forecast[:, :2])
    with pytest.raises(ValueError, match="obs has operator=None"):
        ef.TwinExperiment(MODEL, bare)


def test_labels_of_values_are_held_against_the_others(rng):
    pd = pytest.importorskip("pandas")
    forecast = pd.DataFrame(rng.standard_normal((3, 2)), index=list("abc"))
    values = pd.DataFrame(rng.standard_normal((3, 2)), index=list("acb"), columns=["p", "q"])
    y = pd.Series([0.0, 1.0], index=["q", "p"])
    bare = ef.Observation(None, 0.1)
    with pytest.raises(ValueError, match="observed has the labels of forecast in another order"):
        ef.ETKF().analysis(forecast, y.to_numpy(), bare, observed=values)
    with pytest.raises(ValueError, match="observed has the labels of y in another order"):
        ef.ETKF().analysis(forecast.to_numpy(), y, bare, observed=values)
