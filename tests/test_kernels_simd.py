"""The compiled kernels at every SIMD level, their elementary functions, and their bits.

Levels differ by fused multiply-adds and by the order in which lanes are added: rounding.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import BACKENDS

import enfilt as ef

core = pytest.importorskip("enfilt._core", reason="the compiled core is not built")
if "cpp" not in BACKENDS:
    pytest.skip("the compiled core can't be used", allow_module_level=True)

LEVELS = core.usable_levels()
FUNCTIONS = ["exp", "log", "atan", "tanh", "sigmoid", "sin_turns", "cos_turns"]
BOUNDS = {"exp": 2, "log": 2, "atan": 2, "sin_turns": 2, "cos_turns": 2, "tanh": 4, "sigmoid": 4}


@pytest.fixture(params=LEVELS)
def level(request):
    """Each level that this processor runs, in force during the test."""
    before = core.level()
    assert core.use_level(request.param)
    yield request.param
    assert core.use_level(before)


def run_script(script, **environment):
    """Run a script in a process of its own; return the finished process."""
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- the same results at every level ---------------------------------------------------------


def one_analysis(dtype, path, guidance, sampler, operator):
    rng = np.random.default_rng(8)
    members, dim = 6, 8192 + 77
    forecast = rng.uniform(-1, 1, dim) + 0.7 / np.sqrt(dim) * rng.standard_normal((members, dim))
    forecast = forecast.astype(dtype)
    previous = (forecast - 0.3).astype(dtype)
    y = operator(forecast[0] + dtype.type(0.2))
    y[::7] = np.nan
    filt = ef.EnFF(
        path=path, guidance=guidance, steps=3, sigma_min=0.3, sampler=sampler, backend="cpp"
    )
    obs = ef.Observation(operator, std=0.5)
    return filt.analysis(forecast, y, obs, previous=previous, rng=4)


ANALYSES = {
    "f2p-local": ("f2p", "local", "heun", ef.operators.Arctan()),
    "f2p-tanh": ("f2p", "local", "euler", ef.operators.Tanh()),
    "f2p-sigmoid": ("f2p", "local", "euler", ef.operators.Sigmoid(2.0)),
    "f2p-power": ("f2p", "local", "euler", ef.operators.Power(1.5)),
    "ot-covariance": ("ot", "covariance", "heun", ef.operators.Every(3)),
    "ot-monte-carlo": ("ot", "monte-carlo", "euler", ef.operators.Power(3)),
}


def compute(name, dtype):
    """The results of one kernel, as arrays."""
    if name in ANALYSES:
        return [one_analysis(dtype, *ANALYSES[name])]
    rng = np.random.default_rng(9)
    if name == "lorenz96":
        x = 8 + rng.standard_normal((3, 5000)).astype(dtype)
        return [
            ef.kernels.lorenz96(x, dt=0.01, steps=20, backend="cpp"),
            ef.kernels.lorenz96(x[:, :41], dt=0.01, steps=20, backend="cpp"),
        ]
    if name == "scores":
        x = rng.standard_normal((7, 9001)).astype(dtype)
        scores = ef.metrics.score(x, x[0] + dtype.type(0.5), backend="cpp")
        return [np.array(value, np.float64) for value in scores]
    if name == "few components":
        x = rng.standard_normal((70, 5)).astype(dtype)
        obs = ef.Observation(ef.operators.Arctan(), std=0.5)
        flow = ef.EnFF(steps=3, sigma_min=0.3, sampler="heun", backend="cpp")
        score = ef.EnSF(steps=5, score_limit=10.0, backend="cpp")
        return [
            flow.analysis(x, np.arctan(x[0]), obs, previous=x - 1, rng=3),
            score.analysis(x, np.arctan(x[0]), obs, rng=3),
            ef.kernels.flow_field(x, x - 1, 0.5, path="ot", sigma_min=0.1, backend="cpp"),
        ]
    if name in ("mixture", "paired", "reduced"):
        x = (0.5 * rng.standard_normal((6, 9001))).astype(dtype)
        if name == "reduced":
            filt = ef.EnFF(steps=3, sigma_min=0.3, algorithm="reduced", backend="cpp")
            obs = ef.Observation(ef.operators.Every(3), std=0.5)
            return [filt.analysis(x, x[0, ::3].copy(), obs, previous=x - 1, rng=3)]
        filt = ef.EnSF(steps=5, score=name, score_limit=10.0, backend="cpp")
        obs = ef.Observation(ef.operators.Arctan(), std=0.5)
        return [filt.analysis(x, np.arctan(x[0]), obs, rng=3)]
    x = rng.standard_normal((5, 9001)).astype(dtype)
    return [ef.kernels.pairwise_log_weights(x, x[:3] + dtype.type(1), 1.0, 20.0, backend="cpp")]


KERNELS = ["few components", "mixture", "paired", "reduced", "lorenz96", "scores", "log_weights"]


@pytest.mark.parametrize("name", [*ANALYSES, *KERNELS])
def test_levels_agree(level, dtype, name):
    """Within 50 eps in norm.

    An analysis is some 50 rounded operations a component; 20 steps of Lorenz-96 are 2,000, as a
    random walk 45 eps, and 0.2 units of time let errors grow by less than 2; scores of float32
    are float64 sums over blocks of at most 512.
    """
    results = compute(name, dtype)
    core.use_level(LEVELS[0])
    try:
        expected = compute(name, dtype)
    finally:
        core.use_level(level)
    for a, b in zip(results, expected, strict=True):
        error = np.linalg.norm(a.astype(np.float64) - b)
        assert error <= 50 * np.finfo(dtype).eps * np.linalg.norm(b)


def test_normals_at_every_level(level, dtype):
    """Few of them, and none by more than its rounding, differ from the reference's."""
    x = ef.kernels.standard_normal(5, (3, 5000), dtype=dtype, backend="cpp")
    expected = ef.kernels.standard_normal(5, (3, 5000), backend="numpy")
    # see test_kernels_pairwise: 2 pi r eps by the angle and eps / r by the radius
    r = np.maximum(np.abs(expected), 1e-3)
    assert np.abs((x - expected) / (1 + 7 * r + 1 / r)).max() < 4 * np.finfo(dtype).eps


