"""Correlated observation errors: `covariance=`."""

import dataclasses
import pickle

import numpy as np
import pytest
from scipy import sparse

import enfilt as ef

N, D, M = 9, 24, 12
RING = ef.grids.RegularGrid((D,))
STEP = ef.localization.Taper(1e9, shape="step")
TAPER = ef.localization.GaspariCohn(5.0)
NONE = ef.localization.GaspariCohn(np.inf)
#: Observations 3 and 5 are correlated by way of 7 alone; 4, 6, 10 and 11 with none.
BLOCKS = [[0, 1, 2], [3, 7], [5, 7], [8, 9]]


def covariance(rng):
    """Return R in blocks, each error of a size of its own."""
    correlation = np.eye(M)
    for block in BLOCKS:
        apart = np.abs(np.subtract.outer(np.arange(len(block)), np.arange(len(block))))
        correlation[np.ix_(block, block)] = 0.6**apart
    std = 0.5 + rng.random(M)
    return correlation * std * std[:, None]


def problem(rng, r=None):
    """Return forecast, previous, far observations, R, and what all is observed.

    Of one block the middle is missing, of another what holds it together.
    """
    r = covariance(rng) if r is None else r
    previous = rng.standard_normal((N, D))
    forecast = previous + 0.3 * rng.standard_normal((N, D))
    y = 3 * rng.standard_normal(M)
    y[[1, 7]] = np.nan
    return forecast, previous, y, r, ef.Observation(ef.operators.Every(2), covariance=r, grid=RING)


def kalman(x, y, h, r):
    """Return mean and covariance of the Kalman update with the ensemble's own covariance."""
    seen = ~np.isnan(y)
    h, r = h[seen], r[np.ix_(seen, seen)]
    mean, p = x.mean(axis=0), np.cov(x.T)
    gain = np.linalg.solve(h @ p @ h.T + r, h @ p).T
    return mean + gain @ (y[seen] - h @ mean), p - gain @ h @ p


@pytest.mark.filterwarnings("ignore:every component sees every observation")
@pytest.mark.parametrize("which", ["dense", "sparse"])
@pytest.mark.parametrize(
    "name", ["ETKF", "KalmanFilter", "LETKF", "LETKF, step", "moments", "IEnKF"]
)
def test_the_kalman_filter(name, which, rng):
    x, _, y, r, _ = problem(rng)
    h = rng.standard_normal((M, D)) / 5
    given = sparse.bsr_array(r) if which == "sparse" else r
    obs = ef.Observation(ef.operators.Linear(h), covariance=given, grid=RING, locations=np.ones(M))
    mean, p = kalman(x, y, h, r)
    model = ef.models.Linear(np.eye(D))
    filters = {
        "ETKF": ef.ETKF(),
        "KalmanFilter": ef.KalmanFilter(),
        "LETKF": ef.LETKF(NONE),
        "LETKF, step": ef.LETKF(STEP),
        "IEnKF": ef.IEnKF(model, 1),
    }
    if name == "moments":
        found = ef.KalmanFilter().analysis_moments(x.mean(axis=0), np.cov(x.T), y, obs)
    else:
        analysis = filters[name].analysis(x, y, obs, previous=x)
        found = analysis.mean(axis=0), np.cov(analysis.T)
    np.testing.assert_allclose(found[0], mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], p, rtol=0, atol=1e-12)


def test_many_members_with_perturbed_observations(rng):
    x = rng.standard_normal((1000, 4)) @ rng.standard_normal((4, 4))
    h, y, r = np.eye(4)[:3], np.array([1.0, np.nan, -1.0]), covariance(rng)[:3, :3]
    obs = ef.Observation(
        ef.operators.Linear(h), covariance=r, grid=np.arange(4.0), locations=[0, 1, 2]
    )
    mean, p = kalman(x, y, h, r)
    for filt in (ef.EnKF(), ef.EnKF(localization=STEP)):
        found = filt.analysis(x, y, obs, rng=1)
        # the mean of the perturbations, and their products with the members and themselves
        scale = np.sqrt(np.diag(np.cov(x.T)))
        assert (np.abs(found.mean(axis=0) - mean) < 5 * scale / np.sqrt(len(x))).all()
        far = np.abs(np.cov(found.T) - p) / np.outer(scale, scale)
        assert far.max() < 5 * 3 / np.sqrt(len(x))


def test_the_flow_tends_to_the_kalman_filter(rng):
    x, _, y, r, obs = problem(rng)
    mean, p = kalman(x, y, np.eye(D)[::2], r)
    far = []
    for steps in (200, 400):
        found = ef.LEnFF(NONE, steps=steps).analysis(x, y, obs)
        far.append(np.abs(found.mean(axis=0) - mean).max() + np.abs(np.cov(found.T) - p).max())
    assert far[1] < 0.02
    assert 0.4 < far[1] / far[0] < 0.6  # of first order


