"""libenfilt: what C gets is what Python gets, to the last bit."""

import ctypes
import threading

import numpy as np
import pytest
from libenfilt import ALLREDUCE, Library, LibraryError, pointer
from scipy import sparse

import enfilt as ef

pytest.importorskip("enfilt._core")
N = 7


@pytest.fixture(params=[np.float64, np.float32], ids=["f64", "f32"])
def lib(request):
    return Library(request.param)


def problem(lib, dim=93, seed=0):
    """A forecast and what it was made from, and observations of every second component."""
    rng = np.random.default_rng(seed)
    forecast, previous = rng.standard_normal((2, N, dim)).astype(lib.dtype)
    components = np.arange(0, dim, 2)
    y = rng.standard_normal(components.size).astype(lib.dtype)
    y[3] = np.nan
    return forecast, previous, components, y


def same(ours, theirs):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


PATHS = {"f2p": 0, "ot": 1, "ve": 2}
GUIDANCE = {"none": 0, "local": 1, "monte-carlo": 2, "covariance": 3}


@pytest.mark.parametrize(
    ("path", "guidance", "sampler", "algorithm", "std"),
    [
        ("f2p", "local", "euler", "auto", 0.5),
        ("f2p", "local", "heun", "reduced", [0.5, 0.7]),
        ("ot", "covariance", "euler", "streaming", 0.5),
        ("ve", "covariance", "heun", "reduced", 0.5),
        ("f2p", "monte-carlo", "euler", "auto", [0.5, 0.7]),
        ("ve", "none", "euler", "auto", 0.5),
    ],
)
def test_enff(lib, path, guidance, sampler, algorithm, std):
    forecast, previous, components, y = problem(lib, dim=4001)
    std = np.resize(std, y.size) if np.ndim(std) else std
    noise = np.random.default_rng(1).standard_normal(forecast.shape).astype(lib.dtype)
    strength = 0.02 if guidance == "local" else 0.05
    filt = ef.EnFF(
        path=path,
        guidance=guidance,
        sampler=sampler,
        algorithm=algorithm,
        steps=9,
        strength=strength,
        backend="cpp",
        inflation=ef.inflation.RTPS(0.3),
    )
    obs = ef.Observation(ef.operators.Subset(components), std=std)
    theirs = filt.analysis(forecast, y, obs, previous=previous, noise=noise)
    options = lib.options(
        "enff",
        path=PATHS[path],
        guidance=GUIDANCE[guidance],
        sampler=int(sampler == "heun"),
        algorithm=["auto", "streaming", "reduced"].index(algorithm),
        steps=9,
        strength=strength,
        inflation=3,
        inflation_amount=0.3,
    )
    ours = np.empty_like(forecast)
    told = lib.observations(y, std, components=components)
    ensemble = lib.ensemble(forecast)
    lib.call(
        "enff", ensemble, pointer(previous), told, options, pointer(noise), None, pointer(ours)
    )
    same(ours, theirs)


@pytest.mark.parametrize(
    ("sampler", "score", "algorithm", "limit"),
    [
        ("sde", "mixture", "auto", 30.0),
        ("sde", "paired", "auto", None),
        ("ode", "mixture", "reduced", None),
        ("ode", "mixture", "streaming", None),
    ],
)
def test_ensf(lib, sampler, score, algorithm, limit):
    forecast, _, components, y = problem(lib)
    shape = (12, *forecast.shape) if sampler == "sde" else forecast.shape
    noise = np.random.default_rng(1).standard_normal(shape).astype(lib.dtype)
    filt = ef.EnSF(
        steps=11, sampler=sampler, score=score, algorithm=algorithm, score_limit=limit,
        standardize_start=True, backend="cpp",
    )  # fmt: skip
    obs = ef.Observation(ef.operators.Subset(components), std=0.5)
    theirs = filt.analysis(forecast, y, obs, noise=noise)
    options = lib.options(
        "ensf",
        steps=11,
        sampler=int(sampler == "sde"),
        score=int(score == "paired"),
        algorithm=["auto", "streaming", "reduced"].index(algorithm),
        score_limit=limit or 0.0,
        standardize_start=1,
    )
    ours = np.empty_like(forecast)
    told = lib.observations(y, 0.5, components=components)
    lib.call("ensf", lib.ensemble(forecast), told, options, pointer(noise), pointer(ours))
    same(ours, theirs)


