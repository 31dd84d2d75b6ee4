"""Scores of an ensemble: plain formulas, scoringrules, and the backends against each other."""

import numpy as np
import pytest
from conftest import BACKENDS, KINDS, OTHER_KINDS
from pairs import pairs

import enfilt as ef
from enfilt import metrics

SIZES = [(1, 1), (2, 31), (3, 33), (5, 1), (20, 8193), (7, 1000), (65, 130)]
PER_COMPONENT = ("rmse", "spread", "crps", "energy_score", "nrmse", "fair_crps")


def sample(members, dim, dtype):
    rng = np.random.default_rng([members, dim])
    truth = 3 * rng.standard_normal(dim)
    ensemble = truth + 0.7 * rng.standard_normal((members, dim)) + 0.2
    return ensemble.astype(dtype), truth.astype(dtype)


def plain_scores(ensemble, truth):
    """Every score by the formula in its docstring, in float64, member by member."""
    x, t = ensemble.astype(np.float64), truth.astype(np.float64)
    members, dim = x.shape
    mean = sum(x) / members
    rmse = np.sqrt(np.mean((mean - t) ** 2))
    variance = sum((row - mean) ** 2 for row in x) / (members - 1) if members > 1 else 0 * mean
    apart = sum(np.abs(a - b) for a in x for b in x) / members**2
    norms = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
    below = [int((ensemble[:, d] < truth[d]).sum()) for d in range(dim)]
    return {
        "rmse": rmse,
        "spread": np.sqrt(np.mean(variance)),
        "crps": np.mean(sum(np.abs(row - t) for row in x) / members - apart / 2),
        "energy_score": np.mean([np.linalg.norm(row - t) for row in x]) - norms.mean() / 2,
        "fair_crps": np.mean(
            sum(np.abs(row - t) for row in x) / members
            - apart * members / (2 * (members - 1) if members > 1 else np.nan)
        ),
        "nrmse": rmse / t.std() if dim > 1 else np.nan,
        "rank_histogram": np.array([below.count(k) for k in range(members + 1)]),
    }


def tolerance(members, dtype):
    """Relative to the sums' terms.

    A kernel may sum over members, pairs of members and up to 512 components of a block in the
    working dtype, and rounds once a term; sums over D are in float64.
    """
    return (members**2 / 2 + members + 512) * np.finfo(dtype).eps


@pairs({"backend, dtype": KINDS, "members, dim": SIZES})
def test_plain_formulas(members, dim, dtype, backend):
    ensemble, truth = sample(members, dim, dtype)
    found = metrics.score(ensemble, truth, backend=backend)
    wanted = plain_scores(ensemble, truth)
    np.testing.assert_array_equal(found.rank_histogram, wanted.pop("rank_histogram"))
    assert found.rank_histogram.dtype == np.int64
    assert found.rank_histogram.sum() == dim
    # crps and energy score are differences of two means: relative to the larger
    size = np.abs(ensemble.astype(np.float64) - truth).mean()
    scale = {"crps": size, "fair_crps": 2 * size, "energy_score": size * np.sqrt(dim)}
    # of a member less the truth, float32 keeps eps of the state itself
    lost = np.abs(ensemble).max() * np.finfo(dtype).eps
    for name, value in wanted.items():
        limit = tolerance(members, dtype) * scale.get(name, abs(value))
        limit += 4 * lost * (np.sqrt(dim) if name == "energy_score" else 1)
        np.testing.assert_allclose(getattr(found, name), value, rtol=0, atol=limit, err_msg=name)


@pairs(
    {
        "backend": BACKENDS,
        "members, dim": [(1, 3), (2, 1), (5, 31), (20, 33), (40, 8193)],
        "estimator": ["nrg", "qd", "fair"],
    }
)
def test_crps_against_scoringrules(members, dim, estimator, backend):
    reference = pytest.importorskip("scoringrules")
    ensemble, truth = sample(members, dim, np.float64)
    scores = metrics.score(ensemble, truth, backend=backend)
    fair = estimator == "fair"
    if fair and members == 1:
        assert np.isnan(scores.fair_crps)  # of no pair
        return
    wanted = reference.crps_ensemble(
        truth, ensemble, m_axis=0, estimator=estimator, backend="numpy"
    ).mean()
    found, terms = (scores.fair_crps, 4) if fair else (scores.crps, 2)
    size = np.abs(ensemble - truth).mean()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=terms * tolerance(members, float) * size)


