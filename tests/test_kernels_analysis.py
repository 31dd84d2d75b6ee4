"""The analyses of `ef.kernels`, of arrays alone: against the filters, the oracle, and exact limits.

Tolerances: of backends against NumPy's those of test_letkf.py and test_lenff_backends.py, 2e-5 of
the largest number in float32 and 1e-12 in float64; where the same kernel runs on the same numbers,
none.
"""

import numpy as np
import pytest
from conftest import KINDS
from pairs import pairs
from scipy import sparse

import enfilt as ef

RTOL = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}
TAPER = ef.localization.GaspariCohn(cutoff=3.0)


def problem(members=9, dim=40, m=25, dtype=np.float64):
    """An ensemble and nonlinear values of it, at places of their own, some of them missing."""
    rng = np.random.default_rng([members, dim, m])
    x = rng.standard_normal((members, dim))
    at = np.sort(rng.uniform(0, dim, m))
    near = at.astype(int) % dim
    observed = np.tanh(x[:, near]) + x[:, near - 1]
    y, std = rng.standard_normal(m), 0.5 + rng.random(m)
    y[3::7] = np.nan
    distance = np.abs(np.subtract.outer(np.arange(dim), at))
    distance = np.minimum(distance, dim - distance)
    between = np.abs(np.subtract.outer(at, at))
    between = np.minimum(between, dim - between)
    obs = ef.Observation(None, std=std, grid=ef.grids.RegularGrid((dim,)), locations=at)
    given = {"observed": observed.astype(dtype), "std": std}
    weights = {"weights": TAPER.weight(distance), "between": TAPER.weight(between)}
    return (x.astype(dtype), y.astype(dtype)), given, weights, obs


def close(result, expected, dtype):
    return np.abs(result - expected).max() <= RTOL[np.dtype(dtype)] * np.abs(expected).max()


@pairs({"backend, dtype": KINDS, "members": [2, 9, 33]})
def test_equal_the_filters(backend, dtype, members):
    arguments, given, weights, obs = problem(members, dtype=dtype)
    values = {"observed": given["observed"]}
    kernels = {"backend": backend}
    cases = {
        ef.ETKF(backend=backend): ef.kernels.etkf(*arguments, **given, **kernels),
        ef.LETKF(TAPER, backend=backend): ef.kernels.letkf(
            *arguments, **given, weights=weights["weights"], **kernels
        ),
        ef.LEnFF(TAPER, steps=4, growth=5.0, backend=backend): ef.kernels.lenff(
            *arguments, **given, **weights, steps=4, growth=5.0, **kernels
        ),
        ef.LEnFF(ef.localization.Taper(np.inf), backend=backend): ef.kernels.lenff(
            *arguments, **given, **kernels
        ),
    }
    for filt, result in cases.items():
        expected = filt.analysis(*arguments, obs, **values)
        assert result.dtype == dtype
        assert close(result, expected, dtype), filt


@pairs({"backend, dtype": KINDS, "members": [2, 9, 33]})
def test_equal_the_oracle(backend, dtype, members):
    arguments, given, weights, _ = problem(members, 300, 80, dtype)
    for name, more in (("etkf", ()), ("letkf", ("weights",)), ("lenff", ("weights", "between"))):
        options = given | {key: weights[key] for key in more}
        result, expected = (
            getattr(ef.kernels, name)(*arguments, **options, backend=which)
            for which in (backend, "numpy")
        )
        assert np.abs(expected - arguments[0]).max() > 0.1
        assert close(result, expected, dtype), name


def test_etkf_is_the_kalman_filter():
    (x, y), given, _, _ = problem(60, 4, 6)
    y[:] = np.linspace(-1, 1, 6)
    h = np.random.default_rng(0).standard_normal((6, 4))
    r = np.diag(given["std"] ** 2)
    result = ef.kernels.etkf(x, y, observed=x @ h.T, std=given["std"])
    p = np.cov(x.T)
    gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + r)
    mean = x.mean(axis=0)
    np.testing.assert_allclose(result.mean(axis=0), mean + gain @ (y - h @ mean), atol=1e-12)
    np.testing.assert_allclose(np.cov(result.T), p - gain @ h @ p, atol=1e-12)


