"""CUDA kernels, run on the CPU, against the NumPy oracle; on a GPU with `-m gpu`.

Sizes: one component, one below and above a warp, one below and above a block, many blocks with a
rest; members up to 32 (in float64 28) take the fused form, more the tiled one.

Tolerances, where nothing else is said: of pairwise sums those of test_kernels_pairwise.py, 20 eps
of the norms of the terms; of samplers and models those of test_enff_backends.py, 2e-6 in float32
and 1e-12 in float64.
"""

import dataclasses

import numpy as np
import pytest
import test_lenff_backends as lenff
from conftest import DTYPES, ON_GPU, cupy_of
from pairs import pairs
from scipy import sparse

import enfilt as ef
from enfilt.backends import DiffusionStep

SIZES = [(m, d) for m in (2, 20, 33, 257) for d in (1, 31, 33)] + [
    *((2, 129), (20, 1000), (28, 257), (32, 257), (33, 65), (257, 1025)),
]
RTOL = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-6}


@pytest.fixture(params=["ascending", "descending", ON_GPU])
def cuda(request):
    """CuPy: the stand-in for it, with the threads of a block in either order, and itself."""
    return cupy_of(request)


#: Of a million components, which take the host long: one order is enough.
IN_ONE_ORDER = pytest.mark.parametrize("cuda", ["ascending", ON_GPU], indirect=True)


def eps(dtype):
    return float(np.finfo(dtype).eps)


def draw(members, dim, dtype):
    """Points among members about 1 apart in norm, so that several weights matter."""
    rng = np.random.default_rng([members, dim])
    x1 = 0.5 / np.sqrt(dim) * rng.standard_normal((members, dim)) + rng.uniform(-1, 1, dim)
    x0 = x1 - 0.3 + 0.3 / np.sqrt(dim) * rng.standard_normal((members, dim))
    z = 0.5 * (x1 + x0).mean(axis=0) + 0.5 / np.sqrt(dim) * rng.standard_normal((members, dim))
    return z.astype(dtype), x1.astype(dtype), x0.astype(dtype), rng.standard_normal(members)


def distance(result, expected):
    return np.linalg.norm((result - expected).astype(np.float64))


def close(result, expected, rtol):
    return distance(result, expected) <= rtol * np.linalg.norm(expected.astype(np.float64))


@pairs({"dtype": DTYPES, "size": SIZES})
def test_pairwise_kernels(cuda, dtype, size):
    check_pairwise_kernels(cuda, dtype, size)


@IN_ONE_ORDER
def test_pairwise_kernels_of_many_components(cuda, dtype):
    check_pairwise_kernels(cuda, dtype, (2, 1_000_003))


def check_pairwise_kernels(cuda, dtype, size):
    z, x1, x0, log_weights = draw(*size, dtype)
    on = cuda.asarray
    field, expected = (
        ef.kernels.flow_field(
            to(z),
            to(x1),
            0.4,
            path="f2p",
            sigma_min=0.3,
            previous=to(x0),
            log_weights=log_weights,
            backend=backend,
        )
        for to, backend in ((on, "auto"), (np.asarray, "numpy"))
    )
    assert isinstance(field, cuda.ndarray)
    assert distance(field.get(), expected) <= 20 * eps(dtype) * np.linalg.norm(expected)
    centers = (x1 / dtype.type(0.8)).astype(dtype)  # so that x - scale c stays about 1 in norm
    score = ef.kernels.mixture_score(on(z), on(centers), 0.8, 0.5)
    expected = ef.kernels.mixture_score(z, centers, 0.8, 0.5, backend="numpy")
    assert distance(score.get(), expected) <= 20 * eps(dtype) * np.linalg.norm(z / 0.5**2)
    logits = ef.kernels.pairwise_log_weights(on(z), on(x1), -0.7, 0.25)
    expected = ef.kernels.pairwise_log_weights(z, x1, -0.7, 0.25, backend="numpy")
    assert logits.dtype == np.float64
    assert np.abs(logits.get() / expected - 1).max() <= 20 * eps(dtype)


@pairs(
    {
        "dtype": DTYPES,
        "points, members": [(1, 40), (40, 1), (1, 1), (5, 31), (70, 3), (3, 4096)],
    }
)
def test_numbers_of_points_and_members_that_differ(cuda, dtype, points, members):
    z = draw(points, 77, dtype)[0]
    x1 = draw(members, 77, dtype)[1]
    score = ef.kernels.mixture_score(cuda.asarray(z), cuda.asarray(x1), 0.8, 0.9).get()
    expected = ef.kernels.mixture_score(z, x1, 0.8, 0.9, backend="numpy")
    assert distance(score, expected) <= 20 * eps(dtype) * np.linalg.norm(z / 0.9**2)


@pytest.mark.parametrize("cuda", [ON_GPU], indirect=True)
def test_more_components_than_32_bits_count(cuda):
    dim = 2**31 + 65
    if (free := cuda.cuda.Device().mem_info[0]) < 6 * 4 * dim:
        pytest.skip(f"{free / 1e9:.0f} GB of the GPU are free: this takes {24 * dim / 1e9:.0f}")
    x, centers = cuda.zeros((1, dim), np.float32), cuda.zeros((2, dim), np.float32)
    x[0, -3:] = cuda.asarray([1.0, 2.0, 3.0])
    centers[1, -1] = 1
    weight = 1 / (1 + np.exp((14 - 9) / -2))  # of the second, from |x - c|^2
    score = ef.kernels.mixture_score(x, centers, 1.0, 1.0)[0, -4:].get()
    assert np.abs(score - [0, -1, -2, weight - 3]).max() <= 10 * eps(np.float32)