def test_levels_of_this_processor():
    assert core.level() in LEVELS
    assert core.vector_bytes() in (16, 32, 64)
    if sys.platform == "linux" and "v2" in LEVELS:
        with open("/proc/cpuinfo") as file:
            flags = next(line for line in file if line.startswith("flags")).split()
        assert ("v3" in LEVELS) == ({"avx2", "fma", "bmi1", "bmi2"} <= set(flags))
        wanted = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
        assert ("v4" in LEVELS) == ("v3" in LEVELS and wanted <= set(flags))


def test_use_level_of_no_such_name():
    before = core.level()
    assert not core.use_level("v9")
    assert not core.use_level("")
    assert core.level() == before


@pytest.mark.parametrize("name", ["v2", "v3", "v4"])
def test_enfilt_simd(name):
    if name not in LEVELS:
        pytest.skip(f"this processor does not run {name}")
    done = run_script(
        "import enfilt as ef, enfilt._core as core\n"
        "ef.show_config()\n"
        "print('in use', core.level(), core.vector_bytes())",
        ENFILT_SIMD=name,
    )
    assert done.returncode == 0, done.stderr
    width = {"v2": 16, "v3": 32, "v4": 64}[name]
    assert f"in use {name} {width}" in done.stdout
    assert f"{name} of {', '.join(LEVELS)}" in done.stdout