def test_whitened_observations_have_any_covariance():
    (x, y), given, _, _ = problem()
    y = np.nan_to_num(y)
    r = 0.5 * 0.7 ** np.abs(np.subtract.outer(np.arange(25), np.arange(25)))
    root = np.linalg.inv(np.linalg.cholesky(r))
    result = ef.kernels.etkf(x, root @ y, observed=given["observed"] @ root.T, std=1.0)
    obs = ef.Observation(None, covariance=r)
    expected = ef.ETKF().analysis(x, y, obs, observed=given["observed"])
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.coo_matrix, list])
def test_weights_are_any_array_or_lists(make, backend):
    arguments, given, weights, _ = problem(dim=12, m=8)
    options = {"backend": backend, **given}
    expected = ef.kernels.letkf(*arguments, **options, weights=weights["weights"])
    matrix = make(weights["weights"])
    assert np.array_equal(ef.kernels.letkf(*arguments, **options, weights=matrix), expected)
    expected = ef.kernels.lenff(*arguments, **options, **weights)
    made = {name: make(value) for name, value in weights.items()}
    assert np.array_equal(ef.kernels.lenff(*arguments, **options, **made), expected)


def test_sparse_weights_with_zeros_and_repeats_stay_as_they_are():
    arguments, given, _, _ = problem(dim=3, m=4)
    rows, columns = [0, 0, 1, 2, 2], [1, 1, 0, 2, 3]
    matrix = sparse.coo_array(([0.25, 0.5, 0.0, 1.0, 0.5], (rows, columns)), shape=(3, 4)).tocsr()
    lists = sparse.csr_array(
        ([0.25, 0.5, 0.0, 0.5, 1.0], [1, 1, 0, 3, 2], [0, 2, 3, 5]), shape=(3, 4)
    )
    before = lists.data.copy(), lists.indices.copy()
    expected = ef.kernels.letkf(*arguments, **given, weights=matrix.toarray())
    assert np.array_equal(ef.kernels.letkf(*arguments, **given, weights=lists), expected)
    assert all(map(np.array_equal, (lists.data, lists.indices), before))


def test_components_may_share_the_weights_of_a_place(backend):
    arguments, given, weights, _ = problem(dim=12)
    place = np.random.default_rng(0).integers(0, 5, 12)
    rows = weights["weights"][:5]
    options = {"backend": backend, **given}
    result = ef.kernels.letkf(*arguments, **options, weights=rows, place=place)
    expected = ef.kernels.letkf(*arguments, **options, weights=rows[place])
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)
    options["between"] = weights["between"]
    result = ef.kernels.lenff(*arguments, **options, weights=rows, place=place)
    expected = ef.kernels.lenff(*arguments, **options, weights=rows[place])
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


def calls(weights):
    return {
        "etkf": (ef.kernels.etkf, {}),
        "letkf": (ef.kernels.letkf, {"weights": weights["weights"]}),
        "lenff": (ef.kernels.lenff, weights),
    }


@pytest.mark.parametrize("name", ["etkf", "letkf", "lenff"])
def test_results_go_where_they_are_asked_for(name, backend):
    (x, y), given, weights, _ = problem()
    kernel, options = calls(weights)[name]
    options = options | given | {"backend": backend}
    expected = kernel(x, y, **options)
    if name != "etkf":  # what sees nothing
        unseen = ~(options["weights"][:, ~np.isnan(y)] > 0).any(axis=1)
        assert unseen.any()
        assert np.array_equal(expected[:, unseen], x[:, unseen])
    nothing = kernel(x, np.full_like(y, np.nan), **options)
    assert np.array_equal(nothing, x)
    out = np.empty_like(x)
    assert kernel(x, y, **options, out=out) is out
    assert np.array_equal(out, expected)
    kernel(x, y, **options, out=x)
    assert np.array_equal(x, expected)


