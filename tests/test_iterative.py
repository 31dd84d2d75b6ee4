"""The IEnKF against its own equations written out, and the Kalman filter's moments.

Tolerances. A Gauss-Newton step is some hundred rounded operations on matrices of condition up to
1e3, and five steps through a model that multiplies errors by some 10: 1e-9 in float64. `bundle`
divides differences by cbrt(eps) = 6e-6 (float32: 5e-3): what is rounded to eps there counts as
4e-11 (2e-5), and as much again by that condition.
"""

import dataclasses

import numpy as np
import pytest
from conftest import BACKENDS
from hypothesis import given
from hypothesis import strategies as st
from linear_response import kalman
from pairs import pairs

import enfilt as ef
from enfilt import presets
from enfilt.operators import Arctan, Custom, Every, Identity, Linear, Subset

MATRIX = np.random.default_rng(4).standard_normal((4, 6))
OPERATORS = {
    "Identity": Identity(),
    "Subset": Subset([5, 0, 3, 2]),  # not in order
    "Linear": Linear(MATRIX),
}
methods = pytest.mark.parametrize("method", ["transform", "bundle"])
RTOL = {"transform": 1e-9, "bundle": 1e-7}


class Counted:
    """A model that remembers the ensembles it was given, and in how many steps."""

    def __init__(self, model):
        self.model, self.ensembles, self.steps = model, [], []

    def __call__(self, ensemble, steps):
        self.ensembles.append(ensemble.copy())
        self.steps.append(steps)
        return self.model(ensemble, steps)


def linear_model(ensemble, steps):
    """A turn of pairs of components that grows by a tenth, and a drift."""
    turn = np.kron(np.eye(3), [[0.9, -0.5], [0.5, 0.9]]) + 0.1 * MATRIX[0]
    for _ in range(steps):
        ensemble = ensemble @ turn.T.astype(ensemble.dtype) + ensemble.dtype.type(0.3)
    return ensemble


LORENZ = ef.models.Lorenz63(dt=0.02)


def lorenz(ensemble, steps):
    return LORENZ.step(ensemble, steps)


def linear_problem(operator, members=7, dtype=np.float64, seed=0):
    rng = np.random.default_rng([seed, members])
    previous = (1 + rng.standard_normal((members, 6))).astype(dtype)
    m = operator.size(6)
    y = (operator(np.ones((1, 6)))[0] + rng.standard_normal(m)).astype(dtype)
    y[1] = np.nan
    return previous, y, ef.Observation(operator, std=0.5 + rng.random(m))


def bent_problem(members=8, operator=None, std=1.0, steps=10, seed=0):
    """Lorenz-63 over 0.2 time units from an ensemble of width 1.5."""
    rng = np.random.default_rng(seed)
    obs = ef.Observation(operator or Identity(), std=std)
    truth = LORENZ.step(LORENZ.initial_state(rng), 500)
    previous = truth + 1.5 * rng.standard_normal((members, 3))
    return previous, obs.simulate(LORENZ.step(truth, steps), rng), obs, steps


def gauss_newton(previous, y, obs, model, steps, *, iterations, method):
    """Bocquet, Sakov (2012), algorithm 1 and its bundle variant, as it stands, in float64.

    Returns the analysis, the coefficients w, and the root mean square of each of their steps.
    """
    members = len(previous)
    mean = previous.mean(axis=0)
    anomalies = previous - mean
    seen = ~np.isnan(y)
    inverse_r = np.diag(np.broadcast_to(obs.std, y.shape)[seen] ** -2.0)
    w, sizes = np.zeros(members), []
    scaling = np.eye(members) * (np.cbrt(np.finfo(float).eps) if method == "bundle" else 1.0)
    for _ in range(iterations):
        h = obs.operator(model(mean + (w + scaling) @ anomalies, steps))[:, seen]
        values = np.linalg.solve(scaling, h - h.mean(axis=0))
        gradient = (members - 1) * w - values @ inverse_r @ (y[seen] - h.mean(axis=0))
        hessian = (members - 1) * np.eye(members) + values @ inverse_r @ values.T
        step = np.linalg.solve(hessian, gradient)
        w = w - step
        sizes.append(np.sqrt(np.mean(step**2)))
        lam, v = np.linalg.eigh(hessian)
        transform = np.sqrt(members - 1) * v @ np.diag(lam**-0.5) @ v.T
        if method == "transform":
            scaling = transform
    return model(mean + (w + transform) @ anomalies, steps), w, sizes