@pytest.mark.parametrize("name", ["v9", "avx2", "V3", " "])
def test_enfilt_simd_of_no_such_name(name):
    """An error that says what was asked for and what there is, not another level silently."""
    done = run_script(
        "import numpy as np, enfilt as ef\nef.kernels.standard_normal(0, (1, 1))",
        ENFILT_SIMD=name,
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError:")
    assert f"ENFILT_SIMD={name}" in last
    assert ", ".join(LEVELS) in last


# --- elementary functions --------------------------------------------------------------------


def apply(name, x):
    out = np.full_like(x, -7)
    core.elementary(name, x, out)
    return out


def sine_of_turns(u):
    """sin(2 pi u) in the precision of u, relatively accurate next to its zeros."""
    r = u - np.round(u)  # exact, in [-1/2, 1/2]
    r = np.where(np.abs(r) > 0.25, np.copysign(0.5, r) - r, r)  # exact
    return np.sin(2 * np.arccos(u.dtype.type(-1)) * r)


def cosine_of_turns(u):
    """cos(2 pi u) in the precision of u, relatively accurate next to its zeros."""
    r = np.abs(u - np.round(u))
    # next to a quarter turn the sine of what is left to it, an exact difference
    near = np.abs(r - 0.25) < 0.125
    pi = np.arccos(u.dtype.type(-1))
    return np.where(near, np.sin(2 * pi * (0.25 - r)), np.cos(2 * pi * r))


REFERENCES = {
    "exp": np.exp,
    "log": np.log,
    "atan": np.arctan,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sin_turns": sine_of_turns,
    "cos_turns": cosine_of_turns,
}


def sweep(dtype):
    """Finite numbers of all exponents and both signs: a stride through the bit patterns.

    The stride is odd, so that all low bits occur. Float64 is held against `longdouble`, which is
    slower.
    """
    if dtype == np.float32:
        patterns = np.arange(0, 2**32, 1021, dtype=np.uint64).astype(np.uint32)
    else:
        patterns = np.arange(300_000, dtype=np.uint64) * np.uint64(2**64 // 300_000 | 1)
    x = patterns.view(dtype)
    return x[np.isfinite(x)]


def dense(dtype, low, high, count):
    return np.linspace(low, high, count).astype(dtype)


def arguments(name, dtype):
    """The sweep, and the ranges in which the function is not trivial more densely."""
    parts = [sweep(dtype)]
    if name == "exp":
        parts.append(dense(dtype, -110, 100, 200_001) * (1 if dtype == np.float32 else 7))
    elif name == "log":
        parts += [dense(dtype, 0.4, 2.5, 200_001), 1 + dense(dtype, -1e-3, 1e-3, 20_001)]
    elif name in ("sin_turns", "cos_turns"):
        # made for [0, 1]; the reduction is exact up to 2^20
        parts = [parts[0][np.abs(parts[0]) <= 2**20], dense(dtype, -0.1, 1.1, 200_001)]
        quarter = np.arange(-4, 9) / 4
        steps = np.arange(-50, 51) * np.finfo(dtype).eps / 4
        parts.append((quarter[:, None] + steps).ravel().astype(dtype))
    else:
        parts.append(dense(dtype, -45, 45, 200_001))
        parts.append(dense(dtype, -1.5, 1.5, 100_001))
    x = np.concatenate(parts)
    return np.ascontiguousarray(x[x > 0]) if name == "log" else x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_units_in_the_last_place(level, dtype, name):
    """Results within the bounds, in units in the last place of the true value.

    The references, float64 and `longdouble` (64 bits or more of mantissa on x86-64 and arm64),
    are exact to 1/1000 of them. Results below the smallest normal number count as units of that.
    """
    x = arguments(name, dtype)
    result = apply(name, x)
    wide = np.float64 if dtype == np.float32 else np.longdouble
    if np.finfo(wide).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("longdouble is no wider than float64 here")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        true = REFERENCES[name](x.astype(wide))
        info = np.finfo(dtype)
        tiny, huge = wide(info.tiny), wide(info.max)
        unit = np.spacing(np.clip(np.abs(true), tiny, huge).astype(dtype)).astype(wide)
        inside = np.abs(true) <= huge
        # exp flushes below sqrt(2) times the smallest normal number, and so sigmoid
        flushed = (name in ("exp", "sigmoid")) & (np.abs(true) < np.sqrt(wide(2)) * tiny)
        error = np.abs(result.astype(wide) - true) / unit
    ordinary = inside & ~flushed
    assert ordinary.sum() > 0.3 * x.size
    worst = np.argmax(np.where(ordinary, error, 0))
    assert error[worst] <= BOUNDS[name], f"{name}({x[worst]!r}) errs by {error[worst]:.2f} ulp"
    # what is flushed is zero or right, and what overflows is infinite (or the largest, rounded)
    assert ((result[flushed] == 0) | (error[flushed] <= BOUNDS[name])).all()
    assert (result[true > huge * (1 + wide(info.eps))] == np.inf).all()


SPECIAL = {
    # name: [(argument, value)], "tiny": smallest normal, "sub": smallest subnormal
    "exp": [(0, 1), (-0.0, 1), (np.inf, np.inf), (-np.inf, 0), (np.nan, np.nan), ("sub", 1)],
    "log": [
        (1, 0),
        (0, -np.inf),
        (-0.0, -np.inf),
        (np.inf, np.inf),
        (-1, np.nan),
        (-np.inf, np.nan),
        (np.nan, np.nan),
    ],
    "atan": [(0, 0), (-0.0, -0.0), (np.nan, np.nan), ("sub", "sub"), ("-sub", "-sub")],
    "tanh": [
        (0, 0),
        (-0.0, -0.0),
        (np.inf, 1),
        (-np.inf, -1),
        (np.nan, np.nan),
        ("sub", "sub"),
        ("-sub", "-sub"),
    ],
    "sigmoid": [(0, 0.5), (-0.0, 0.5), (np.inf, 1), (-np.inf, 0), (np.nan, np.nan), ("sub", 0.5)],
    "sin_turns": [(0, 0), (0.25, 1), (0.75, -1), (np.nan, np.nan), (2.0**20 + 0.25, 1)],
    "cos_turns": [(0, 1), (-0.0, 1), (0.5, -1), (1, 1), (np.nan, np.nan), ("sub", 1)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(level, dtype, name):
    info = np.finfo(dtype)
    words = {"sub": info.smallest_subnormal, "-sub": -info.smallest_subnormal}
    given, expected = (
        np.array([words.get(v, v) if isinstance(v, str) else v for v in column], dtype)
        for column in zip(*SPECIAL[name], strict=True)
    )
    result = apply(name, given)
    assert np.array_equal(result, expected, equal_nan=True), (given, result)
    kept = ~np.isnan(expected)
    assert np.array_equal(np.signbit(result[kept]), np.signbit(expected[kept]))


def test_arctan_of_infinity(level, dtype):
    result = apply("atan", np.array([np.inf, -np.inf], dtype))
    half_pi = dtype.type(np.pi / 2)
    assert (np.abs(result - [half_pi, -half_pi]) <= np.spacing(half_pi)).all()


def test_logarithm_of_subnormal_numbers(level, dtype):
    info = np.finfo(dtype)
    x = info.smallest_subnormal * np.array([1, 2, 3, 1000, 2.0 ** (info.nmant - 1)], dtype)
    true = np.log(x.astype(np.longdouble))
    assert (np.abs(apply("log", x) - true) <= 2 * np.spacing(np.abs(true).astype(dtype))).all()


@pytest.mark.parametrize("count", [0, 1, 3, 15, 16, 17, 63, 65])
def test_elementary_writes_no_further(level, dtype, count):
    """Arrays that are no whole number of vectors, to the last entry and not beyond."""
    memory = np.full(count + 32, -7, dtype)
    x = np.linspace(-1, 1, count).astype(dtype)
    core.elementary("atan", x, memory[:count])
    assert np.allclose(memory[:count], np.arctan(x), rtol=4 * np.finfo(dtype).eps)
    assert (memory[count:] == -7).all()


def test_elementary_of_no_such_name(dtype):
    x = np.zeros(3, dtype)
    with pytest.raises(ValueError, match="no elementary function erfc"):
        core.elementary("erfc", x, x.copy())


# --- bits ------------------------------------------------------------------------------------

BITS = """
import hashlib
import numpy as np
import enfilt as ef

def bits():
    rng = np.random.default_rng(1)
    out = {}
    for dtype in (np.float32, np.float64):
        for members, dim in [(6, 16384 + 8192 + 77), (70, 500), (300, 4)]:
            x = rng.standard_normal((members, dim)).astype(dtype)
            z = x - dtype(0.25)
            y = np.arctan(x[0])
            arctan = ef.Observation(ef.operators.Arctan(), std=0.5)
            every = ef.Observation(ef.operators.Every(3), std=0.5)
            # apart by 1 in norm: several weights matter
            near = (x / np.sqrt(dim)).astype(dtype)
            for name, result in {
                "f2p": ef.EnFF(steps=3, sigma_min=0.3, backend="cpp").analysis(
                    near, y, arctan, previous=near - dtype(0.1), rng=5),
                "ot": ef.EnFF(path="ot", guidance="covariance", sampler="heun", steps=2,
                    backend="cpp").analysis(near, y[::3].copy(), every, rng=5),
                "monte-carlo": ef.EnFF(path="ve", guidance="monte-carlo", steps=2,
                    backend="cpp").analysis(near, y, arctan, rng=5),
                "lorenz96": ef.kernels.lorenz96(x, steps=20, backend="cpp"),
                "scores": np.hstack([*ef.metrics.score(x, x[0] * dtype(0.5), backend="cpp")]),
                "field": ef.kernels.flow_field(x, z, 0.5, path="ot", sigma_min=0.1, backend="cpp"),
            }.items():
                assert np.isfinite(result).all()
                out[name, dtype.__name__, dim] = hashlib.sha256(result.tobytes()).hexdigest()
    return out
"""


def test_bits_do_not_depend_on_threads():
    """A process each, so that the number of threads is fixed before anything starts."""
    outputs = {}
    for threads in (1, 2, 3):
        done = run_script(
            BITS + "\nimport enfilt._core as core\nprint(core.threads())\n"
            "for item in bits().items(): print(*item)",
            OMP_NUM_THREADS=str(threads),
        )
        assert done.returncode == 0, done.stderr
        found, *lines = done.stdout.splitlines()
        assert int(found) == threads
        assert len(lines) == 36
        outputs[threads] = lines
    assert outputs[2] == outputs[1]
    assert outputs[3] == outputs[1]


LARGE_GAINS = """
import hashlib
import numpy as np
import enfilt as ef
x = np.random.default_rng(0).standard_normal((150, 50)) / 7
obs = ef.Observation(ef.operators.Identity(), 0.5)
filt = ef.EnFF(path="ot", guidance="covariance", steps=2, backend="cpp")
print(hashlib.sha256(filt.analysis(x, x[0], obs, rng=1).tobytes()).hexdigest())
"""


def test_bits_of_large_gains_do_not_depend_on_threads():
    bits = [run_script(LARGE_GAINS, OMP_NUM_THREADS=threads).stdout for threads in ("1", "2")]
    assert len(bits[0]) > 60
    assert bits[0] == bits[1]


def test_threadpoolctl_limits_threads():
    """In the process, as users do it: the same bits, with fewer threads."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    scope = {}
    exec(BITS, scope)
    before = core.threads()
    results = []
    for limit in (1, 2, 3):
        with threadpoolctl.threadpool_limits(limits=limit, user_api="openmp"):
            assert core.threads() == limit
            results.append(scope["bits"]())
    assert core.threads() == before
    assert results[1] == results[0]
    assert results[2] == results[0]