def joined(r, seen):
    """Return for each observation which are correlated with it, also by way of others."""
    near = (r[np.ix_(seen, seen)] != 0).astype(float)
    return np.linalg.matrix_power(near, M) > 0


def rho_of_blocks(grid, taper, r, seen, where):
    """Return the weights of observations at places: those of their blocks' nearest."""
    places = grid.coordinates(2 * seen)
    rho = taper.weight(grid.distances(where, places))
    return np.array([[row[block].max() for block in joined(r, seen)] for row in rho])


def letkf_by_loop(x, y, r, seen):
    out = x.copy()
    values = x[:, ::2][:, seen]
    innovation, anomalies = y[seen] - values.mean(axis=0), values - values.mean(axis=0)
    for d in range(D):
        rho = rho_of_blocks(RING, TAPER, r, seen, RING.coordinates([d]))[0]
        near = rho > 0
        if not near.any():
            continue
        root = np.sqrt(rho[near])
        inverse = root[:, None] * np.linalg.inv(r[np.ix_(seen[near], seen[near])]) * root
        a = anomalies[:, near]
        values_, vectors = np.linalg.eigh((N - 1) * np.eye(N) + a @ inverse @ a.T)
        shift = (vectors / values_) @ vectors.T @ a @ inverse @ innovation[near]
        transform = (vectors * np.sqrt((N - 1) / values_)) @ vectors.T
        column = x[:, d]
        out[:, d] = column.mean() + (shift + transform) @ (column - column.mean())
    return out


def lenff_by_loop(x, y, r, seen, weights):
    rho = rho_of_blocks(RING, TAPER, r, seen, RING.coordinates())
    between = rho_of_blocks(RING, TAPER, r, seen, RING.coordinates(2 * seen))
    # rows of a block are alike, too
    between = np.array([between[block].max(axis=0) for block in joined(r, seen)])
    std = np.sqrt(np.diag(r))[seen]
    values, vectors = np.linalg.eigh(r[np.ix_(seen, seen)] / std / std[:, None])
    t = (vectors / np.sqrt(values)) @ vectors.T * std[:, None] / std
    out, y = x.copy(), t @ y[seen]
    for w in weights:
        h = out[:, ::2][:, seen] @ t.T
        mean = h.mean(axis=0)
        a, anomalies = out - out.mean(axis=0), h - mean
        bound = np.abs(between * (anomalies.T @ anomalies)).sum(axis=1) / (N - 1)
        gains = (y - (h + mean) / 2) / (bound + std**2 / w)
        out = out + gains @ (rho * (a.T @ anomalies)).T / (N - 1)
    return out


@pytest.mark.parametrize("given", [False, True], ids=["operator", "observed"])
def test_localized_filters_by_plain_loops(given, backend, rng):
    x, _, y, r, obs = problem(rng)
    seen = np.flatnonzero(~np.isnan(y))
    values = {}
    if given:
        obs = ef.Observation(
            None, covariance=r, grid=RING, locations=RING.coordinates(2 * np.arange(M))
        )
        values = {"observed": x[:, ::2].copy()}
    found = ef.LETKF(TAPER, backend=backend).analysis(x, y, obs, **values)
    np.testing.assert_allclose(found, letkf_by_loop(x, y, r, seen), rtol=0, atol=1e-12)
    filt = ef.LEnFF(TAPER, steps=4, backend=backend)
    wanted = lenff_by_loop(x, y, r, seen, filt.pseudo_times)
    np.testing.assert_allclose(filt.analysis(x, y, obs, **values), wanted, rtol=0, atol=1e-12)
    found = ef.EnKF(localization=TAPER, method="denkf").analysis(x, y, obs, **values)
    rho = TAPER.weight(RING.distances(RING.coordinates(), RING.coordinates(2 * seen)))
    p, h = np.cov(x.T), np.eye(D)[2 * seen]
    # R itself is not tapered: the covariances are
    s = (rho * (p @ h.T))[2 * seen] + r[np.ix_(seen, seen)]
    gain = np.linalg.solve(s, (rho * (p @ h.T)).T).T
    mean = x.mean(axis=0)
    wanted = x + gain @ (y[seen] - mean[2 * seen]) - (x - mean) @ (gain @ h).T / 2
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