@pytest.mark.parametrize("members", [5, 40])
def test_far_from_every_centre(cuda, dtype, members):
    """One-hot rows, though every exponential underflows."""
    x1 = draw(members, 50, dtype)[1]
    x = np.concatenate([100 + x1[:1], -100 + x1[:1]]).astype(dtype)
    score = ef.kernels.mixture_score(cuda.asarray(x), cuda.asarray(x1), 1.0, 0.1).get()
    picked = x + 0.1**2 * score.astype(np.float64)
    projected = x1.astype(np.float64).sum(axis=1)
    nearest = x1[[projected.argmax(), projected.argmin()]]
    assert np.abs(picked - nearest).max() <= 4 * eps(dtype) * 100


@pairs(
    {
        "dtype": DTYPES,
        "shape": [(1, 1), (3, 15), (2, 64), (20, 1000), (2, 40_000)],
        "key": [0, 2**64 - 1],
    }
)
def test_normals_are_the_words_of_the_cpu(cuda, dtype, shape, key):
    """A word that differed by one bit would move a normal by 2^-32 at least: 1e-10, not 1e-14."""
    options = {"step": 3, "batch": 9, "dtype": dtype}
    x = ef.kernels.standard_normal(key, shape, **options, backend="cuda").get()
    expected = ef.kernels.standard_normal(key, shape, **options, backend="numpy")
    assert x.dtype == dtype
    # as in test_kernels_pairwise.py: in float32 the uniform numbers are rounded
    size = np.abs(expected) + 1
    assert (np.abs(x - expected) <= 4 * eps(dtype) * (1 + 2 * np.pi * 7 * size + 1e3)).all()


PATHS = {
    "ot": {"path": "ot", "sigma_min": 0.3},
    "f2p": {"path": "f2p", "sigma_min": 0.3},
}


def squares(x):
    return x[:, ::2] ** 2


def pull_of_squares(x, u):
    gradient = np.zeros_like(x)
    gradient[:, ::2] = 2 * x[:, ::2] * u
    return gradient


def means(dim):
    return np.random.default_rng(9).standard_normal((7, dim)) / np.sqrt(dim)


OPERATORS = {
    "Identity": lambda dim: ef.operators.Identity(),
    "Arctan": lambda dim: ef.operators.Arctan(),
    "Tanh": lambda dim: ef.operators.Tanh(),
    "Sigmoid": lambda dim: ef.operators.Sigmoid(alpha=1.5),
    "Power(3)": lambda dim: ef.operators.Power(3),
    "Power(1.5)": lambda dim: ef.operators.Power(1.5),
    "Subset": lambda dim: ef.operators.Subset(
        np.random.default_rng(6).permutation(dim)[: dim // 2 + 1]
    ),
    "Every": lambda dim: ef.operators.Every(3, offset=min(1, dim - 1)),
    "Arctan@Every": lambda dim: ef.operators.Arctan() @ ef.operators.Every(2),
    "Linear": lambda dim: ef.operators.Linear(means(dim)),
    "Linear sparse": lambda dim: ef.operators.Linear(
        sparse.random_array((9, dim), density=0.2, rng=np.random.default_rng(9))
    ),
    "Custom": lambda dim: ef.operators.Custom(squares, pull_of_squares),
}


def problem(members, dim, dtype, operator, batch=None):
    """Forecast, previous analysis, y with a missing value, and the observation."""
    rng = np.random.default_rng([members, dim, 1])
    shape = (members, dim) if batch is None else (batch, members, dim)
    truth = rng.standard_normal(dim)
    previous = truth + rng.standard_normal(shape) / np.sqrt(dim)
    forecast = previous + 0.2 + 0.2 * rng.standard_normal(shape) / np.sqrt(dim)
    m = operator.size(dim)
    std = 0.5 + rng.random(m)
    y = operator(truth[None])[0] + 0.5 * rng.standard_normal((*shape[:-2], m))
    if m > 2:
        y[..., 1] = np.nan
    arrays = (a.astype(dtype) for a in (forecast, previous, y))
    return *arrays, ef.Observation(operator, std=std)


def both(cuda, filt, forecast, y, obs, *, reference="numpy", **arrays):
    """The analysis on the device and the oracle's, as NumPy arrays."""
    on = {k: cuda.asarray(v) if isinstance(v, np.ndarray) else v for k, v in arrays.items()}
    result = filt.analysis(cuda.asarray(forecast), cuda.asarray(y), obs, **on)
    assert isinstance(result, cuda.ndarray)
    oracle = dataclasses.replace(filt, backend=reference)
    return result.get(), oracle.analysis(forecast, y, obs, **arrays)


def check_flow_filter(cuda, size, dtype, path, sampler, steps, **options):
    forecast, previous, y, obs = problem(*size, dtype, ef.operators.Arctan())
    noise = np.random.default_rng(3).standard_normal(forecast.shape).astype(dtype)
    filt = ef.EnFF(**PATHS[path], steps=steps, strength=0.05, sampler=sampler)
    options |= {"previous": previous, "noise": noise}
    result, expected = both(cuda, filt, forecast, y, obs, **options)
    assert close(result, expected, RTOL[dtype])
    assert not np.array_equal(expected, forecast)


@pairs({"dtype": DTYPES, "size": SIZES, "path": list(PATHS), "sampler": ["euler", "heun"]})
def test_flow_filter(cuda, dtype, size, path, sampler):
    check_flow_filter(cuda, size, dtype, path, sampler, steps=3)


@IN_ONE_ORDER
@pytest.mark.parametrize(
    ("dtype", "size"), [(DTYPES[0], (20, 1_000_003)), (DTYPES[1], (2, 1_000_003))], ids=str
)
def test_flow_filter_of_many_components(cuda, dtype, size):
    """The oracle takes long: a step of the main job's path is enough."""
    check_flow_filter(cuda, size, dtype, "f2p", "euler", steps=1)


@pytest.mark.parametrize("cuda", [ON_GPU], indirect=True)
@pytest.mark.parametrize("size", [(33, 1_000_003), (257, 1_000_003)], ids=str)
def test_flow_filter_of_many_members_and_components(cuda, dtype, size):
    """Beside C++ or Numba, as the oracle would take minutes, and a CPU in the GPU's place more."""
    check_flow_filter(cuda, size, dtype, "f2p", "euler", steps=1, reference="auto")


@pairs({"dtype": DTYPES, "operator": list(OPERATORS), "members": [4, 40]})
def test_operators(cuda, dtype, operator, members):
    dim = 131
    forecast, previous, y, obs = problem(members, dim, dtype, OPERATORS[operator](dim))
    # stronger, the cube would throw members away, and multiply rounding by thousands
    filt = ef.EnFF(**PATHS["f2p"], steps=3, strength=0.005, algorithm="streaming")
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=5)
    assert close(result, expected, RTOL[dtype])
    unguided = ef.EnFF(**PATHS["f2p"], steps=3, guidance="none").analysis(
        forecast, y, obs, previous=previous, rng=5
    )
    assert distance(expected, unguided) > 1e-3


