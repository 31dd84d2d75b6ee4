"""Arrays with masks, from pandas and from xarray: taken by position, or an error with a name."""

import dataclasses
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import enfilt as ef
from enfilt import kernels, operators
from enfilt._values import same
from enfilt.localization import GaspariCohn, Taper

N, DIM = 6, 8
RNG = np.random.default_rng(14)
X = RNG.standard_normal((N, DIM))
Y = RNG.standard_normal(DIM)
RING = ef.grids.RegularGrid((DIM,))
OBS = ef.Observation(operators.Identity(), 0.5, grid=RING)
ETKF = ef.ETKF()
SQUARE = np.eye(DIM)
SEEN = np.arange(DIM) % 3 != 1
KF = ef.KalmanFilter()
PRIOR = ef.priors.EnsemblePrior(0.5)
NOISING = ef.priors.Noising(1.0, 0.5)
LEVEL = {"path": "f2p", "t": 0.5}


def masked(array, *index):
    """A masked array with one entry set; the fill value beneath, as netCDF files have it."""
    found = np.ma.masked_array(np.array(array, copy=True), mask=False)
    index = index or (0,) * found.ndim
    found.data[index] = 9.96921e36 if found.dtype.kind == "f" else 1
    found[index] = np.ma.masked
    return found


def still(x, steps):
    return x


def custom(h, vjp=None):
    return ef.Observation(operators.Custom(h, vjp), 0.5)


