"""Public values go to other processes: they pickle, and what comes back is equal and read-only."""

import copy
import enum
import functools
import inspect
import math
import multiprocessing
import pickle

import numpy as np
import pytest
from scipy import sparse

import enfilt as ef
from enfilt import backends, operators, paths

X = np.random.default_rng(0).standard_normal((6, 8))
TAPER = ef.localization.GaspariCohn(3.0)
RING = ef.grids.RegularGrid((8,))
OBS = ef.Observation(operators.Arctan() @ operators.Every(2), std=[0.5, 0.4, 0.3, 0.2], grid=RING)
MODEL = ef.models.Lorenz96(dim=8)
TWIN = ef.TwinExperiment(MODEL, OBS, cycles=2, spinup=5, initial_mean=np.ones(8))
RUN = ef.Assimilation(MODEL, [(0.0, X[0, :4], OBS), (0.5, X[1, :4], OBS)], levels=[1.0])
PRESET = ef.presets.get("lorenz96").replace({"cycles": 2, "spinup": 5, "model.dim": 16})

PRIOR_FILTER = ef.SSLS(steps=5, prior=ef.priors.GaussianPrior(TAPER))


def cube(x):
    return x**3


def slope(x):
    return 3 * x**2


def pull(x, u):
    return slope(x) * u


def exponential(distance):
    return np.exp(-distance)


def learned():
    prior = ef.priors.LearnedPrior(updates=2, width=4)
    prior.fit(X, np.random.default_rng(1))
    return prior


VALUES = {
    "numbers": lambda: [
        TAPER,
        ef.localization.Taper(np.inf, shape=exponential),
        ef.localization.FromEnsemble(),
        ef.localization.ByVariable(((TAPER,),), ((0.5,),)),
        ef.localization.ByKind({"u": TAPER}, others=TAPER),
        ef.grids.RegularGrid((2, 4), (False, True), (1.0, 2.0)),
        ef.geometry.Sphere([0, 90], [-5, 5], vertical=[1, 2], variables={"u": 2, "ps": 1}),
        ef.geometry.WithParameters(RING, ["drag"], weight=0.5),
        ef.geometry.Masked(ef.grids.RegularGrid((2, 2)), [[True, False], [True, True]]),
        ef.grids.RegularGrid((2, 4), variables=2, between_variables=False),
        ef.grids.Points(X),
        ef.inflation.Multiplicative(1.1),
        ef.inflation.RTPP(0.3),
        ef.inflation.RTPS(0.3),
        ef.inflation.Adaptive(),
        ef.inflation.AdaptiveRTPS(),
        ef.inflation.FiniteSize(),
        ef.quality.GrossError(4.0),
    ],
    "operators": lambda: [
        *(operators.Identity(), operators.Arctan(), operators.Tanh(), operators.Sigmoid(2.0)),
        *(operators.Power(2.5), operators.Every(2, 1), operators.Subset([3, 1])),
        *(operators.Mask([True, False] * 4), operators.Tanh() @ operators.Subset([0])),
        *(operators.Linear(X), operators.Linear(sparse.csc_array(X)), operators.Custom(cube, pull)),
        operators.interpolate(RING, [0.5, 3.0]),
        *([operators.Componentwise(cube, slope)] if "numba" in backends.available() else []),
    ],
    "observations": lambda: [
        OBS,
        ef.Observation(operators.Arctan(), 0.5, quality=ef.quality.GrossError(4.0)),
        ef.Observations.from_frame({"time": [0, 1], "value": X[0, :2], "error": [1.0, 2.0]}),
        ef.Observation(operators.Linear(X), 0.5, grid=X.T.copy(), locations=np.zeros((6, 6))),
    ],
    "transforms": lambda: [
        *(ef.transforms.Log(0.1), ef.transforms.Logit(0, 2), ef.transforms.RankGaussian(lower=0.0)),
        ef.Transformed(ef.ETKF(), {"q": ef.transforms.Log()}, {"q": np.array([1, 3])}),
    ],
    "states": lambda: [
        ef.state.Layout({"t": {"x": 8}}, coords={"x": ("x", np.arange(8.0))}),
        ef.state.Layout({"t": {"x": 8}}).scores(X, X[0])["t"],
        ef.metrics.of_components(X, X[0]),
    ],
    "models": lambda: [
        MODEL,
        ef.models.Lorenz63(),
        ef.models.TwoScaleLorenz96(slow=4, fast=2),
        ef.models.KuramotoSivashinsky(dim=32, domain=16.0),
        ef.models.NavierStokes2D(n=8, dt=1e-3),
        ef.models.KolmogorovFlow(n=16),
        ef.models.Linear.rotation2d(0.1),
    ],
    "priors": lambda: [
        ef.priors.EnsemblePrior(0.1),
        ef.priors.GaussianPrior(TAPER),
        learned(),
        ef.priors.Setting(backends.get(), RING, np.eye(8), X, [ef.priors.Noising(1.0, np.ones(8))]),
        ef.priors.Noising(np.arange(8.0), 0.5),
        ef.priors.Estimate(X, None),
    ],
    "filters": lambda: [
        *(ef.EnFF(path=path, steps=3) for path in ("f2p", "ot", "ve")),
        ef.EnFF(guidance="covariance", path="ot", strength=math.cos),
        paths.variance_exploding(0.5),
        paths.optimal_transport(),
        ef.LEnFF(TAPER, inflation=ef.inflation.Adaptive()),
        ef.EnSF(steps=3, damping=math.cos),
        ef.MASF(steps=3, prior=ef.priors.GaussianPrior()),
        *(ef.ScoreFilter(steps=3), ef.SSLS(steps=5), ef.BootstrapPF(jitter=0.1)),
        *(ef.EnKF(), ef.ETKF(), ef.LETKF(TAPER), ef.IEnKF(MODEL, 2), ef.KalmanFilter()),
        *(ef.EnKS(ef.LETKF(TAPER), lag=2), ef.IEnKS(MODEL, 2), ef.ILEnFF(MODEL, 2)),
    ],
    "experiments": lambda: [
        TWIN,
        PRESET,
        ef.presets.Variant(ef.ETKF(), 5, ef.presets.Published(1.0, 0.5, 1.5, 3, "no one")),
        ef.presets.Published(1.0, 0.5, 1.5, 3, "no one"),
        TWIN.run(ef.EnFF(steps=3), members=4, seed=0),
        ef.metrics.score(X, X[0]),
        *(ef.sinks.Zarr("a.zarr"), ef.sinks.NetCDF("a.nc", time_units="hours since 2026-01-01")),
        *(RUN, result := RUN.run(ef.ETKF(), ensemble=X, seed=0), result.innovations),
        ef.diagnostics.departures(X[0], ef.Observation(None, std=1.0), X, rng=0),
        ef.diagnostics.statistics([]),
        ef.tune(PRESET, "letkf", trials=1, seeds=[0]),
        ef.tune(PRESET, PRIOR_FILTER, trials=1, seeds=[0]),
    ],
}  # fmt: skip
WAYS = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy}