@pairs(
    {
        "dtype": DTYPES,
        "guidance": ["none", "local", "monte-carlo", "covariance"],
        "members": [6, 36],
    }
)
def test_guidance_and_batches(cuda, dtype, guidance, members):
    forecast, _, y, obs = problem(members, 65, dtype, ef.operators.Arctan(), batch=2)
    filt = ef.EnFF(**PATHS["ot"], guidance=guidance, steps=3, inflation=ef.inflation.RTPS(0.3))
    result, expected = both(cuda, filt, forecast, y, obs, rng=2)
    # Gram matrices inverted with a condition of 1e2
    assert close(result, expected, 10 * RTOL[dtype])


REDUCED = {
    "EnFF": ef.EnFF(**PATHS["f2p"], steps=4),
    "EnFF heun": ef.EnFF(**PATHS["f2p"], steps=3, sampler="heun"),
    "EnFF independent": ef.EnFF(**PATHS["f2p"], steps=3, coupling="independent"),
    "EnFF covariance": ef.EnFF(**PATHS["ot"], steps=3, guidance="covariance"),
    "EnFF monte-carlo": ef.EnFF(**PATHS["ot"], steps=3, guidance="monte-carlo", sampler="heun"),
    "EnFF without": ef.EnFF(**PATHS["ot"], steps=4, guidance="none"),
    "EnSF": ef.EnSF(steps=5, sampler="ode"),
    "EnSF standardized": ef.EnSF(steps=5, sampler="ode", standardize_start=True),
    "EnSF paired": ef.EnSF(steps=5, sampler="ode", score="paired", standardize_start=True),
}
REDUCED_OBSERVED = [("Identity", 1), ("Subset", 2), ("Every", 1), ("Identity", 3), ("Subset", 8)]
# around a run of components, a tile of products, and the height of a tile of members
REDUCED_SIZES = [(2, 1), (20, 31), (33, 33), (2, 257), (20, 4099), (65, 129)]


def grouped(members, dim, dtype, operator, errors, batch=None):
    """Return a problem whose observations have `errors` different std."""
    *arrays, obs = problem(members, dim, dtype, OPERATORS[operator](dim), batch)
    std = 0.5 + 0.1 * (np.arange(obs.operator.size(dim)) * 7 % 11 % errors)
    return *arrays, ef.Observation(obs.operator, std=std)


@pairs(
    {
        "dtype": DTYPES,
        "name": list(REDUCED),
        "size": REDUCED_SIZES,
        "operator, errors": REDUCED_OBSERVED,
        "batch": [1, 2],
        "drawn": [True, False],
    }
)
def test_reduced_form(cuda, dtype, name, size, operator, errors, batch, drawn):
    """Against the oracle's reduced form, which takes the same weights to some eps of float64.

    What is left is the sum that writes z, of terms as large as z.
    """
    forecast, previous, y, obs = grouped(*size, dtype, operator, errors, batch=batch)
    noise = np.random.default_rng(8).standard_normal(forecast.shape).astype(dtype)
    options = {} if drawn else {"noise": noise}
    filt = dataclasses.replace(REDUCED[name], algorithm="reduced")
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=3, **options)
    assert close(result, expected, 20 * eps(dtype))
    assert not np.array_equal(expected, forecast)