def test_random_numbers_of_a_key(lib):
    ours = np.empty((N, 93), lib.dtype)
    key = 2**63 + 5
    lib.call(
        "normals", ctypes.c_uint64(key), 0, ctypes.c_int64(N), ctypes.c_int64(93), pointer(ours)
    )
    same(ours, ef.kernels.standard_normal(key, (N, 93), dtype=lib.dtype, backend="cpp"))


def test_etkf(lib):
    forecast, _, components, y = problem(lib)
    values = np.ascontiguousarray(np.arctan(forecast[:, components]))
    std = np.linspace(0.3, 0.8, y.size)
    ours = np.empty_like(forecast)
    told = lib.observations(y, std, values)
    lib.call("etkf", lib.ensemble(forecast), told, None, pointer(ours))
    same(ours, ef.kernels.etkf(forecast, y, observed=values, std=std, backend="cpp"))


def sparse_weights(rows, m, seed=2):
    rng = np.random.default_rng(seed)
    return sparse.random_array((rows, m), density=0.2, rng=rng, data_sampler=rng.uniform).tocsr()


@pytest.mark.parametrize("shared", [False, True])
def test_letkf_and_lenff_of_a_ranks_own_lists(lib, shared):
    forecast, _, components, y = problem(lib)
    values = np.ascontiguousarray(forecast[:, components] ** 2)
    place = np.arange(93) // 3 if shared else None
    weights = sparse_weights(31 if shared else 93, y.size)
    weights.sort_indices()
    between = sparse_weights(y.size, y.size, 3) + sparse.eye_array(y.size)
    between = between.tocsr().minimum(1.0)
    between.sort_indices()
    given = {"observed": values, "std": 0.5, "weights": weights, "place": place, "backend": "cpp"}
    plan = lib.lists(weights, between, place)
    told = lib.observations(y, 0.5, values)
    for name, more in (("letkf", {}), ("lenff", {"between": between, "steps": 6, "growth": 7.0})):
        options = lib.options("lenff", steps=6, growth=7.0) if more else None
        for _ in range(2):  # what is kept of the first call serves the second
            ours = np.empty_like(forecast)
            lib.call(name, plan, lib.ensemble(forecast), told, options, pointer(ours))
            same(ours, getattr(ef.kernels, name)(forecast, y, **given, **more))


@pytest.mark.parametrize("shape", [(93,), (8, 12)])
@pytest.mark.parametrize("periodic", [True, False])
def test_letkf_and_lenff_on_a_grid(lib, shape, periodic):
    grid = ef.grids.RegularGrid(shape, periodic=periodic)
    forecast, _, components, y = problem(lib, grid.size)
    obs = ef.Observation(
        ef.operators.Compose(ef.operators.Arctan(), ef.operators.Subset(components)),
        std=0.5,
        grid=grid,
    )
    taper = ef.localization.GaspariCohn(4.5)
    plan = lib.grid(shape, 4.5, periodic=periodic)
    told = lib.observations(y, 0.5, components=components, function=1)
    for name, filt in (("letkf", ef.LETKF), ("lenff", ef.LEnFF)):
        ours = np.empty_like(forecast)
        lib.call(name, plan, lib.ensemble(forecast), told, None, pointer(ours))
        same(ours, filt(taper, backend="cpp").analysis(forecast, y, obs))


