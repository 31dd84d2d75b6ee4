"""EnFF on every backend against the step-by-step form in NumPy, and what all backends promise.

Tolerances, relative in norm. Both sides round each operation to eps/2. An analysis of 3 Heun steps
is some 50 rounded operations a component, whose errors add up like a random walk: 4 eps of float32,
about 5e-7. Besides, the softmax multiplies the error of a distance, eps |z| |z - mu| / sqrt(D), by
1/s^2: with s at least 0.2 that is a change of the weights by up to 100 eps of what members 1 apart
in norm make of it, beside |z| = sqrt(D) again a few eps. So 2e-6 in float32; in float64 1e-12, for
functions (|x|^p) within some 10 ulp and Gram matrices inverted with a condition of 1e2.
"""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
from conftest import BACKENDS, OTHER_KINDS, OTHERS
from pairs import pairs

import enfilt as ef
from enfilt import backends
from enfilt.paths import variance_exploding

RTOL = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-6}

# One member more than a tile, one component more than a vector, and both larger than a block:
# the C++ kernels cut components into blocks of 2 KB a row and chunks of 8192.
SIZES = [(2, 1), (2, 31), (5, 33), (20, 129), (33, 257), (3, 8193), (4, 16391)]

# `ve` of its defaults starts 10 wide, where powers overflow, and ends at t_min = 1e-3, where
# s'/s = -500 amplifies rounding a thousandfold: a narrower one, s from 0.8 down to 0.2.
PATHS = {
    "ot": {"path": "ot", "sigma_min": 0.3},
    "f2p": {"path": "f2p", "sigma_min": 0.3},
    "ve": {"path": variance_exploding(0.3, 1.5, t_min=0.3)},
}


def pull_to_observed_mean(t, z, v, x_hat, y, obs):
    """A guidance of the user's: uses each of its arguments."""
    misfit = obs.gradient(x_hat, y)
    return -0.02 * (1 - t) * misfit - 0.01 * (z + v).mean(axis=0)


GUIDANCE = {
    "none": "none",
    "local": "local",
    "monte-carlo": "monte-carlo",
    "covariance": "covariance",
    "callable": pull_to_observed_mean,
}


def rows(dim):
    """A matrix of observations, (m, dim) with rows of norm about 1, one more than there fit."""
    rng = np.random.default_rng(5)
    m = min(dim, 7)
    dense = rng.standard_normal((m, dim)) / np.sqrt(dim)
    return dense * (rng.random((m, dim)) < 0.5) + np.eye(m, dim)


