"""What must come out of the flow filter exactly: the limits that flow.md's page of maths claims.

Transue, Chen, Takao, Wang (2025), arXiv:2508.13313.
"""

import dataclasses

import numpy as np
import pytest
from conftest import BACKENDS, OTHERS
from hypothesis import given
from hypothesis import strategies as st
from pairs import pairs
from scipy import stats

import enfilt as ef
from enfilt import backends
from enfilt.paths import PATHS, as_path

#: Statistics of starts by the thousand are taken on the fastest backend that there is; that the
#: others give the same is the business of test_enff_backends.
FASTEST = BACKENDS[0]


def nearest_members(points, members):
    """For each point the member next to it, and how far away that is."""
    distance = np.sqrt(((points[:, None] - members[None]) ** 2).sum(axis=2))
    return distance.argmin(axis=1), distance.min(axis=1)


def copies(ensemble, count):
    """The ensemble as a batch of so many, each with starts of its own."""
    return np.broadcast_to(ensemble, (count, *ensemble.shape)).copy()


def ignored(dim):
    """Observations for guidance that does not look at them."""
    return np.zeros(dim), ef.Observation(ef.operators.Identity(), std=1.0)


# --- 1. no guidance --------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [2, 20])
def test_endpoints_tend_to_the_members(dim):
    """Steps four times as many and sigma_min a quarter: the distance falls about as sigma_min.

    With one-hot weights the path is a straight line that Euler's steps follow exactly, to
    x1 + sigma_min z(0), so sigma_min in the root mean square of a component; what comes on top is
    second order in the step. And by symmetry of the start every member is as likely.
    """
    members = 3 * np.random.default_rng(0).standard_normal((10, dim))
    errors = []
    for steps, sigma in [(10, 0.1), (40, 0.025), (160, 0.00625)]:
        filt = ef.EnFF(path="ot", guidance="none", steps=steps, sigma_min=sigma, backend=FASTEST)
        ends = filt.analysis(copies(members, 200), *ignored(dim), rng=3).reshape(-1, dim)
        chosen, distance = nearest_members(ends, members)
        errors.append(np.sqrt(np.mean(distance**2) / dim))
    sigmas = np.array([0.025, 0.00625])
    assert errors[0] < 0.2
    assert (np.array(errors[1:]) < 1.2 * sigmas).all()
    assert (np.array(errors[1:]) > 0.8 * sigmas).all()
    counts = np.bincount(chosen, minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3


ONE_MEMBER_SIGMA = {"ot": 0.2, "f2p": 0.2, "ve": 1.0}


@pytest.mark.parametrize("path", PATHS)
def test_one_member_in_closed_form(backend, path):
    """One member: z(t) = mu(t) + s(t)/s(0) (z(0) - mu(0)), whose derivative the field must be.

    Central differences of step 1e-4 in t err by 1e-8/6 times the third derivative, for `ve` up to
    1e3 and eps/1e-4: 1e-5 in all.
    """
    rng = np.random.default_rng(1)
    x1, x0, start = (rng.standard_normal((1, 9)) for _ in range(3))
    sigma = ONE_MEMBER_SIGMA[path]

    def solution(t):
        if path == "ot":
            return t * x1 + (1 - (1 - sigma) * t) * start
        if path == "f2p":
            return t * x1 + (1 - t) * x0 + (start - x0)
        q, rate = 25.0 / sigma, 1 - 1e-3
        s, s0 = (np.sqrt(q ** (2 * (1 - rate * u)) - 1) for u in (t, 0))
        return x1 + s / s0 * (start - x1)

    for t in (0.01, 0.25, 0.5, 0.8, 0.95):
        velocity = (solution(t + 1e-4) - solution(t - 1e-4)) / 2e-4
        field = ef.kernels.flow_field(
            solution(t), x1, t, path=path, sigma_min=sigma, previous=x0, backend=backend
        )
        assert np.abs(field - velocity).max() < 1e-5 * (1 + np.abs(velocity).max())

    def integrate(steps):
        z = start
        for k in range(steps):
            z = z + 1 / steps * ef.kernels.flow_field(
                z, x1, k / steps, path=path, sigma_min=sigma, previous=x0, backend=backend
            )
        return np.abs(z - solution(1.0)).max()

    if path == "ve":  # Euler's steps are of first order: the error falls in proportion
        assert 0.3 < integrate(400) / integrate(200) < 0.7
    else:  # a straight line
        assert integrate(7) < 1e-13


def test_one_member_is_no_ensemble(backend):
    with pytest.raises(ValueError, match="forecast has shape"):
        ef.EnFF(path="ot", guidance="none", backend=backend).analysis(np.zeros((1, 3)), *ignored(3))


# --- 2. Monte Carlo guidance -----------------------------------------------------------------


def test_monte_carlo_resamples_by_likelihood():
    """1e5 starts: member j with probability proportional to exp(-J_j), by a chi-square test.

    Accepted above p = 1e-3. The test sees a strength of guidance wrong by a twentieth, and counts
    that are not of the likelihood at all. Heun's 25 steps leave an error of the probabilities
    below what 1e5 starts tell apart. Each member stands four times in an ensemble, which changes
    nothing in the sums over members and shares them among fewer ensembles.
    """
    rng = np.random.default_rng(0)
    members = rng.uniform(-2, 2, (5, 2))
    obs = ef.Observation(ef.operators.Arctan(), std=0.6)
    y = np.array([0.3, 0.3])
    misfit = 0.5 * np.sum((y - np.arctan(members)) ** 2, axis=1) / 0.6**2
    expected = np.exp(-misfit) / np.exp(-misfit).sum()
    assert expected.min() > 1e-3  # 100 starts or more
    filt = ef.EnFF(
        path="ot",
        guidance="monte-carlo",
        steps=25,
        sigma_min=0.01,
        sampler="heun",
        backend=FASTEST,
    )
    ends = filt.analysis(copies(np.tile(members, (4, 1)), 5000), y, obs, rng=1).reshape(-1, 2)
    chosen, distance = nearest_members(ends, members)
    assert np.mean(distance > 0.1) < 1e-4
    counts = np.bincount(chosen, minlength=5)
    assert stats.chisquare(counts, expected * counts.sum()).pvalue > 1e-3
    for wrong in (np.ones(5), np.exp(-1.05 * misfit), np.exp(-0.95 * misfit)):
        assert stats.chisquare(counts, wrong / wrong.sum() * counts.sum()).pvalue < 1e-3


# --- 3. covariance guidance ------------------------------------------------------------------


def test_covariance_guidance_tends_to_the_kalman_filter():
    """Mean and covariance of the analysis against the Kalman update of the same forecast.

    An analysis is N draws from the posterior N(m_a, P_a): its mean errs by sqrt(trace P_a / N) in
    root mean square, its covariance by sqrt(sum_ij (P_ii P_jj + P_ij^2) / (N - 1)) (Wishart). Over
    B ensembles those root mean squares are known to 1/sqrt(2 B), one standard deviation: three are
    allowed. Finite N adds what falls faster, found to be 4/N of it and allowed to be 8/N, steps and
    sigma_min a tenth. Twice the gain, or half of it, errs by 0.3 at any N.
    """
    mean, std = np.array([0.5, -0.3]), 0.6
    covariance = np.array([[1.0, 0.6], [0.6, 0.8]])
    y, obs = np.array([1.2]), ef.Observation(ef.operators.Every(2), std=std)
    gain = covariance[:, 0] / (covariance[0, 0] + std**2)
    posterior = covariance - np.outer(gain, covariance[0])
    mean_errors, covariance_errors = [], []
    for members, count, steps in [(8, 200, 10), (32, 64, 20), (128, 16, 20)]:
        rng = np.random.default_rng(members)
        normals = rng.standard_normal((count, members, 2))
        forecast = mean + normals @ np.linalg.cholesky(covariance).T
        filt = ef.EnFF(
            path="ot",
            guidance="covariance",
            steps=steps,
            sigma_min=0.05,
            sampler="heun",
            backend=FASTEST,
        )
        analysis = filt.analysis(forecast, y, obs, rng=members)

        def moments(x):
            centre = x.mean(axis=1)
            a = x - centre[:, None]
            return centre, np.einsum("bni,bnj->bij", a, a) / (x.shape[1] - 1)

        m_f, p_f = moments(forecast)
        k = p_f[:, :, 0] / (p_f[:, 0, 0] + std**2)[:, None]
        m_a, p_a = moments(analysis)
        mean_error = m_a - (m_f + k * (y - m_f[:, :1]))
        covariance_error = p_a - (p_f - k[:, :, None] * p_f[:, None, 0])
        of_mean = np.sqrt(np.trace(posterior) / members)
        squares = np.outer(np.diag(posterior), np.diag(posterior)) + posterior**2
        of_covariance = np.sqrt(squares.sum() / (members - 1))
        slack = (1.1 + 8 / members) * (1 + 3 / np.sqrt(2 * count))
        mean_errors.append(np.sqrt(np.mean(np.sum(mean_error**2, axis=1))))
        covariance_errors.append(np.sqrt(np.mean(np.sum(covariance_error**2, axis=(1, 2)))))
        assert mean_errors[-1] < slack * of_mean
        assert covariance_errors[-1] < slack * of_covariance
        # what does not average out is far smaller still
        bias = np.linalg.norm(mean_error.mean(axis=0))
        assert bias < 1 / members + 4 * of_mean / np.sqrt(count)
    # four times the members: half the error
    for errors in (mean_errors, covariance_errors):
        assert errors[1] < 0.7 * errors[0]
        assert errors[2] < 0.7 * errors[1]


OBSERVED = {
    "Identity": lambda dim: ef.operators.Identity(),
    "Every": lambda dim: ef.operators.Every(2),
    "Linear": lambda dim: ef.operators.Linear(
        np.random.default_rng(2).standard_normal((4, dim)) / np.sqrt(dim)
    ),
    "Arctan": lambda dim: ef.operators.Arctan(),
    "Custom": lambda dim: ef.operators.Custom(lambda x: np.sin(x[:, 1:] + x[:, :-1])),
}


def naive_covariance_flow(x1, y, obs, noise, path, filt):
    """The filter with the m x m gain K = S H^T (H S H^T + R)^-1 built as it stands."""
    members = x1.shape[0]
    seen = ~np.isnan(y)
    h = obs.operator(x1)[:, seen]
    std = np.broadcast_to(np.asarray(obs.std), y.shape)[seen]
    anomalies, observed = x1 - x1.mean(axis=0), h - h.mean(axis=0)

    def field(t, z):
        a1, s, da1, ds = path.a1(t), path.s(t), path.da1(t), path.ds(t)
        logits = -((z[:, None] - a1 * x1[None]) ** 2).sum(axis=2) / (2 * s**2)
        w = np.exp(logits - logits.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        x1_hat = w @ x1
        # S = A^T ((N - 1) I + (a1/s)^2 A A^T)^-1 A; S H^T and H S H^T with anomalies of h
        inner = np.linalg.inv(
            (members - 1) * np.eye(members) + (a1 / s) ** 2 * anomalies @ anomalies.T
        )
        cross = anomalies.T @ inner @ observed
        within = observed.T @ inner @ observed
        if isinstance(obs.operator, ef.operators.Linear | ef.operators.Identity):
            # the same from S = (P^-1 + (a1/s)^2 I)^-1 itself, where P can be inverted
            dim = x1.shape[1]
            if members > dim:
                p = anomalies.T @ anomalies / (members - 1)
                S = np.linalg.inv(np.linalg.inv(p) + (a1 / s) ** 2 * np.eye(dim))
                H = obs.operator(np.eye(dim)).T[seen]
                assert np.allclose(S @ H.T, cross, rtol=1e-7, atol=1e-9)
                cross, within = S @ H.T, H @ S @ H.T
        gain = cross @ np.linalg.inv(within + np.diag(std**2))
        innovation = y[seen] - obs.operator(x1_hat)[:, seen]
        ratio = ds / s
        b1 = da1 - ratio * a1
        return ratio * z + b1 * x1_hat + b1 * innovation @ gain.T

    z = path.a1(0.0) * x1 + path.s(0.0) * noise
    for k in range(filt.steps):
        f = field(k / filt.steps, z)
        if filt.sampler == "heun":
            f = (f + field((k + 1) / filt.steps, z + f / filt.steps)) / 2
        z = z + f / filt.steps
    return z


@pairs(
    {
        "backend": BACKENDS,
        "operator": list(OBSERVED),
        "path": ["ot", "ve"],
        "size": [(5, 12), (30, 7)],
        "missing": {"all": False, "some missing": True},
        "sampler": ["euler", "heun"],
    }
)
def test_covariance_gain_is_the_naive_one(backend, path, operator, size, missing, sampler):
    """To 1e-9: matrices of condition 1e3, inverted on both sides, and three steps.

    Observations at least four times as accurate as the forecast, so that the gain counts.
    """
    rng = np.random.default_rng(4)
    members, dim = size
    x1 = 1 + 0.8 * rng.standard_normal((members, dim)) * rng.uniform(0.5, 1, dim)
    h = OBSERVED[operator](dim)
    m = h.size(dim)
    y = h(x1[:1])[0] + 0.3
    if missing:
        y[::2] = np.nan
    obs = ef.Observation(h, std=0.2 * (1 + rng.random(m)))
    sigma = {"ot": 0.3, "ve": 2.0}[path]
    filt = ef.EnFF(
        path=path,
        guidance="covariance",
        steps=3,
        sigma_min=sigma,
        sampler=sampler,
        backend=backend,
    )
    noise = rng.standard_normal((members, dim))
    analysis = filt.analysis(x1, y, obs, noise=noise)
    expected = naive_covariance_flow(x1, y, obs, noise, as_path(path, sigma), filt)
    assert np.linalg.norm(analysis - expected) < 1e-9 * np.linalg.norm(expected)
    plain = dataclasses.replace(filt, guidance="none").analysis(x1, y, obs, noise=noise)
    assert np.linalg.norm(analysis - plain) > 1e-2 * np.linalg.norm(plain)


def test_covariance_guidance_does_not_go_with_f2p(backend):
    with pytest.raises(ValueError, match="guidance='covariance' can't go with path='f2p'"):
        ef.EnFF(path="f2p", guidance="covariance", backend=backend)


# --- 4. symmetries ---------------------------------------------------------------------------


@st.composite
def fields(draw):
    """A path, a time, a dtype and the seed and sizes of its arrays."""
    path = draw(st.sampled_from(sorted(PATHS)))
    t = draw(st.integers(0, 8)) / 8
    dtype = np.dtype(draw(st.sampled_from([np.float32, np.float64])))
    members = draw(st.integers(1, 40))
    points = draw(st.integers(1, 9))
    dim = draw(st.one_of(st.integers(1, 70), st.sampled_from([511, 513, 1025])))
    return path, t, dtype, members, points, dim, draw(st.integers(0, 2**32 - 1))


@pytest.mark.parametrize("backend", BACKENDS)
@given(fields())
def test_order_of_members_is_nothing(backend, case):
    """v does not change when (x0, x1, l) are permuted together, but for the order of sums.

    Distances are the very same numbers. Sums over at most 40 members in another order differ by
    40 eps/2 of their terms at most, those of the weights and those of v.
    """
    path, t, dtype, members, points, dim, seed = case
    rng = np.random.default_rng(seed)
    x1 = (rng.standard_normal((members, dim)) / np.sqrt(dim)).astype(dtype)
    x0 = (x1 + rng.standard_normal((members, dim)) / np.sqrt(dim)).astype(dtype)
    z = (rng.standard_normal((points, dim)) / np.sqrt(dim)).astype(dtype)
    logs = rng.standard_normal(members)
    order = rng.permutation(members)

    def field(x1, x0, logs):
        return ef.kernels.flow_field(
            z, x1, t, path=path, sigma_min=0.3, previous=x0, log_weights=logs, backend=backend
        )

    v, permuted = field(x1, x0, logs), field(x1[order], x0[order], logs[order])
    stage = as_path(path, 0.3).stage(t)
    terms = abs(stage.ratio) * np.linalg.norm(z, axis=1) + np.max(
        abs(stage.b1) * np.linalg.norm(x1, axis=1) + abs(stage.b0) * np.linalg.norm(x0, axis=1)
    )
    assert (np.linalg.norm(v - permuted, axis=1) <= 40 * np.finfo(dtype).eps * terms).all()


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=fields(), shift=st.integers(-256, 256), other=st.integers(-256, 256))
def test_constant_vector_is_nothing_to_f2p(backend, case, shift, other):
    """A constant vector added to z, x0 and x1 changes no bit of the weights, seen through v.

    The numbers are multiples of 1/64 up to 8, the constants integers up to 256 and t a multiple of
    1/8: every sum, centre and difference is exact in float32 too, and v = sum_j w_ij (x1_j - x0_j)
    differs only where a weight does.
    """
    _, t, dtype, members, points, dim, seed = case
    rng = np.random.default_rng(seed)
    x1, x0 = (rng.integers(-64, 65, (members, dim)) / 64 for _ in range(2))
    z = rng.integers(-64, 65, (points, dim)) / 64
    constant = np.where(np.arange(dim) % 2 == 0, shift, other)

    def field(c):
        return ef.kernels.flow_field(
            (z + c).astype(dtype),
            (x1 + c).astype(dtype),
            t,
            path="f2p",
            sigma_min=float(np.sqrt(dim)),  # several weights matter
            previous=(x0 + c).astype(dtype),
            backend=backend,
        )

    assert np.array_equal(field(constant), field(0))


# --- 5. float32 ------------------------------------------------------------------------------

SIGMA = 1e-3


def assert_float32_is_near(
    backend, z, x1, x0, path, t, tolerance=1e-4, *, largest=None, effective=None
):
    """Float32 is near float64 in the norm of v, for weights such as the data is made for.

    `largest`, `effective`: bounds of all points' largest weight, and of 1 / sum_j w_ij^2.
    """
    __tracebackhide__ = True
    if not as_path(path, SIGMA).uses_previous:
        x0 = None
    assert z.dtype == x1.dtype == np.float32

    def field(z, x1, x0):
        return ef.kernels.flow_field(
            z, x1, t, path=path, sigma_min=SIGMA, previous=x0, backend=backend
        )

    wide = [None if a is None else a.astype(np.float64) for a in (z, x1, x0)]
    exact = field(*wide)
    stage = as_path(path, SIGMA).stage(t)
    distances = backends.get(backend).squared_distances(*wide, stage)
    w = np.exp(-stage.half_precision * (distances - distances.min(axis=1, keepdims=True)))
    w /= w.sum(axis=1, keepdims=True)
    if largest is not None:
        assert largest[0] <= np.median(w.max(axis=1)) <= largest[1]
    if effective is not None:
        assert np.median(1 / np.sum(w**2, axis=1)) > effective
    error = np.linalg.norm(field(z, x1, x0) - exact) / np.linalg.norm(exact)
    assert error <= tolerance


@pytest.fixture(scope="module")
def large():
    """x1, x0 of 20 members and 1e6 components, some 3 in size, and noise of 5 points."""
    rng = np.random.default_rng(0)
    x1, x0, noise = (
        rng.standard_normal((rows, 1_000_000), dtype=np.float32) for rows in (20, 20, 5)
    )
    x1 *= 3
    x0 *= np.float32(0.5)
    x0 += x1
    return x1, x0, noise


@pytest.mark.parametrize(
    ("path", "t"),
    [
        ("f2p", 0.5),
        ("f2p", 1.0),
        ("ot", 0.5),
        ("ot", 1.0),
        ("ve", 0.5),
        # v = (s'/s) (z - x1) is small beside (s'/s) z, s being 3e-5 here: as products of their
        # own, each rounded, they would be wrong by some 1e-2 of it
        ("ve", 1.0),
    ],
)
@pytest.mark.parametrize("backend", OTHERS)
def test_float32_at_a_million_components(backend, large, path, t):
    x1, x0, noise = large
    kind = as_path(path, SIGMA)
    a1, a0, s = (np.float32(f(t)) for f in (kind.a1, kind.a0, kind.s))
    z = s * noise + a1 * x1[:5] + a0 * x0[:5]
    assert_float32_is_near(backend, z, x1, x0, path, t, largest=(1 - 1e-7, 1))


@pytest.mark.parametrize(
    ("t", "crossing"),
    [
        (0.5, False),
        (1.0, False),
        (0.0, True),
        (1.0, True),
        # Not (0.5, True): mu_j = (x1_j + x0_j)/2 is rounded by eps |mu|, and members of quite
        # different x1 - x0 that pass each other within sigma_min are told apart by that rounding,
        # which their float32 centres do not hold.
    ],
)
@pytest.mark.parametrize("backend", OTHERS)
def test_float32_near_ties(backend, large, t, crossing):
    """Members whose centres stand sigma_min apart at t: weights of all sizes at D = 1e6.

    They move side by side, or meet only at t, each x1_j - x0_j another. Then v is as wrong as the
    weights, and those as the logits' differences. A logit here is 5e5, the sum of 1e6 squares: in
    float32 over blocks of 512, in L lanes, each term errs by eps/2 sqrt(512/L/3), 31000 partial
    sums as a random walk: 5e-4 for L = 16, the logit 1e-3 with L = 4. Of that a quarter or less
    comes through w (1 - w), for both members: 4e-4 at most.
    """
    x1, x0, noise = large
    rows = np.arange(20)[:, None]
    nearly = np.float32(SIGMA / 1e3) * np.roll(noise[rows.ravel() % 5], 1, axis=1)  # SIGMA in norm
    nearly *= np.float32(1) + np.float32(0.1) * (rows // 5).astype(np.float32)
    if not crossing:
        x1, x0 = x1[0] + nearly, x0[0] + nearly
    elif t == 0:
        x0 = x0[0] + nearly
    else:
        centre = t * x1[0].astype(np.float64) + (1 - t) * x0[0]
        x1 = ((centre + nearly - (1 - t) * x0) / t).astype(np.float32)
    z = np.float32(t) * x1[:1] + np.float32(1 - t) * x0[:1] + np.float32(SIGMA) * noise
    tolerance = 4e-4 if crossing else 1e-4
    assert_float32_is_near(
        backend, z, x1, x0, "f2p", t, tolerance, largest=(0.05, 0.95), effective=1.5
    )


# Not "ot" about 1 at t = 1, v = z + (E[x1|z] - z)/sigma_min: the rounding of E[x1|z] is 1e-4 of it.
SPREAD_OUT = [
    (path, t, centre)
    for path in ("f2p", "ot")
    for t in (0.0, 0.5, 0.95, 1.0)
    for centre in (0.0, 1.0)
    if (path, t, centre) != ("ot", 1.0, 1.0)
]


@pytest.mark.parametrize(("path", "t", "centre"), SPREAD_OUT)
@pytest.mark.parametrize("backend", OTHERS)
def test_float32_of_spread_out_weights(backend, centre, path, t):
    """A thousand members in three components, a cloud as wide as sigma_min: many weights count."""
    rng = np.random.default_rng(2)
    shape = (1000, 3)
    x1 = (centre + 2 * SIGMA * rng.standard_normal(shape)).astype(np.float32)
    x0 = (centre + 0.1 + 2 * SIGMA * rng.standard_normal(shape)).astype(np.float32)
    kind = as_path(path, SIGMA)
    z = kind.a1(t) * x1 + kind.a0(t) * x0 + kind.s(t) * rng.standard_normal(shape)
    assert_float32_is_near(backend, z.astype(np.float32), x1, x0, path, t, effective=30)
