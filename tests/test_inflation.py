"""Inflation: exact identities, the published formulas, and what must not depend on anything."""

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import enfilt as ef
from enfilt import backends
from enfilt.backends.problems import InflationProblem
from enfilt.inflation import RTPP, RTPS, Inflation, Multiplicative, as_inflation

BLOCK = 1 << 14  # components that the package works on at a time
EPS = np.finfo(np.float64).eps

INFLATIONS = [Multiplicative(1.3), Multiplicative(0.5), RTPP(0.4), RTPP(1.0), RTPS(0.7), RTPS(1.0)]
NAMES = [repr(i) for i in INFLATIONS]


def pairs(members=4, dim=3):
    """Two ensembles of ordinary size, with ties and zeros among them."""
    values = st.integers(-1000, 1000).map(lambda k: k / 64)
    one = arrays(np.float64, (members, dim), elements=values)
    return st.tuples(one, one)


def applied(inflation, analysis, forecast, backend="auto"):
    result = analysis.copy()
    inflation.apply(result, forecast, backend=backend)
    return result


def anomalies(x):
    return x - x.mean(axis=-2, keepdims=True)


def expected_anomalies(inflation, analysis, forecast):
    a, f = anomalies(analysis), anomalies(forecast)
    match inflation:
        case Multiplicative(factor):
            return factor * a
        case RTPP(relaxation):
            return (1 - relaxation) * a + relaxation * f
        case RTPS(relaxation):
            before, after = f.std(axis=-2, ddof=1), a.std(axis=-2, ddof=1)
            ratio = np.divide(before - after, after, out=np.zeros_like(after), where=after > 0)
            return a * (1 + relaxation * ratio)[..., None, :]


def rounding(*ensembles):
    """A few dozen operations on values of this size."""
    return 64 * EPS * max(1.0, *(np.abs(e).max() for e in ensembles))


@pytest.mark.parametrize("inflation", [Multiplicative(1), Multiplicative(1.0), RTPP(0), RTPS(0.0)])
def test_identities_change_no_bit(inflation, dtype):
    tiny = np.finfo(dtype).tiny
    x = np.array([[1e30, -0.0, tiny / 8], [1.0, 0.0, 3.3], [0.1, -7.7, 1e-3]], dtype)
    forecast = np.arange(9, dtype=dtype).reshape(3, 3)
    assert inflation.is_identity
    assert applied(inflation, x, forecast).tobytes() == x.tobytes()


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
@given(pair=pairs())
def test_formula_and_mean(inflation, pair):
    analysis, forecast = pair
    result = applied(inflation, analysis, forecast)
    expected = expected_anomalies(inflation, analysis, forecast)
    tolerance = rounding(analysis, forecast)
    assert np.abs(anomalies(result) - expected).max() <= tolerance
    assert np.abs(result.mean(axis=0) - analysis.mean(axis=0)).max() <= tolerance


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
@given(pair=pairs(), shift=st.integers(-1000, 1000).map(lambda k: k / 64))
def test_a_shift_shifts(inflation, pair, shift):
    analysis, forecast = pair
    moved = applied(inflation, analysis + shift, forecast - 2 * shift)
    still = applied(inflation, analysis, forecast)
    tolerance = 4 * rounding(analysis, forecast, np.array([2 * shift]))
    assert np.abs(moved - shift - still).max() <= tolerance


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
@given(pair=pairs(), exponent=st.sampled_from([-900, -20, -1, 1, 20, 900]))
def test_a_power_of_two_scales_exactly(inflation, pair, exponent):
    """Also where the squares of anomalies are no numbers any more."""
    analysis, forecast = pair
    scale = 2.0**exponent
    scaled = applied(inflation, scale * analysis, scale * forecast)
    np.testing.assert_array_equal(scaled, scale * applied(inflation, analysis, forecast))


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
@given(pair=pairs(), order=st.permutations(range(4)))
def test_members_permuted_in_are_permuted_out(inflation, pair, order):
    analysis, forecast = pair
    order = np.array(order)
    permuted = applied(inflation, analysis[order], forecast[order])
    # the mean may be summed in another order
    still = applied(inflation, analysis, forecast)
    assert np.abs(permuted - still[order]).max() <= rounding(analysis, forecast)


