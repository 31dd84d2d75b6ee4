"""Componentwise(h, dh), the user's scalar functions, on every backend and in every kernel.

Given arctan or tanh it must do what the built-in operator does. Both functions are within 2 ulp, so
they are up to 4 eps apart, which guidance multiplies by strength h'/r^2 in each of 4 steps, at most
by 3, and 1/s^2 of the softmax by some 20: 250 eps of the largest value. The same holds between
backends, whose sums are in another order.
"""

import copy
import dataclasses
import math
import pickle
import re

import numpy as np
import pytest
from conftest import KINDS, OTHER_KINDS
from pairs import pairs

import enfilt as ef
from enfilt import backends
from enfilt.operators import Arctan, Componentwise, Custom, Every, Identity, Subset, Tanh

numba = pytest.importorskip("numba")

ROUNDING = 250


def arctan(x):
    return np.arctan(x)


def arctan_slope(x):
    return 1 / (1 + x * x)


def tanh_slope(x):
    return 1 - math.tanh(x) ** 2


def wavy(x):
    return x + 0.3 * math.sin(x)


def wavy_slope(x):
    return 1 + 0.3 * math.cos(x)


def bent(x):
    if x > 0:
        return x**2 / 2 + math.pi
    return 0.1 * x + np.float64(math.pi)


ARCTAN = Componentwise(arctan, arctan_slope)
TANH = Componentwise(math.tanh, tanh_slope)
WAVY = Componentwise(wavy, wavy_slope)
EXP = Componentwise(math.exp, np.exp)
LOG = Componentwise(np.log, lambda x: 1 / x)
LOG10 = Componentwise(math.log10)


# -- the operator by itself


@pytest.mark.parametrize(
    ("operator", "h", "dh"),
    [
        (ARCTAN, np.arctan, lambda x: 1 / (1 + x * x)),
        (TANH, np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (WAVY, lambda x: x + 0.3 * np.sin(x), lambda x: 1 + 0.3 * np.cos(x)),
        (Componentwise(np.arctan), np.arctan, None),
        (
            Componentwise(numba.njit(bent)),
            lambda x: np.where(x > 0, x**2 / 2, 0.1 * x) + np.pi,
            None,
        ),
    ],
    ids=["arctan", "tanh", "wavy", "ufunc", "njit with a branch"],
)
def test_values_and_derivative(operator, h, dh, dtype):
    x = np.linspace(-9, 9, 2 * 3 * 47).astype(dtype).reshape(2, 3, 47)
    before, wide = x.copy(), x.astype(np.float64)
    value = operator(x)
    assert value.dtype == dtype
    assert value.shape == x.shape
    assert operator.size(47) == 47
    eps = np.finfo(dtype).eps
    # a handful of roundings on values up to 45
    np.testing.assert_allclose(value, h(wide), rtol=4 * eps, atol=4 * eps)
    # a last, shorter vector may be rounded otherwise
    np.testing.assert_allclose(operator(x[..., ::2]), value[..., ::2], rtol=2 * eps)
    if dh is not None:
        result = operator.vjp(x, np.full_like(x, 2))
        assert result.dtype == dtype
        np.testing.assert_allclose(result, 2 * dh(wide), rtol=0, atol=8 * eps)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("operator", "h"),
    [(ARCTAN, np.arctan), (TANH, np.tanh), (EXP, np.exp), (LOG, np.log), (LOG10, np.log10)],
)
def test_special_values(operator, h, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, 1e-30, 1e30, -2.0, 88.0], dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(operator(x), h(x), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("operator", "h", "bound"),
    [(EXP, np.exp, 1.5), (LOG, np.log, 1.5), (LOG10, np.log10, 2.5)],
    ids=["exp", "log", "log10"],
)
def test_whole_range(operator, h, bound, dtype):
    """In units in the last place, subnormal arguments and the ends of the range included.

    Reduction, polynomial and final product round once each in float64, log10 once more; float32 is
    rounded from that.
    """
    kind = np.finfo(dtype)
    if h is np.exp:
        x = np.linspace(np.log(kind.smallest_normal) + 0.4, np.log(kind.max) - 1e-3, 100_003)
    else:
        last = np.array(kind.max).view(f"u{kind.bits // 8}")  # positive numbers, as integers
        x = np.linspace(1, int(last), 100_003).astype(last.dtype)[:-1].view(dtype)
        x = np.concatenate([x, np.linspace(0.5, 2, 10_007).astype(dtype)])
    x = x.astype(dtype)
    exact = h(x.astype(np.longdouble))
    ulp = np.spacing(np.abs(exact.astype(dtype))).astype(np.longdouble)
    assert np.max(np.abs(operator(x) - exact) / ulp) <= bound