def assert_close(found, expected, rtol):
    __tracebackhide__ = True
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= rtol, f"relative error {error:.2e}"


# -- linear problems: the ETKF


@pairs(
    {
        "backend": BACKENDS,
        "name": list(OPERATORS),
        "members": [2, 3, 7, 20],
        "method": ["transform", "bundle"],
    }
)
def test_linear_problems_give_the_etkf(backend, name, members, method):
    previous, y, obs = linear_problem(OPERATORS[name], members)
    forecast = linear_model(previous, 3)
    filt = ef.IEnKF(linear_model, 3, method=method, backend=backend)
    found = filt.analysis(forecast, y, obs, previous=previous)
    expected = ef.ETKF().analysis(forecast, y, obs)
    assert_close(found, expected, 1e-11 if method == "transform" else 1e-8)
    assert np.abs(expected - forecast).max() > 0.01


@methods
def test_linear_problems_in_float32(method):
    previous, y, obs = linear_problem(Identity(), dtype=np.float32)
    forecast = linear_model(previous, 3)
    filt = ef.IEnKF(linear_model, 3, method=method)
    found = filt.analysis(forecast, y, obs, previous=previous)
    assert found.dtype == np.float32
    double = [a.astype(np.float64) for a in (previous, y)]
    exact = ef.ETKF().analysis(linear_model(double[0], 3), double[1], obs)
    assert_close(found, exact, 5e-6 if method == "transform" else 1e-3)


@methods
def test_inflation_widens_about_the_mean(method):
    previous, y, obs = linear_problem(Identity())
    forecast = linear_model(previous, 1)
    plain, wide = (
        ef.IEnKF(linear_model, 1, method=method, inflation=f).analysis(
            forecast, y, obs, previous=previous
        )
        for f in (1.0, 1.5)
    )
    mean = plain.mean(axis=0)
    assert_close(wide, mean + 1.5 * (plain - mean), 1e-13)


# -- nonlinear problems: Gauss-Newton


@pairs(
    {
        "backend": BACKENDS,
        "operator": {
            "Identity": Identity(),
            "Arctan@Every": Arctan() @ Every(2),
            "Custom": Custom(lambda x: x[:, :2] ** 2 / 20),
        },
        "iterations": [1, 2, 5],
        "method": ["transform", "bundle"],
    }
)
def test_equals_gauss_newton_written_out(backend, method, iterations, operator):
    previous, y, obs, steps = bent_problem(operator=operator)
    filt = ef.IEnKF(
        LORENZ, steps, iterations=iterations, wtol=1e-300, method=method, backend=backend
    )
    found = filt.analysis(lorenz(previous, steps), y, obs, previous=previous)
    expected = gauss_newton(previous, y, obs, lorenz, steps, iterations=iterations, method=method)[
        0
    ]
    assert_close(found, expected, RTOL[method])


def test_bundle_finds_the_minimum_of_the_cost_function():
    """J(w) of Sakov, Oliver, Bertino (2012), in the ensemble's space: stationary."""
    previous, y, obs, steps = bent_problem(std=0.5)
    model = Counted(lorenz)
    filt = ef.IEnKF(model, steps, iterations=50, wtol=1e-8, method="bundle")
    filt.analysis(lorenz(previous, steps), y, obs, previous=previous)
    assert len(model.steps) < 40  # it has converged
    mean = previous.mean(axis=0)
    anomalies = previous - mean
    # the last run is of the ensemble found, whose mean is that of the minimum
    found = model.ensembles[-1].mean(axis=0)
    w = np.linalg.lstsq(anomalies.T, found - mean)[0]  # the shortest: it is in the row space

    def cost(w):
        residual = (y - lorenz(mean + w @ anomalies, steps)) / obs.std
        return (len(w) - 1) / 2 * w @ w + residual @ residual / 2

    delta = 1e-4
    slopes = [(cost(w + delta * e) - cost(w - delta * e)) / (2 * delta) for e in np.eye(len(w))]
    at_start = [(cost(delta * e) - cost(-delta * e)) / (2 * delta) for e in np.eye(len(w))]
    # sensitivities from differences over 6e-6 err by as much in proportion
    assert np.abs(slopes).max() < 1e-4 * np.abs(at_start).max()
    assert cost(w) < cost(np.zeros(len(w)))


