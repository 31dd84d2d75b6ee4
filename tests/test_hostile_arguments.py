"""Arguments that nobody means: each an error with its name, where once it was something else.

`tests/fuzz` found them; here stands one call of each kind. What filters refuse is in
`enfilt.testing`.
"""

import numpy as np
import pytest

import enfilt as ef
from enfilt import kernels, metrics, models, operators, priors
from enfilt.grids import Points, RegularGrid
from enfilt.localization import GaspariCohn, Taper

LARGE, NAN = np.full((3, 4), 1e200), np.full((3, 4), np.nan)
ONES = np.ones((3, 4))
FLAT = dict.fromkeys(("a1", "a0", "s", "da1", "da0", "ds"), float)


def state(value, *shape):
    return np.full(shape, value)


CALLS = {
    # numbers
    "an integer beyond floats": (lambda: operators.Power(10**400), ValueError, "^p=1000"),
    "an array for a number": (lambda: operators.Power(state(2.0, 1)), TypeError, r"^p=array"),
    "a seed of text": (lambda: models.Lorenz63().initial_state("a"), TypeError, "^rng='a'"),
    # paths
    "a path without functions": (
        lambda: ef.AffinePath("x", **FLAT | {"s": None}),
        TypeError,
        "^s=None: expected a function",
    ),
    "a path of no width": (
        lambda: ef.AffinePath("x", **FLAT).stage(0),
        ValueError,
        r"^s\(0.0\) of path='x'=0",
    ),
    "a time that no path has": (
        lambda: ef.AffinePath("x", **FLAT | {"a1": lambda t: t**2}).stage(-1e300),
        ValueError,
        r"^t=-1e\+300: expected",
    ),
    "a strength below zero": (
        lambda: ef.AffinePath("x", **FLAT).stage(0.5, -1.0),
        ValueError,
        r"^strength=-1.0: expected",
    ),
    "a width without a square": (
        lambda: kernels.flow_field(ONES, ONES, 1.0, path="f2p", sigma_min=1e-320),
        ValueError,
        r"^s\(1.0\) of path='f2p'=1e-320",
    ),
    # kernels
    "far apart": (
        lambda: kernels.pairwise_log_weights(LARGE, -LARGE, 1.0, 1.0),
        FloatingPointError,
        "^x and centers are too far apart for float64",
    ),
    "far apart, of a flow": (
        lambda: kernels.flow_field(LARGE, -LARGE, 0.5, path="ot"),
        FloatingPointError,
        "^x and forecast are too far",
    ),
    "a std without a square": (
        lambda: kernels.mixture_score(ONES, ONES, 1.0, 1.7e308),
        ValueError,
        "^std=1.7e",
    ),
    "ragged log-weights": (
        lambda: kernels.mixture_score(ONES, ONES, 1.0, 1.0, log_weights=[[1.0], [1.0, 2.0]]),
        TypeError,
        "^log_weights can't be read",
    ),
    "a shape that is none": (lambda: kernels.standard_normal(0, 3), TypeError, "^shape=3"),
    "a step beyond 32 bits": (
        lambda: kernels.standard_normal(0, (2, 2), step=2**32),
        ValueError,
        "^step=4294967296",
    ),
    "a state that is none": (lambda: kernels.lorenz96(NAN), ValueError, r"^x\[0, 0\] is nan"),
    # models
    "a state that overflows": (
        lambda: models.Lorenz96(4).step(LARGE + 1e200 * np.eye(3, 4)),
        FloatingPointError,
        r"^ensemble\[0, 0\] is nan after steps of dt=0.01",
    ),
    "a state that is NaN": (
        lambda: models.Lorenz96(4).step(NAN, out=np.empty((3, 4))),
        ValueError,
        r"^ensemble\[0, 0\] is nan: expected finite",
    ),
    "a field of another model": (
        lambda: models.NavierStokes2D(4).field(ONES),
        ValueError,
        r"^states has shape \(3, 4\): expected \(..., 48\)",
    ),
    # metrics, moments
    "squares that overflow": (
        lambda: metrics.rmse(LARGE, -LARGE[0]),
        FloatingPointError,
        "^ensemble and truth hold numbers whose squares overflow",
    ),
    "a covariance that overflows": (
        lambda: ef.KalmanFilter().forecast_moments(ONES[0], 1e200 * np.eye(4), 1e200 * np.eye(4)),
        FloatingPointError,
        "^mean, covariance and propagator overflow",
    ),
    # observations and operators
    "a std without a square's inverse": (
        lambda: ef.Observation(operators.Identity(), 1e-160),
        ValueError,
        "^std=1e-160: expected .* from 1e-150 to 1e150",
    ),
    "a std that float32 can't square": (
        lambda: ef.Observation(operators.Identity(), 1e-30).precision(np.float32),
        FloatingPointError,
        "^std goes down to 1e-30",
    ),
    "observations of another size": (
        lambda: ef.Observation(operators.Identity(), 1.0).misfit(ONES, np.ones(1)),
        ValueError,
        "^h returned 4 .* expected 1, as many as y holds",
    ),
    # NaN would have been an observation that was not made
    "a truth that is NaN": (
        lambda: ef.Observation(operators.Identity(), 1.0).simulate(NAN[0]),
        ValueError,
        r"^truth\[0\] is nan",
    ),
    # NaN is an observation of this error, but not of this truth
    "an infinite truth of unknown error": (
        lambda: ef.Observation(operators.Identity(), [np.nan]).simulate([np.inf]),
        ValueError,
        r"^truth\[0\] is inf",
    ),
    "a truth of no components": (
        lambda: ef.Observation(operators.Identity(), 1.0).simulate([]),
        ValueError,
        r"^truth has shape \(0,\)",
    ),
    "a truth that overflows": (
        lambda: ef.Observation(operators.Power(3), 1.0).simulate(LARGE[0]),
        FloatingPointError,
        r"^h\(truth\)\[0\] is inf",
    ),
    "locations: one number": (
        lambda: ef.Observation(operators.Custom(np.sin), 1.0, locations=1.5).told_size(4),
        ValueError,
        r"^locations has shape \(\)",
    ),
    "locations: one number, of a twin experiment": (
        lambda: ef.TwinExperiment(
            models.Lorenz63(), ef.Observation(operators.Identity(), 0.5, locations=1.5), cycles=2
        ).run(ef.EnKF(), members=3),
        ValueError,
        r"^locations has shape \(\)",
    ),
    "locations: text": (
        lambda: ef.Observation(operators.Identity(), 1.0, locations=["a"]),
        TypeError,
        "^locations can't be read",
    ),
    # coordinates
    "components: none, of variables kept apart": (
        lambda: RegularGrid((3,), variables=2, between_variables=False).coordinates(None),
        ValueError,
        r"^components=None of D=6: expected .* \(n,\)",
    ),
    "components: two axes": (
        lambda: RegularGrid((3,)).coordinates([[0], [1]]),
        ValueError,
        r"^components=\[\[0\], \[1\]\] of D=3: expected",
    ),
    "components: an axis of the places": (
        lambda: Points(ONES).coordinates((0, 1)),
        ValueError,
        r"^components=\(0, 1\) of D=3: ",
    ),
    "places of other observations": (
        lambda: ef.Observation(operators.Custom(np.sin), 1.0, locations=[[0.0], [1.0]]).simulate(
            ONES[0]
        ),
        ValueError,
        "^locations has 2 rows: expected 4",
    ),
    "a state of no components": (
        lambda: operators.Custom(np.sin)(np.empty((3, 0))),
        ValueError,
        r"^x has shape \(3, 0\)",
    ),
    "an index beyond int64": (lambda: operators.Subset([2**63]), ValueError, "^indices holds 92"),
    # H was cut to integers
    "integers for a matrix": (
        lambda: operators.Linear([[0.5]])(np.array([2])),
        TypeError,
        "^x has dtype int64",
    ),
    "a list for a state": (lambda: operators.Arctan()([1.0]), TypeError, "^x is of type list"),
    # it was spread over all components
    "weights of another size": (
        lambda: operators.Arctan().vjp(ONES, np.ones((3, 1))),
        ValueError,
        r"^u is of shape and dtype \(\(3, 1\)",
    ),
    # places
    "a component that is none": (
        lambda: RegularGrid((4,)).coordinates([4]),
        ValueError,
        r"^components=\[4\] of D=4",
    ),
    "places of other axes": (
        lambda: RegularGrid((4,)).distances(ONES, ONES),
        ValueError,
        r"^a has shape \(3, 4\): expected \(n, 1\)",
    ),
    "places out of reach": (lambda: Points([1e200]), ValueError, "^places reaches to 1e"),
    # its weight was 0
    "a distance that is NaN": (
        lambda: GaspariCohn(1.0).weight(np.nan),
        ValueError,
        "^distance holds nan",
    ),
    "a distance below 0": (lambda: GaspariCohn(1.0).weight(-1e99), ValueError, "^distance holds"),
    "a taper of text": (
        lambda: Taper(1.0, lambda d: "x").weight(0.5),
        TypeError,
        "^what shape returned can't be read",
    ),
    "a taper of one distance": (
        lambda: Taper(1.0, lambda d: np.full_like(d, np.nan)).weight(0.5),
        ValueError,
        "^shape returned nan at distance 0.5",
    ),
    # functions of the user's
    "an h of text": (
        lambda: operators.Custom(lambda x: "x")(ONES),
        TypeError,
        "^h returned str, no numbers",
    ),
    "a vjp of text": (
        lambda: operators.Custom(np.sin, lambda x, u: "x").vjp(ONES, ONES),
        TypeError,
        "^vjp returned str, no numbers",
    ),
    # options whose squares overflow
    "a wide prior": (lambda: priors.EnsemblePrior(1.7e308), ValueError, r"^bandwidth=1.7e\+308"),
    "much noise": (lambda: ef.ScoreFilter(sigma=1.7e308), ValueError, r"^sigma=1.7e\+308"),
    "an array that has no hash": (
        lambda: GaspariCohn(np.array(0.5)),
        TypeError,
        r"^cutoff=array\(0.5\)",
    ),
    "an ensemble beyond float32": (
        lambda: ef.TwinExperiment(
            models.Lorenz96(4),
            ef.Observation(operators.Identity(), 1.0),
            spinup=0,
            initial_std=1e160,
            dtype=np.float32,
        ).run(ef.ETKF(), members=2, seed=0),
        ValueError,
        r"^initial_mean and initial_std=1e\+160 make",
    ),
    # priors
    "a prior of one member": (
        lambda: priors.EnsemblePrior(0.3).fit(ONES[:1]),
        ValueError,
        "^forecast has shape .* 1 member",
    ),
    "noise without variance": (
        lambda: priors.EnsemblePrior().fit(ONES).score(ONES, priors.Noising(1.0, 0)),
        ValueError,
        "^variance=0",
    ),
    "points of another size": (
        lambda: priors.GaussianPrior().fit(ONES).score(ONES[:, :2], priors.Noising(1.0, 1.0)),
        ValueError,
        r"^x has shape \(3, 2\): expected \(M, 4\)",
    ),
    "a forecast that can't be computed with": (
        lambda: (
            priors.GaussianPrior()
            .fit(np.outer([-1e300, 1e300, 0], [1, 1, 1, 1]))
            .score(ONES, priors.Noising(1.0, 1.0))
        ),
        FloatingPointError,
        "^x, the forecast",
    ),
    "points that are NaN": (
        lambda: priors.GaussianPrior().fit(ONES).posterior_mean(NAN, priors.Noising(1.0, 1.0)),
        FloatingPointError,
        "^x, the forecast",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_an_argument_is_refused_by_its_name(case):
    call, kind, message = CALLS[case]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    "model", [models.KolmogorovFlow(8, forcing_wavenumber=1), models.Lorenz96(4)]
)
def test_no_states_are_stepped_to_none(model):
    nothing = np.empty((2, 0, model.dim))
    assert model.step(nothing).shape == nothing.shape
    assert model.step(nothing, out=nothing) is nothing


def test_small_integers_of_numpy_do_not_overflow():
    """100 + 100 is -56 in int8, which an option's arithmetic went through."""
    hundred = np.int8(100)
    assert type(ef.SSLS(steps=hundred, anneal_steps=hundred).anneal_steps) is int
    assert ef.EnSF(steps=hundred)._noise_shape(3, 4) == (101, 3, 4)
    assert models.KolmogorovFlow(hundred).dim == 2 * 100**2
    assert type(ef.EnFF(sigma_min=np.float32(0.5)).sigma_min) is float
    assert type(RegularGrid((4,), variables=np.uint8(3)).variables) is int


def test_a_matrix_of_numpy_is_an_array():
    """Its * is another product."""
    u = np.arange(12.0).reshape(3, 4)
    wanted = operators.Arctan().vjp(ONES, u)
    np.testing.assert_array_equal(operators.Arctan().vjp(ONES, u.view(np.matrix)), wanted)


def test_integers_of_python_where_floats_are_meant():
    """Those beyond the integers of C made arrays of objects."""
    with pytest.warns(RuntimeWarning, match=r"dt=0.05 is beyond the stability limit"):
        models.Lorenz63(sigma=2**70)
    grid = RegularGrid((4,), spacing=2**70)
    assert grid.coordinates([1]) == 2.0**70
    obs = ef.Observation(operators.Identity(), 1.0, grid=grid)
    apart = ef.LETKF(GaspariCohn(2**69)).analysis(ONES, ONES[0], obs)
    np.testing.assert_array_equal(apart, ONES)