def test_integers_are_observed_as_float64():
    assert ARCTAN(np.arange(3)).dtype == np.float64


def test_becomes_vector_code(dtype):
    """No function of the C library is called, and float32 stays float32."""
    for operator in (ARCTAN, TANH, EXP, LOG, LOG10):
        code = operator._function.compiled(dtype).linearize.inspect_llvm()
        assert not re.search(r"@(llvm\.)?(atan|tanh|exp|log)", code)
        assert re.search("fdiv.* <[0-9]+ x|fmul.* <[0-9]+ x", code)
    code = ARCTAN._function.compiled(np.float32).linearize.inspect_llvm()
    assert "x float>" in code
    assert "x double>" not in code


def count(x):
    weights = (0.5, 0.25)
    total = 0.0
    for k in range(2):
        total += weights[k] * x
    return total + weights[2 - 1]


def test_constants_that_have_to_stay_integers(dtype):
    x = np.linspace(-1, 1, 9).astype(dtype)
    expected = 0.75 * x + 0.25
    np.testing.assert_allclose(Componentwise(count)(x), expected, rtol=4 * np.finfo(dtype).eps)


def test_equality_pickle_repr():
    assert Componentwise(arctan, arctan_slope) == ARCTAN
    assert hash(Componentwise(arctan, arctan_slope)) == hash(ARCTAN)
    assert WAVY != ARCTAN
    assert pickle.loads(pickle.dumps(ARCTAN)) == ARCTAN
    assert copy.deepcopy(ARCTAN) == ARCTAN
    assert repr(ARCTAN) == "Componentwise(arctan, arctan_slope)"
    assert repr(Componentwise(np.arctan)) == "Componentwise(arctan)"


# -- in the kernels


FLOW = {"steps": 4, "sigma_min": 0.3}
SCORE = {"steps": 4, "eps_beta": 0.2, "score_limit": 20.0}
NEAR = ef.localization.GaspariCohn(4.0)
FILTERS = {
    "EnFF local": ef.EnFF(path="f2p", strength=0.2, **FLOW),
    "EnFF Heun": ef.EnFF(path="ot", strength=0.2, sampler="heun", **FLOW),
    "EnFF monte-carlo": ef.EnFF(path="ot", guidance="monte-carlo", **FLOW),
    "EnFF covariance": ef.EnFF(path="ot", guidance="covariance", **FLOW),
    "EnSF mixture": ef.EnSF(**SCORE),
    "EnSF paired": ef.EnSF(score="paired", **SCORE),
    "EnSF-LR": ef.EnSF(regress_unobserved=True, **SCORE),
    "ScoreFilter": ef.ScoreFilter(prior=ef.priors.EnsemblePrior(0.3), steps=4, score_limit=20.0),
    "BootstrapPF": ef.BootstrapPF(),
    "ETKF": ef.ETKF(),
    "LETKF": ef.LETKF(NEAR),
    "LEnFF": ef.LEnFF(NEAR, steps=3),
}