WHITENED = {
    "EnFF": ef.EnFF(steps=5),
    "EnFF monte-carlo": ef.EnFF(guidance="monte-carlo", steps=5),
    "EnFF covariance": ef.EnFF(path="ve", guidance="covariance", steps=5),
    "EnSF": ef.EnSF(steps=10),
    "EnSF ode": ef.EnSF(steps=10, sampler="ode"),
    "ScoreFilter": ef.ScoreFilter(steps=10),
    "SSLS": ef.SSLS(steps=10),
    "MASF": ef.MASF(steps=10),
    "BootstrapPF": ef.BootstrapPF(jitter=1.0),
    "EnKF": ef.EnKF(),
}


@pytest.mark.parametrize("name", WHITENED)
def test_others_by_a_whitened_operator(name, dtype, rng):
    forecast, previous, y, r, obs = problem(rng)
    seen = np.flatnonzero(~np.isnan(y))
    lower = np.linalg.cholesky(r[np.ix_(seen, seen)])
    white = ef.operators.Linear(np.linalg.solve(lower, np.eye(D)[2 * seen]).astype(dtype))
    options = {"previous": previous.astype(dtype), "rng": 1}
    forecast = forecast.astype(dtype)
    noise = rng.standard_normal((N, M))
    if name == "EnKF":
        options["noise"] = noise.astype(dtype)
    if name == "MASF":  # the directions that nothing observes are drawn in any basis of theirs
        options["noise"] = np.zeros((11, N, D), dtype)
    both, full = y.astype(dtype), {k: v for k, v in options.items() if k == "noise"}
    found = WHITENED[name].analysis(forecast, both, obs, **options)
    if name == "EnKF":
        options["noise"] = noise[:, seen].astype(dtype)
    alone = ef.Observation(white, 1.0)
    y = np.linalg.solve(lower, y[seen]).astype(dtype)
    wanted = WHITENED[name].analysis(forecast, y, alone, **options)
    scale = np.abs(wanted).max() * np.finfo(dtype).eps
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2000 * scale)
    if not WHITENED[name]._needs_of_h():
        options |= {"observed": forecast[:, ::2]} | full
        bare = ef.Observation(None, covariance=r)
        found = WHITENED[name].analysis(forecast, both, bare, **options)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2000 * scale)


ALL = WHITENED | {
    "ETKF": ef.ETKF(),
    "EnKF localized": ef.EnKF(localization=TAPER),
    "LETKF": ef.LETKF(TAPER),
    "LEnFF": ef.LEnFF(),
    "KalmanFilter": ef.KalmanFilter(),
}


@pytest.mark.parametrize("name", ALL)
def test_a_diagonal_covariance_is_std(name, rng):
    r = np.diag(0.5 + rng.random(M))
    forecast, previous, y, _, obs = problem(rng, r)
    plain = ef.Observation(ef.operators.Every(2), np.sqrt(np.diag(r)), grid=RING)
    options = {"previous": previous, "rng": 1}
    wanted = ALL[name].analysis(forecast, y, plain, **options)
    ALL[name].reset()
    np.testing.assert_array_equal(ALL[name].analysis(forecast, y, obs, **options), wanted)


@pytest.mark.parametrize("name", ["LEnFF", "LETKF", "ETKF"])
def test_the_order_of_observations_does_not_matter(name, rng):
    forecast, _, y, r, obs = problem(rng)
    other = rng.permutation(M)
    turned = ef.Observation(
        ef.operators.Subset(2 * other), covariance=r[np.ix_(other, other)], grid=RING
    )
    filt = ALL[name]
    filt.reset()
    wanted = filt.analysis(forecast, y, obs)
    filt.reset()
    found = filt.analysis(forecast, y[other], turned)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["EnKF", "EnKF localized", "LETKF", "LEnFF", "EnFF", "MASF"])
def test_contract(name, rng):
    ef.testing.check_filter(ALL[name], obs=problem(rng)[-1])


def test_simulated_errors_are_correlated(rng):
    large = np.eye(40)  # larger blocks are solved with one by one
    large[:36, :36] = 0.9 ** np.abs(np.subtract.outer(np.arange(36), np.arange(36)))
    for r in (covariance(rng), large):
        m, count = len(r), 4000
        obs = ef.Observation(ef.operators.Identity(), covariance=sparse.csc_matrix(r))
        generator = np.random.default_rng(5)
        errors = np.array([obs.simulate(np.zeros(m), generator) for _ in range(count)])
        scale = np.sqrt(np.diag(r))
        # products of Gaussians have a variance of at most 2
        far = (errors.T @ errors / count - r) / scale / scale[:, None]
        assert np.abs(far).max() < 5 * np.sqrt(2 / count)