def test_iterations_fit_the_observations_better_than_one():
    previous, y, obs, steps = bent_problem(std=0.3, steps=20)
    forecast = lorenz(previous, steps)
    misfits = [
        obs.misfit(
            ef.IEnKF(LORENZ, steps, iterations=k)
            .analysis(forecast, y, obs, previous=previous)
            .mean(axis=0),
            y,
        )
        for k in (1, 10)
    ]
    assert misfits[1] < 0.5 * misfits[0]


# -- how often the model runs


@pytest.mark.parametrize("iterations", [1, 2, 6])
def test_runs_of_the_model(iterations):
    """One a step, and one of the result; the first of `transform` is the forecast itself."""
    previous, y, obs, steps = bent_problem()
    for method, runs in (("transform", iterations), ("bundle", iterations + 1)):
        model = Counted(lorenz)
        filt = ef.IEnKF(model, steps, iterations=iterations, wtol=1e-300, method=method)
        filt.analysis(lorenz(previous, steps), y, obs, previous=previous)
        assert model.steps == [steps] * runs


@methods
def test_a_linear_problem_is_solved_by_the_first_step(method):
    """The second finds nothing more to do, by rounding: two steps in all."""
    previous, y, obs = linear_problem(Identity())
    model = Counted(linear_model)
    filt = ef.IEnKF(model, 2, method=method)
    filt.analysis(linear_model(previous, 2), y, obs, previous=previous)
    assert len(model.steps) == (2 if method == "transform" else 3)


@methods
@pytest.mark.parametrize("part", [0, 1, 2])
def test_stops_where_a_step_is_below_wtol(method, part):
    previous, y, obs, steps = bent_problem()
    sizes = gauss_newton(previous, y, obs, lorenz, steps, iterations=6, method=method)[2]
    for wtol in (1.01 * sizes[part], 0.99 * sizes[part]):
        taken = 1 + next(k for k, size in enumerate(sizes) if size < wtol)
        model = Counted(lorenz)
        filt = ef.IEnKF(model, steps, wtol=wtol, method=method)
        filt.analysis(lorenz(previous, steps), y, obs, previous=previous)
        assert len(model.steps) == taken + (method == "bundle")


# -- the first cycle: no time has passed


def failing_model(ensemble, steps):
    raise AssertionError("no time has passed: the model must not run")


@methods
def test_where_no_time_has_passed_the_model_is_the_identity(method):
    previous, y, obs = linear_problem(Linear(MATRIX))
    filt = ef.IEnKF(failing_model, 5, method=method)
    found = filt.analysis(previous, y, obs, previous=previous)
    assert_close(found, ef.ETKF().analysis(previous, y, obs), 1e-8)
    bent = ef.Observation(Arctan() @ Subset([0, 4]), std=0.2)
    y = np.array([0.5, 0.9])
    filt = dataclasses.replace(filt, iterations=3, wtol=1e-300)
    found = filt.analysis(previous, y, bent, previous=previous)
    expected = gauss_newton(previous, y, bent, lambda x, steps: x, 5, iterations=3, method=method)[
        0
    ]
    assert_close(found, expected, RTOL[method])


# -- the published error


def test_lorenz63_reaches_the_published_error():
    """DAPPER's list: 0.31 with 10 members and inflation 1.02, where the ETKF has 0.60.

    Over 1,000 cycles 0.30 to 0.32 is seen. Here are 400, whose mean errs by some 0.02.
    """
    preset = presets.get("lorenz63").replace({"cycles": 500})
    filt = ef.IEnKF(preset.twin.model, preset.twin.steps_per_cycle, inflation=1.02, wtol=1e-2)
    result = preset.twin.run(filt, members=10, seed=0)
    assert not result.stopped
    assert abs(result.rmse.analysis[100:].mean() - 0.31) < 0.05


# -- what every filter promises