@given(pair=pairs())
def test_full_relaxation_gives_the_forecast_back(pair):
    analysis, forecast = pair
    tolerance = rounding(analysis, forecast)
    widened = applied(RTPP(1), analysis, forecast)
    assert np.abs(anomalies(widened) - anomalies(forecast)).max() <= tolerance
    spread = applied(RTPS(1), analysis, forecast).std(axis=0)
    kept = analysis.std(axis=0) > 0
    assert np.abs(spread - forecast.std(axis=0))[kept].max(initial=0) <= tolerance


@given(pair=pairs(), relaxation=st.floats(0, 1))
def test_rtps_spread_is_between(pair, relaxation):
    analysis, forecast = pair
    result = applied(RTPS(relaxation), analysis, forecast)
    before, after = forecast.std(axis=0), analysis.std(axis=0)
    wanted = np.where(after > 0, (1 - relaxation) * after + relaxation * before, 0)
    assert np.abs(result.std(axis=0) - wanted).max() <= rounding(analysis, forecast)


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
def test_zero_spread(inflation, dtype):
    """An analysis without spread stays without where nothing of the forecast's is added."""
    analysis = np.full((3, 2), 0.1, dtype)
    forecast = np.array([[0, 1], [1, 1], [2, 1]], dtype)
    result = applied(inflation, analysis, forecast)
    assert np.isfinite(result).all()
    if isinstance(inflation, RTPP):
        expected = analysis + dtype.type(inflation.relaxation) * anomalies(forecast)
        np.testing.assert_allclose(result, expected, rtol=8 * np.finfo(dtype).eps)
    else:
        # 0.1 three times may have a mean one rounding off
        np.testing.assert_allclose(result, analysis, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("members", [3, 5, 7, 20, 49])
def test_equal_members_stay_where_they_are(members, dtype, rng):
    """Their mean is rounded, so their anomalies are not zero; RTPS must not widen those."""
    analysis = np.tile(rng.standard_normal(200).astype(dtype), (members, 1))
    forecast = rng.standard_normal((members, 200)).astype(dtype)
    result = applied(RTPS(1), analysis, forecast)
    # a sum over members may be off by eps/2 a term
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(result, analysis, rtol=members * eps)


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
def test_spread_of_a_rounding_error_keeps_the_mean(inflation, dtype):
    """Where the anomalies are as small as the rounding of the mean."""
    eps = np.finfo(dtype).eps
    analysis = np.array([[0.1], [0.1], [0.1 * (1 + 2 * eps)]], dtype)
    forecast = np.array([[-1], [0], [1]], dtype)
    result = applied(inflation, analysis, forecast)
    np.testing.assert_allclose(result.mean(axis=0), 0.1, rtol=0, atol=4 * eps)


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
def test_forecast_without_spread(inflation, rng):
    analysis, forecast = rng.standard_normal((4, 3)), np.ones((4, 3))
    result = applied(inflation, analysis, forecast)
    np.testing.assert_allclose(
        anomalies(result), expected_anomalies(inflation, analysis, forecast), atol=64 * EPS
    )


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
@pytest.mark.parametrize("dim", [1, BLOCK, BLOCK + 3])
def test_batches_and_blocks(inflation, dim, dtype, rng):
    analysis = rng.standard_normal((2, 3, dim)).astype(dtype)
    forecast = rng.standard_normal((2, 3, dim)).astype(dtype)
    together = applied(inflation, analysis, forecast)
    assert together.dtype == dtype
    for index in range(2):
        alone = applied(inflation, analysis[index], forecast[index])
        np.testing.assert_array_equal(together[index], alone)
    expected = expected_anomalies(
        inflation, analysis.astype(np.float64), forecast.astype(np.float64)
    ) + analysis.astype(np.float64).mean(axis=-2, keepdims=True)
    # RTPS of three members: the anomalies are multiplied by up to s_f/s_a
    growth = np.abs(expected).max()
    np.testing.assert_allclose(together, expected, rtol=0, atol=32 * growth * np.finfo(dtype).eps)


@pytest.mark.parametrize("inflation", INFLATIONS, ids=NAMES)
def test_the_forecast_is_not_written_to(inflation, rng):
    analysis, forecast = rng.standard_normal((2, 4, 3))
    before = forecast.copy()
    inflation.apply(analysis, forecast)
    np.testing.assert_array_equal(forecast, before)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Multiplicative(0), ValueError, "factor=0"),
        (lambda: Multiplicative(-1.0), ValueError, "factor=-1"),
        (lambda: Multiplicative(np.nan), ValueError, "factor=nan"),
        (lambda: Multiplicative("1.1"), TypeError, "factor='1.1'"),
        (lambda: RTPP(-0.1), ValueError, "relaxation=-0.1"),
        (lambda: RTPP(1.1), ValueError, "relaxation=1.1"),
        (lambda: RTPS(2), ValueError, "relaxation=2"),
        (lambda: RTPS(None), TypeError, "relaxation=None"),
        (lambda: as_inflation(0.0), ValueError, "inflation=0"),
        (lambda: as_inflation("RTPS"), TypeError, "inflation='RTPS'"),
        (lambda: ef.EnFF(inflation=-1), ValueError, "inflation=-1"),
        (lambda: ef.EnFF(inflation=True), TypeError, "inflation=True"),
    ],
)
def test_bad_options(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_a_number_is_a_factor():
    assert as_inflation(1.5) == Multiplicative(1.5)
    assert as_inflation(RTPS(0.5)) == RTPS(0.5)


@pytest.mark.parametrize("inflation", [1.7, *INFLATIONS], ids=["1.7", *NAMES])
def test_in_a_filter(inflation, backend, rng):
    previous, forecast = rng.standard_normal((2, 5, 4))
    obs = ef.Observation(ef.operators.Arctan(), 0.5)
    noise, y = rng.standard_normal((5, 4)), np.zeros(4)
    plain, widened = (
        ef.EnFF(steps=3, inflation=i, backend=backend).analysis(
            forecast, y, obs, previous=previous, noise=noise
        )
        for i in (1.0, inflation)
    )
    expected = applied(as_inflation(inflation), plain, forecast, backend)
    np.testing.assert_array_equal(widened, expected)


class Added(Inflation):
    """One of the user's own."""

    is_identity = False

    def _anomalies(self, analysis, forecast):
        return analysis + forecast


class Doubled(RTPS):
    def _anomalies(self, analysis, forecast):
        return 2 * analysis


class Constant(Multiplicative):
    def apply(self, analysis, forecast):
        analysis[...] = 7


def test_one_of_ones_own(rng):
    """In a filter, too; it may be made from one that is a kernel."""
    x = np.array([[-1.0], [1.0]])
    Added().apply(x, np.array([[4.0], [8.0]]))
    np.testing.assert_array_equal(x, [[-3], [3]])
    forecast, obs = rng.standard_normal((4, 3)), ef.Observation(ef.operators.Identity(), 1.0)
    plain, doubled, constant = (
        ef.ETKF(inflation=inflation).analysis(forecast, np.zeros(3), obs)
        for inflation in (1.0, Doubled(0.5), Constant(2.0))
    )
    np.testing.assert_allclose(anomalies(doubled), 2 * anomalies(plain), rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(constant, 7)


# Kind, dtype, members, components, amounts: one number, or one for each component.
PROBLEMS = [
    ("multiplicative", "f4", 2, 1, 0.3),
    ("multiplicative", "f8", 33, 517, None),
    ("rtpp", "f4", 3, 4099, None),
    ("rtpp", "f8", 20, 16, 1.0),
    ("rtps", "f4", 300, 70, None),
    ("rtps", "f4", 20, 1025, 0.7),
    ("rtps", "f8", 5, 3, None),
    ("rtps", "f8", 1, 9, 0.5),
]


def problem_of(kind, dtype, members, dim, amount=None):
    rng = np.random.default_rng([members, dim])
    x, forecast = (100 + rng.standard_normal((2, 2, members, dim))).astype(dtype)
    x[..., 0] = 0.1  # without spread
    amounts = rng.random(dim) if amount is None else np.array([amount])
    amounts[1::3] = 0
    return InflationProblem(kind, amounts.astype(dtype), x, forecast)


def inflated(problem, backend):
    out = np.full_like(problem.x, np.nan)
    backends.get(backend).inflate(problem, out)
    return out


@pytest.mark.parametrize("case", PROBLEMS, ids=lambda case: "-".join(map(str, case)))
def test_backends_agree(other_backend, case):
    """Steps are sums over members; the last rounding is of the values, one either way."""
    problem = problem_of(*case)
    found, expected = inflated(problem, other_backend), inflated(problem, "numpy")
    eps, members = np.finfo(problem.x.dtype).eps, problem.x.shape[1]
    step = np.abs(expected - problem.x).max()
    assert (step > 0.01) == (members > 1 and problem.x.shape[2] > 1)
    assert np.abs(found - expected).max() <= eps * (100 + (members + 16) * step)
    for result in (found, expected):
        assert result[..., 0].tobytes() == problem.x[..., 0].tobytes() or "rtpp" in case
        if problem.amount.size > 1:
            kept = problem.amount == 0
            assert result[..., kept].tobytes() == problem.x[..., kept].tobytes()
    problem.x[...] = inflated(problem, other_backend)  # in place
    again = problem_of(*case)
    backends.get(other_backend).inflate(again, again.x)
    np.testing.assert_array_equal(again.x, problem.x)


@pytest.mark.parametrize("kind", ["multiplicative", "rtps"])
def test_the_same_bits_with_any_number_of_threads(backend, kind, monkeypatch):
    problem, found = problem_of(kind, "f4", 5, 40_001, 0.3), []
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads, user_api="openmp"):
            found.append(inflated(problem, backend))
    np.testing.assert_array_equal(*found)


def test_what_goes_past_the_caches_is_what_goes_through_them():
    """The result of 18 MB, whose rows begin anywhere in a cache line, and the same in place."""
    if "cpp" not in backends.available():
        pytest.skip("no compiled core")
    x = np.random.default_rng(1).standard_normal((1, 5, 900_001)).astype("f4")
    problem = InflationProblem("multiplicative", np.array([0.3], "f4"), x)
    found = inflated(problem, "cpp")
    backends.get("cpp").inflate(problem, x)
    np.testing.assert_array_equal(found, x)


def test_anomalies_are_rounded_as_the_spread_is(backend):
    """A spread of ten roundings of the values, widened by a thousand, as in float64."""
    rng = np.random.default_rng(3)
    x = (1e4 + 1e-2 * rng.standard_normal((20, 50))).astype("f4")
    forecast = (1e4 + 10 * rng.standard_normal((20, 50))).astype("f4")
    found = applied(RTPS(1), x, forecast, backend)
    expected = applied(RTPS(1), x.astype(float), forecast.astype(float), "numpy")
    step = np.abs(expected - x).max()
    assert step > 10
    assert np.abs(found - expected).max() <= np.finfo("f4").eps * (1e4 + 64 * step)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([[1.0], [2.0]], np.ones((2, 1))), TypeError, "analysis is of type list"),
        ((np.ones(3), np.ones(3)), ValueError, r"analysis has shape \(3,\)"),
        ((np.ones((2, 3)), np.ones((2, 4))), ValueError, r"forecast has shape \(2, 4\)"),
        ((np.ones((2, 3)), np.ones((2, 3), "f4")), TypeError, "forecast has dtype float32"),
        ((np.broadcast_to(1.0, (2, 3)), np.ones((2, 3))), ValueError, "analysis is read-only"),
        ((np.ones((2, 1)), np.array([[1], [np.nan]])), ValueError, r"forecast\[1, 0\] is nan"),
        ((np.array([[-1.6e308], [1.6e308]]), np.ones((2, 1))), FloatingPointError, "analysis"),
    ],
)
def test_bad_arrays(arguments, kind, message):
    with pytest.raises(kind, match=message):
        Multiplicative(1.1).apply(*arguments)


def test_an_array_that_is_not_contiguous_is_changed_in_place(rng):
    x, forecast = rng.standard_normal((2, 5, 4))
    expected = applied(RTPS(0.5), x, forecast)
    turned = np.asfortranarray(x)
    RTPS(0.5).apply(turned, np.asfortranarray(forecast))
    np.testing.assert_array_equal(turned, expected)