def test_letkf_and_lenff_of_places(lib):
    rng = np.random.default_rng(4)
    grid = ef.geometry.RegularGrid((10, 12), periodic=(True, False))
    forecast, _, _, _ = problem(lib, grid.size)
    where = np.ascontiguousarray(grid.coordinates(slice(None)), np.float64)
    stations = rng.uniform(0, [10, 11], (40, 2))
    values = rng.standard_normal((N, 40)).astype(lib.dtype)
    y = rng.standard_normal(40).astype(lib.dtype)
    y[[2, 30]] = np.nan
    obs = ef.Observation(None, std=0.7, grid=grid, locations=stations)
    taper = ef.localization.GaspariCohn(3.0)
    plan = lib.places(where, stations, 3.0, np.array([10.0, 0.0]))
    told = lib.observations(y, 0.7, values)
    for name, filt in (("letkf", ef.LETKF), ("lenff", ef.LEnFF)):
        ours = np.empty_like(forecast)
        lib.call(name, plan, lib.ensemble(forecast), told, None, pointer(ours))
        same(ours, filt(taper, backend="cpp").analysis(forecast, y, obs, observed=values))


def test_kernels(lib):
    forecast, previous, _, _ = problem(lib)
    x, ours = forecast[:4] + previous[:4], np.empty((4, 93), lib.dtype)
    number = ctypes.c_double
    log_weights = np.linspace(-1, 1, N)
    lib.call(
        "flow_field", lib.ensemble(x), lib.ensemble(forecast), pointer(previous), 0, number(2.0),
        number(0.3), pointer(log_weights), pointer(ours),
    )  # fmt: skip
    given = {"sigma_min": 2.0, "log_weights": log_weights, "backend": "cpp"}
    same(ours, ef.kernels.flow_field(x, forecast, 0.3, path="f2p", previous=previous, **given))
    pair = lib.ensemble(x), lib.ensemble(forecast), number(0.9), number(3.0)
    lib.call("mixture_score", *pair, None, pointer(ours))
    same(ours, ef.kernels.mixture_score(x, forecast, 0.9, 3.0, backend="cpp"))
    weights = np.empty((4, N))
    lib.call("pairwise_log_weights", *pair, pointer(weights))
    same(weights, ef.kernels.pairwise_log_weights(x, forecast, 0.9, 3.0, backend="cpp"))
    lib.call(
        "lorenz96", lib.ensemble(x), number(0.01), ctypes.c_int64(5), number(8.0), pointer(ours)
    )
    same(ours, ef.kernels.lorenz96(x, dt=0.01, steps=5, forcing=8.0, backend="cpp"))