@methods
def test_a_batch_is_its_ensembles(method):
    parts = [bent_problem(seed=s) for s in range(3)]
    previous, y = (np.stack([p[i] for p in parts]) for i in (0, 1))
    obs, steps = parts[0][2:]
    forecast = lorenz(previous, steps)
    y[1] = np.nan
    forecast[2] = previous[2]  # no time has passed in one of them
    filt = ef.IEnKF(LORENZ, steps, method=method)
    together = filt.analysis(forecast, y, obs, previous=previous)
    np.testing.assert_array_equal(together[1], forecast[1])
    for b in (0, 2):
        alone = filt.analysis(forecast[b], y[b], obs, previous=previous[b])
        np.testing.assert_array_equal(together[b], alone)


@methods
def test_inputs_stay_and_out_may_be_one_of_them(method):
    """With a model that writes to what it is given, too."""

    def in_place(ensemble, steps):
        return LORENZ.step(ensemble, steps, out=ensemble)

    previous, y, obs, steps = bent_problem()
    forecast = lorenz(previous, steps)
    kept = previous.copy(), forecast.copy(), y.copy()
    expected = ef.IEnKF(LORENZ, steps, method=method).analysis(forecast, y, obs, previous=previous)
    filt = ef.IEnKF(in_place, steps, method=method)
    found = filt.analysis(forecast, y, obs, previous=previous)
    np.testing.assert_array_equal(found, expected)
    for array, copy in zip((previous, forecast, y), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    for target in (forecast.copy(), previous.copy()):
        inputs = [target if (target == a).all() else a for a in (forecast, previous)]
        assert filt.analysis(inputs[0], y, obs, previous=inputs[1], out=target) is target
        np.testing.assert_array_equal(target, expected)


def test_the_filter_of_an_experiment():
    filt = ef.IEnKF.for_experiment(LORENZ, ef.Observation(ef.operators.Identity(), std=1.0), 7)
    assert filt == ef.IEnKF(LORENZ, steps_per_cycle=7)


# -- errors


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": 3}, TypeError, "model=3: expected a model, or a callable"),
        (
            {"model": ef.models.Lorenz63(model_noise=0.1)},
            ValueError,
            "model has model_noise=0.1: expected none",
        ),
        ({"steps_per_cycle": 0}, ValueError, "steps_per_cycle=0"),
        ({"steps_per_cycle": 1.0}, TypeError, "steps_per_cycle=1.0"),
        ({"iterations": 0}, ValueError, "iterations=0"),
        ({"wtol": 0}, ValueError, "wtol=0"),
        ({"wtol": np.nan}, ValueError, "wtol=nan"),
        ({"method": "bundles"}, ValueError, "method='bundles'.*did you mean 'bundle'"),
        ({"inflation": -1}, ValueError, "inflation=-1"),
        ({"backend": "fortran"}, ValueError, "backend='fortran'"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        ef.IEnKF(**({"model": LORENZ, "steps_per_cycle": 5} | options))


def test_bad_arrays():
    previous, y, obs, steps = bent_problem()
    forecast = lorenz(previous, steps)
    filt = ef.IEnKF(LORENZ, steps)
    with pytest.raises(ValueError, match="previous is missing"):
        filt.analysis(forecast, y, obs)
    with pytest.raises(ValueError, match=r"previous has shape \(7, 3\): expected \(8, 3\)"):
        filt.analysis(forecast, y, obs, previous=previous[:7])
    with pytest.raises(TypeError, match="previous has dtype float32"):
        filt.analysis(forecast, y, obs, previous=previous.astype(np.float32))
    with pytest.raises(ValueError, match="at least 2"):
        filt.analysis(forecast[:1], y, obs, previous=previous[:1])
    with pytest.raises(ValueError, match=r"expected \(..., 40\)"):
        ef.IEnKF(ef.models.Lorenz96(), steps).analysis(forecast, y, obs, previous=previous)


@methods
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x, steps: x[:-1], r"model returned float64 of shape \(7, 3\): expected float64"),
        (lambda x, steps: x.astype(np.float32), "model returned float32 of shape"),
        (lambda x, steps: None, "model returned object of shape"),
    ],
    ids=["shape", "dtype", "nothing"],
)
def test_a_model_that_returns_something_else(method, model, message):
    previous, y, obs, steps = bent_problem()
    forecast = lorenz(previous, steps)
    out = forecast.copy()
    with pytest.raises(ValueError, match=message):
        ef.IEnKF(model, steps, method=method).analysis(forecast, y, obs, previous=previous, out=out)
    np.testing.assert_array_equal(out, forecast)