def unsorted_indices(dim):
    return np.random.default_rng(6).permutation(dim)[: max(1, dim // 2)]


# Each makes the operator for states of `dim` components.
OPERATORS = {
    "Identity": lambda dim: ef.operators.Identity(),
    "Arctan": lambda dim: ef.operators.Arctan(),
    "Tanh": lambda dim: ef.operators.Tanh(),
    "Sigmoid": lambda dim: ef.operators.Sigmoid(alpha=1.5),
    "Power(2)": lambda dim: ef.operators.Power(2),
    "Power(3)": lambda dim: ef.operators.Power(3),
    "Power(1.5)": lambda dim: ef.operators.Power(1.5),
    "Subset": lambda dim: ef.operators.Subset(unsorted_indices(dim)),
    "Every": lambda dim: ef.operators.Every(3, offset=min(1, dim - 1)),
    "all but the first": lambda dim: ef.operators.Every(1, offset=min(1, dim - 1)),
    "Mask": lambda dim: ef.operators.Mask(np.arange(dim) % 5 != 1),
    "Arctan@Every": lambda dim: ef.operators.Arctan() @ ef.operators.Every(2),
    "Linear": lambda dim: ef.operators.Linear(rows(dim)),
    "sparse Linear": lambda dim: ef.operators.Linear(scipy.sparse.coo_array(rows(dim))),
    "Custom": lambda dim: ef.operators.Custom(
        lambda x: x[:, ::2] ** 2 / 2,
        lambda x, u: (
            np.repeat(u, 2, axis=1)[:, : x.shape[1]] * x * (np.arange(x.shape[1]) % 2 == 0)
        ),
    ),
}

NO_COVARIANCE = {"path": "f2p", "guidance": "covariance"}  # an error, by its definition


@dataclasses.dataclass(frozen=True)
class Setting:
    """The arrays of one analysis, about 1 apart in norm: several weights matter."""

    forecast: np.ndarray
    previous: np.ndarray
    noise: np.ndarray
    y: np.ndarray
    obs: ef.Observation

    def analysis(self, filt, **changes):
        changed = dataclasses.replace(self, **changes)
        return filt.analysis(
            changed.forecast, changed.y, changed.obs, previous=changed.previous, noise=changed.noise
        )


def make_setting(members, dim, operator, dtype, *, vector_std=False, apart=0.7, batch=(), seed=0):
    """Draw a setting; every third observation is missing unless there are fewer than three."""
    rng = np.random.default_rng([seed, members, dim])
    truth = rng.uniform(-1, 1, dim)
    forecast = truth + apart / np.sqrt(dim) * rng.standard_normal((*batch, members, dim))
    previous = forecast - 0.3 + apart / np.sqrt(dim) * rng.standard_normal(forecast.shape)
    noise = rng.standard_normal(forecast.shape)
    m = operator.size(dim)
    std = 0.7 + 0.3 * rng.random(m) if vector_std else 0.8
    y = operator(truth[None])[0] + std * rng.standard_normal((*batch, m))
    if m > 2:
        y[..., 1::3] = np.nan
    arrays = (a.astype(dtype) for a in (forecast, previous, noise, y))
    return Setting(*arrays, ef.Observation(operator, std=std))


def assert_close(result, expected, dtype):
    __tracebackhide__ = True
    assert result.dtype == dtype
    assert result.shape == expected.shape
    error = np.linalg.norm(result.astype(np.float64) - expected) / np.linalg.norm(expected)
    assert error <= RTOL[np.dtype(dtype)], f"relative error {error:.2e}"


@pairs(
    {
        "backend, dtype": OTHER_KINDS,
        "operator": OPERATORS,
        "size": SIZES,
        "path": list(PATHS),
        "guidance": list(GUIDANCE),
        "sampler": ["euler", "heun"],
        "vector_std": {"one std": False, "std each": True},
    },
    without=[NO_COVARIANCE],
)
def test_equals_numpy(backend, dtype, operator, size, path, guidance, sampler, vector_std):
    setting = make_setting(*size, operator(size[1]), dtype, vector_std=vector_std)
    filt = ef.EnFF(
        **PATHS[path],
        guidance=GUIDANCE[guidance],
        steps=3,
        strength=0.02,
        sampler=sampler,
        backend="numpy",
    )
    expected = setting.analysis(filt)
    # What is compared depends on the observations by more than float64's tolerance. (Members
    # this near each other at large D are reweighted by less than float32's.)
    if guidance != "none" and dtype == np.float64:
        without = setting.analysis(dataclasses.replace(filt, guidance="none"))
        change = np.linalg.norm(expected - without) / np.linalg.norm(without)
        assert change > 1e5 * RTOL[dtype]
    assert_close(setting.analysis(dataclasses.replace(filt, backend=backend)), expected, dtype)


@pytest.mark.parametrize("path", ["ot", "ve"])
def test_covariance_guidance_of_a_curved_operator(other_backend, dtype, path):
    """Whose innovations are not centred: the gain must not move the members' mean by their sum."""
    setting = make_setting(20, 129, ef.operators.Tanh(), dtype)
    filt = ef.EnFF(**PATHS[path], guidance="covariance", steps=3, backend="numpy")
    expected = setting.analysis(filt)
    assert_close(
        setting.analysis(dataclasses.replace(filt, backend=other_backend)), expected, dtype
    )


@pairs({"other_backend, dtype": OTHER_KINDS, "size": SIZES[2:], "path": list(PATHS)})
def test_members_far_apart(other_backend, dtype, path, size):
    """Weights one-hot from the start or soon: where kernels skip the other members."""
    setting = make_setting(*size, ef.operators.Arctan(), dtype, apart=5.0 * np.sqrt(size[1]))
    filt = ef.EnFF(**PATHS[path], steps=5)
    expected = setting.analysis(dataclasses.replace(filt, backend="numpy"))
    result = setting.analysis(dataclasses.replace(filt, backend=other_backend))
    assert_close(result, expected, dtype)


@pytest.mark.parametrize("path", ["ot", "f2p", "ve"])
def test_default_widths(other_backend, path):
    """The paths of their names. ``ve`` takes s^2 down to 1e-3 sigma_max^2 in its last stage."""
    setting = make_setting(20, 65, ef.operators.Arctan(), np.float64)
    filt = ef.EnFF(path=path)
    expected = setting.analysis(dataclasses.replace(filt, backend="numpy"))
    result = setting.analysis(dataclasses.replace(filt, backend=other_backend))
    assert_close(result, expected, np.float64)


@pytest.mark.parametrize(
    ("path", "coupling"), [*((path, "paired") for path in PATHS), ("f2p", "independent")]
)
def test_same_random_numbers(other_backend, dtype, path, coupling):
    """The same rng= gives the same analysis everywhere.

    Float32 normals of the two differ by more than eps where sqrt(-2 log u) is small, in norm by
    some 3e-7: within the tolerance.
    """
    setting = make_setting(6, 200, ef.operators.Tanh(), dtype, batch=(3,))
    filt = ef.EnFF(**PATHS[path], steps=4, coupling=coupling)

    def run(backend, seed):
        one = dataclasses.replace(filt, backend=backend)
        previous = setting.previous
        return one.analysis(setting.forecast, setting.y, setting.obs, previous=previous, rng=seed)

    assert_close(run(other_backend, 3), run("numpy", 3), dtype)
    assert np.array_equal(run(other_backend, 3), run(other_backend, np.random.default_rng(3)))
    assert not np.allclose(run(other_backend, 3), run(other_backend, 4), rtol=1e-3)


@pairs(
    {
        "backend": BACKENDS,
        "path, guidance": {
            "covariance": ("ot", "covariance"),
            "local": ("f2p", "local"),
            "monte-carlo": ("ve", "monte-carlo"),
            "callable": ("f2p", "callable"),
        },
        "operator": ["Arctan", "Subset", "Custom"],
        "dim": [31, 8200],  # a thread an ensemble, and threads within one
        "shared_y": {"y (m,)": True, "y (B, m)": False},
    }
)
def test_batch_is_loop(backend, path, guidance, operator, dim, shared_y):
    """Ensembles of a batch know nothing of each other: the very bits of one call each."""
    h = OPERATORS[operator](dim)
    setting = make_setting(5, dim, h, np.float64, batch=(3,), vector_std=True)
    if shared_y:
        setting = dataclasses.replace(setting, y=setting.y[0])
    else:
        setting.y[1] = np.nan  # nothing observed in this one
    filt = ef.EnFF(**PATHS[path], guidance=GUIDANCE[guidance], steps=2, backend=backend)
    together = setting.analysis(filt)
    for b in range(3):
        one = dataclasses.replace(
            setting,
            forecast=setting.forecast[b],
            previous=setting.previous[b],
            noise=setting.noise[b],
            y=setting.y if shared_y else setting.y[b],
        )
        assert np.array_equal(together[b], one.analysis(filt))
    if not shared_y:
        assert np.array_equal(together[1], setting.forecast[1])


@pytest.mark.parametrize("path", PATHS)
def test_random_numbers_ignore_batch_size(backend, dtype, path):
    setting = make_setting(4, 70, ef.operators.Arctan(), dtype, batch=(3,))
    filt = ef.EnFF(**PATHS[path], steps=2, backend=backend)

    def run(index):
        return filt.analysis(
            setting.forecast[index],
            setting.y[index],
            setting.obs,
            previous=setting.previous[index],
            rng=11,
        )

    three = run(slice(None))
    assert np.array_equal(run(slice(0, 2)), three[:2])
    assert np.array_equal(run(0), three[0])
    # and ensembles of one batch do not share their numbers
    same = filt.analysis(
        setting.forecast[[0, 0]],
        setting.y[0],
        setting.obs,
        previous=setting.previous[[0, 0]],
        rng=11,
    )
    assert np.array_equal(same[0], three[0])
    assert not np.allclose(same[1], three[0], rtol=1e-3)


def standing(width):
    """A path that stands still, v = 0: what comes out is what went in, z(0) = x0 + width eps."""
    zero = {"da1": lambda t: 0.0, "da0": lambda t: 0.0, "ds": lambda t: 0.0}
    return ef.AffinePath(
        "standing",
        a1=lambda t: 0.0,
        a0=lambda t: 1.0,
        s=lambda t: width,
        **zero,
        uses_previous=True,
    )


def test_first_members_of_a_larger_ensemble(backend, dtype):
    """The start of member i is drawn for member i, whatever else is in the ensemble."""
    setting = make_setting(20, 100, ef.operators.Identity(), dtype)
    filt = ef.EnFF(path=standing(0.5), guidance="none", steps=2, backend=backend)

    def run(members, dim=100):
        part = (slice(members), slice(dim))
        return filt.analysis(
            setting.forecast[part],
            setting.y[:dim],
            setting.obs,
            previous=setting.previous[part],
            rng=2,
        )

    twenty = run(20)
    assert np.array_equal(run(10), twenty[:10])
    assert np.array_equal(run(20, 37), twenty[:, :37])
    normals = ((twenty - setting.previous) / 0.5).ravel()
    # 2000 standard normals: four standard errors each
    assert abs(normals.mean()) < 4 / np.sqrt(2000)
    assert abs(normals.std() - 1) < 4 / np.sqrt(4000)


def test_independent_coupling_permutes_the_starts(backend, dtype):
    setting = make_setting(12, 40, ef.operators.Identity(), dtype, batch=(2,))
    noise = np.zeros_like(setting.noise)
    filt = ef.EnFF(
        path=standing(0.5), guidance="none", steps=1, coupling="independent", backend=backend
    )
    starts = [
        filt.analysis(
            setting.forecast,
            setting.y,
            setting.obs,
            previous=setting.previous,
            noise=noise,
            rng=seed,
        )
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    orders = []
    for b in range(2):
        distance = np.abs(starts[0][b][:, None] - setting.previous[b][None]).max(axis=2)
        orders.append(distance.argmin(axis=1))
        assert distance.min(axis=1).max() == 0
        assert sorted(orders[b]) == list(range(12))
        assert not np.array_equal(orders[b], np.arange(12))
    assert not np.array_equal(*orders)


def test_independent_coupling_is_paired_with_rows_exchanged(backend, dtype):
    """Start i on row p(i): the paired analysis whose member p(i) has the noise of member i."""
    setting = make_setting(7, 30, ef.operators.Arctan(), dtype)
    options = {"path": "f2p", "sigma_min": 0.3, "steps": 3, "backend": backend}
    independent = ef.EnFF(**options, coupling="independent").analysis(
        setting.forecast,
        setting.y,
        setting.obs,
        previous=setting.previous,
        noise=setting.noise,
        rng=5,
    )
    # the permutation that this rng draws is seen where nothing moves
    order = np.abs(
        ef.EnFF(
            path=standing(1.0), guidance="none", steps=1, coupling="independent", backend=backend
        ).analysis(
            setting.forecast,
            setting.y,
            setting.obs,
            previous=setting.previous,
            noise=np.zeros_like(setting.noise),
            rng=5,
        )[:, None]
        - setting.previous[None]
    )
    order = order.max(axis=2).argmin(axis=1)
    noise = np.empty_like(setting.noise)
    noise[order] = setting.noise
    paired = setting.analysis(ef.EnFF(**options), noise=noise)
    assert_close(independent, paired[order], dtype)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_affine_path_of_the_user(backend, dtype, sampler):
    """A path written out by hand is the path of that name; and one that no name has."""
    setting = make_setting(6, 50, ef.operators.Arctan(), dtype)
    sigma = 0.3
    by_hand = ef.AffinePath(
        "by hand",
        a1=lambda t: t,
        a0=lambda t: 1 - t,
        s=lambda t: sigma,
        da1=lambda t: 1.0,
        da0=lambda t: -1.0,
        ds=lambda t: 0.0,
        uses_previous=True,
    )
    options = {"steps": 4, "sampler": sampler, "backend": backend}
    named = setting.analysis(ef.EnFF(path="f2p", sigma_min=sigma, **options))
    assert np.array_equal(setting.analysis(ef.EnFF(path=by_hand, **options)), named)
    curved = ef.AffinePath(
        "curved",
        a1=lambda t: t * t,
        a0=lambda t: 0.5 * (1 - t),
        s=lambda t: 1 - 0.6 * t,
        da1=lambda t: 2 * t,
        da0=lambda t: -0.5,
        ds=lambda t: -0.6,
        uses_previous=True,
    )
    result = setting.analysis(ef.EnFF(path=curved, **options))
    expected = setting.analysis(ef.EnFF(path=curved, **options | {"backend": "numpy"}))
    assert_close(result, expected, dtype)
    # the numpy form, too, against the definition written out for its first stage
    if sampler == "euler":
        one_step = setting.analysis(ef.EnFF(path=curved, guidance="none", **options | {"steps": 1}))
        x1, x0 = setting.forecast.astype(float), setting.previous.astype(float)
        z = 0.5 * x0 + setting.noise
        logits = -0.5 * ((z[:, None] - 0.5 * x0[None]) ** 2).sum(axis=2)
        w = np.exp(logits - logits.max(axis=1, keepdims=True))
        w /= w.sum(axis=1, keepdims=True)
        # at t = 0: s'/s = -0.6, mu = x0/2, mu' = -x0/2
        v = -0.6 * z + w @ (-0.5 * x0 + 0.6 * 0.5 * x0)
        assert_close(one_step, z + v, dtype)
        assert x1.shape == z.shape


@pytest.mark.parametrize(
    "inflation",
    [1.3, ef.inflation.Multiplicative(0.8), ef.inflation.RTPP(0.4), ef.inflation.RTPS(0.6)],
    ids=str,
)
def test_inflation(backend, dtype, inflation):
    """The analysis without inflation, widened as the definitions say; D beyond one block of it."""
    dim = 16390
    setting = make_setting(4, dim, ef.operators.Arctan(), dtype)
    options = {"path": "f2p", "sigma_min": 0.3, "steps": 2, "backend": backend}
    plain = setting.analysis(ef.EnFF(**options)).astype(np.float64)
    widened = setting.analysis(ef.EnFF(**options, inflation=inflation))
    mean, forecast = plain.mean(axis=0), setting.forecast.astype(np.float64)
    a, f = plain - mean, forecast - forecast.mean(axis=0)
    if isinstance(inflation, float):
        a = inflation * a
    elif isinstance(inflation, ef.inflation.Multiplicative):
        a = inflation.factor * a
    elif isinstance(inflation, ef.inflation.RTPP):
        a = (1 - inflation.relaxation) * a + inflation.relaxation * f
    else:
        a = a * (1 + inflation.relaxation * (f.std(axis=0) - a.std(axis=0)) / a.std(axis=0))
    assert_close(widened, mean + a, dtype)
    # the anomalies, much smaller than the members, on their own: the members' rounding is
    # eps |mean| / |a|, some 50 eps here
    anomalies = widened.astype(np.float64)
    anomalies -= anomalies.mean(axis=0)
    assert np.linalg.norm(anomalies - a) < 200 * np.finfo(dtype).eps * np.linalg.norm(mean + a)


def test_strength_of_time(backend, dtype):
    """A function of t that is constant is that number; one that is not acts at t_k = k/steps."""
    setting = make_setting(5, 33, ef.operators.Arctan(), dtype)
    options = {"path": "f2p", "sigma_min": 0.3, "steps": 4, "backend": backend}
    number = setting.analysis(ef.EnFF(**options, strength=0.1))
    constant = setting.analysis(ef.EnFF(**options, strength=lambda t: 0.1))
    assert np.array_equal(number, constant)

    # where the path stands still only the guidance moves a member
    steps = 5
    filt = ef.EnFF(
        path=standing(0.3), steps=steps, strength=lambda t: 0.2 * (1 - t) ** 2, backend=backend
    )
    z = setting.previous.astype(np.float64) + 0.3 * setting.noise.astype(np.float64)
    y = setting.y.astype(np.float64)
    for k in range(steps):
        innovation = np.where(np.isnan(y), 0, y - np.arctan(z)) / setting.obs.std**2
        z += 0.2 * (1 - k / steps) ** 2 / steps * innovation / (1 + z * z)
    assert_close(setting.analysis(filt), z, dtype)


def test_every_backend_is_held_against_numpy():
    assert backends.available() == [*OTHERS, "numpy"]