def test_sums_over_two_parts_of_a_state_are_those_of_the_whole(lib):
    """Each process sums over its part, and over both: as threads, that wait for each other."""
    forecast, previous, _, _ = problem(lib, 64)
    components = np.arange(64)
    y = np.ascontiguousarray(forecast[0] / 2)
    whole = np.empty_like(forecast)
    key = 7

    def analyse(part, out, function):
        x, x0 = (np.ascontiguousarray(a[:, part]) for a in (forecast, previous))
        told = lib.observations(np.ascontiguousarray(y[part]), 0.5)
        more = {"key": key, "allreduce": function}
        if function:
            more |= {"first_component": components[part][0], "whole": 64}
        options = lib.options("enff", algorithm=1, steps=5, strength=0.02, sigma_min=0.5, **more)
        lib.call("enff", lib.ensemble(x), pointer(x0), told, options, None, None, pointer(out))
        options = lib.options("etkf", allreduce=function)
        told = lib.observations(np.ascontiguousarray(y[part]), 0.5)
        result = np.empty_like(out)
        lib.call("etkf", lib.ensemble(out), told, options, pointer(result))
        out[...] = result

    analyse(slice(None), whole, ALLREDUCE())
    parts = [slice(0, 24), slice(24, 64)]
    results = [np.empty((N, s.stop - s.start), lib.dtype) for s in parts]
    sums, barrier = [None, None], threading.Barrier(2)

    def summed(rank):
        def function(values, n, _):
            mine = np.ctypeslib.as_array(values, (n,))
            sums[rank] = mine.copy()
            barrier.wait()
            mine[:] = sums[0] + sums[1]
            barrier.wait()

        return ALLREDUCE(function)

    threads = [
        threading.Thread(target=analyse, args=(parts[r], results[r], summed(r))) for r in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eps = np.finfo(lib.dtype).eps
    np.testing.assert_allclose(np.concatenate(results, axis=1), whole, rtol=0, atol=400 * eps)


def test_what_is_wrong_is_said(lib):
    forecast, previous, components, y = problem(lib)
    told = lib.observations(y, 0.5, components=components)
    out = np.empty_like(forecast)

    def refused(code, words, name, *arguments):
        with pytest.raises(LibraryError, match=words) as caught:
            lib.call(name, *arguments)
        assert caught.value.code == code

    def enff(code, words, *arguments):
        refused(code, words, "enff", *arguments)

    x, before, to = lib.ensemble(forecast), pointer(previous), pointer(out)
    options = lib.options("enff")
    enff(1, "forecast is null", None, before, told, options, None, None, to)
    enff(1, "analysis is null", x, before, told, options, None, None, None)
    enff(1, "previous is null", x, None, told, options, None, None, to)
    enff(1, "observations is null", x, before, None, options, None, None, to)
    enff(1, "overlaps", x, before, told, options, None, None, pointer(forecast))
    strided = lib.ensemble(forecast, stride=94)
    enff(1, "stride of 94", strided, before, told, options, None, None, to)
    huge = lib.ensemble(forecast, members=2**20, dim=2**50)
    enff(1, "more than any memory", huge, before, told, options, None, None, to)
    many = lib.ensemble(forecast, members=2**40)
    enff(1, "1099511627776 members", many, before, told, options, None, None, to)
    wrong = lib.options("enff", size=8)
    enff(1, "options->size is 8", x, before, told, wrong, None, None, to)
    wrong = lib.options("enff", steps=0)
    enff(1, "steps=0", x, before, told, wrong, None, None, to)
    wrong = lib.options("enff", strength=float("nan"))
    enff(1, "strength=nan", x, before, told, wrong, None, None, to)
    for changed, words in (
        ({"size": -1}, "size is -1"),
        ({"std_size": 3}, "std_size is 3"),
        ({"function": 99}, "function=99"),
        ({"components": None, "offset": 2**62, "stride": 2**62}, "not among 93"),
        ({"y": None}, "y is null"),
    ):
        bad = lib.observations(y, 0.5, components=components)
        for name, value in changed.items():
            setattr(bad._obj, name, value)
        enff(1, words, x, before, bad, options, None, None, to)
    broken = forecast.copy()
    broken[2, 5] = np.nan
    enff(2, r"forecast\[2, 5\] is nan", lib.ensemble(broken), before, told, options, None, None, to)
    y[1] = np.inf
    enff(2, r"y\[1\] is inf", x, before, told, options, None, None, to)
    y[1] = 0
    large = forecast * lib.dtype.type(np.finfo(lib.dtype).max / 16)
    told = lib.observations(y, 0.5, components=components)
    overflow = lib.options("enff", strength=1e3)
    enff(3, r"analysis\[.* is ", lib.ensemble(large), before, told, overflow, None, None, to)


def test_plans_are_known_after_they_are_destroyed_and_used_one_call_at_a_time(lib):
    forecast, _, components, y = problem(lib, 20_000)
    told = lib.observations(y, 0.5, components=components)
    plan = lib.grid((20_000,), 40.0)
    codes = []

    def analyse():
        out = np.empty_like(forecast)
        try:
            lib.call("letkf", plan, lib.ensemble(forecast), told, None, pointer(out))
        except LibraryError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=analyse) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes
    assert set(codes) == {6}
    lib.call("plan_destroy", plan, typed=False)
    for call in (analyse, lambda: lib.call("plan_destroy", plan, typed=False)):
        codes.clear()
        try:
            call()
        except LibraryError as error:
            codes.append(error.code)
        assert codes == [5]