@pytest.mark.parametrize("name", ["EnFF", "EnSF"])
def test_reduced_form_is_the_streaming_form(cuda, dtype, name):
    forecast, previous, y, obs = grouped(20, 300, dtype, "Subset", 2, batch=2)
    reduced, streaming = (
        dataclasses.replace(REDUCED[name], algorithm=a) for a in ("reduced", "streaming")
    )
    arrays = {"previous": previous, "rng": 3}
    result, expected = (both(cuda, f, forecast, y, obs, **arrays) for f in (reduced, streaming))
    assert not np.array_equal(result[0], expected[0])
    assert close(result[0], expected[0], 10 * RTOL[dtype])


def test_reduced_form_of_more_than_fits_into_shared_memory(cuda):
    """Coefficients of nine groups; all but two of these have no component."""
    forecast, previous, y, obs = grouped(340, 16, np.dtype(np.float64), "Identity", 8)
    y[1:] = np.nan
    filt = ef.EnFF(**PATHS["f2p"], steps=1, sampler="heun", algorithm="reduced")
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=3)
    assert close(result, expected, RTOL[np.dtype(np.float64)])


def test_reduced_form_with_a_group_of_no_component(cuda):
    """Whose coefficients grow beyond all bounds, where nobody asks for them."""
    forecast, previous, y, obs = grouped(6, 40, np.dtype(np.float64), "Identity", 2)
    std = np.where(np.asarray(obs.std) > 0.5, 1e-30, 0.5)
    y[std < 0.5] = np.nan
    obs = ef.Observation(obs.operator, std=std)
    filt = ef.EnFF(**PATHS["f2p"], steps=12, algorithm="reduced")
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=3)
    assert close(result, expected, RTOL[np.dtype(np.float64)])


def test_reduced_form_tells_members_apart_that_meet(cuda):
    """Members 3 apart in each component stand 1e-3 from each other at t = 1/2.

    A logit errs by some eps |A|^2 / s^2: 2e-6 in float64, and 1e3 in float32.
    """
    members, dim, sigma = 20, 2000, 1e-3
    rng = np.random.default_rng(5)
    middle, change = 3 * rng.standard_normal((2, members, dim))
    middle, change = np.round(256 * middle[:1]) / 256, np.round(256 * change) / 256
    middle[:, :8] = change[:, :8] = 0  # so that what differs there is exact in float32
    small = np.zeros_like(change)
    small[:, :8] = sigma / 2 * rng.standard_normal((members, 8))
    forecast, previous = ((middle + sign * change + small).astype(np.float32) for sign in (-1, 1))
    obs = ef.Observation(ef.operators.Identity(), std=1.0)
    filt = ef.EnFF(path="f2p", sigma_min=sigma, steps=4, guidance="none", algorithm="reduced")
    y = np.zeros(dim, np.float32)
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=3)
    assert distance(result, expected) <= 1e-5 * distance(expected, previous)


def test_independent_coupling(cuda, dtype):
    forecast, previous, y, obs = problem(9, 70, dtype, ef.operators.Tanh())
    filt = ef.EnFF(**PATHS["f2p"], steps=4, coupling="independent")
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=7)
    assert close(result, expected, RTOL[dtype])


@pairs(
    {
        "dtype": DTYPES,
        "size": [(2, 1), (3, 31), (20, 129), (36, 65)],
        "score": ["mixture", "paired"],
        "sampler": ["sde", "ode"],
        "options": [{}, {"score_limit": 3.0}, {"standardize_start": True}],
    }
)
def test_score_filter(cuda, dtype, size, score, sampler, options):
    forecast, _, y, obs = problem(*size, dtype, ef.operators.Arctan(), batch=2)
    filt = ef.EnSF(steps=6, score=score, sampler=sampler, algorithm="streaming", **options)
    result, expected = both(cuda, filt, forecast, y, obs, rng=4)
    # a step multiplies what went before by up to (1 + dt g^2 / (2 beta^2)), in all by some ten
    assert close(result, expected, 30 * RTOL[dtype])


@pairs(
    {
        "dtype": DTYPES,
        "sampler": ["sde", "ode"],
        "operator": ["Arctan@Every", "Subset"],
        "cutoff": [None, 3.0],
    }
)
def test_score_filter_with_regression(cuda, dtype, sampler, operator, cutoff):
    dim = 40
    chosen = OPERATORS[operator](dim)
    forecast, _, y, obs = problem(7, dim, dtype, chosen, batch=2)
    y[0] = np.nan
    grid = ef.grids.RegularGrid((dim,))
    obs = ef.Observation(chosen, std=obs.std, grid=grid)
    taper = None if cutoff is None else ef.localization.GaspariCohn(cutoff)
    filt = ef.EnSF(steps=6, sampler=sampler, regress_unobserved=True, localization=taper)
    result, expected = both(cuda, filt, forecast, y, obs, rng=4)
    assert np.array_equal(result[0], forecast[0])
    assert not np.array_equal(expected[1], forecast[1])
    # as above; the regression solves in float64, with a condition of up to 1e6
    assert close(result, expected, 30 * RTOL[dtype] + 2e6 * eps(np.float64))


@pairs(
    {
        "dtype": DTYPES,
        "operator": ["Linear", "Linear sparse", "Custom"],
        "score": ["mixture", "paired"],
        "sampler": ["sde", "ode"],
    }
)
def test_score_filter_step_by_step(cuda, dtype, operator, score, sampler):
    """Of operators that the kernels do not know."""
    forecast, _, y, obs = problem(6, 131, dtype, OPERATORS[operator](131), batch=2)
    filt = ef.EnSF(steps=6, score=score, sampler=sampler, score_limit=30.0)
    result, expected = both(cuda, filt, forecast, y, obs, rng=4)
    assert close(result, expected, 30 * RTOL[dtype])
    unseen = np.full_like(y, np.nan)
    unseen[:, 0] = y[:, 0]
    assert distance(expected, filt.analysis(forecast, unseen, obs, rng=4)) > 1e-3


