"""Transforms of variables, and filters that work in transformed space."""

import dataclasses
import pickle

import numpy as np
import pytest
from conftest import DTYPES
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

import enfilt as ef
from enfilt.localization import FromEnsemble, GaspariCohn
from enfilt.operators import Custom, Every, Identity, Linear, Power, Subset
from enfilt.transforms import Log, Logit, RankGaussian, Transform

TAPER = GaspariCohn(4.0)
RING = ef.grids.RegularGrid((12,))
FILTERS = {
    "etkf": ef.ETKF(1.1),
    "letkf": ef.LETKF(TAPER, ef.inflation.RTPS(0.5)),
    "letkf tuned": ef.LETKF(FromEnsemble(), ef.inflation.Adaptive()),
    "enkf": ef.EnKF(localization=TAPER),
    "lenff": ef.LEnFF(),
    "lenff auto": ef.LEnFF(TAPER, steps="auto"),
    "enff": ef.EnFF(steps=4),
    "ensf": ef.EnSF(steps=6),
    "masf": ef.MASF(steps=6, mode="published"),
    "ssls": ef.SSLS(steps=6),
    "bpf": ef.BootstrapPF(jitter=0.1),
    "relaxed": ef.LETKF(TAPER, ef.inflation.AdaptiveRTPS()),
}


@dataclasses.dataclass(frozen=True)
class Same(Transform):
    """Of the user's, z = x."""

    def forward(self, x):
        return x

    def inverse(self, z):
        return z

    def slope(self, z):
        return np.ones_like(z)


def ensemble(kind=np.float64, members=8, dim=12, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(0.8 * rng.standard_normal((members, dim))).astype(kind)


def bounded(transform, x):
    """Return positive numbers x as such that a transform takes."""
    return x / (1 + x) if isinstance(transform, Logit) else x


@pytest.mark.parametrize(
    "transform", [Log(), Log(0.3), Logit(), RankGaussian(), RankGaussian(0.0), RankGaussian(0, 99)]
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_there_and_back(transform, dtype):
    x = bounded(transform, ensemble(dtype))
    t = transform.fitted(x)
    z = t.forward(x)
    assert z.dtype == t.inverse(z).dtype == dtype
    # an error of z of 10 eps(z) is one of x by the slope
    eps = np.finfo(dtype).eps
    limit = 10 * eps * (np.abs(z) + 1) * np.abs(t.slope(z)) + 4 * eps * (np.abs(x) + 1)
    assert (np.abs(t.inverse(z) - x) <= limit).all()
    assert (np.diff(np.sort(z, axis=0), axis=0) > 0).all()
    for column in range(x.shape[1]):  # the order is kept
        np.testing.assert_array_equal(np.argsort(z[:, column]), np.argsort(x[:, column]))
    far = np.linspace(-9, 9, 181).astype(dtype)[:, None] + np.zeros(x.shape[1], dtype)
    back = t.inverse(far)
    assert (np.diff(back, axis=0) >= 0).all()
    if transform != RankGaussian():
        assert transform.inside(back).all()
    some = np.array([3, 7])
    np.testing.assert_allclose(t.at(some).inverse(far[:, some]), back[:, some], rtol=1e2 * eps)
    # values between members, and beyond them, have a z as well
    if transform.is_fitted:
        between = t.forward(back)
        assert np.isfinite(between).all()
        # that of a bound itself is cut off
        limit = (1e3 * eps + 2e-12) * np.abs(back).max()
        assert np.abs(t.inverse(between) - back).max() <= limit


@pytest.mark.parametrize("transform", [Log(), Log(0.3), Logit(-2, 3), RankGaussian(-1.0, 50.0)])
def test_slopes_are_those_of_differences(transform):
    t = transform.fitted(bounded(transform, ensemble()))
    z = np.linspace(-3, 3, 41)[:, None] + np.random.default_rng(1).uniform(-0.01, 0.01, (41, 12))
    h = 1e-6
    plain = (t.inverse(z + h) - t.inverse(z - h)) / (2 * h)
    # a kink may be between; of 492 some 20 steps of 2e-6
    near = np.abs(t.slope(z + h) - t.slope(z - h)) <= 1e-4 * (1 + np.abs(plain))
    assert near.mean() > 0.99
    np.testing.assert_allclose(t.slope(z)[near], plain[near], rtol=1e-4, atol=1e-7)


@given(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 7.0]), min_size=2, max_size=9))
def test_equal_members_stay_equal_and_bounds_are_kept(values):
    x = np.array(values)[:, None]
    t = RankGaussian(lower=0.0).fitted(x)
    z = t.forward(x)
    for a in range(len(x)):
        for b in range(len(x)):
            assert np.sign(z[a, 0] - z[b, 0]) == np.sign(x[a, 0] - x[b, 0])
    rank = stats.rankdata(x, axis=0)
    np.testing.assert_allclose(z, special.ndtri((rank - 0.5) / len(x)), atol=1e-15)
    np.testing.assert_allclose(t.inverse(z), x, rtol=1e-12)
    assert (t.inverse(z - 50) >= 0).all()
    assert np.isfinite(t.inverse(z + 5)).all()