# Each public call, as a function of one argument; that argument's name and a good value for it.
CALLS = {
    "forecast": (lambda a: ETKF.analysis(a, Y, OBS), X),
    "previous": (lambda a: ef.EnFF(steps=2).analysis(X, Y, OBS, previous=a, rng=0), X),
    "noise": (lambda a: ef.EnFF(steps=2, path="ot").analysis(X, Y, OBS, noise=a), X),
    "out": (lambda a: ETKF.analysis(X, Y, OBS, out=a), X),
    "log_weights": (lambda a: ef.BootstrapPF().weighted_analysis(X, Y, OBS, log_weights=a, rng=0),
                    np.zeros(N)),
    "mean": (lambda a: KF.analysis_moments(a, SQUARE, Y, OBS), Y),
    "covariance": (lambda a: KF.analysis_moments(Y, a, Y, OBS), SQUARE),
    "propagator": (lambda a: KF.forecast_moments(Y, SQUARE, a), SQUARE),
    "error": (lambda a: KF.forecast_moments(Y, SQUARE, SQUARE, error=a), SQUARE),
    "std": (lambda a: ef.Observation(operators.Identity(), a), np.ones(DIM)),
    "grid": (lambda a: ef.Observation(operators.Identity(), 1.0, grid=a), X.T),
    "locations": (lambda a: ef.Observation(operators.Identity(), 1.0, locations=a), X.T),
    "truth of simulate": (lambda a: OBS.simulate(a, rng=0), Y),
    "x of misfit": (lambda a: OBS.misfit(a, Y), X),
    "x of gradient": (lambda a: OBS.gradient(a, Y), X),
    "x of innovation": (lambda a: OBS.innovation(a, Y), X),
    "places": (ef.grids.Points, X.T),
    "indices": (operators.Subset, np.arange(3)),
    "mask": (operators.Mask, SEEN),
    "matrix": (operators.Linear, X),
    "matrix of a model": (ef.models.Linear, SQUARE),
    "x of Every": (operators.Every(2), X),
    "x of Linear": (operators.Linear(SQUARE), X),
    "x of Custom": (operators.Custom(np.sin), X),
    "u": (lambda a: operators.Every(2).vjp(X, a), X[:, ::2]),
    "ensemble": (ef.models.Lorenz96(dim=DIM).step, X),
    "state": (ef.models.NavierStokes2D(n=4, dt=1e-3).vorticity, np.zeros(48)),
    "initial_mean": (lambda a: ef.TwinExperiment(ef.models.Lorenz96(dim=DIM), OBS, initial_mean=a),
                     Y),
    "initial_state": (lambda a: ef.TwinExperiment(still, OBS, initial_state=a), Y),
    "ensemble of score": (lambda a: ef.metrics.score(a, Y), X),
    "truth": (lambda a: ef.metrics.score(X, a), Y),
    "ensemble of spread": (ef.metrics.spread, X),
    "distance": (GaspariCohn(3.0).weight, Y**2),
    "x": (lambda a: kernels.flow_field(a, X, previous=X, **LEVEL), X),
    "forecast of a kernel": (lambda a: kernels.flow_field(X, a, previous=X, **LEVEL), X),
    "previous of a kernel": (lambda a: kernels.flow_field(X, X, previous=a, **LEVEL), X),
    "log_weights of a kernel": (lambda a: kernels.mixture_score(X, X, 1.0, 1.0, log_weights=a),
                                np.zeros(N)),
    "out of a kernel": (lambda a: kernels.mixture_score(X, X, 1.0, 1.0, out=a), X),
    "centers": (lambda a: kernels.pairwise_log_weights(X, a, 1.0, 1.0), X),
    "x of lorenz96": (kernels.lorenz96, X),
    "forecast of letkf": (lambda a: kernels.letkf(a, Y, OBS, localization=GaspariCohn(3.0)), X),
    "forecast of a prior": (PRIOR.fit, X),
    "forecast of a Gaussian prior": (ef.priors.GaussianPrior().fit, X),
    "forecast of a learned prior": (lambda a: ef.priors.LearnedPrior(updates=1, width=4).fit(a), X),
    "x of a prior": (lambda a: PRIOR.fit(X).posterior_mean(a, NOISING), X),
    "x of a score": (lambda a: PRIOR.fit(X).score(a, NOISING), X),
    # what a user's function returns
    "h": (lambda a: ETKF.analysis(X, Y, custom(lambda x: a)), X),
    "vjp": (lambda a: ef.EnSF(steps=2).analysis(X, Y, custom(np.sin, lambda x, u: a), rng=0), X),
    "guidance": (lambda a: ef.EnFF(steps=2, guidance=lambda *_: a).analysis(X, Y, OBS, previous=X,
                                                                               rng=0), X),
    "model": (lambda a: ef.IEnKF(lambda x, _: a, 1).analysis(X, Y, OBS, previous=2 * X), X),
    "model of a twin": (lambda a: ef.TwinExperiment(lambda x, _: a[:len(x)], OBS, initial_state=Y,
                                                    spinup=1).run(ETKF, members=N), X),
    "shape": (lambda a: Taper(3.0, shape=lambda d: a).weight(Y**2), np.full(DIM, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_mask_is_an_error_that_names_the_argument(name):
    call, good = CALLS[name]
    with pytest.raises(ValueError, match=rf"\b{name.split()[0]}\b.* is masked at \[0(, 0)?\]"):
        call(masked(good))


@pytest.mark.parametrize("name", CALLS)
def test_a_mask_with_nothing_set_is_none(name):
    call, good = CALLS[name]
    if name == "model of a twin":
        return  # its truth is random
    unmasked = np.ma.masked_array(good.copy(), mask=np.zeros_like(good, bool))
    found, wanted = call(unmasked), call(good.copy())
    if name.startswith("out"):
        found = np.asarray(found)
    if "prior" not in name or not name.startswith("forecast"):  # a fitted prior equals no other
        assert same(found, wanted)


@pytest.mark.parametrize("batch", [None, 2])
def test_what_is_masked_in_y_is_not_observed(dtype, batch):
    x = (X if batch is None else np.stack([X, X + 1])).astype(dtype)
    y = (Y if batch is None else np.stack([Y, Y + 1])).astype(dtype)
    gaps = np.ma.masked_array(np.where(SEEN, y, dtype.type(1e20)), np.broadcast_to(~SEEN, y.shape))
    missing = np.where(SEEN, y, dtype.type(np.nan))
    for filt in (ETKF, ef.EnKF(), ef.LETKF(GaspariCohn(3.0)), ef.LEnFF(GaspariCohn(3.0))):
        found, wanted = (filt.analysis(x, given, OBS, rng=0) for given in (gaps, missing))
        np.testing.assert_array_equal(found, wanted)
    assert gaps.mask.sum() == np.isnan(missing).sum()
    assert gaps.data.max() > 1e19
    if batch is None and dtype == np.float64:
        rows = [gaps, [1.0, np.ma.masked, 2.0] + [np.ma.masked] * 5]
        assert np.isnan(ef._checks.floating("y", rows, missing=True)).sum() == (~SEEN).sum() + 6
        mean, _ = KF.analysis_moments(Y, SQUARE, gaps, OBS)
        np.testing.assert_array_equal(mean, KF.analysis_moments(Y, SQUARE, missing, OBS)[0])
        for way in ("misfit", "gradient", "innovation"):
            np.testing.assert_array_equal(getattr(OBS, way)(X, gaps), getattr(OBS, way)(X, missing))
    whole = np.ma.masked_all(y.shape, dtype)
    np.testing.assert_array_equal(ETKF.analysis(x, whole, OBS), x)


def test_masks_within_lists_and_behind_arrays_are_seen():
    rows = [row.tolist() for row in X[1:]]
    with pytest.raises(ValueError, match=r"forecast\[2\] is masked at \[1\]"):
        ETKF.analysis([*rows[:2], masked(X[2], 1), *rows[2:]], Y, OBS)

    class Variable:
        """Such as netCDF4's, which is read when it is asked for an array."""

        dtype, shape = X.dtype, X.shape

        def __array__(self, dtype=None, copy=None):
            return masked(X, 3, 2)

    with pytest.raises(ValueError, match=r"forecast is masked at \[3, 2\]"):
        ETKF.analysis(Variable(), Y, OBS)


# -- std


STD, GAPS = np.where(SEEN, 0.5, np.nan), np.where(SEEN, Y, np.nan)
# filters that take observations of single components only
PICKING = [
    ef.EnFF(path="ot", guidance="covariance", steps=3, algorithm="reduced"),
    ef.EnSF(steps=3, regress_unobserved=True),
]
FILTERS = [
    *PICKING,
    *(ef.EnFF(steps=3), ef.EnFF(steps=3, path="ve", guidance="monte-carlo"), ef.EnSF(steps=3)),
    *(ef.EnKF(), ef.EnKF(localization=GaspariCohn(3.0)), ef.ETKF(), ef.LETKF(GaspariCohn(3.0))),
    *(ef.LEnFF(GaspariCohn(3.0)), ef.MASF(steps=3), ef.ScoreFilter(steps=3), ef.SSLS(steps=5)),
    *(KF, ef.BootstrapPF(), ef.ETKF(inflation=ef.inflation.Adaptive())),
]


def with_gaps(filt, operator):
    """Hold the analysis with NaN in std and y against one with a std everywhere."""
    gaps, whole = (
        ef.Observation(operator, s, grid=RING, locations=np.arange(DIM))
        for s in (STD, np.full(DIM, 0.5))
    )
    results = []
    for obs in (gaps, whole):
        filt.reset()
        results.append(filt.analysis(X, GAPS, obs, previous=X - 0.1, rng=3))
    np.testing.assert_allclose(*results, rtol=1e-10, atol=1e-10)
    assert not np.array_equal(results[0], X)
    seen = np.where(np.arange(DIM) == 4, 1.0, GAPS)
    with pytest.raises(ValueError, match=r"std\[4\] is nan, but y\[4\] is observed"):
        filt.analysis(X, seen, gaps, previous=X - 0.1, rng=3)


@pytest.mark.parametrize("filt", FILTERS, ids=lambda f: type(f).__name__)
def test_std_may_be_nan_where_y_is(filt, backend):
    with_gaps(dataclasses.replace(filt, backend=backend), operators.Identity())


@pytest.mark.parametrize("filt", FILTERS, ids=lambda f: type(f).__name__)
def test_std_may_be_nan_of_operators_that_mix(filt):
    if filt not in PICKING:
        with_gaps(filt, operators.Linear(SQUARE))


def test_std_that_is_nan_elsewhere():
    obs = ef.Observation(operators.Identity(), STD)
    y = GAPS
    with pytest.raises(ValueError, match=r"std\[1\] is nan, but y\[1, 1\] is observed"):
        ETKF.analysis(np.stack([X, X]), np.stack([y, Y]), obs)
    with pytest.raises(ValueError, match="std=nan"):
        ef.Observation(operators.Identity(), np.nan)
    for call in (obs.misfit, obs.gradient, obs.innovation):
        with pytest.raises(ValueError, match=r"std\[1\] is nan"):
            call(X, Y)
        assert np.isfinite(call(X, y)).all()
    with pytest.raises(ValueError, match=r"std\[1\] is nan"):
        KF.analysis_moments(Y, SQUARE, Y, obs)
    np.testing.assert_array_equal(np.isnan(obs.simulate(Y, rng=0)), ~SEEN)
    np.testing.assert_array_equal(obs.simulate(Y, rng=0)[SEEN], OBS.simulate(Y, rng=0)[SEEN])


# -- pandas and xarray


def test_pandas_and_xarray_are_taken_by_position():
    wanted = ETKF.analysis(X, Y, OBS)
    names = [f"station {k}" for k in range(DIM)][::-1]
    for x, y in (
        (pd.DataFrame(X), pd.Series(Y)),
        (pd.DataFrame(X, index=pd.RangeIndex(1, N + 1, name="member"), columns=names), Y),
        (X, pd.Series(Y, index=names)),
        (X, pd.Series(Y, index=pd.date_range("2020", periods=DIM)[::-1])),
        (X, pd.Series(Y, index=np.arange(DIM) + 1)),
        (xr.DataArray(X, dims=("member", "x")), xr.DataArray(Y, dims="station")),
        (xr.DataArray(X, dims=("x", "y")), xr.DataArray(Y, {"x": np.linspace(90, 0, DIM)}, "x")),
        ([pd.Series(row) for row in X], [*Y]),
    ):
        np.testing.assert_array_equal(ETKF.analysis(x, y, OBS), wanted)
    batch = xr.DataArray(np.stack([X, X]), dims=("time", "number", "x"))
    np.testing.assert_array_equal(ETKF.analysis(batch, Y, OBS)[1], wanted)
    with pytest.raises(TypeError, match="forecast has dtype object"):
        ETKF.analysis(pd.DataFrame(X).assign(name="a"), Y, OBS)


ORDER = np.array([1, 0, *range(2, DIM)])
CONTRADICTIONS = {
    "sorted by value": (lambda: ETKF.analysis(X, pd.Series(Y).sort_values(), OBS), "y"),
    "columns in another order": (lambda: ETKF.analysis(pd.DataFrame(X)[ORDER], Y, OBS), "forecast"),
    "rows in another order": (
        lambda: ef.EnFF().analysis(X, Y, OBS, previous=pd.DataFrame(X).iloc[::-1]), "previous"),
    "columns of other names": (
        lambda: ef.EnFF().analysis(pd.DataFrame(X, columns=[*"abcdefgh"]), Y, OBS,
                                   previous=pd.DataFrame(X, columns=[*"bacdefgh"])), "previous"),
    "members in columns": (
        lambda: ETKF.analysis(pd.DataFrame(X).rename_axis(columns="member"), Y, OBS), "forecast"),
    "members last": (lambda: ETKF.analysis(xr.DataArray(X, dims=("x", "number")), Y, OBS),
                     "forecast"),
    "members before a plane": (
        lambda: ETKF.analysis(xr.DataArray(X.reshape(N, 2, 4), dims=("member", "y", "x")), Y, OBS),
        "forecast"),
    "members of y": (lambda: ETKF.analysis(X, xr.DataArray(Y, dims="realization"), OBS), "y"),
    "std by another index": (
        lambda: ef.Observation(operators.Identity(), pd.Series(np.ones(DIM), index=ORDER)), "std"),
    "coordinates in another order": (
        lambda: ETKF.analysis(X, xr.DataArray(Y, {"x": ORDER}, "x"), OBS), "y"),
    "truth by other names": (
        lambda: ef.metrics.score(pd.DataFrame(X, columns=[*"abcdefgh"]),
                                 pd.Series(Y, index=[*"bacdefgh"])), "truth"),
    "a model that turns it": (
        lambda: ef.models.Lorenz96(dim=DIM).step(xr.DataArray(X, dims=("x", "ensemble"))),
        "ensemble"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_labels_that_contradict_positions_are_errors(name):
    call, argument = CONTRADICTIONS[name]
    with pytest.raises(ValueError, match=rf"\b{argument}\b.*(position|order)"):
        call()


def test_nothing_is_imported_for_it():
    code = (
        "import numpy as np, enfilt as ef, sys\n"
        "x = np.ones((2, 3)); x[0] = 0\n"
        "ef.ETKF().analysis(x, np.zeros(3), ef.Observation(ef.operators.Identity(), 1.0))\n"
        "assert not {'pandas', 'xarray', 'numpy.ma'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_masks_that_another_thread_still_imports_are_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy.ma", types.ModuleType("numpy.ma"))
    obs = ef.Observation(ef.operators.Identity(), std=np.float32(0.5))
    assert obs.r == 0.5