def pull(t, z, v, x_hat, y, obs):
    """A guidance of the user's: towards y where that is, in the arrays that it is given."""
    return 0.3 * (np.where(np.isnan(y), 0, y) - np.arctan(x_hat))


def test_guidance_of_the_user(cuda, dtype):
    forecast, previous, y, obs = problem(6, 65, dtype, ef.operators.Arctan(), batch=2)
    filt = ef.EnFF(**PATHS["f2p"], guidance=pull, steps=3)
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=2)
    assert close(result, expected, RTOL[dtype])
    unguided = dataclasses.replace(filt, guidance="none")
    assert distance(expected, unguided.analysis(forecast, y, obs, previous=previous, rng=2)) > 1e-3


def test_long_schedule_of_the_paired_score(cuda):
    """More steps than the arguments of one kernel hold."""
    forecast, _, y, obs = problem(3, 40, np.float64, ef.operators.Arctan())
    filt = ef.EnSF(steps=300, score="paired")
    result, expected = both(cuda, filt, forecast, y, obs, rng=4)
    assert close(result, expected, 1e-10)


@IN_ONE_ORDER
def test_large_paired_score(cuda, dtype):
    forecast, _, y, obs = problem(2, 1_000_003, dtype, ef.operators.Arctan())
    filt = ef.EnSF(steps=2, score="paired")
    result, expected = both(cuda, filt, forecast, y, obs, rng=4)
    assert close(result, expected, 30 * RTOL[dtype])


@pairs(
    {
        "dtype": DTYPES,
        "size": [(1, 4), (2, 31), (20, 33), (33, 1025)],
        "steps": [0, 1, 2, 10, 11, 23],
    }
)
def test_lorenz96(cuda, dtype, size, steps):
    check_lorenz96(cuda, dtype, size, steps)


@IN_ONE_ORDER
def test_lorenz96_of_many_components(cuda, dtype):
    check_lorenz96(cuda, dtype, (1, 1_000_003), steps=11)


def check_lorenz96(cuda, dtype, size, steps):
    x = 3 * np.random.default_rng(size).standard_normal(size).astype(dtype)
    model = ef.models.Lorenz96(dim=size[1])
    expected = ef.models.Lorenz96(dim=size[1], backend="numpy").step(x, steps)
    on_device = cuda.asarray(x)
    result = model.step(on_device, steps)
    assert close(result.get(), expected, 4 * RTOL[dtype])
    assert np.array_equal(on_device.get(), x)
    assert model.step(on_device, steps, out=on_device) is on_device
    assert np.array_equal(on_device.get(), result.get())