def read_only(value):
    """Return which arrays of a value are, but for those derived when they are first asked for."""
    kept = vars(value).items() if hasattr(value, "__dict__") else ()
    kind = type(value)
    return {
        name: array.flags.writeable
        for name, array in kept
        if isinstance(array, np.ndarray)
        and not isinstance(getattr(kind, name, None), functools.cached_property)
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", VALUES)
def test_what_comes_back_is_equal(kind, way):
    for value in VALUES[kind]():
        found = WAYS[way](value)
        assert type(found) is type(value)
        assert found is not value
        assert found == value, value
        assert hash(found) == hash(value)
        assert repr(found) == repr(value)
        assert read_only(found) == read_only(value)


@pytest.mark.parametrize("kind", VALUES)
def test_different_values_are_not_equal(kind):
    values = VALUES[kind]()
    for i, one in enumerate(values):
        assert one != "a text"
        for other in values[:i]:
            assert one != other


@pytest.mark.parametrize(
    "make",
    [
        operators.Linear,
        lambda x: operators.Linear(sparse.csr_array(x)),
        ef.grids.Points,
        lambda x: ef.models.Linear(x[:, 2:]),
        lambda x: ef.Observation(OBS.operator, 1.0, locations=x),
        lambda x: ef.Observation(OBS.operator, np.abs(x[-1])),
    ],
)
def test_one_number_of_an_array_makes_a_difference(make):
    moved = X.copy()
    moved[-1, -1] += 1e-9
    assert make(X) == make(X.copy())
    assert make(X) != make(moved)


def test_every_public_class_is_among_them():
    known = {type(value) for make in VALUES.values() for value in make()}
    homes = (ef, ef.operators, ef.grids, ef.geometry, ef.inflation, ef.localization, ef.models,
             ef.priors, ef.presets, ef.quality, ef.metrics, ef.state,
             ef.transforms, ef.diagnostics, ef.sinks)  # fmt: skip
    public = {
        value
        for home in homes
        for name in getattr(home, "__all__", dir(home))
        if inspect.isclass(value := getattr(home, name))
        if hasattr(home, "__all__") or value.__module__ == home.__name__
    }
    left = {c for c in public - known if not inspect.isabstract(c)}
    assert {c for c in left if not issubclass(c, enum.Enum)} == set()


def test_caches_and_networks_on_the_way():
    used = ef.EnFF(steps=3)
    used.analysis(X, np.zeros(4), OBS, previous=X)
    assert len(pickle.dumps(used)) <= len(pickle.dumps(ef.EnFF(steps=3))) + 100
    model = ef.models.KuramotoSivashinsky(dim=32, domain=16.0)
    model.step(np.zeros((2, 32)))
    assert len(pickle.dumps(model)) < 1000
    prior, noising = learned(), ef.priors.Noising(1.0, 0.5)
    prior.reset()  # forgets what was not pretrained
    prior.pretrain(MODEL, members=2, cycles=2, steps_per_cycle=1, spinup=1, updates=2, rng=0)
    found, wanted = (
        p.fit(X, np.random.default_rng(2)).posterior_mean(X, noising)
        for p in (pickle.loads(pickle.dumps(prior)), prior)
    )
    np.testing.assert_array_equal(found, wanted)


def test_what_a_filter_remembers_comes_along():
    filt = ef.ETKF(inflation=ef.inflation.Adaptive())
    y = np.full(4, 1.5)
    filt.analysis(X, y, OBS)
    other = pickle.loads(pickle.dumps(filt))
    assert other.facts == filt.facts
    np.testing.assert_array_equal(other.analysis(X, y, OBS), filt.analysis(X, y, OBS))


def test_a_pool_of_fresh_processes():
    filters = [ef.EnFF(steps=3), ef.LETKF(TAPER), ef.MASF(steps=3, mode="published")]
    y = np.zeros(4)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        jobs = [
            pool.apply_async(f.analysis, (X, y, OBS), {"previous": X, "rng": 3}) for f in filters
        ]
        run = pool.apply_async(TWIN.run, (filters[0],), {"members": 4, "seed": 0})
        for filt, job in zip(filters, jobs, strict=True):
            np.testing.assert_array_equal(job.get(), filt.analysis(X, y, OBS, previous=X, rng=3))
        result = run.get()
    here = TWIN.run(filters[0], members=4, seed=0)
    np.testing.assert_array_equal(result.rmse.analysis, here.rmse.analysis)
