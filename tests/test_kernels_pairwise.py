"""The pairwise kernels and the random numbers, alone, against formulas written out here.

Tolerances. A distance |x_i - mu_j|^2 is a sum of positive terms: relative error a few eps (an
eps for the rounding of mu against |x - mu|, one for the square, the rest for the sum of a block).
A weight errs by that times the differences of logits that matter, which stand below 10 here, and
multiplies members that differ by less than their norm. So results err by 20 eps of the norms of the
terms that they are sums of.
"""

import numpy as np
import pytest
from conftest import KINDS
from pairs import pairs

import enfilt as ef
from enfilt import backends

# points M, members N, components D: not equal, below and above tiles, vectors, blocks, chunks,
# and the 128 components below which lanes run over the members
SIZES = [
    (1, 1, 1),
    (1, 7, 31),
    (9, 1, 128),
    (3, 5, 129),
    (5, 3, 513),
    (33, 17, 257),
    (6, 300, 3),
    (2, 3, 8193),
    (3, 2, 16391),
]
PATHS = ["ot", "f2p", "ve"]
TIMES = [0.0, 0.37, 1.0]


def eps(dtype):
    return float(np.finfo(dtype).eps)


def coefficients(path, t, sigma):
    """a1, a0, s and their derivatives, as flow.md's table has them."""
    if path == "ot":
        return t, 0.0, 1 - (1 - sigma) * t, 1.0, 0.0, -(1 - sigma)
    if path == "f2p":
        return t, 1 - t, sigma, 1.0, -1.0, 0.0
    # s^2 = sigma^2 (q^(2 tau) - 1) / (2 ln q), tau = 1 - (1 - t_min) t, q = sigma_max / sigma
    q, rate = 25.0 / sigma, 1 - 1e-3
    tau = 1 - rate * t
    s = sigma * np.sqrt((q ** (2 * tau) - 1) / (2 * np.log(q)))
    ds = -rate * sigma**2 * q ** (2 * tau) / (2 * s)
    return 1.0, 0.0, s, 0.0, 0.0, ds


def weights_of(z, centres, s, log_weights=0.0):
    logits = -((z[:, None] - centres[None]) ** 2).sum(axis=2) / (2 * s**2) + log_weights
    w = np.exp(logits - logits.max(axis=1, keepdims=True))
    return w / w.sum(axis=1, keepdims=True)


def plain_field(z, x1, x0, path, t, sigma, log_weights=0.0):
    """v_i = sum_j w_ij [ (s'/s) (z_i - mu_j) + mu_j' ] in float64."""
    z, x1, x0 = (a.astype(np.float64) for a in (z, x1, x0))
    a1, a0, s, da1, da0, ds = coefficients(path, t, sigma)
    centres, moving = a1 * x1 + a0 * x0, da1 * x1 + da0 * x0
    w = weights_of(z, centres, s, log_weights)
    return (ds / s) * (z - w @ centres) + w @ moving


def draw(rng, points, members, dim, dtype):
    """Points among members about 1 apart in norm, so that several weights matter."""
    x1 = 0.5 / np.sqrt(dim) * rng.standard_normal((members, dim)) + rng.uniform(-1, 1, dim)
    x0 = x1 - 0.3 + 0.3 / np.sqrt(dim) * rng.standard_normal((members, dim))
    z = 0.5 * (x1 + x0).mean(axis=0) + 0.5 / np.sqrt(dim) * rng.standard_normal((points, dim))
    log_weights = rng.standard_normal(members)
    return z.astype(dtype), x1.astype(dtype), x0.astype(dtype), log_weights


def relative(result, expected):
    return np.linalg.norm(result - expected) / np.linalg.norm(expected)


WEIGHTED = {"equal": False, "log_weights": True}