def test_ranks_of_a_gaussian_sample_are_nearly_linear():
    """The quantiles of N members: an error of the order of 1/sqrt(N) within the bulk."""
    x = 3 + 2 * np.random.default_rng(0).standard_normal((4000, 1))
    t = RankGaussian().fitted(x)
    z = np.linspace(-2, 2, 9)[:, None]
    assert np.abs(t.inverse(z) - (3 + 2 * z)).max() < 10 * 2 / np.sqrt(4000)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("operator", [Identity(), Power(2) @ Every(2)], ids=["all", "some"])
def test_nothing_leaves_its_bounds(name, operator):
    x = ensemble()
    obs = ef.Observation(operator, std=0.05, grid=RING)
    y = np.full(obs.size(12), 0.01)
    parts = {"q": slice(0, 7), "r": np.array([7, 11, 9])}
    transforms = {"q": Log(), "r": RankGaussian(lower=0.0)}
    filt = ef.Transformed(FILTERS[name], transforms, parts)
    analysis = filt.analysis(x, y, obs, previous=x, rng=0)
    assert (analysis[:, :7] > 0).all()
    assert (analysis[:, [7, 11, 9]] >= 0).all()
    assert not np.array_equal(analysis, x)
    assert filt.facts == filt.filt.facts


def test_it_can_fail():
    """Without the transform, values do turn negative."""
    obs = ef.Observation(Identity(), std=0.05, grid=RING)
    assert (ef.ETKF(1.1).analysis(ensemble(), np.full(12, 0.01), obs) < 0).any()


@pytest.mark.parametrize("name", FILTERS)
def test_no_transform_changes_no_bit(name):
    x = ensemble()
    obs = ef.Observation(Every(2), std=0.5, grid=RING)
    y = np.ones(6)
    plain = FILTERS[name]
    plain.reset()
    wanted = plain.analysis(x, y, obs, previous=x, rng=0)
    plain.reset()
    found = ef.Transformed(plain, {}).analysis(x, y, obs, previous=x, rng=0)
    assert found.tobytes() == wanted.tobytes()
    # one that is observed nowhere leaves the operator, and with it the kernel, as it was
    plain.reset()
    filt = ef.Transformed(plain, {"odd": Same()}, {"odd": np.arange(1, 12, 2)})
    assert filt.analysis(x, y, obs, previous=x, rng=0).tobytes() == wanted.tobytes()
    if name == "masf":  # which goes another way where h is linear
        return
    # h of it is computed elsewhere, to rounding
    plain.reset()
    same = ef.Transformed(plain, Same()).analysis(x, y, obs, previous=x, rng=0)
    np.testing.assert_allclose(same, wanted, rtol=1e-9, atol=1e-9)


def test_lognormal_variables_have_the_kalman_update_of_their_logarithms():
    z = np.random.default_rng(0).standard_normal((30, 5))
    matrix = np.random.default_rng(1).standard_normal((3, 5))
    of_logs = ef.Observation(Custom(lambda x: np.log(x) @ matrix.T), std=[0.5, 0.4, 0.3])
    y = np.array([1.0, -0.5, 2.0])
    found = ef.Transformed(ef.ETKF(), Log()).analysis(np.exp(z), y, of_logs)
    linear = ef.Observation(Linear(matrix), std=[0.5, 0.4, 0.3])
    mean, covariance = ef.KalmanFilter().analysis_moments(z.mean(axis=0), np.cov(z.T), y, linear)
    np.testing.assert_allclose(np.log(found).mean(axis=0), mean, atol=1e-12)
    np.testing.assert_allclose(np.cov(np.log(found).T), covariance, atol=1e-12)