def analysis(name, operator, dim, dtype, backend, missing=True):
    """Analyse, with every third observation missing or none."""
    rng = np.random.default_rng(dim)
    truth = rng.standard_normal(dim)
    forecast = truth + rng.standard_normal((5, dim)) / np.sqrt(dim)
    previous = forecast + 0.5 * rng.standard_normal((5, dim)) / np.sqrt(dim)
    y = np.arctan(truth) + 0.5 * rng.standard_normal(dim)
    m = operator.size(dim)
    y, std = y[:m], 0.5 + np.arange(m) % 3 / 4
    if missing:
        y[1::3] = np.nan
    grid = ef.grids.RegularGrid((dim,))
    locations = grid.coordinates(np.arange(m)) if m == dim else None
    obs = ef.Observation(operator, std=std, grid=grid, locations=locations)
    filt = dataclasses.replace(FILTERS[name], backend=backend)
    arrays = {"previous": previous.astype(dtype)} if name == "EnFF local" else {}
    if "EnFF" in name and name != "LEnFF":
        arrays["noise"] = rng.standard_normal((5, dim)).astype(dtype)
    elif "EnSF" in name or name == "ScoreFilter":
        arrays["noise"] = rng.standard_normal((5, 5, dim)).astype(dtype)
    return filt.analysis(forecast.astype(dtype), y.astype(dtype), obs, rng=3, **arrays)


def apart(a, b):
    """Return the largest difference, in eps of the largest value."""
    assert a.dtype == b.dtype
    difference = np.abs(a.astype(np.float64) - b).max()
    return difference / np.abs(b).max() / np.finfo(a.dtype).eps


@pairs({"other_backend, dtype": OTHER_KINDS, "name": list(FILTERS), "dim": [1, 33, 515, 8195]})
def test_equals_the_built_in_operator(other_backend, name, dim, dtype):
    pairs = [(Arctan(), ARCTAN), (Tanh() @ Every(2), TANH @ Every(2))]
    for built_in, mine in pairs if dim == 33 else pairs[:1]:
        expected = analysis(name, built_in, dim, dtype, other_backend)
        result = analysis(name, mine, dim, dtype, other_backend)
        assert np.isfinite(result).all()
        assert apart(result, expected) <= ROUNDING


_LEVELS = backends.get("cpp").core.usable_levels() if "cpp" in backends.available() else []


@pytest.mark.parametrize("level", _LEVELS)
def test_every_simd_level_of_cpp(level, dtype):
    core = backends.get("cpp").core
    before = core.level()
    try:
        assert core.use_level(level)
        for name in FILTERS:
            expected = analysis(name, Arctan(), 67, dtype, "cpp")
            assert apart(analysis(name, ARCTAN, 67, dtype, "cpp"), expected) <= ROUNDING
    finally:
        core.use_level(before)


@pairs({"backend, dtype": KINDS, "name": list(FILTERS)})
def test_a_function_of_ones_own(backend, name, dtype):
    """x + 0.3 sin x in the kernels against the same as an operator that they do not know."""
    custom = Custom(
        lambda x: (x + 0.3 * np.sin(x)).astype(x.dtype),
        lambda x, u: ((1 + 0.3 * np.cos(x)) * u).astype(x.dtype),
    )
    if name == "EnSF-LR":  # takes observations of single components only
        custom, backend_of_expected = WAVY, "numpy"
    else:
        backend_of_expected = backend
    expected = analysis(name, custom, 67, dtype, backend_of_expected)
    result = analysis(name, WAVY, 67, dtype, backend)
    assert apart(result, expected) <= ROUNDING


@pytest.mark.parametrize(
    "operator",
    [WAVY @ Subset([6, 0, 3]), Subset([6, 0, 3]) @ WAVY, Every(3) @ WAVY @ Every(2)],
    ids=["of a choice", "a choice of it", "between"],
)
def test_composed_with_choices(other_backend, operator, dtype):
    assert operator.pointwise(13).kind == "function"
    results = [analysis("EnFF local", operator, 13, dtype, b) for b in (other_backend, "numpy")]
    assert apart(*results) <= ROUNDING


def test_a_chain_of_functions_is_called_back(other_backend, dtype):
    chain = WAVY @ Arctan()
    assert chain.pointwise(5) is None
    results = [analysis("EnFF local", chain, 33, dtype, b) for b in (other_backend, "numpy")]
    assert apart(*results) <= ROUNDING