MODELS = {
    "Linear": ef.models.Linear.rotation2d(0.3, radius=0.9),
    "Lorenz63": ef.models.Lorenz63(),
    "KuramotoSivashinsky": ef.models.KuramotoSivashinsky(dim=64, domain=16.0),
    "KolmogorovFlow": ef.models.KolmogorovFlow(n=16),
    "NavierStokes2D": ef.models.NavierStokes2D(n=16),
    "TwoScaleLorenz96": ef.models.TwoScaleLorenz96(slow=8, fast=3),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_array_operations(cuda, dtype, name):
    model = MODELS[name]
    rng = np.random.default_rng(4)
    x = model.initial_state(1) + 0.1 * rng.standard_normal((3, model.dim))
    x[1] *= 2  # one member that takes more inner steps
    x = x.astype(dtype)
    result = model.step(cuda.asarray(x), 3)
    expected = model.step(x, 3)
    # SciPy's and NumPy's transforms differ in the last bits; steps are some hundred operations
    assert close(result.get(), expected, 10 * RTOL[dtype])


@pytest.mark.parametrize("size", [(1, 1), (2, 31), (20, 33), (33, 257), (20, 100_003)], ids=str)
def test_metrics(cuda, dtype, size):
    rng = np.random.default_rng(size)
    truth = rng.standard_normal(size[1])
    x = (truth + rng.standard_normal(size)).astype(dtype)
    found = ef.metrics.score(cuda.asarray(x), cuda.asarray(truth.astype(dtype)))
    expected = ef.metrics.score(x, truth.astype(dtype), backend="numpy")
    assert np.array_equal(found.rank_histogram, expected.rank_histogram)
    pairs_of_members = ("fair_crps",) if size[0] > 1 else ()
    for name in ("rmse", "spread", "crps", "energy_score", *pairs_of_members):
        assert abs(getattr(found, name) - getattr(expected, name)) <= 20 * eps(dtype) * (
            1 + abs(getattr(expected, name))
        )


@pairs(
    {
        "dtype": DTYPES,
        "members": [2, 5, 20, 33],
        "operator": ["Identity", "Arctan@Every", "Subset"],
        "shape": [(40,), (6, 7)],
        "periodic": {"ring": True, "edges": False},
        "rotate": [False, True],
    }
)
def test_letkf(cuda, dtype, members, operator, shape, periodic, rotate):
    dim = int(np.prod(shape))
    forecast, _, y, obs = problem(members, dim, dtype, OPERATORS[operator](dim))
    grid = ef.grids.RegularGrid(shape, periodic=periodic)
    obs = ef.Observation(obs.operator, std=0.3 * np.asarray(obs.std), grid=grid)
    filt = ef.LETKF(ef.localization.GaspariCohn(cutoff=3.5), rotate=rotate)
    result, expected = both(cuda, filt, forecast, y, obs, rng=2)
    # as in test_letkf.py: of the largest value
    assert (
        np.abs(result - expected).max()
        <= {4: 2e-5, 8: 1e-12}[dtype.itemsize] * np.abs(expected).max()
    )


@pytest.mark.parametrize("members", [2, 20])
def test_analyses_of_arrays(cuda, dtype, members):
    rng = np.random.default_rng(members)
    x = rng.standard_normal((members, 70)).astype(dtype)
    observed, y = np.tanh(x[:, ::2]), np.ones(35, dtype)
    y[3] = np.nan
    apart = np.abs(np.subtract.outer(np.arange(70), np.arange(0, 70, 2)))
    weights = ef.localization.GaspariCohn(5.0).weight(apart)
    near = sparse.csr_array(weights[::2])
    on = {"observed": cuda.asarray(observed), "std": 0.5}
    host = {"observed": observed, "std": 0.5, "backend": "numpy"}
    for kernel, options in [
        (ef.kernels.etkf, {}),
        (ef.kernels.letkf, {"weights": weights}),
        (ef.kernels.letkf, {"weights": near, "place": np.arange(70) // 2}),
        (ef.kernels.lenff, {"weights": weights, "between": near}),
        (ef.kernels.lenff, {}),
    ]:
        result = kernel(cuda.asarray(x), cuda.asarray(y), **on, **options).get()
        expected = kernel(x, y, **host, **options)
        assert result.dtype == dtype
        limit = {4: 2e-5, 8: 1e-12}[dtype.itemsize] * np.abs(expected).max()
        assert np.abs(result - expected).max() <= limit


@pytest.mark.parametrize(
    ("members", "std"), [(64, 0.3), (21, 0.02), (20, 3e-5), (3, 1e-8), (9, 1e6)]
)
def test_letkf_of_many_members_and_errors_small_and_large(cuda, members, std):
    """Eigenvalues of up to 4, 1e4, 1e9, 1e16 and 1: each number of shifted inverses is taken.

    What is left is the rounding of the Gram matrix: eps times the square root of its condition.
    """
    forecast, _, y, obs = problem(members, 40, np.dtype(np.float64), OPERATORS["Arctan"](40))
    obs = ef.Observation(obs.operator, std=std, grid=ef.grids.RegularGrid((40,)))
    filt = ef.LETKF(ef.localization.GaspariCohn(cutoff=3.5))
    result, expected = both(cuda, filt, forecast, y, obs)
    error = np.abs(result - expected).max() / np.abs(expected).max()
    assert error <= 100 * eps(np.float64) * max(10, 1 / std)
    assert std > 1 or np.abs(expected - forecast).max() > 0.1


def assert_lenff(cuda, members, dtype, operator, grid, cutoff=3.5, std=0.4):
    """Compare with the oracle, within the tolerance that test_lenff_backends.py derives."""
    obs = ef.Observation(operator, std=std, grid=grid)
    forecast, y = lenff.problem(members, grid.size, obs, dtype)
    taper = ef.localization.GaspariCohn(cutoff=cutoff)
    filt = ef.LEnFF(taper, steps=lenff.STEPS)
    result, expected = both(cuda, filt, forecast, y, obs)
    error = np.abs(result.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error <= lenff.tolerance(result, members, grid, taper)
    assert grid.size < 31 or np.abs(expected - forecast).max() > 0.1


# A group has four components, a block 64 groups; 4,099 are several blocks with a rest.
@pairs(
    {
        "dtype": DTYPES,
        "shape": [(1,), (2,), (31,), (33,), (4099,), (9, 1), (2, 3), (7, 9), (5, 40)],
        "members": [2, 20, 33],
        "periodic": {"ring": True, "edges": False},
    }
)
def test_lenff(cuda, dtype, shape, members, periodic):
    grid = ef.grids.RegularGrid(shape, periodic=periodic)
    assert_lenff(cuda, members, dtype, ef.operators.Arctan(), grid)


@pairs(
    {
        "dtype": DTYPES,
        "cutoff": [1.01, 9.0, 20.0, np.inf],
        "shape": [(40,), (41,), (6, 7)],
        "periodic": {"ring": True, "edges": False},
    }
)
def test_lenff_up_to_all_that_the_grid_has(cuda, dtype, shape, periodic, cutoff):
    """Windows of several slabs, up to one that meets itself on the other side of a ring."""
    grid = ef.grids.RegularGrid(shape, periodic=periodic)
    assert_lenff(cuda, 130 if cutoff == 9 else 5, dtype, ef.operators.Arctan(), grid, cutoff)


FUNCTIONS = ["Identity", "Arctan", "Tanh", "Sigmoid", "Power(3)", "Power(1.5)"]


@pairs(
    {
        "dtype": DTYPES,
        "function": FUNCTIONS,
        "choice": ["all", "Subset", "Every", "Mask", "far apart"],
        "shape": [(90,), (9, 10)],
    }
)
def test_lenff_operators(cuda, dtype, function, choice, shape):
    dim = 90
    choices = {
        "Mask": ef.operators.Mask(np.random.default_rng(5).random(dim) < 0.4),
        "far apart": ef.operators.Every(30, offset=2),
        "all": ef.operators.Identity(),
    }
    operator = OPERATORS[function](dim) @ (choices.get(choice) or OPERATORS[choice](dim))
    std = 0.5 + np.random.default_rng(2).random(operator.size(dim))
    assert_lenff(cuda, 6, dtype, operator, ef.grids.RegularGrid(shape), std=std)


@pairs({"dtype": DTYPES, "std": [1e-18, 1e15], "shape": [(300,), (15, 20)]})
def test_lenff_with_errors_tiny_and_huge(cuda, dtype, shape, std):
    grid = ef.grids.RegularGrid(shape)
    obs = ef.Observation(ef.operators.Identity(), std=std, grid=grid)
    near = ef.Observation(ef.operators.Identity(), std=0.1, grid=grid)
    forecast, y = lenff.problem(6, 300, near, dtype)
    taper = ef.localization.GaspariCohn(cutoff=3.5)
    result, expected = both(cuda, ef.LEnFF(taper, steps=lenff.STEPS), forecast, y, obs)
    error = np.abs(result.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error <= lenff.tolerance(result, 6, grid, taper)
    assert (np.abs(result - forecast).max() < 1e-20) == (std > 1)


@pytest.mark.parametrize("where", ["window", "lists"])
def test_lenff_moves_nothing_where_products_leave_the_range_of_normal_numbers(cuda, dtype, where):
    """A precision that makes up for it would move members by their rounding."""
    places = np.arange(100.0)[:, None] if where == "lists" else None
    grid = ef.grids.RegularGrid((100,))
    least = np.sqrt(np.finfo(dtype).tiny)
    obs = ef.Observation(
        ef.operators.Identity(), std=max(10 * least, 1e-150), grid=grid, locations=places
    )
    forecast = (least / 50 * np.random.default_rng(0).standard_normal((6, 100))).astype(dtype)
    y = cuda.asarray(np.ones(100, dtype))
    result = ef.LEnFF(ef.localization.GaspariCohn(3.5)).analysis(cuda.asarray(forecast), y, obs)
    assert np.array_equal(result.get(), forecast)


@pytest.mark.parametrize("shape", [(300,), (15, 20)], ids=str)
def test_lenff_leaves_what_no_observation_reaches(cuda, dtype, shape):
    obs = ef.Observation(ef.operators.Arctan(), std=0.4, grid=ef.grids.RegularGrid(shape))
    parts = [lenff.problem(6, 300, obs, dtype, seed=s) for s in range(3)]
    forecast, y = (np.array(a) for a in zip(*parts, strict=True))
    y[0], y[1, :150], y[1, 160:] = np.nan, np.nan, np.nan
    filt = ef.LEnFF(ef.localization.GaspariCohn(3.5), steps=lenff.STEPS)
    result, expected = both(cuda, filt, forecast, y, obs)
    assert np.array_equal(result[0], forecast[0])
    assert np.array_equal(result[1, :, :60], forecast[1, :, :60])  # at least four rows away
    same = (expected[1] == forecast[1]).all(axis=0)
    assert np.array_equal(same, (result[1] == forecast[1]).all(axis=0))
    alone = filt.analysis(cuda.asarray(forecast[2]), cuda.asarray(y[2]), obs)
    assert np.array_equal(result[2], alone.get())


def pairs_of_neighbours(x):
    return 0.5 * (x[..., 1:] + x[..., :-1]) ** 3


PAIRS = 0.5 * (np.eye(69, 70) + np.eye(69, 70, 1))
BETWEEN = np.arange(69.0)[:, None] + 0.5
LINE = ef.grids.RegularGrid((70,))
LISTS = {
    "coordinates": (
        ef.operators.Arctan(),
        {"grid": ef.grids.Points(np.random.default_rng(0).uniform(0, 8, (70, 2)))},
    ),
    "variables": (
        ef.operators.Tanh() @ ef.operators.Subset([60, 3, 4, 5, 49, 11, 0, 30, 31, 33]),
        {"grid": ef.grids.RegularGrid((5, 7), variables=2, between_variables=False)},
    ),
    "Linear": (ef.operators.Linear(PAIRS), {"grid": LINE, "locations": BETWEEN}),
    "Custom": (ef.operators.Custom(pairs_of_neighbours), {"grid": LINE, "locations": BETWEEN}),
    "parameters": (
        ef.operators.Tanh() @ ef.operators.Subset(np.arange(0, 66, 3)),
        {"grid": ef.geometry.WithParameters(ef.grids.RegularGrid((66,)), 4)},
    ),
}


@pytest.mark.filterwarnings("ignore:no component sees an observation")
@pytest.mark.filterwarnings("ignore:cutoff=:UserWarning")
@pairs(
    {
        "dtype": DTYPES,
        "name": list(LISTS),
        "members, cutoff": [(2, 2.5), (20, 0.01), (20, np.inf), (130, 2.5)],
    }
)
def test_lenff_from_lists(cuda, dtype, name, members, cutoff):
    """Tolerance: as in test_lenff_lists.py, with all observations in a list."""
    operator, places = LISTS[name]
    obs = ef.Observation(operator, std=0.3, **places)
    parts = [lenff.problem(members, 70, obs, dtype, spread=0.5, seed=s) for s in range(2)]
    forecast, y = (np.array(a) for a in zip(*parts, strict=True))
    y[0, :] = np.nan
    filt = ef.LEnFF(ef.localization.GaspariCohn(cutoff), steps=lenff.STEPS)
    result, expected = both(cuda, filt, forecast, y, obs)
    assert np.array_equal(result[0], forecast[0])
    assert cutoff < 1 or np.abs(expected[1] - forecast[1]).max() > 0.1
    error = np.abs(result.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error <= lenff.STEPS * (2 * members + y.shape[1]) * eps(dtype)


@pytest.mark.filterwarnings("ignore:no component sees an observation")
@pytest.mark.filterwarnings("ignore:cutoff=:UserWarning")
@pairs(
    {
        "dtype": DTYPES,
        "name": list(LISTS),
        "members, cutoff": [(2, 2.5), (20, 0.01), (33, np.inf)],
        "rotate": [False, True],
    }
)
def test_letkf_from_lists(cuda, dtype, name, members, cutoff, rotate):
    operator, places = LISTS[name]
    obs = ef.Observation(operator, std=0.3, **places)
    parts = [lenff.problem(members, 70, obs, dtype, spread=0.5, seed=s) for s in range(2)]
    forecast, y = (np.array(a) for a in zip(*parts, strict=True))
    y[0, :], y[1, 2] = np.nan, np.nan
    filt = ef.LETKF(ef.localization.GaspariCohn(cutoff), rotate=rotate)
    result, expected = both(cuda, filt, forecast, y, obs, rng=2)
    assert np.array_equal(result[0], forecast[0])
    assert cutoff < 1 or np.abs(expected[1] - forecast[1]).max() > 0.1
    # as above
    assert (
        np.abs(result - expected).max()
        <= {4: 2e-5, 8: 1e-12}[dtype.itemsize] * np.abs(expected).max()
    )


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("operator", ["Arctan", "Subset"])
def test_etkf(cuda, dtype, operator, rotate):
    forecast, _, y, obs = problem(8, 300, dtype, OPERATORS[operator](300), batch=2)
    filt = ef.ETKF(inflation=1.1, rotate=rotate)
    result, expected = both(cuda, filt, forecast, y, obs, rng=2)
    assert close(result, expected, RTOL[dtype])


LORENZ96 = ef.models.Lorenz96(dim=12)
OF_ARRAYS = {
    "EnKF": ef.EnKF(inflation=1.1),
    "DEnKF": ef.EnKF(method="denkf", inflation=ef.inflation.RTPS(0.5)),
    "KalmanFilter": ef.KalmanFilter(),
    "BootstrapPF": ef.BootstrapPF(),
    "BootstrapPF wide": ef.BootstrapPF(jitter=1.0, resampling="residual"),
    "BootstrapPF high": ef.BootstrapPF(jitter=1.0, threshold=0.9),
    "IEnKF": ef.IEnKF(LORENZ96, steps_per_cycle=2),
    "IEnKF bundle": ef.IEnKF(
        lambda x, steps: LORENZ96.step(x, steps), steps_per_cycle=2, method="bundle"
    ),
}


@pytest.mark.parametrize("given", [False, True], ids=["h", "values"])
@pytest.mark.parametrize("operator", ["Identity", "Subset", "Linear"])
@pytest.mark.parametrize("name", OF_ARRAYS)
def test_filters_of_array_operations(cuda, name, operator, given):
    """A batch, the first of which is not observed; 1e-9: Gauss-Newton ends where it converges."""
    dim, dtype = 12, np.dtype(np.float64)
    members = 7 if "high" in name else 20
    _, previous, y, obs = problem(members, dim, dtype, OPERATORS[operator](dim), batch=3)
    y[0], previous = np.nan, 3 + previous
    forecast = LORENZ96.step(previous, 2)
    previous[2] = forecast[2]  # no time has passed
    options = {"observed": obs.h(forecast)} if given else {}
    result, expected = both(
        cuda, OF_ARRAYS[name], forecast, y, obs, previous=previous, rng=3, **options
    )
    assert np.array_equal(result[0], forecast[0])
    assert close(result, expected, 1e-9)
    assert distance(expected[1], forecast[1]) > 1e-3


def test_filters_of_array_operations_in_single_precision(cuda):
    forecast, previous, y, obs = problem(9, 300, np.float32, ef.operators.Arctan())
    for filt in (ef.EnKF(), ef.BootstrapPF(jitter=0.3)):
        result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=3)
        assert result.dtype == np.float32
        assert close(result, expected, 10 * RTOL[np.dtype(np.float32)])


@pytest.mark.parametrize(
    "filt", [ef.EnFF(steps=2), ef.EnSF(steps=2), ef.ETKF()], ids=lambda f: type(f).__name__
)
def test_without_observations_the_analysis_is_the_forecast(cuda, dtype, filt):
    forecast, previous, y, obs = problem(5, 40, dtype, ef.operators.Arctan(), batch=2)
    y[0] = np.nan
    result, expected = both(cuda, filt, forecast, y, obs, previous=previous, rng=1)
    assert np.array_equal(result[0], forecast[0])
    assert not np.array_equal(result[1], forecast[1])
    assert close(result, expected, 30 * RTOL[dtype])


def test_schedule_has_the_columns_that_the_kernels_read():
    assert DiffusionStep._fields[-2:] == ("gain", "spread")