@pairs(
    {"backend, dtype": KINDS, "size": SIZES, "path": PATHS, "t": TIMES, "weighted": WEIGHTED},
)
def test_flow_field(backend, dtype, rng, size, path, t, weighted):
    z, x1, x0, l = draw(rng, *size, dtype)  # noqa: E741 - l_j of the equations
    sigma = 0.3 if path != "ve" else 1.0
    v = ef.kernels.flow_field(
        z,
        x1,
        t,
        path=path,
        sigma_min=sigma,
        previous=x0 if path == "f2p" else None,
        log_weights=l if weighted else None,
        backend=backend,
    )
    expected = plain_field(z, x1, x0, path, t, sigma, l if weighted else 0.0)
    assert v.dtype == dtype
    assert v.shape == z.shape
    # v is the sum of two terms, which nearly cancel where s'/s is large (`ve` at t = 1: -500):
    # each is rounded
    s, ds = coefficients(path, t, sigma)[2::3]
    terms = np.linalg.norm(expected) + abs(ds / s) * np.linalg.norm(z.astype(np.float64))
    assert np.linalg.norm(v - expected) < 20 * eps(dtype) * terms
    if weighted and size[1] > 1 and s > 0.1:  # more than one weight matters, so l_j does
        without = plain_field(z, x1, x0, path, t, sigma)
        assert np.linalg.norm(expected - without) > 100 * np.finfo(np.float32).eps * terms


@pairs({"backend, dtype": KINDS, "path": PATHS, "t": [0.0, 0.2, 0.9, 1.0]})
def test_flow_field_of_one_member(backend, dtype, rng, path, t):
    """One member: the velocity of its conditional path, z' = (s'/s) (z - mu) + mu'."""
    z, x1, x0, _ = draw(rng, 4, 1, 77, dtype)
    sigma = 0.4 if path != "ve" else 1.5
    v = ef.kernels.flow_field(
        z, x1, t, path=path, sigma_min=sigma, previous=x0, backend=backend, log_weights=[3.0]
    )
    z, x1, x0 = (a.astype(np.float64) for a in (z, x1, x0))
    if path == "ot":
        expected = (x1 - (1 - sigma) * z) / (1 - (1 - sigma) * t)
    elif path == "f2p":
        expected = np.broadcast_to(x1 - x0, z.shape)
    else:
        s, ds = coefficients("ve", t, sigma)[2::3]
        expected = ds / s * (z - x1)
    # as above, both terms of a difference are rounded
    assert np.linalg.norm(v - expected) < 4 * eps(dtype) * (
        np.linalg.norm(expected) + (500 if path == "ve" else 1) * np.linalg.norm(z)
    )


@pairs({"backend, dtype": KINDS, "size": SIZES, "weighted": WEIGHTED})
def test_mixture_score(backend, dtype, rng, size, weighted):
    x, centers, _, l = draw(rng, *size, dtype)  # noqa: E741
    scale, std = 0.8, 0.5
    score = ef.kernels.mixture_score(
        x, centers, scale, std, log_weights=l if weighted else None, backend=backend
    )
    a, c = x.astype(np.float64), scale * centers.astype(np.float64)
    w = weights_of(a, c, std, l if weighted else 0.0)
    expected = -(a - w @ c) / std**2
    assert score.dtype == dtype
    assert np.linalg.norm(score - expected) < 20 * eps(dtype) * np.linalg.norm(a / std**2)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pairwise_log_weights(backend, dtype, rng, size):
    x, centers, _, _ = draw(rng, *size, dtype)
    scale, std = -0.7, 0.25
    logits = ef.kernels.pairwise_log_weights(x, centers, scale, std, backend=backend)
    a, c = x.astype(np.float64), scale * centers.astype(np.float64)
    expected = -((a[:, None] - c[None]) ** 2).sum(axis=2) / (2 * std**2)
    assert logits.dtype == np.float64
    assert logits.shape == size[:2]
    # with centres on the other side of zero, |x - c| is no smaller than |x|: a few eps each term
    assert np.abs(logits / expected - 1).max() < 20 * eps(dtype)
    # not normalized: parts of the state add up
    if size[2] > 1:
        cut = size[2] // 3 + 1
        parts = [
            ef.kernels.pairwise_log_weights(x[:, p], centers[:, p], scale, std, backend=backend)
            for p in (slice(cut), slice(cut, None))
            if x[:, p].size
        ]
        assert np.abs(sum(parts) / expected - 1).max() < 20 * eps(dtype)