def test_nothing_observed_changes_nothing(backend, dtype):
    forecast = np.ones((3, 9), dtype)
    y = np.full(9, np.nan, dtype)
    obs = ef.Observation(ARCTAN, std=0.1)
    result = ef.EnFF(path="ot", backend=backend).analysis(forecast, y, obs, rng=0)
    np.testing.assert_array_equal(result, forecast)


@pytest.mark.parametrize("name", ["EnFF Heun", "EnSF mixture", "EnSF paired", "LETKF", "LEnFF"])
def test_threads_change_no_bit(other_backend, monkeypatch, name):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads, user_api="openmp"):
            results.append(analysis(name, WAVY, 25_000, np.float32, other_backend))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_batches(other_backend, dtype):
    rng = np.random.default_rng(2)
    forecast = rng.standard_normal((2, 4, 21)).astype(dtype)
    y = rng.standard_normal((2, 21)).astype(dtype)
    noise = rng.standard_normal((2, 4, 21)).astype(dtype)
    obs = ef.Observation(ARCTAN, std=0.5)
    filt = ef.EnFF(path="ot", strength=0.2, **FLOW, backend=other_backend)
    together = filt.analysis(forecast, y, obs, noise=noise)
    for b in range(2):
        alone = filt.analysis(forecast[b], y[b], obs, noise=noise[b])
        np.testing.assert_array_equal(together[b], alone)


# -- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Componentwise(3), "h=3: expected a function of one number"),
        (lambda: Componentwise(arctan, 0.5), "dh=0.5: expected a function of one number, or None"),
        (lambda: Componentwise(lambda x: x.real_part), "h=.*Unknown attribute 'real_part'"),
        (lambda: Componentwise(arctan, lambda x: nowhere(x)), "dh=.*'nowhere' is not defined"),  # noqa: F821
        (lambda: Componentwise(lambda x, y: x), "h=.*can't be compiled by Numba"),
        (lambda: Componentwise(lambda x: (x, x)), "h=.*returns UniTuple.*expected a real number"),
        (lambda: Componentwise(lambda x: 1j * x), "h=.*returns complex.*expected a real number"),
    ],
)
def test_bad_functions(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_missing_gradient_is_named():
    operator = Componentwise(np.arctan) @ Every(2)
    assert not operator.has_gradient
    x, y = np.zeros((3, 4)), np.zeros(2)
    obs = ef.Observation(operator, std=0.1)
    for filt in (ef.EnFF(), ef.EnSF(), ef.ScoreFilter()):
        with pytest.raises(TypeError, match=r"gradient of the operator, but dh .*Componentwise"):
            filt.analysis(x, y, obs, previous=x)
    with pytest.raises(TypeError, match=r"dh of Componentwise\(arctan\) is missing"):
        obs.gradient(x, y)


@pytest.mark.parametrize(
    "name", ["EnFF monte-carlo", "EnFF covariance", "BootstrapPF", "ETKF", "LETKF", "LEnFF"]
)
def test_needs_no_gradient(other_backend, name, dtype):
    results = [
        analysis(name, operator, 33, dtype, other_backend)
        for operator in (Componentwise(np.arctan), ARCTAN)
    ]
    assert apart(*results) <= ROUNDING


def test_without_numba(monkeypatch):
    monkeypatch.setattr(
        "enfilt.backends.block_function.BlockFunction.compiled",
        lambda *_: (_ for _ in ()).throw(ImportError("No module named 'numba'")),
    )
    with pytest.raises(ImportError, match=r"enfilt\[numba\].*Custom"):
        Componentwise(arctan)


def test_is_not_reduced():
    """The reduced form is for observations of the state itself: a function may not be linear."""
    obs = ef.Observation(Componentwise(lambda x: x), std=0.1)
    filt = ef.EnFF(path="ot", guidance="covariance", algorithm="reduced")
    with pytest.raises(ValueError, match="algorithm='reduced'"):
        filt.analysis(np.zeros((3, 4)), np.zeros(4), obs, rng=0)
    assert Identity().pointwise(4).function is None