def test_energy_score_against_scoringrules(backend):
    reference = pytest.importorskip("scoringrules")
    ensemble, truth = sample(12, 33, np.float64)
    wanted = reference.es_ensemble(truth, ensemble, backend="numpy")
    found = metrics.score(ensemble, truth, backend=backend).energy_score
    size = np.linalg.norm(ensemble - truth, axis=1).mean()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2 * tolerance(12, float) * size)


@pairs({"other_backend, dtype": OTHER_KINDS, "members": [1, 2, 20, 33], "dim": [1, 31, 33, 8193]})
def test_backends_agree(members, dim, dtype, other_backend):
    ensemble, truth = sample(members, dim, dtype)
    wanted = metrics.score(ensemble, truth, backend="numpy")
    found = metrics.score(ensemble, truth, backend=other_backend)
    np.testing.assert_array_equal(found.rank_histogram, wanted.rank_histogram)
    size = np.abs(ensemble - truth).mean()
    scale = {"crps": size, "fair_crps": 2 * size, "energy_score": size * np.sqrt(dim)}
    lost = np.abs(ensemble).max() * np.finfo(dtype).eps
    for name in PER_COMPONENT:
        a, b = getattr(found, name), getattr(wanted, name)
        limit = tolerance(members, dtype) * scale.get(name, abs(b))
        limit += 4 * lost * (np.sqrt(dim) if name == "energy_score" else 1)
        np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=name)


def test_sums_over_many_components_do_not_drift(backend):
    """In float32 a plain sum of 2^19 equal terms of 0.1 is off by some 1e-3."""
    dim = 1 << 19
    ensemble = np.full((2, dim), 0.1, np.float32)
    ensemble[1] = 0.3
    found = metrics.score(ensemble, np.zeros(dim, np.float32), backend=backend)
    a, b = (float(v) for v in ensemble[:, 0])
    limit = tolerance(2, np.float32) / 8  # lanes share the block: 64 terms each at most
    np.testing.assert_allclose(found.rmse, (a + b) / 2, rtol=limit)
    np.testing.assert_allclose(found.spread, (b - a) / np.sqrt(2), rtol=limit)
    np.testing.assert_allclose(found.crps, (a + b) / 2 - (b - a) / 4, rtol=limit)


def test_one_member(dtype, backend):
    found = metrics.score(np.array([[1, 4]], dtype), np.array([0, 6], dtype), backend=backend)
    assert found.spread == 0
    assert found.crps == 1.5  # of a single member the absolute error
    assert found.energy_score == pytest.approx(np.sqrt(5), rel=4 * float(np.finfo(dtype).eps))
    assert found.rmse == pytest.approx(np.sqrt(2.5), rel=4 * float(np.finfo(dtype).eps))
    assert found.rank_histogram.tolist() == [1, 1]


def test_a_perfect_ensemble(dtype, backend):
    truth = np.linspace(-2, 2, 33, dtype=dtype)
    found = metrics.score(np.tile(truth, (4, 1)), truth, backend=backend)
    assert found[:4] == (0, 0, 0, 0)
    assert found.nrmse == 0
    assert found.rank_histogram.tolist() == [33, 0, 0, 0, 0]  # members at the truth are not below


def test_a_truth_without_variance_has_no_nrmse(backend):
    assert np.isnan(metrics.score(np.eye(3), np.ones(3), backend=backend).nrmse)


def test_rank_histogram_counts_every_rank(backend):
    ensemble = np.array([[0.0] * 5, [1.0] * 5, [2.0] * 5])
    truth = np.array([-1.0, 0.5, 0.6, 1.5, 3.0])
    found = metrics.score(ensemble, truth, backend=backend)
    assert found.rank_histogram.tolist() == [1, 2, 1, 1]


