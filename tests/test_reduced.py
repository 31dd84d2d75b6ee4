"""The reduced form: equal to the streaming form to rounding, and as exact as float64 allows.

Tolerances, relative in norm, are those of test_enff_backends.py and test_ensf.py, and for the same
reasons. The reduced form's own error is that of a distance from a Gram matrix: sums over D in
float64 of products as large as |A|^2, the squared norm of an anomaly, so a logit errs by some
eps64 |A|^2 / s^2 whatever the dtype of the data. With members 1 apart and s of 0.2 that is 1e-14.
"""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl
from conftest import BACKENDS, KINDS, OTHERS
from pairs import pairs
from test_enff_backends import NO_COVARIANCE, PATHS, make_setting

import enfilt as ef
from enfilt import backends
from enfilt.filters import reduced

RTOL = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 4e-6}

# Around a vector, a tile, a block (512 components) and a chunk (8192, or 256 N for each group).
SIZES = [(2, 1), (2, 31), (5, 33), (20, 64), (33, 257), (3, 8193), (4, 17003)]

OPERATORS = {
    "Identity": lambda dim: ef.operators.Identity(),
    "Subset": lambda dim: ef.operators.Subset(
        np.random.default_rng(6).permutation(dim)[: max(1, dim // 2)]
    ),
    "Every": lambda dim: ef.operators.Every(3, offset=min(1, dim - 1)),
    "Mask": lambda dim: ef.operators.Mask(np.arange(dim) % 5 != 1),
}


def arrange(members, dim, name, dtype, errors, batch=()):
    """A setting with observations of `errors` different std; every third is missing."""
    operator = OPERATORS[name](dim)
    setting = make_setting(members, dim, operator, dtype, batch=batch)
    std = 0.7 + 0.1 * (np.arange(operator.size(dim)) * 7 % 11 % errors)
    return dataclasses.replace(setting, obs=ef.Observation(operator, std=std))


def assert_close(result, expected, dtype, scale=1.0):
    __tracebackhide__ = True
    assert result.dtype == dtype
    error = np.linalg.norm(result.astype(np.float64) - expected) / np.linalg.norm(expected)
    assert error <= scale * RTOL[np.dtype(dtype)], f"relative error {error:.2e}"


@pairs(
    {
        "backend, dtype": KINDS,
        "size": SIZES,
        "name": list(OPERATORS),
        "guidance": ["none", "local", "monte-carlo", "covariance"],
        "path": list(PATHS),
        "sampler": ["euler", "heun"],
        "errors": [1, 2, 3],
    },
    without=[NO_COVARIANCE],
)
def test_flow_equals_streaming(backend, dtype, size, name, guidance, path, sampler, errors):
    setting = arrange(*size, name, dtype, errors)
    filt = ef.EnFF(
        **PATHS[path],
        guidance=guidance,
        steps=3,
        strength=lambda t: 0.05 * (1 + t),
        sampler=sampler,
        algorithm="streaming",
        backend="numpy",
    )
    expected = setting.analysis(filt)
    result = setting.analysis(dataclasses.replace(filt, algorithm="reduced", backend=backend))
    assert_close(result, expected, dtype)


@pairs(
    {
        "backend, dtype": KINDS,
        "size": SIZES,
        "name": list(OPERATORS),
        "score": ["mixture", "paired"],
        "regress": {"alone": False, "regressed": True},
        "standardized": {"as drawn": False, "standardized": True},
        "errors": [1, 2, 3],
    },
    # about as many observations as members: their Gram matrix is nearly singular, and the
    # regression magnifies rounding by its condition
    without=[{"regress": True, "size": (20, 64)}],
)
def test_score_filter_equals_streaming(
    backend, dtype, size, name, score, regress, standardized, errors
):
    setting = arrange(*size, name, dtype, errors)
    filt = ef.EnSF(
        steps=6,
        eps_alpha=0.4,
        eps_beta=0.25,
        score=score,
        sampler="ode",
        standardize_start=standardized,
        regress_unobserved=regress,
        algorithm="streaming",
        backend="numpy",
    )

    def run(filt):
        return filt.analysis(setting.forecast, setting.y, setting.obs, noise=setting.noise)

    expected = run(filt)
    result = run(dataclasses.replace(filt, algorithm="reduced", backend=backend))
    # the regression divides by the spread of members 1 apart in norm
    assert_close(result, expected, dtype, scale=10 if regress else 1)


@pytest.mark.parametrize("filt", [ef.EnFF(steps=3), ef.EnSF(steps=4, sampler="ode")], ids=repr)
@pytest.mark.parametrize("dim", [40, 9000])
def test_same_random_numbers(backend, dtype, filt, dim):
    setting = arrange(6, dim, "Every", dtype, errors=2, batch=(2,))

    def run(algorithm, seed):
        one = dataclasses.replace(filt, algorithm=algorithm, backend=backend)
        previous = setting.previous
        return one.analysis(setting.forecast, setting.y, setting.obs, previous=previous, rng=seed)

    # f2p at its default sigma_min, 0.01: s^-2 magnifies the rounding of a float32 distance
    scale = 1e4 if isinstance(filt, ef.EnFF) else 10
    assert_close(run("reduced", 5), run("streaming", 5), dtype, scale)
    assert not np.allclose(run("reduced", 5), run("reduced", 6), rtol=1e-3)


def test_independent_coupling(backend, dtype):
    setting = arrange(7, 30, "Subset", dtype, errors=2)

    def run(**options):
        filt = ef.EnFF(path="f2p", sigma_min=0.3, steps=3, coupling="independent", **options)
        return filt.analysis(
            setting.forecast,
            setting.y,
            setting.obs,
            previous=setting.previous,
            noise=setting.noise,
            rng=5,
        )

    expected = run(algorithm="streaming", backend="numpy")
    assert_close(run(algorithm="reduced", backend=backend), expected, dtype)


@pytest.mark.parametrize("dim", [31, 9001])  # a thread an ensemble, and threads within one
@pytest.mark.parametrize(
    ("path", "guidance"), [("ot", "covariance"), ("f2p", "local"), ("ve", "monte-carlo")]
)
def test_batch_is_loop(backend, path, guidance, dim):
    """The very bits of one call each, whatever is missing in the other ensembles."""
    setting = arrange(5, dim, "Mask", np.float64, errors=2, batch=(3,))
    setting.y[0, 5:] = np.nan
    setting.y[1] = np.nan  # nothing observed in this one
    filt = ef.EnFF(**PATHS[path], guidance=guidance, steps=2, algorithm="reduced", backend=backend)
    together = setting.analysis(filt)
    for b in range(3):
        arrays = {
            field: getattr(setting, field)[b] for field in ("forecast", "previous", "noise", "y")
        }
        assert np.array_equal(together[b], dataclasses.replace(setting, **arrays).analysis(filt))
    assert np.array_equal(together[1], setting.forecast[1])


@pytest.mark.parametrize(
    ("members", "dim", "guidance"), [(5, 40_000, "local"), (70, 20_000, "covariance")]
)
def test_threads_change_no_bit(other_backend, monkeypatch, members, dim, guidance):
    setting = arrange(members, dim, "Every", np.float32, errors=2)
    filt = ef.EnFF(
        **PATHS["ot"], guidance=guidance, steps=3, algorithm="reduced", backend=other_backend
    )
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # Numba's; the core's is limited below
        with threadpoolctl.threadpool_limits(threads):
            results.append(setting.analysis(filt))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("inflation", [1.3, ef.inflation.RTPS(0.6)], ids=repr)
def test_inflation_and_out(backend, dtype, inflation):
    """Inflation comes afterwards as ever, and `out` may be the forecast."""
    setting = arrange(4, 300, "Identity", dtype, errors=1)
    options = {**PATHS["f2p"], "steps": 2, "inflation": inflation}
    expected = setting.analysis(ef.EnFF(**options, algorithm="streaming", backend="numpy"))
    forecast = setting.forecast.copy()
    result = ef.EnFF(**options, algorithm="reduced", backend=backend).analysis(
        forecast,
        setting.y,
        setting.obs,
        previous=setting.previous,
        noise=setting.noise,
        out=forecast,
    )
    assert result is forecast
    assert_close(result, expected, dtype)


# --- accuracy ---------------------------------------------------------------------------------

SIGMA = 1e-3


def displacements(setting, filt, dtype):
    """How far members are moved, in float64 for data that is float32."""
    arrays = {
        field: getattr(setting, field).astype(dtype)
        for field in ("forecast", "previous", "noise", "y")
    }
    one = dataclasses.replace(setting, **arrays)
    return one.analysis(filt).astype(np.float64) - setting.previous


@pytest.fixture(scope="module", params=["one-hot", "near ties", "crossing"])
def large(request):
    """20 members of 200,000 components about 3 in size, float32.

    Near ties: the pairs of x0 and x1 of members stand some sigma_min apart in norm, five of them
    about each of four centres. Crossing: the members meet so at t = 1/2 alone, with x1 - x0 of
    their own. Eight components more carry the small differences in numbers that float32 holds.
    """
    rng = np.random.default_rng(0)
    members, dim = 20, 200_000
    x1, change, noise = (rng.standard_normal((members, dim), dtype=np.float32) for _ in range(3))
    x1 *= 3
    change *= 2
    small = np.zeros_like(x1)
    small[:, :8] = SIGMA * rng.standard_normal((members, 8)) / 2
    if request.param == "near ties":
        x1, change = np.repeat(x1[:4], 5, axis=0), np.repeat(change[:4], 5, axis=0)
        x1[:, :8] = 0
        change[:, :8] = 0
        x0 = x1 + change + small
        x1 = x1 + small
    elif request.param == "crossing":
        middle = np.round(x1[:1] * 256) / 256  # what follows is exact in float32
        change = np.round(change * 256) / 256
        change[:, :8] = middle[:, :8] = 0
        x1, x0 = middle - change + small, middle + change + small
    else:
        x0 = x1 + change
    y = x1.mean(axis=0) + np.float32(0.5) * rng.standard_normal(dim, dtype=np.float32)
    obs = ef.Observation(ef.operators.Every(2), std=1.0)
    return request.param, make_large(x1, x0, noise, np.ascontiguousarray(y[::2]), obs)


def make_large(x1, x0, noise, y, obs):
    base = make_setting(2, 2, ef.operators.Identity(), np.float32)
    return dataclasses.replace(base, forecast=x1, previous=x0, noise=noise, y=y, obs=obs)


@pytest.mark.parametrize("other_backend", OTHERS)
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_float32_at_large_dimension(large, other_backend, sampler):
    """Within 1e-4 of the streaming form in float64, in the norm of what moves a member.

    Four steps evaluate the field at t = 1/2, where crossing members have weights of all sizes: the
    streaming form in float32 errs there by a hundredth, since it has to round the centres.
    """
    name, setting = large
    options = {"path": "f2p", "sigma_min": SIGMA, "steps": 4, "strength": 0.02}
    if name != "one-hot":
        options["guidance"] = "none"  # which keeps the members together, where weights differ
    exact = displacements(
        setting,
        ef.EnFF(**options, sampler=sampler, algorithm="streaming", backend=other_backend),
        np.float64,
    )
    reduced_form = ef.EnFF(**options, sampler=sampler, algorithm="reduced", backend=other_backend)
    moved = displacements(setting, reduced_form, np.float32)
    assert np.linalg.norm(moved - exact) <= 1e-4 * np.linalg.norm(exact)


@pytest.mark.parametrize(("path", "centre"), [("f2p", 0.0), ("f2p", 1.0), ("ot", 0.0)])
def test_float32_of_spread_out_weights(other_backend, path, centre):
    """Hundreds of members in three components, a cloud as wide as sigma_min: many weights count."""
    rng = np.random.default_rng(2)
    shape = (1000 if other_backend == "cpp" else 200, 3)
    x1 = (centre + 2 * SIGMA * rng.standard_normal(shape)).astype(np.float32)
    x0 = (centre + 0.1 + 2 * SIGMA * rng.standard_normal(shape)).astype(np.float32)
    noise = rng.standard_normal(shape).astype(np.float32)
    y = np.full(3, centre, np.float32)
    setting = make_large(x1, x0, noise, y, ef.Observation(ef.operators.Identity(), std=0.5))
    options = {"path": path, "sigma_min": SIGMA, "steps": 3, "backend": other_backend}
    exact = displacements(setting, ef.EnFF(**options, algorithm="streaming"), np.float64)
    moved = displacements(setting, ef.EnFF(**options, algorithm="reduced"), np.float32)
    assert np.linalg.norm(moved - exact) <= 1e-4 * np.linalg.norm(exact)


@pytest.mark.parametrize("filt", [ef.EnFF(steps=200), ef.EnSF(steps=200, sampler="ode")], ids=repr)
def test_many_steps(other_backend, dtype, filt):
    """Rounding of the coefficients does not add up to more than the streaming form's of z.

    Float32 within the 1e-5 that the reduced form promises.
    """
    setting = arrange(20, 3000, "Identity", dtype, errors=1)

    def run(algorithm, backend):
        one = dataclasses.replace(filt, algorithm=algorithm, backend=backend)
        return one.analysis(
            setting.forecast,
            setting.y,
            setting.obs,
            previous=setting.previous,
            noise=setting.noise,
        ).astype(np.float64)

    expected = run("streaming", other_backend)
    error = np.linalg.norm(run("reduced", other_backend) - expected) / np.linalg.norm(expected)
    assert error <= (1e-5 if dtype == np.float32 else 1e-11)


# --- the option -------------------------------------------------------------------------------


def test_auto_takes_the_faster_form(monkeypatch, other_backend):
    """The rule is asked, and followed where the reduced form applies."""
    setting = arrange(5, 100, "Every", np.float32, errors=2)
    flow = ef.EnFF(steps=4, backend=other_backend)
    score = ef.EnSF(steps=4, sampler="ode", backend=other_backend)

    def run(filt, algorithm, setting=setting):
        one = dataclasses.replace(filt, algorithm=algorithm)
        previous = setting.previous
        return one.analysis(setting.forecast, setting.y, setting.obs, previous=previous, rng=0)

    for pays in (False, True):
        monkeypatch.setattr(reduced, "pays", lambda *_, pays=pays: pays)
        for filt in (flow, score):
            forms = {a: run(filt, a) for a in reduced.ALGORITHMS}
            assert not np.array_equal(forms["streaming"], forms["reduced"])
            taken = "reduced" if pays else "streaming"
            assert np.array_equal(forms["auto"], forms[taken])
    # where it pays but does not apply: streaming, without a word
    curved = dataclasses.replace(setting, obs=ef.Observation(ef.operators.Arctan(), std=0.5))
    curved = dataclasses.replace(curved, y=np.zeros(100, np.float32))
    errors = np.linspace(0.5, 1.0, 100)
    many = dataclasses.replace(curved, obs=ef.Observation(ef.operators.Identity(), std=errors))
    cases = [(flow, curved), (score, curved), (flow, many), (score, many)]
    cases += [(ef.EnSF(steps=4, score_limit=9.0), setting), (ef.EnSF(steps=4), setting)]
    for filt, where in cases:
        assert np.array_equal(run(filt, "auto", where), run(filt, "streaming", where))


def test_rule():
    """It pays for many steps of large ensembles, and not in plain NumPy, which is the oracle."""
    for name in OTHERS:
        backend = backends.get(name)
        for paired in (False, True):
            assert reduced.pays(backend, 20, 1_000_000, 100, paired)
            assert reduced.pays(backend, 20, 1_000_000, 19, paired)
            assert not reduced.pays(backend, 20, 1_000_000, 1, paired)
            assert not reduced.pays(backend, 20, 40, 19, paired)
            assert not reduced.pays(backend, 1000, 40, 19, paired)
    assert not reduced.pays(backends.get("numpy"), 20, 1_000_000, 100, False)


def test_any_operator_where_steps_do_not_look_at_it(backend):
    setting = make_setting(5, 33, ef.operators.Arctan(), np.float64)
    for guidance in ("none", "monte-carlo"):
        filt = ef.EnFF(**PATHS["ot"], guidance=guidance, steps=3, backend=backend)
        forms = [
            setting.analysis(dataclasses.replace(filt, algorithm=a))
            for a in ("streaming", "reduced")
        ]
        assert_close(forms[1], forms[0], np.float64)


@pytest.mark.parametrize(
    ("operator", "errors", "message"),
    [
        (ef.operators.Arctan(), 1, "algorithm='reduced'.*picks single components"),
        (ef.operators.Linear(np.eye(20)), 1, "algorithm='reduced'.*picks single components"),
        (ef.operators.Identity(), 9, "algorithm='reduced'.*at most 8 distinct values"),
    ],
    ids=["Arctan", "Linear", "nine errors"],
)
@pytest.mark.parametrize("kind", [ef.EnFF, ef.EnSF])
def test_observations_that_it_can_not_take(backend, kind, operator, errors, message):
    std = 0.5 + 0.1 * (np.arange(20) % errors)
    obs = ef.Observation(operator, std=std)
    x = np.random.default_rng(0).standard_normal((4, 20))
    options = {} if kind is ef.EnFF else {"sampler": "ode"}
    filt = kind(steps=2, algorithm="reduced", backend=backend, **options)
    out = np.full_like(x, 7.0)
    with pytest.raises(ValueError, match=message):
        filt.analysis(x, np.zeros(20), obs, previous=x, rng=0, out=out)
    assert (out == 7).all()
    eight = ef.Observation(ef.operators.Identity(), std=0.5 + 0.1 * (np.arange(20) % 8))
    assert np.isfinite(filt.analysis(x, np.zeros(20), eight, previous=x, rng=0)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ef.EnFF(algorithm="fast"), "algorithm='fast' is not known"),
        (lambda: ef.EnSF(algorithm="reduce"), "algorithm='reduce'.*did you mean 'reduced'"),
        (lambda: ef.EnSF(algorithm="reduced"), "algorithm='reduced'.*sampler='sde'"),
        (
            lambda: ef.EnSF(sampler="ode", score_limit=50, algorithm="reduced"),
            "algorithm='reduced'.*score_limit=50",
        ),
        (
            lambda: ef.EnFF(guidance=lambda *_: 0, algorithm="reduced"),
            "algorithm='reduced'.*guidance of the user's",
        ),
    ],
    ids=["name", "close name", "sde", "score_limit", "callable"],
)
def test_options_that_can_not_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_error_beyond_all_bounds(backend):
    """1/r^2 of 1e-60 is 0 in float32: as good as no observation, and no group of its own."""
    setting = arrange(4, 50, "Identity", np.float32, errors=2)
    std = np.asarray(setting.obs.std).copy()
    std[::4] = 1e30
    setting = dataclasses.replace(setting, obs=ef.Observation(setting.obs.operator, std=std))
    filt = ef.EnFF(**PATHS["f2p"], steps=2, backend="numpy", algorithm="streaming")
    expected = setting.analysis(filt)
    result = setting.analysis(dataclasses.replace(filt, algorithm="reduced", backend=backend))
    assert_close(result, expected, np.float32)