def test_gradients_are_those_of_the_back_transformed():
    """A filter that needs the gradient finds what it finds where h itself is written so."""
    z = np.random.default_rng(0).standard_normal((10, 6))
    y = np.array([0.5, 2.0])
    chosen = Subset([1, 4])
    obs = ef.Observation(chosen, std=0.3)

    def pull(a, u):
        result = np.zeros_like(a)
        result[:, [1, 4]] = np.exp(a[:, [1, 4]]) * u
        return result

    composed = ef.Observation(Custom(lambda a: np.exp(a[:, [1, 4]]), pull), std=0.3)
    for filt in (ef.EnFF(steps=6), ef.EnSF(steps=8)):
        wanted = filt.analysis(z, y, composed, previous=z, rng=3)
        found = ef.Transformed(filt, Log()).analysis(np.exp(z), y, obs, previous=np.exp(z), rng=3)
        np.testing.assert_allclose(np.log(found), wanted, rtol=1e-9, atol=1e-9)
    without = ef.Observation(Custom(lambda a: a[:, :2]), std=0.3)
    with pytest.raises(TypeError, match="gradient"):
        ef.Transformed(ef.EnSF(steps=3), Log()).analysis(np.exp(z), y, without)


def test_values_given_are_those_of_the_forecast():
    x = ensemble()
    obs = ef.Observation(Every(2), std=0.5, grid=RING)
    y = np.ones(6)
    for filt in (ef.ETKF(), ef.LETKF(TAPER), ef.EnKF(localization=TAPER)):
        both = ef.Transformed(filt, Log())
        wanted = both.analysis(x, y, obs, rng=0)
        found = both.analysis(x, y, obs, observed=x[:, ::2], rng=0)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    # in a window of time, without an operator
    places = ef.Observation(None, std=0.5, grid=RING, locations=np.arange(0, 12, 2.0))
    found = ef.Transformed(ef.LETKF(TAPER), Log()).analysis(x, y, places, observed=x[:, ::2])
    np.testing.assert_allclose(found, ef.Transformed(ef.LETKF(TAPER), Log()).analysis(x, y, obs))


def test_far_from_observations_nothing_changes_a_bit():
    x = ensemble(np.float32)
    obs = ef.Observation(Subset([0]), std=0.1, grid=RING)
    for transform in (Log(), Logit(-1, 100), RankGaussian(0.0)):
        found = ef.Transformed(ef.LETKF(TAPER), transform).analysis(x, np.float32([1]), obs)
        np.testing.assert_array_equal(
            (found != x).any(axis=0),
            RING.distances(RING.coordinates([0]), RING.coordinates())[0] < 4,
        )


def test_variables_come_from_a_layout_or_the_geometry():
    sphere = ef.geometry.Sphere(
        np.arange(0, 360, 90), [[-30.0], [30.0]], variables={"t": 1, "q": 1}
    )
    layout = ef.state.Layout({"t": {"lat": 2, "lon": 4}, "q": {"lat": 2, "lon": 4}})
    obs = ef.Observation(Every(3), std=0.5, grid=sphere)
    x, y = ensemble(dim=16), np.ones(6)
    found = [
        ef.Transformed(ef.LETKF(GaspariCohn(9000.0)), {"q": Log()}, source).analysis(x, y, obs)
        for source in (None, sphere, layout, {"q": slice(8, 16)})
    ]
    assert all(np.array_equal(found[0], other) for other in found[1:])
    plain = ef.LETKF(GaspariCohn(9000.0)).analysis(x, y, obs)
    assert not np.array_equal(found[0], plain)


def test_the_contract(backend):
    for filt in (ef.ETKF(), ef.LETKF(TAPER), ef.EnSF(steps=4), ef.LEnFF(TAPER)):
        whole = ef.Transformed(filt, Logit(-50, 50), backend=backend)
        assert whole.filt.backend == backend
        ef.testing.check_filter(whole)
        ranks = ef.Transformed(filt, {"x": RankGaussian()}, {"x": slice(2, 9)}, backend=backend)
        ef.testing.check_filter(ranks)


def test_what_overflows_is_told_without_the_ensemble():
    obs = ef.Observation(Identity(), std=1.0)
    with pytest.raises(FloatingPointError, match="ETKF fails in float64") as caught:
        ef.Transformed(ef.ETKF(), RankGaussian()).analysis(1e200 * ensemble(), np.ones(12), obs)
    assert len(str(caught.value)) < 1500


def test_values_of_a_batch_remember_apart():
    x = np.stack([ensemble(), 5 * ensemble(seed=1)])
    obs = ef.Observation(Every(2), std=0.5, grid=RING)
    y = np.ones((2, 6))
    filt = ef.Transformed(ef.LEnFF(), RankGaussian())
    for _ in range(2):
        together = filt.analysis(x, y, obs)
    alone = ef.Transformed(ef.LEnFF(), RankGaussian())
    for _ in range(2):
        wanted = alone.analysis(x[1], y[1], obs)
    np.testing.assert_allclose(together[1], wanted, rtol=1e-12)