WRONG = [
    ({"forecast": np.ones((1, 4))}, ValueError, r"forecast has shape \(1, 4\)"),
    ({"forecast": np.ones((2, 3, 4))}, ValueError, r"expected \(N, D\)"),
    ({"forecast": np.full((3, 4), np.inf)}, ValueError, r"forecast\[0, 0\] is inf"),
    ({"y": np.ones((1, 2))}, ValueError, r"y has shape \(1, 2\): expected \(m,\)"),
    ({"y": [np.inf, 0.0]}, ValueError, r"y\[0\] is infinite"),
    ({"observed": np.ones((3, 3))}, ValueError, r"observed has shape \(3, 3\): expected \(3, 2\)"),
    ({"observed": np.full((3, 2), np.nan)}, ValueError, r"observed\[0, 0\] is nan"),
    ({"observed": np.ones((3, 2), int)}, TypeError, "observed has dtype int64"),
    ({"std": 0.0}, ValueError, "std=0.0"),
    ({"std": [1.0, 2.0, 3.0]}, ValueError, "std has 3 entries: expected 2"),
    ({"std": [1.0, np.nan]}, ValueError, r"std\[1\] is nan, but y\[1\] is observed"),
    ({"out": np.ones((3, 3))}, ValueError, "out has shape"),
    ({"backend": "fortran"}, ValueError, "backend='fortran' is not known"),
]
OF_WEIGHTS = [
    ({"weights": np.ones((3, 2))}, ValueError, r"weights has shape \(3, 2\): expected \(4, 2\)"),
    ({"weights": np.full((4, 2), 1.5)}, ValueError, r"weights\[0, 0\] is 1.5: expected numbers"),
    ({"weights": np.full((4, 2), np.nan)}, ValueError, r"weights\[0, 0\] is nan"),
    ({"weights": sparse.eye_array(4, 2) * -1}, ValueError, r"weights\[0, 0\] is -1.0"),
    ({"weights": sparse.eye_array(4, 2) * 1j}, TypeError, "weights has dtype complex128"),
    ({"weights": "near"}, TypeError, "weights can't be read"),
    ({"place": [0, 1, 2]}, ValueError, r"place has shape \(3,\): expected \(4,\)"),
    ({"place": [0, 1, 2, 4]}, ValueError, r"place\[3\] is 4: expected a row of weights"),
    ({"place": [0.0, 1.0, 2.0, 3.0]}, TypeError, "place has dtype float64"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), WRONG + OF_WEIGHTS)
@pytest.mark.parametrize("name", ["etkf", "letkf", "lenff"])
def test_wrong_arguments(name, changes, kind, message):
    if name == "etkf" and {"weights", "place"} & set(changes):
        return
    rng = np.random.default_rng(0)
    good = {
        "forecast": rng.standard_normal((3, 4)),
        "y": np.zeros(2),
        "observed": rng.standard_normal((3, 2)),
        "std": 1.0,
    }
    kernel, options = calls({"weights": np.ones((4, 2)), "between": np.ones((2, 2))})[name]
    with pytest.raises(kind, match=message):
        kernel(**good | options | changes)


def test_arguments_that_go_together():
    (x, y), given, weights, obs = problem()
    for options, message in [
        ({"std": 1.0}, "std and obs are both given"),
        ({"weights": weights["weights"]}, "weights and obs are both given"),
    ]:
        with pytest.raises(TypeError, match=message):
            ef.kernels.letkf(x, y, obs, localization=TAPER, **options)
    for options, message in [
        ({}, "weights is missing: expected observed, std and weights, or obs"),
        ({"weights": weights["weights"], "localization": TAPER}, "obs is missing"),
    ]:
        with pytest.raises(TypeError, match=message):
            ef.kernels.letkf(x, y, **given, **options)
    with pytest.raises(TypeError, match="localization=None"):
        ef.kernels.letkf(x, y, obs)
    for options, message in [
        ({"weights": weights["weights"]}, "between is missing beside weights"),
        ({"between": weights["between"]}, "weights is missing beside between"),
        ({"place": np.arange(40)}, "place is given, and weights is missing"),
        ({"steps": 1.5}, "steps=1.5"),
    ]:
        with pytest.raises(TypeError, match=message):
            ef.kernels.lenff(x, y, **given, **options)
    with pytest.raises(ValueError, match=r"growth=0\.0"):
        ef.kernels.lenff(x, y, **given, growth=0.0)


def test_numbers_that_overflow():
    x = np.array([[-1e300], [1e300]])
    with pytest.raises(FloatingPointError, match="forecast, observed, y and std lead to numbers"):
        ef.kernels.etkf(x, [1.0], observed=x, std=1.0)
    with pytest.raises(FloatingPointError, match="no number in float32"):
        ef.kernels.etkf(np.eye(2, dtype="f4"), [1.0], observed=np.eye(2, 1, dtype="f4"), std=1e-30)