def test_softmax_of_log_weights_gives_the_score(backend, rng):
    x, centers, _, _ = draw(rng, 4, 6, 10, np.dtype(np.float64))
    logits = ef.kernels.pairwise_log_weights(x, centers, 0.9, 0.4, backend=backend)
    w = np.exp(logits - logits.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    score = ef.kernels.mixture_score(x, centers, 0.9, 0.4, backend=backend)
    assert np.allclose(score, -(x - w @ (0.9 * centers)) / 0.4**2, rtol=1e-12)


@pairs({"backend, dtype": KINDS, "distance": [1e2, 1e4, 1e6], "dim": [1, 50, 9000]})
def test_far_from_every_centre(backend, dtype, rng, dim, distance):
    """Every exp(-|x - c|^2 / 2 s^2) underflows; the weights go to the nearest, never to all."""
    centers = rng.standard_normal((5, dim)).astype(dtype)
    direction = np.ones(dim)
    x = (np.array([[1.0], [-1.0]]) * distance * direction).astype(dtype)
    std = 0.1
    # the mean of the centres under the weights: x + std^2 score, so from f2p at t = 1, standing
    path = ef.AffinePath(
        "mean",
        a1=lambda t: 1.0,
        a0=lambda t: 0.0,
        s=lambda t: std,
        da1=lambda t: 1.0,
        da0=lambda t: 0.0,
        ds=lambda t: 0.0,
    )
    logits = ef.kernels.pairwise_log_weights(x, centers, 1.0, std, backend=backend)
    assert (logits.max(axis=1) < -745).all()  # exp of it is zero in float64
    picked = ef.kernels.flow_field(x, centers, 1.0, path=path, backend=backend)
    # sum_j w_j c_j, with weights that sum to one and of the logits found
    w = np.exp(logits - logits.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    assert relative(picked, w @ centers.astype(np.float64)) < 30 * eps(dtype)
    # centres differ in the projection on x by far more than rounding: one-hot, and the right one
    projected = centers.astype(np.float64) @ direction
    if distance <= 1e4:  # in float32 farther points do not tell the centres apart
        nearest = [projected.argmax(), projected.argmin()]
        assert np.array_equal(picked, centers[nearest])
    # a constant centre: only the sum of the weights matters
    same = np.full((7, dim), 2.5, dtype)
    ones = ef.kernels.flow_field(x, same, 1.0, path=path, backend=backend)
    assert np.abs(ones / 2.5 - 1).max() < 10 * eps(dtype)


def test_log_weights_up_to_a_constant(backend, dtype, rng):
    """Logarithms of -1e6, all of whose exponentials are zero, are as good as those near zero."""
    x, centers, _, l = draw(rng, 3, 8, 20, dtype)  # noqa: E741
    near, far = (
        ef.kernels.mixture_score(x, centers, 1.0, 0.5, log_weights=l + c, backend=backend)
        for c in (0.0, -1e6)
    )
    # a logit near 1e6 is rounded to 1e6 eps of float64, 2e-10
    assert relative(far, near.astype(np.float64)) < max(1e-8, 10 * eps(dtype))
    only = np.full(8, -1e4)
    only[3] = 0.0
    picked = ef.kernels.mixture_score(x, centers, 1.0, 0.5, log_weights=only, backend=backend)
    alone = ef.kernels.mixture_score(x, centers[3:4], 1.0, 0.5, backend=backend)
    assert relative(picked, alone.astype(np.float64)) < 10 * eps(dtype)


def test_a_weight_far_below_one_counts(backend, dtype):
    """Only where rounding would drop all other weights does a row pick one centre."""
    small, far, std = {4: 1e-6, 8: 1e-14}[dtype.itemsize], 1e3, 1e4
    x, centers = np.zeros((2, 2000), dtype), np.array([[1.0], [far]], dtype).repeat(2000, axis=1)
    l = np.array([0.0, np.log(small) + 1000 * (far**2 - 1) / std**2])  # noqa: E741
    score = ef.kernels.mixture_score(x, centers, 1.0, std, log_weights=l, backend=backend)
    expected = (1 + small * far) / (1 + small) / std**2
    assert np.abs(score / expected - 1).max() < 10 * eps(dtype)


@pairs(
    {"backend, dtype": KINDS, "kernel": ["flow_field", "mixture_score"], "dim": [1, 31, 8200]},
)
def test_out(backend, dtype, rng, kernel, dim):
    """`out` is filled and returned; where it overlaps an input, the result is the same."""
    x, members, before, l = draw(rng, 5, 5, dim, dtype)  # noqa: E741

    def call(x, members, before, out=None):
        if kernel == "flow_field":
            return ef.kernels.flow_field(
                x,
                members,
                0.4,
                path="f2p",
                sigma_min=0.3,
                previous=before,
                log_weights=l,
                out=out,
                backend=backend,
            )
        return ef.kernels.mixture_score(
            x, members, 0.9, 0.4, log_weights=l, out=out, backend=backend
        )

    expected = call(x, members, before)
    inputs = [x.copy(), members.copy(), before.copy()]
    out = np.full_like(x, np.nan)
    assert call(x, members, before, out) is out
    assert np.array_equal(out, expected)
    assert all(np.array_equal(a, b) for a, b in zip((x, members, before), inputs, strict=True))
    for index in range(3 if kernel == "flow_field" else 2):
        arrays = [a.copy() for a in inputs]
        target = arrays[index]
        assert call(*arrays, out=target) is target
        assert np.array_equal(target, expected)
    # overlapping by a row
    memory = np.zeros((6, dim), dtype)
    memory[:5] = x
    assert np.array_equal(call(memory[:5], members, before, memory[1:]), expected)


def test_rows_that_are_not_contiguous(backend, dtype, rng):
    x, members, _, _ = draw(rng, 6, 8, 40, dtype)
    expected = ef.kernels.mixture_score(
        x[::2].copy(), members[:, ::2][:, :20].repeat(2, axis=1), 1, 1
    )
    assert expected.shape == (3, 40)
    spread = np.asfortranarray(x)[::2]
    result = ef.kernels.mixture_score(spread, np.asfortranarray(members), 1, 1, backend=backend)
    assert np.array_equal(
        result, ef.kernels.mixture_score(x[::2].copy(), members, 1, 1, backend=backend)
    )


@pairs(
    {
        "backend, dtype": KINDS,
        "shape": [(1, 1), (3, 15), (2, 64), (2, 65), (5, 1000), (2, 40000)],
        "key": [0, 7, 2**32 + 5, 2**64 - 1],
    }
)
def test_standard_normal_is_philox(backend, dtype, shape, key):
    """Counters, rounds and the transform written out once more, with Python's integers."""
    step, batch = 3, 9
    x = ef.kernels.standard_normal(key, shape, step=step, batch=batch, dtype=dtype, backend=backend)
    assert x.dtype == dtype
    assert x.shape == shape
    mask = 2**32 - 1
    for member, d in [(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)]:
        group, place = divmod(d, 64)
        word, lane = divmod(place, 16)
        w = [16 * group + lane, member, step, batch]
        k = [key & mask, key >> 32]
        for _ in range(10):
            p, q = w[0] * 0xD2511F53, w[2] * 0xCD9E8D57
            w = [(q >> 32) ^ w[1] ^ k[0], q & mask, (p >> 32) ^ w[3] ^ k[1], p & mask]
            k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
        u, angle = ((v + 0.5) / 2**32 for v in w[word // 2 * 2 :][:2])
        turn = np.cos if word % 2 == 0 else np.sin
        expected = np.sqrt(-2 * np.log(u)) * turn(2 * np.pi * angle)
        # float32 rounds u and the angle to 2^-24: 2 pi 2^-24 |r| by the angle and 2^-24 / r by u
        r = np.sqrt(-2 * np.log(u))
        assert abs(x[member, d] - expected) < 4 * eps(dtype) * (1 + 2 * np.pi * r + 1 / r)


def test_standard_normal_known_answer():
    """The zero counter and key of the published Philox4x32-10 known answers: 6627e8d5 e169c58d."""
    u, angle = (0x6627E8D5 + 0.5) / 2**32, (0xE169C58D + 0.5) / 2**32
    expected = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * angle)
    x = ef.kernels.standard_normal(0, (1, 1), backend="numpy")
    assert abs(x[0, 0] - expected) < 1e-14


def test_standard_normal_is_normal(backend, dtype):
    """Moments within five standard errors, no correlation of neighbours, members and steps."""
    x = ef.kernels.standard_normal(12345, (20, 20000), dtype=dtype, backend=backend)
    x = x.astype(np.float64)
    n = x.size
    # variance of the k-th power's mean: (E z^2k - (E z^k)^2) / n
    for power, expected, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(x**power) - expected) < 5 * np.sqrt(variance / n)
    later = ef.kernels.standard_normal(12345, (20, 20000), step=1, dtype=dtype, backend=backend)
    other = ef.kernels.standard_normal(12345, (20, 20000), batch=1, dtype=dtype, backend=backend)
    pairs = [(x[:, lag:], x[:, :-lag]) for lag in (1, 16, 32, 64)]
    pairs += [(x[1:], x[:-1]), (x, later), (x, other), (x**2, np.roll(x, 16, axis=1) ** 2)]
    for a, b in pairs:
        a, b = a - a.mean(), b - b.mean()
        correlation = np.mean(a * b) / (a.std() * b.std())
        assert abs(correlation) < 5 / np.sqrt(a.size)


@pytest.mark.parametrize("key", [3, 2**40 + 1])
def test_standard_normal_prefix(backend, dtype, key):
    big = ef.kernels.standard_normal(key, (20, 20000), dtype=dtype, backend=backend)
    for members, dim in [(10, 20000), (20, 16391), (1, 1), (3, 63)]:
        small = ef.kernels.standard_normal(key, (members, dim), dtype=dtype, backend=backend)
        assert np.array_equal(small, big[:members, :dim])
    assert not np.array_equal(
        ef.kernels.standard_normal(key + 1, (1, 64), dtype=dtype, backend=backend), big[:1, :64]
    )


GOOD = {
    "x": np.zeros((3, 4)),
    "forecast": np.ones((2, 4)),
    "t": 0.5,
    "path": "f2p",
    "previous": np.ones((2, 4)),
}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": np.zeros((3, 4), int)}, TypeError, "x has dtype int64"),
        ({"x": np.zeros((3, 4), np.float32)}, TypeError, "forecast has dtype float64"),
        ({"x": np.zeros((3, 4), np.float16)}, TypeError, "x has dtype float16"),
        ({"x": np.zeros(4)}, ValueError, r"x has shape \(4,\)"),
        ({"x": np.zeros((2, 3, 4))}, ValueError, r"x has shape \(2, 3, 4\)"),
        ({"x": np.zeros((0, 4))}, ValueError, r"x has shape \(0, 4\)"),
        ({"forecast": np.ones((2, 5))}, ValueError, r"forecast has shape \(2, 5\)"),
        ({"forecast": np.ones((0, 4))}, ValueError, r"forecast has shape \(0, 4\)"),
        ({"previous": None}, ValueError, "previous is missing"),
        ({"previous": np.ones((3, 4))}, ValueError, r"previous has shape \(3, 4\)"),
        ({"previous": np.ones((2, 4), np.float32)}, TypeError, "previous has dtype float32"),
        ({"t": 1.5}, ValueError, "t=1.5"),
        ({"t": float("nan")}, ValueError, "t=nan"),
        ({"t": "now"}, TypeError, "t='now'"),
        ({"path": "otto"}, ValueError, "path='otto' is not known.*did you mean 'ot'"),
        ({"sigma_min": 0.0}, ValueError, "sigma_min=0.0"),
        ({"log_weights": [0.0]}, ValueError, r"log_weights has shape \(1,\)"),
        ({"log_weights": [0.0, np.inf]}, ValueError, r"log_weights\[1\] is inf"),
        ({"out": np.zeros((3, 5))}, ValueError, r"out has shape \(3, 5\)"),
        ({"out": np.zeros((3, 4), np.float32)}, TypeError, "out has dtype float32"),
        ({"out": np.zeros((4, 3)).T}, ValueError, "out must be C-contiguous"),
        ({"out": [[0.0] * 4] * 3}, TypeError, "out is of type list"),
        ({"backend": "fortran"}, ValueError, "backend='fortran' is not known"),
    ],
)
def test_flow_field_errors(changes, error, message):
    with pytest.raises(error, match=message):
        ef.kernels.flow_field(**GOOD | changes)