def test_gross_errors_are_those_of_the_values_as_they_are():
    x = ensemble()
    quality = ef.quality.GrossError(threshold=4)
    obs = ef.Observation(Every(2), std=0.5, grid=RING, quality=quality)
    y = np.ones(6)
    y[2] = 40.0
    filt = ef.Transformed(ef.LETKF(TAPER), Log())
    found = filt.analysis(x, y, obs)
    assert filt.facts["rejected"] == 1
    assert filt.flags.tolist() == [0, 0, filt.flags[2], 0, 0, 0]
    y[2] = np.nan
    np.testing.assert_array_equal(found, filt.analysis(x, y, obs))


def test_in_a_twin_experiment():
    model = ef.models.Lorenz96(dim=12, dt=0.05)

    def positive(x, steps):  # exp of a chaotic flow
        return np.exp(model.step(10 * np.log(x), steps) / 10)

    obs = ef.Observation(Identity(), std=0.05, grid=RING)
    twin = ef.TwinExperiment(
        positive,
        obs,
        cycles=15,
        steps_per_cycle=1,
        spinup=20,
        initial_mean=np.ones(12),
        initial_std=0.1,
        initial_state=np.exp(np.arange(12) / 30),
    )
    filt = ef.Transformed(ef.LEnFF(), Log())
    result = twin.run(filt, members=10, seed=0)
    assert not result.stopped
    assert {"cutoff", "inflation"} <= set(result.facts)
    assert result.rmse.analysis[-5:].mean() < 0.03
    again = pickle.loads(pickle.dumps(filt))
    assert again == filt
    assert hash(again) == hash(filt)
    assert (
        filt.describe()
        == "Transformed(LEnFF(localization=FromEnsemble(), steps=10, growth=10.0), Log(offset=0.0))"
    )


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: ef.Transformed("ETKF", Log()), TypeError, "filt='ETKF'"),
        (lambda: ef.Transformed(ef.ETKF(), np.log), TypeError, "transforms=<ufunc 'log'>"),
        (lambda: ef.Transformed(ef.ETKF(), {"q": 1}), TypeError, r"transforms\['q'\]=1"),
        (lambda: ef.Transformed(ef.ETKF(), Log(), inflation=1.1), ValueError, "inflation=1.1"),
        (
            lambda: ef.Transformed(ef.IEnKF(ef.models.Lorenz96(dim=4), 1), Log()),
            TypeError,
            "filt=IEnKF runs the model",
        ),
        (lambda: Log(-1), ValueError, "offset=-1"),
        (lambda: Logit(1, 0), ValueError, "lower=1, upper=0"),
        (lambda: RankGaussian("low"), TypeError, "lower='low'"),
        (lambda: RankGaussian().forward(np.ones(3)), TypeError, "fitted"),
    ],
)
def test_options_that_do_not_fit(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(
    ("transforms", "variables", "message"),
    [
        (Log(), None, r"forecast\[1, 2\] is -0.5 where Log\(offset=0.0\).*above 0"),
        ({"q": Log()}, {"q": slice(1, 4)}, r"forecast\[1, 2\] is -0.5, of variable 'q'"),
        ({"q": RankGaussian(0)}, {"q": [3, 2]}, r"forecast\[1, 2\].*at least 0"),
        ({"q": Logit(-1, 0.9)}, {"q": [3, 2]}, r"forecast\[0, 2\] is 1.0.*above -1 and below 0.9"),
        ({"q": Log()}, {"t": slice(1, 4)}, r"'q'.*variables \['t'\]"),
        ({"q": Log()}, {"q": slice(1, 40)}, r"variables\['q'\]=slice\(1, 40, None\)"),
        ({"q": Log()}, {"q": [40]}, r"variables\['q'\]=\[40\]"),
        ({"q": Log(), "r": Log()}, {"q": [3], "r": [0, 3]}, r"variables\['r'\].* shares"),
        ({"q": Log()}, None, "variables is missing"),
    ],
)
def test_states_that_do_not_fit(transforms, variables, message):
    x = np.ones((2, 4))
    x[1, 2] = -0.5
    out = np.full_like(x, 7)
    filt = ef.Transformed(ef.ETKF(), transforms, variables)
    with pytest.raises(ValueError, match=message):
        filt.analysis(x, np.ones(4), ef.Observation(Identity(), std=1.0), out=out)
    assert (out == 7).all()