def test_misfit_and_gradient_of_a_batch(rng):
    _, _, y, r, obs = problem(rng)
    x = rng.standard_normal((2, D))
    y = np.stack([y, rng.standard_normal(M)])
    for k in range(2):
        seen = np.flatnonzero(~np.isnan(y[k]))
        gap = y[k, seen] - x[k, 2 * seen]
        weighted = np.linalg.solve(r[np.ix_(seen, seen)], gap)
        np.testing.assert_allclose(obs.misfit(x, y)[k], gap @ weighted / 2, rtol=1e-12)
        np.testing.assert_allclose(obs.innovation(x, y)[k, seen], weighted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(-obs.gradient(x, y)[k, 2 * seen], weighted, rtol=0, atol=1e-12)


def test_bad_covariances(rng):
    r = covariance(rng)

    def changed(i, j, value):
        bad = r.copy()
        bad[i, j] = value
        return bad

    turned = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]])
    cases = [
        (r[0], ValueError, r"covariance has shape \(12,\): expected \(m, m\)"),
        (r[:3], ValueError, r"covariance has shape \(3, 12\): expected \(m, m\)"),
        (np.zeros((0, 0)), ValueError, r"covariance has shape \(0, 0\)"),
        (changed(0, 1, np.nan), ValueError, r"covariance\[0, 1\] is nan"),
        (sparse.csr_array(changed(0, 1, np.inf)), ValueError, r"covariance\[0, 1\] is inf"),
        (
            changed(2, 2, -1.0),
            ValueError,
            r"covariance\[2, 2\]=-1.0: expected variances above zero",
        ),
        (changed(2, 2, 0.0), ValueError, r"covariance\[2, 2\]=0.0"),
        (changed(4, 6, 0.1), ValueError, r"not symmetric: covariance\[4, 6\]=0.1, .*\[6, 4\]=0.0"),
        (sparse.coo_array(changed(4, 6, 0.1)), ValueError, "not symmetric"),
        (turned, ValueError, r"not positive definite: .* observations 0, 1, 2 .*eigenvalue -0.8"),
        (np.ones((2, 2)), ValueError, "not positive definite"),
        (sparse.csr_array(r.astype(complex)), TypeError, "covariance has dtype complex128"),
        ("R", TypeError, "covariance can't be read as an array of numbers"),
        (np.ma.masked_equal(r, r[0, 1]), ValueError, r"covariance is masked at \[0, 1\]"),
    ]
    for value, kind, message in cases:
        with pytest.raises(kind, match=message):
            ef.Observation(ef.operators.Identity(), covariance=value)
    with pytest.raises(ValueError, match="std and covariance are both given"):
        ef.Observation(ef.operators.Identity(), 0.1, covariance=r)
    with pytest.raises(ValueError, match="std and covariance are both missing"):
        ef.Observation(ef.operators.Identity())
    with pytest.raises(ValueError, match=r"std has shape \(12, 12\).*a matrix is covariance="):
        ef.Observation(ef.operators.Identity(), r)
    obs = ef.Observation(ef.operators.Identity(), covariance=r)
    with pytest.raises(ValueError, match="the diagonal of covariance has 12 entries: expected 5"):
        obs.size(5)


def test_what_can_not_be_whitened_says_so(rng):
    forecast, previous, y, _, obs = problem(rng)
    with pytest.raises(ValueError, match="regress_unobserved=True takes observations one by one"):
        ef.EnSF(regress_unobserved=True).analysis(forecast, y, obs)
    with pytest.raises(ValueError, match=r"algorithm='reduced' can't run .* not correlated"):
        ef.EnFF(algorithm="reduced").analysis(forecast, y, obs, previous=previous)
    bent = ef.Observation(ef.operators.Arctan(), covariance=np.eye(D) + 0.1)
    with pytest.raises(ValueError, match="MASF carries each component to its own observation"):
        ef.MASF(mode="published").analysis(forecast, np.zeros(D), bent)


def test_the_value_is_one(rng):
    r = covariance(rng)
    obs = ef.Observation(ef.operators.Identity(), covariance=r)
    kept, r[0, 0] = obs.covariance.copy(), 99.0
    np.testing.assert_array_equal(obs.covariance, kept)
    assert not obs.covariance.flags.writeable
    x, y = rng.standard_normal((N, M)), rng.standard_normal(M)
    for other in (pickle.loads(pickle.dumps(obs)), dataclasses.replace(obs, grid=np.arange(M))):
        np.testing.assert_array_equal(other.misfit(x, y), obs.misfit(x, y))
    assert pickle.loads(pickle.dumps(obs)) == obs
    assert obs != ef.Observation(ef.operators.Identity(), covariance=2 * kept)