def test_out_is_not_touched_where_the_model_fails_at_the_end():
    previous, _, _, steps = bent_problem()
    forecast, calls = lorenz(previous, steps), []

    def model(x, steps):
        calls.append(1)
        raise OSError("no such run")

    obs = ef.Observation(ef.operators.Identity(), 1.0)  # which the kernels evaluate
    filt, out = ef.IEnKF(model, steps, iterations=1), np.full_like(forecast, 7.0)
    with pytest.raises(OSError, match="no such run"):
        filt.analysis(forecast, forecast[0], obs, previous=previous, out=out)
    assert calls == [1]
    assert (out == 7).all()


# -- the Kalman filter's moments


@dataclasses.dataclass
class Gaussian:
    mean: np.ndarray
    covariance: np.ndarray
    matrix: np.ndarray
    std: np.ndarray
    y: np.ndarray

    @property
    def obs(self):
        return ef.Observation(Linear(self.matrix), std=self.std)

    def analysis(self, rows=slice(None)):
        obs = ef.Observation(Linear(self.matrix[rows]), std=self.std[rows])
        return ef.KalmanFilter().analysis_moments(self.mean, self.covariance, self.y[rows], obs)


@st.composite
def gaussians(draw):
    """Problems of up to 5 components and 6 observations, errors from 0.01 to 100."""
    dim, m = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    root = rng.standard_normal((dim, dim + 2))
    widths = draw(st.lists(st.floats(-2, 2), min_size=m, max_size=m))
    missing = draw(st.lists(st.booleans(), min_size=m, max_size=m))
    y = np.where(missing, np.nan, 3 * rng.standard_normal(m))
    matrix = rng.standard_normal((m, dim))
    return Gaussian(rng.standard_normal(dim), root @ root.T, matrix, 10.0 ** np.array(widths), y)


def assert_moments_close(found, expected):
    """S has a condition of at most 1e2 (1e2)^2 = 1e6: 1e-10 of the largest number."""
    __tracebackhide__ = True
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 * (1 + np.abs(other).max()))


@given(problem=gaussians())
def test_analysis_is_the_textbooks(problem):
    found = problem.analysis()
    assert_moments_close(found, kalman(problem.mean, problem.covariance, problem.y, problem.obs))
    np.testing.assert_array_equal(found[1], found[1].T)
    largest = np.linalg.norm(problem.covariance, 2)
    assert np.linalg.eigvalsh(found[1])[0] >= -1e-13 * largest
    # an observation never takes certainty away
    assert np.linalg.eigvalsh(problem.covariance - found[1])[0] >= -1e-11 * largest


@given(problem=gaussians(), seed=st.integers(0, 2**32))
def test_order_of_observations_does_not_matter(problem, seed):
    order = np.random.default_rng(seed).permutation(len(problem.y))
    assert_moments_close(problem.analysis(order), problem.analysis())


@given(problem=gaussians())
def test_observations_one_after_the_other(problem):
    one_by_one = problem
    for row in range(len(problem.y)):
        mean, covariance = one_by_one.analysis([row])
        one_by_one = dataclasses.replace(one_by_one, mean=mean, covariance=covariance)
    assert_moments_close((one_by_one.mean, one_by_one.covariance), problem.analysis())


@given(problem=gaussians())
def test_missing_observations_of_moments_are_left_out(problem):
    seen = np.flatnonzero(~np.isnan(problem.y))
    if seen.size:
        assert_moments_close(problem.analysis(), problem.analysis(seen))
    else:
        np.testing.assert_array_equal(problem.analysis()[0], problem.mean)


@given(problem=gaussians(), members=st.integers(2, 12))
def test_an_ensemble_keeps_exactly_those_moments(problem, members):
    root = np.linalg.cholesky(problem.covariance)
    rng = np.random.default_rng(members)
    forecast = problem.mean + rng.standard_normal((members, len(root))) @ root.T
    moments = forecast.mean(axis=0), np.atleast_2d(np.cov(forecast.T))
    analysis = ef.KalmanFilter().analysis(forecast, problem.y, problem.obs)
    found = analysis.mean(axis=0), np.atleast_2d(np.cov(analysis.T))
    assert_moments_close(found, kalman(*moments, problem.y, problem.obs))