def test_group_that_one_ensemble_alone_sees(backend):
    setting = arrange(3, 64, "Identity", np.float64, errors=2, batch=(2,))
    first = np.asarray(setting.obs.std) == setting.obs.std[0]
    setting.y[1, first] = np.nan
    filt = ef.EnFF(**PATHS["f2p"], steps=2, backend="numpy", algorithm="streaming")
    expected = setting.analysis(filt)
    result = setting.analysis(dataclasses.replace(filt, algorithm="reduced", backend=backend))
    assert_close(result, expected, np.float64)


# The largest instruction set runs above.
@pytest.mark.skipif("cpp" not in BACKENDS, reason="needs the compiled core")
@pytest.mark.parametrize(
    "level", [] if "cpp" not in BACKENDS else backends.get("cpp").core.usable_levels()[:-1]
)
def test_other_instruction_sets_in_a_subprocess(level):
    script = """
import numpy as np, enfilt as ef
rng = np.random.default_rng(0)
x, noise = rng.standard_normal((2, 7, 1003))
y = rng.standard_normal(502)
obs = ef.Observation(ef.operators.Every(2), std=np.resize([0.5, 0.8], 502))
for dtype in (np.float32, np.float64):
    arrays = [a.astype(dtype) for a in (x, y, noise)]
    runs = [
        ef.EnFF(sigma_min=0.3, steps=3, algorithm="reduced", backend=backend).analysis(
            arrays[0], arrays[1], obs, previous=arrays[0] - dtype(0.1), noise=arrays[2]
        )
        for backend in ("numpy", "cpp")
    ]
    error = np.linalg.norm(runs[1] - runs[0].astype(float)) / np.linalg.norm(runs[0])
    assert error < 10 * np.finfo(dtype).eps, error
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "ENFILT_SIMD": level},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