@pairs(
    {
        "backend, dtype": KINDS,
        "name": ["x", "forecast", "previous"],
        "value": [np.nan, np.inf, -np.inf],
        "place": [(0, 0), (1, 9000)],
    }
)
def test_not_finite_says_where(backend, dtype, rng, name, value, place):
    arrays = {
        n: rng.standard_normal((2, 9001)).astype(dtype) for n in ("x", "forecast", "previous")
    }
    arrays[name][place] = value
    out = np.full((2, 9001), 7, dtype)
    where = rf"{name}\[{place[0]}, {place[1]}\] is"
    with pytest.raises(ValueError, match=where):
        ef.kernels.flow_field(**arrays, t=0.5, path="f2p", out=out, backend=backend)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"std": 0.0}, ValueError, "std=0.0"),
        ({"std": -1.0}, ValueError, "std=-1.0"),
        ({"scale": np.inf}, ValueError, "scale=inf"),
        ({"scale": None}, TypeError, "scale=None"),
        ({"centers": np.ones((2, 3))}, ValueError, r"centers has shape \(2, 3\)"),
        ({"centers": np.ones((2, 4), np.float32)}, TypeError, "centers has dtype float32"),
        ({"x": np.full((3, 4), np.nan)}, ValueError, r"x\[0, 0\] is nan"),
        ({"centers": np.full((2, 4), np.inf)}, ValueError, r"centers\[0, 0\] is inf"),
    ],
)
@pytest.mark.parametrize("kernel", ["mixture_score", "pairwise_log_weights"])
def test_mixture_errors(kernel, changes, error, message):
    good = {"x": np.zeros((3, 4)), "centers": np.ones((2, 4)), "scale": 1.0, "std": 1.0}
    with pytest.raises(error, match=message):
        getattr(ef.kernels, kernel)(**good | changes)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((-1, (2, 3)), {}, ValueError, "key=-1"),
        ((0.5, (2, 3)), {}, TypeError, "key=0.5"),
        ((0, (0, 3)), {}, ValueError, "shape=0"),
        (
            (0, (2, 3)),
            {"dtype": np.int32},
            TypeError,
            "dtype=.*int32.*: expected float32 or float64",
        ),
    ],
)
def test_standard_normal_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ef.kernels.standard_normal(*arguments, **options)


def test_squared_distances_of_a_path(backend, dtype, rng):
    """What `flow_field` does inside, of a path whose centres mix both ensembles."""
    z, x1, x0, _ = draw(rng, 6, 9, 700, dtype)
    stage = ef.AffinePath(
        "any",
        a1=lambda t: 0.3,
        a0=lambda t: -1.2,
        s=lambda t: 1.0,
        da1=lambda t: 0.0,
        da0=lambda t: 0.0,
        ds=lambda t: 0.0,
        uses_previous=True,
    ).stage(0.5)
    found = backends.get(backend).squared_distances(z, x1, x0, stage)
    a, b, c = (q.astype(np.float64) for q in (z, x1, x0))
    expected = ((a[:, None] - (0.3 * b - 1.2 * c)[None]) ** 2).sum(axis=2)
    assert np.abs(found / expected - 1).max() < 20 * eps(dtype)