@given(problem=gaussians(), noisy=st.booleans())
def test_forecast_is_the_textbooks(problem, noisy):
    dim = len(problem.mean)
    propagator = np.random.default_rng(dim).standard_normal((dim, dim))
    error = np.diag(0.1 + np.arange(dim)) if noisy else None
    found = ef.KalmanFilter().forecast_moments(
        problem.mean, problem.covariance, propagator, error=error
    )
    expected = [
        [propagator[i] @ problem.covariance @ propagator[j] for j in range(dim)] for i in range(dim)
    ]
    if noisy:
        expected = expected + error
    assert_moments_close(found, (propagator @ problem.mean, np.array(expected)))
    np.testing.assert_array_equal(found[1], found[1].T)


def test_two_equal_observations_are_one_of_half_the_variance():
    kf, mean, p = ef.KalmanFilter(), np.array([1.0, 0.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    twice = kf.analysis_moments(mean, p, [3.0, 3.0], ef.Observation(Subset([1, 1]), std=0.6))
    once = kf.analysis_moments(mean, p, [3.0], ef.Observation(Subset([1]), std=0.6 / np.sqrt(2)))
    assert_moments_close(twice, once)


def test_a_random_walk_settles_at_the_golden_section():
    """q = r = 1: the forecast's variance p solves p = p / (p + 1) + 1."""
    kf, obs = ef.KalmanFilter(), ef.Observation(Identity(), std=1.0)
    mean, p = np.zeros(1), np.full((1, 1), 50.0)
    for _ in range(40):
        mean, p = kf.analysis_moments(mean, p, [0.0], obs)
        mean, p = kf.forecast_moments(mean, p, np.eye(1), error=np.eye(1))
    np.testing.assert_allclose(p, (1 + np.sqrt(5)) / 2, rtol=1e-14)


def test_an_observation_almost_without_error_keeps_the_covariance_positive():
    """The plain (I - K H) P loses the sign here; Joseph's form does not."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6)) * 10.0 ** np.arange(0, -6, -1)
    obs = ef.Observation(Linear(rng.standard_normal((6, 6))), std=1e-7)
    p = 1e4 * root @ root.T
    covariance = ef.KalmanFilter().analysis_moments(np.zeros(6), p, np.ones(6), obs)[1]
    assert np.linalg.eigvalsh(covariance)[0] >= -1e-16


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"mean": [0.0, np.nan]}, ValueError, r"mean\[1\] is nan"),
        ({"mean": np.zeros(0)}, ValueError, r"mean has shape \(0,\): expected \(D,\)"),
        ({"mean": np.zeros(2, int)}, TypeError, "mean has dtype int64"),
        ({"covariance": np.full((2, 2), np.inf)}, ValueError, r"covariance\[0, 0\] is inf"),
        ({"covariance": np.eye(2, dtype="f4")}, TypeError, "covariance has dtype float32"),
        ({"propagator": [[1.0, 0.0], [np.nan, 1.0]]}, ValueError, r"propagator\[1, 0\] is nan"),
        ({"error": np.eye(3)}, ValueError, r"error has shape \(3, 3\): expected \(2, 2\)"),
        ({"error": np.eye(2, dtype="f4")}, TypeError, "error has dtype float32"),
    ],
)
def test_bad_moments_of_a_forecast(change, kind, message):
    given_ = {"mean": np.zeros(2), "covariance": np.eye(2), "propagator": np.eye(2)} | change
    with pytest.raises(kind, match=message):
        ef.KalmanFilter().forecast_moments(**given_)


def test_bad_observations_of_moments():
    kf, obs = ef.KalmanFilter(), ef.Observation(Identity(), std=1.0)
    with pytest.raises(ValueError, match="y is infinite"):
        kf.analysis_moments(np.zeros(2), np.eye(2), [1.0, np.inf], obs)
    with pytest.raises(TypeError, match="y has dtype int64"):
        kf.analysis_moments(np.zeros(2), np.eye(2), np.ones(2, int), obs)
    wrong = ef.Observation(Identity(), std=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="std has 3 entries: expected 2"):
        kf.analysis_moments(np.zeros(2), np.eye(2), [1.0, 1.0], wrong)
    with pytest.raises(ValueError, match="inflation=0"):
        ef.KalmanFilter(inflation=0)