def test_scores_do_not_depend_on_the_order_of_members(backend, rng):
    ensemble, truth = sample(20, 100, np.float64)
    one = metrics.score(ensemble, truth, backend=backend)
    other = metrics.score(ensemble[rng.permutation(20)], truth, backend=backend)
    np.testing.assert_allclose(one[:5], other[:5], rtol=tolerance(20, np.float64))


def test_functions_are_the_fields_of_score():
    ensemble, truth = sample(5, 33, np.float64)
    scores = metrics.score(ensemble, truth)
    for name in ("rmse", "crps", "energy_score", "nrmse", "fair_crps"):
        assert getattr(metrics, name)(ensemble, truth) == getattr(scores, name)
    np.testing.assert_array_equal(metrics.rank_histogram(ensemble, truth), scores.rank_histogram)
    # the spread alone is reckoned about another origin
    assert metrics.spread(ensemble) == pytest.approx(scores.spread, rel=1e-12)


def test_inputs_are_not_written_to(backend):
    ensemble, truth = sample(5, 33, np.float32)
    ensemble.flags.writeable = truth.flags.writeable = False
    metrics.score(ensemble, truth, backend=backend)


def test_strided_inputs(backend):
    ensemble, truth = sample(6, 40, np.float64)
    found = metrics.score(ensemble[::2, ::2], truth[::2], backend=backend)
    wanted = metrics.score(ensemble[::2, ::2].copy(), truth[::2].copy(), backend=backend)
    np.testing.assert_array_equal(found.rank_histogram, wanted.rank_histogram)
    assert found[:5] == wanted[:5]


BAD = np.zeros((3, 4))
BAD[1, 2] = np.nan


@pytest.mark.parametrize(
    ("ensemble", "truth", "kind", "message"),
    [
        (np.zeros((3, 4), np.float16), np.zeros(4), TypeError, "ensemble has dtype float16"),
        (np.zeros((3, 4), np.int64), np.zeros(4), TypeError, "ensemble has dtype int64"),
        (np.zeros((3, 4), complex), np.zeros(4), TypeError, "ensemble has dtype complex128"),
        (np.zeros((3, 4)), np.zeros(4, np.float32), TypeError, "truth has dtype float32"),
        (np.zeros((3, 4)), np.zeros(4, np.int64), TypeError, "truth has dtype int64"),
        (np.zeros((3, 4)), np.zeros(3), ValueError, r"truth has shape \(3,\): expected \(4,\)"),
        (np.zeros((3, 4)), np.zeros((1, 4)), ValueError, r"truth has shape \(1, 4\)"),
        (np.zeros(4), np.zeros(4), ValueError, r"ensemble has shape \(4,\)"),
        (np.zeros((2, 3, 4)), np.zeros(4), ValueError, r"ensemble has shape \(2, 3, 4\)"),
        (np.zeros((0, 4)), np.zeros(4), ValueError, r"ensemble has shape \(0, 4\)"),
        (np.zeros((3, 0)), np.zeros(0), ValueError, r"ensemble has shape \(3, 0\)"),
        (BAD, np.zeros(4), ValueError, r"ensemble\[1, 2\] is nan"),
        (np.zeros((3, 4)), BAD[1], ValueError, r"truth\[2\] is nan"),
        (np.zeros((3, 4)), np.array([0, np.inf, 0, 0]), ValueError, r"truth\[1\] is inf"),
        ("abc", np.zeros(4), TypeError, "ensemble can't be read"),
    ],
)
def test_bad_input(ensemble, truth, kind, message, backend):
    with pytest.raises(kind, match=message):
        metrics.score(ensemble, truth, backend=backend)


def test_spread_needs_two_members():
    with pytest.raises(ValueError, match=r"ensemble has shape \(1, 4\), 1 member"):
        metrics.spread(np.zeros((1, 4)))


def test_unknown_backend():
    with pytest.raises(ValueError, match=r"backend='nunpy' is not known.*did you mean 'num"):
        ef.metrics.score(np.zeros((2, 2)), np.zeros(2), backend="nunpy")
