"""How CuPy arrays go through the library: what follows them, what waits, and what is refused."""

import dataclasses
import gc
import sys
import types

import numpy as np
import pytest

import enfilt as ef
from enfilt import _config, _lifetimes, backends
from enfilt.backends.cuda import has_code
from enfilt.filters import reduced


def small(cuda, dim=40, members=6):
    rng = np.random.default_rng(0)
    forecast = cuda.asarray(rng.standard_normal((members, dim)))
    previous = cuda.asarray(rng.standard_normal((members, dim)))
    y = cuda.asarray(np.arctan(rng.standard_normal(dim)))
    return forecast, previous, y, ef.Observation(ef.operators.Arctan(), std=0.5)


def test_backends_are_listed_by_what_they_run_on(cuda):
    assert "cuda" not in backends.available()
    assert backends.available(on_device=True) == ["cuda"]
    assert backends.get().name != "cuda"


FILTERS = {
    "EnFF": ef.EnFF(steps=3),
    "EnFF heun": ef.EnFF(steps=3, sampler="heun", path="ot", guidance="monte-carlo"),
    "EnFF covariance": ef.EnFF(steps=3, path="ot", guidance="covariance"),
    "EnFF reduced": ef.EnFF(steps=3, guidance="monte-carlo", algorithm="reduced"),
    "EnSF": ef.EnSF(steps=3),
    "EnSF paired": ef.EnSF(steps=3, score="paired"),
    "ETKF": ef.ETKF(inflation=ef.inflation.RTPS(0.5)),
    "LETKF": ef.LETKF(ef.localization.GaspariCohn(cutoff=4.0)),
    "LEnFF": ef.LEnFF(
        ef.localization.GaspariCohn(cutoff=4.0), steps=3, inflation=ef.inflation.RTPS(0.3)
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_nothing_waits_for_the_device(stand_in, name):
    forecast, previous, y, obs = small(stand_in.cupy)
    obs = ef.Observation(obs.operator, std=0.5, grid=ef.grids.RegularGrid((40,)))
    out = stand_in.cupy.empty_like(forecast)
    before = stand_in.waits
    result = FILTERS[name].analysis(forecast, y, obs, previous=previous, rng=1, out=out)
    assert result is out
    assert stand_in.waits == before
    assert np.isfinite(out.get()).all()


def located(obs):
    """The same observations, at places that are told: filters look them up in lists."""
    places = np.arange(40.0)[:, None]
    grid = ef.grids.RegularGrid((40,))
    return ef.Observation(obs.operator, std=0.5, grid=grid, locations=places)


@pytest.mark.parametrize("name", ["EnFF covariance", "ETKF", "LETKF", "LEnFF"])
def test_values_of_h_are_taken_without_waiting(stand_in, name):
    forecast, _, y, obs = small(stand_in.cupy)
    y[3:7] = np.nan
    grid = ef.grids.RegularGrid((40,))
    bare = ef.Observation(None, std=0.5, grid=grid, locations=np.arange(40.0))
    obs = ef.Observation(ef.operators.Identity(), std=0.5, grid=grid)
    before = stand_in.waits
    found = FILTERS[name].analysis(forecast, y, bare, observed=forecast, rng=1)
    assert stand_in.waits == before
    wanted = FILTERS[name].analysis(forecast, y, obs, rng=1)
    np.testing.assert_allclose(found.get(), wanted.get(), rtol=0, atol=1e-11)


def test_correlated_errors_are_refused(stand_in):
    forecast, _, y, _ = small(stand_in.cupy)
    obs = ef.Observation(ef.operators.Identity(), covariance=np.eye(40) + 0.1)
    with pytest.raises(TypeError, match="covariance of correlated errors, which are decorrelated"):
        FILTERS["ETKF"].analysis(forecast, y, obs)


@pytest.mark.parametrize("name", ["LEnFF", "LETKF"])
def test_lists_do_not_wait_and_do_not_depend_on_the_order_of_threads(stand_in, monkeypatch, name):
    forecast, _, y, obs = small(stand_in.cupy, members=36)
    y[3:7] = np.nan
    filt, before = FILTERS[name], stand_in.waits
    up = filt.analysis(forecast, y, located(obs))
    assert stand_in.waits == before
    monkeypatch.setattr(stand_in, "stream_pointer", 1)
    assert np.array_equal(up.get(), filt.analysis(forecast, y, located(obs)).get())


@pytest.mark.parametrize("std", [3.0, 0.05])
def test_steps_are_chosen_as_on_the_cpu(cuda, std):
    forecast, _, y, _ = small(cuda)
    obs = ef.Observation(ef.operators.Arctan(), std=std, grid=ef.grids.RegularGrid((40,)))
    both = cuda.asarray(np.stack([forecast.get(), 0.1 * forecast.get()]))
    y = cuda.asarray(np.stack([y.get(), np.full(40, np.nan)]))
    filt = ef.LEnFF(ef.localization.GaspariCohn(4.0), steps="auto", inflation=1.1)
    result, facts = filt.analysis(both, y, obs).get(), filt.facts
    expected = filt.analysis(both.get(), y.get(), obs)
    assert facts == filt.facts
    assert (facts["steps"] > 4) == (std < 1)
    assert np.abs(result - expected).max() < 1e-12
    assert np.array_equal(result[1], both.get()[1])


def test_choosing_steps_reads_two_numbers_a_trial(stand_in):
    forecast, _, y, obs = small(stand_in.cupy)
    obs = ef.Observation(obs.operator, std=3.0, grid=ef.grids.RegularGrid((40,)))
    before = stand_in.waits
    filt = ef.LEnFF(ef.localization.GaspariCohn(4.0), steps="auto")
    filt.analysis(forecast, y, obs)
    assert filt.facts == {"steps": 4}
    assert stand_in.waits == before + 2


@pytest.mark.parametrize("name", ["ETKF", "EnKF-N", "relaxed", "LEnFF", "LEnFF()"])
def test_adaptive_inflation_is_that_of_the_cpu(cuda, name):
    filters = {
        "ETKF": ef.ETKF(inflation=ef.inflation.Adaptive()),
        "EnKF-N": ef.ETKF(inflation=ef.inflation.FiniteSize()),
        "relaxed": ef.LETKF(
            ef.localization.GaspariCohn(4.0), inflation=ef.inflation.AdaptiveRTPS()
        ),
        "LEnFF": ef.LEnFF(
            ef.localization.GaspariCohn(4.0), steps=3, inflation=ef.inflation.Adaptive()
        ),
        "LEnFF()": ef.LEnFF(steps=3),
    }
    forecast, _, y, obs = small(cuda)
    y[5:9] = np.nan
    obs = ef.Observation(obs.operator, std=np.full(40, 0.1), grid=ef.grids.RegularGrid((40,)))
    filt = filters[name]
    y *= 0.4
    y[20] = 0
    for outlier in (30, 20):  # at another component in each cycle
        y[outlier] = 9
        result = filt.analysis(0.1 * forecast, y, obs)
        y[outlier] = 0
    y[20] = 9
    told = filt.facts["inflation"]
    filt.reset()
    y = y.get()
    for outlier, other in ((30, 20), (20, 30)):
        y[[outlier, other]] = 9, 0
        expected = filt.analysis(0.1 * forecast.get(), y, obs)
    assert told > 1.01
    assert filt.facts.get("outliers", 1) == 1
    assert abs(told - filt.facts["inflation"]) < 1e-12
    assert np.abs(result.get() - expected).max() < 1e-12


def test_models_and_kernels_do_not_wait(stand_in):
    cupy = stand_in.cupy
    x = cupy.asarray(np.random.default_rng(1).standard_normal((3, 12)))
    before = stand_in.waits
    ef.models.Lorenz96(dim=12, model_noise=0.1).step(x, 3, rng=2)
    ef.kernels.flow_field(x, x, 0.5, path="ot")
    ef.kernels.mixture_score(x, x, 1.0, 0.5)
    ef.kernels.pairwise_log_weights(x, x, 1.0, 0.5)
    assert stand_in.waits == before


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("members", [6, 36])
def test_results_do_not_depend_on_the_order_of_threads(stand_in, monkeypatch, name, members):
    forecast, previous, y, obs = small(stand_in.cupy, members=members)
    obs = ef.Observation(obs.operator, std=0.5, grid=ef.grids.RegularGrid((40,)))
    filt = FILTERS[name]
    up = filt.analysis(forecast, y, obs, previous=previous, rng=1).get()
    monkeypatch.setattr(stand_in, "stream_pointer", 1)
    down = filt.analysis(forecast, y, obs, previous=previous, rng=1).get()
    assert np.array_equal(up, down)


GRAPHS = {
    "EnFF": ef.EnFF(steps=4, strength=0.05),
    "EnFF heun": ef.EnFF(steps=3, strength=0.05, sampler="heun"),
    "EnFF reduced": ef.EnFF(steps=4, algorithm="reduced", guidance="covariance", path="ot"),
    "EnSF": ef.EnSF(steps=4),
    "LEnFF": ef.LEnFF(ef.localization.GaspariCohn(4.0), steps=3),
}


def analyses(cuda, filt, sizes):
    """Analyses of arrays that are all alive, so at other addresses, beside the oracle's."""
    kept = []
    for seed, (members, dim) in enumerate(sizes):
        rng = np.random.default_rng(seed)
        forecast, previous = rng.standard_normal((2, members, dim)) / np.sqrt(dim)
        y = np.arctan(rng.standard_normal(dim))
        grid = ef.grids.RegularGrid((dim,))
        linear = getattr(filt, "algorithm", "") == "reduced"
        operator = ef.operators.Identity() if linear else ef.operators.Arctan()
        obs = ef.Observation(operator, std=0.3 + 0.1 * seed, grid=grid)
        arrays = [cuda.asarray(a) for a in (forecast, y, previous)]
        result = filt.analysis(*arrays[:2], obs, previous=arrays[2], rng=seed)
        kept.append((arrays, result))
        oracle = dataclasses.replace(filt, backend="numpy")
        expected = oracle.analysis(forecast, y, obs, previous=previous, rng=seed)
        # as in test_cuda_kernels.py
        assert np.linalg.norm(result.get() - expected) <= 3e-11 * np.linalg.norm(expected)


@pytest.mark.parametrize("members", [6, 36])
@pytest.mark.parametrize("name", GRAPHS)
def test_an_analysis_of_sizes_seen_before_is_a_graph(cuda, name, members):
    graphs = backends.get("cuda").graphs[0]
    before = np.array(graphs.counts())
    analyses(cuda, GRAPHS[name], [(members, 40)] * 4)
    built, changed, started = graphs.counts() - before
    assert (built, started) == (1, 3)  # the first is started kernel by kernel
    assert changed > 0  # of arrays elsewhere, and other normals


def test_graphs_of_many_sizes(cuda):
    """More than are kept, and the same again."""
    graphs = backends.get("cuda").graphs[0]
    before = np.array(graphs.counts())
    sizes = [(members, 40) for members in range(3, 43)]
    analyses(cuda, GRAPHS["EnFF"], [*sizes, *sizes[::-1][:5], *sizes[:2], *sizes[::-1][:5]])
    built, _, started = graphs.counts() - before
    assert (built, started) == (5, 10)


@pytest.mark.parametrize("guidance", ["local", "covariance"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_reduced_form_waits_for_nothing_and_for_no_order(stand_in, monkeypatch, guidance, kind):
    """Of several groups, in more components than a block has at a time."""
    rng = np.random.default_rng(0)
    forecast = stand_in.cupy.asarray(rng.standard_normal((2, 9, 700)).astype(kind))
    y = stand_in.cupy.asarray(rng.standard_normal((2, 350)).astype(kind))
    obs = ef.Observation(ef.operators.Every(2), std=np.resize([0.5, 0.7, 0.9], 350))
    filt = ef.EnFF(
        path="ot", sigma_min=0.3, steps=3, sampler="heun", guidance=guidance, algorithm="reduced"
    )
    results = []
    for pointer in (0, 1):
        monkeypatch.setattr(stand_in, "stream_pointer", pointer)
        before = stand_in.waits
        result = filt.analysis(forecast, y, obs, rng=1)
        assert stand_in.waits == before
        results.append(result.get())
    assert np.isfinite(results[0]).all()
    assert np.array_equal(*results)


def test_auto_takes_the_reduced_form_where_it_should_pay(stand_in, monkeypatch):
    """By a rule of counts, which is asked for each analysis; followed where the form applies."""
    backend = backends.get("cuda")
    for paired in (False, True):
        assert reduced.pays(backend, 20, 1_000_000, 100, paired)
        assert reduced.pays(backend, 20, 100_000, 19, paired)
        assert not reduced.pays(backend, 20, 1_000_000, 1, paired)
        assert not reduced.pays(backend, 20, 40, 19, paired)
        assert not reduced.pays(backend, 1000, 40, 19, paired)
    forecast, previous, y, obs = small(stand_in.cupy, dim=300)
    interleaved = ef.Observation(ef.operators.Identity(), std=np.resize(np.arange(1, 9), 300))
    linear = ef.Observation(ef.operators.Identity(), std=0.5)

    def run(algorithm, obs, **options):
        filt = ef.EnFF(steps=8, algorithm=algorithm, **options)
        return filt.analysis(forecast, y, obs, previous=previous, rng=1).get()

    def takes_the_reduced_form(obs, **options):
        forms = {a: run(a, obs, **options) for a in ("reduced", "streaming", "auto")}
        assert not np.array_equal(forms["reduced"], forms["streaming"])
        return np.array_equal(forms["auto"], forms["reduced"])

    assert not takes_the_reduced_form(linear)
    monkeypatch.setattr(reduced, "_COSTS", {"cuda": reduced._COSTS["cuda"]._replace(pair=0)})
    assert takes_the_reduced_form(linear)
    assert not takes_the_reduced_form(interleaved)  # eight groups to read among each other
    assert takes_the_reduced_form(obs, guidance="monte-carlo")
    assert np.array_equal(run("auto", obs), run("streaming", obs))
    with pytest.raises(ValueError, match=r"algorithm='reduced'.*picks single components"):
        run("reduced", obs)


def test_out_may_be_the_forecast(cuda):
    forecast, previous, y, obs = small(cuda)
    expected = ef.EnFF(steps=3).analysis(forecast, y, obs, previous=previous, rng=1).get()
    result = ef.EnFF(steps=3).analysis(forecast, y, obs, previous=previous, rng=1, out=forecast)
    assert result is forecast
    assert np.array_equal(result.get(), expected)


def test_arrays_that_are_not_contiguous(cuda):
    forecast, previous, y, obs = small(cuda)
    expected = ef.EnFF(steps=3).analysis(forecast, y, obs, previous=previous, rng=1).get()
    turned = cuda.asarray(np.asfortranarray(forecast.get()))
    result = ef.EnFF(steps=3).analysis(turned, y, obs, previous=previous, rng=1)
    assert np.array_equal(result.get(), expected)
    out = cuda.empty((40, 6)).T
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        ef.EnFF(steps=3).analysis(forecast, y, obs, previous=previous, out=out)


@pytest.mark.parametrize(
    "filt",
    [
        ef.EnFF(steps=5),
        ef.LEnFF(ef.localization.GaspariCohn(8.0), steps="auto", inflation=ef.inflation.RTPS(0.2)),
    ],
    ids=lambda f: type(f).__name__,
)
def test_twin_experiment_is_that_of_the_cpu(cuda, filt):
    results = []
    for device in ("cpu", "cuda"):
        twin = ef.TwinExperiment(
            ef.models.Lorenz96(dim=40, model_noise=0.1),
            ef.Observation(ef.operators.Arctan(), std=0.05),
            cycles=3,
            steps_per_cycle=5,
            spinup=150,
            device=device,
        )
        results.append(twin.run(filt, members=10, seed=0))
    host, device = results
    assert not device.stopped
    # three cycles of a chaotic model multiply rounding by about ten
    assert np.abs(device.rmse.analysis / host.rmse.analysis - 1).max() < 1e-9
    assert np.array_equal(device.rank_histogram.analysis, host.rank_histogram.analysis)
    assert {k: v.tolist() for k, v in device.facts.items()} == {
        k: v.tolist() for k, v in host.facts.items()
    }
    assert isinstance(device.truth, np.ndarray)
    assert np.abs(device.truth - host.truth).max() < 1e-9


REFUSED = {
    "EnKF": "its localized covariances, m x m, are tapered .* on the CPU",
    "MASF": "its priors compute in NumPy",
    "SSLS": "its priors compute in NumPy",
    "ScoreFilter": "its priors compute in NumPy",
}


def test_a_users_h_tells_its_size_where_it_takes_no_numpy(stand_in):
    def h(x):
        return stand_in.cupy.arctan(stand_in.cupy.ascontiguousarray(x[:, :3]))

    def mine(x):
        if not isinstance(x, stand_in.cupy.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")  # as CuPy says
        return h(x)

    assert ef.operators.Custom(mine).size(40) == 3
    with pytest.raises(TypeError, match="never"):
        ef.operators.Custom(never).size(40)


def never(x):
    raise TypeError("never")


def test_errors(cuda):
    forecast, previous, y, obs = small(cuda)
    host = forecast.get()
    filt = ef.EnFF(steps=2)
    with pytest.raises(
        TypeError, match=r"backend='cuda' runs on CuPy.*cupy.asarray\(forecast\).*device"
    ):
        ef.EnFF(steps=2, backend="cuda").analysis(host, y.get(), obs, previous=host)
    with pytest.raises(
        TypeError, match="backend='numpy' runs on NumPy arrays, but forecast is a CuPy"
    ):
        ef.EnFF(steps=2, backend="numpy").analysis(forecast, y, obs, previous=previous)
    with pytest.raises(TypeError, match="y is a NumPy array, but forecast is a CuPy array"):
        filt.analysis(forecast, y.get(), obs, previous=previous)
    with pytest.raises(TypeError, match="previous is a CuPy array, but forecast is a NumPy array"):
        filt.analysis(host, y.get(), obs, previous=previous)
    for name, why in REFUSED.items():
        kinds = {"EnKF": ef.EnKF(localization=ef.localization.GaspariCohn(4.0))}
        on_grid = ef.Observation(obs.operator, std=0.5, grid=ef.grids.RegularGrid((40,)))
        with pytest.raises(TypeError, match=f"{name} does not run on: {why}.*asnumpy"):
            (kinds.get(name) or getattr(ef, name)()).analysis(forecast, y, on_grid)
    with pytest.raises(TypeError, match="truth is a NumPy array, but ensemble is a CuPy array"):
        ef.metrics.score(forecast, host[0])
    with pytest.raises(TypeError, match="forecast is a NumPy array, but x is a CuPy array"):
        ef.kernels.flow_field(forecast, host, 0.5, path="ot")
    many = cuda.asarray(np.zeros((65, 40)))
    local = ef.Observation(obs.operator, std=0.5, grid=ef.grids.RegularGrid((40,)))
    for there in (local, located(obs)):
        with pytest.raises(ValueError, match="at most 64"):
            ef.LETKF(ef.localization.GaspariCohn(4.0)).analysis(many, y, there)


def test_what_overflows_on_the_host_is_said_as_on_the_cpu(cuda):
    forecast, previous, y, _ = small(cuda)
    forecast, previous, y = (a.astype(np.float32) for a in (forecast, previous, y))
    obs = ef.Observation(ef.operators.Arctan(), std=1e-25)
    with pytest.raises(FloatingPointError, match=r"no number in float32.*forecast up to \d"):
        ef.EnFF(steps=2).analysis(forecast, y, obs, previous=previous)


def test_functions_compiled_for_the_cpu_are_refused(cuda):
    pytest.importorskip("numba")
    forecast, previous, y, _ = small(cuda)
    obs = ef.Observation(ef.operators.Componentwise(lambda x: x, lambda x: 1.0), std=0.5)
    with pytest.raises(TypeError, match="compiled for the CPU"):
        ef.EnFF(steps=2).analysis(forecast, y, obs, previous=previous)


@pytest.mark.parametrize("where", ["window", "lists"])
@pytest.mark.parametrize("name", FILTERS)
def test_std_may_be_nan_where_y_is(cuda, name, where):
    forecast, previous, y, obs = small(cuda)
    y[::3] = np.nan
    whole = located(obs) if where == "lists" else ef.Observation(
        obs.operator, std=0.5, grid=ef.grids.RegularGrid((40,))
    )  # fmt: skip
    std = np.where(np.arange(40) % 3, 0.5, np.nan)
    gaps = dataclasses.replace(whole, std=std)
    found, wanted = (
        FILTERS[name].analysis(forecast, y, o, previous=previous, rng=1).get()
        for o in (gaps, whole)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
    y[3] = 0.1
    with pytest.raises(ValueError, match=r"std\[3\] is nan, but y\[3\] is observed"):
        FILTERS[name].analysis(forecast, y, gaps, previous=previous, rng=1)


BATCHES = {
    "EnFF": ef.EnFF(steps=2, algorithm="streaming"),
    "EnFF heun": ef.EnFF(steps=2, sampler="heun", algorithm="streaming"),
    "EnFF monte-carlo": ef.EnFF(steps=2, path="ot", guidance="monte-carlo"),
    "EnFF independent": ef.EnFF(steps=2, coupling="independent", algorithm="streaming"),
    "EnSF": ef.EnSF(steps=2, standardize_start=True),
    "EnSF ode": ef.EnSF(steps=2, sampler="ode", algorithm="streaming"),
    "EnSF paired": ef.EnSF(steps=2, score="paired"),
}


@pytest.mark.parametrize("members", [6, 34])
@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_one_launch(stand_in, monkeypatch, name, members):
    rng = np.random.default_rng(4)
    shape = (5, members, 130)
    x, previous, noise = (rng.standard_normal(shape) for _ in range(3))
    y = np.arctan(rng.standard_normal((5, 130)))
    y[3] = np.nan  # of this one the analysis is the forecast
    obs = ef.Observation(ef.operators.Arctan(), std=0.5)
    on, filt = stand_in.cupy.asarray, BATCHES[name]
    backend, asked = backends.get("cuda"), []
    then = backend._run

    def run(operation, *arguments):
        asked.append(operation.__name__)
        then(operation, *arguments)

    monkeypatch.setattr(backend, "_run", run)
    for seen in (y, y[0]):
        for given in (None, noise):
            if given is not None and name in ("EnSF", "EnSF paired"):  # of each step
                given = rng.standard_normal((5, 3, members, 130))
            options = {"noise": given} if given is not None else {}
            expected = filt.analysis(x, seen, obs, previous=previous, rng=3, **options)
            on_device = {"noise": on(given)} if given is not None else {}
            monkeypatch.setattr(backend.core, "most_ensembles", 65535)
            asked.clear()
            found = filt.analysis(on(x), on(seen), obs, previous=on(previous), rng=3, **on_device)
            assert sum(what.endswith("_analysis") for what in asked) == 1
            assert np.allclose(found.get(), expected, rtol=1e-9, atol=1e-9)
            monkeypatch.setattr(backend.core, "most_ensembles", 2)  # and in three parts the same
            parts = filt.analysis(on(x), on(seen), obs, previous=on(previous), rng=3, **on_device)
            assert np.array_equal(parts.get(), found.get())


def test_kernels_take_structures_by_the_names_of_their_fields(stand_in):
    x, _, y, _ = small(stand_in.cupy)
    core, out = backends.get("cuda").core, stand_in.cupy.empty(len(x))
    fields = {"kind": "arctan", "parameter": 0.0, "offset": 0, "stride": 1, "size": 40}
    fields |= {"indices": None, "y": y, "precision": stand_in.cupy.asarray(np.array([4.0]))}
    place = core.Place(np.zeros(1 << 20, np.uint8).ctypes.data, 0, core.Graphs())
    turned = types.SimpleNamespace(**dict(reversed(fields.items())))
    core.misfit(x, turned, out, place)
    expected = 2 * ((y.get() - np.arctan(x.get())) ** 2).sum(axis=1)
    assert np.allclose(out.get(), expected)
    del turned.stride
    with pytest.raises(AttributeError, match="stride"):
        core.misfit(x, turned, out, place)
    assert backends.get("cuda").kinds == set(core.operators)


CALLS = {
    "analysis": lambda x, previous, y, obs: ef.EnFF(steps=2).analysis(x, y, obs, previous=previous),
    "of CuPy's operations": lambda x, _, y, obs: ef.ETKF().analysis(x, y, obs),
    "model": lambda x, *_: ef.models.Lorenz96(dim=40).step(x),
    "metrics": lambda x, previous, *_: ef.metrics.rmse(x, previous[0]),
    "field": lambda x, *_: ef.kernels.flow_field(x, x, 0.5, path="ot"),
    "normals": lambda *_: ef.kernels.standard_normal(1, (2, 3), backend="cuda"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_stream_that_is_captured_is_refused(stand_in, monkeypatch, call):
    """A graph of the call would keep addresses that are somebody else's when it is started."""
    arguments = small(stand_in.cupy)
    CALLS[call](*arguments)
    monkeypatch.setattr(stand_in, "capturing", True)
    with pytest.raises(RuntimeError, match="current stream is being captured"):
        CALLS[call](*arguments)


class Tensor:
    """An array of another library, on a GPU or on the CPU."""

    def __init__(self, memory, device=(2, 0)):
        self.memory, self.device = memory, device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **_):
        return self.memory


def test_arrays_of_other_libraries_on_a_gpu_come_and_go_without_a_copy(stand_in, monkeypatch):
    forecast, previous, y, obs = small(stand_in.cupy)
    filt = ef.EnFF(steps=2)
    expected = filt.analysis(forecast, y, obs, previous=previous, rng=1).get()
    library = types.SimpleNamespace(from_dlpack=Tensor)
    before = stand_in.waits
    for name in ("torch", "jaxlib"):
        monkeypatch.setitem(sys.modules, {"jaxlib": "jax.numpy"}.get(name, name), library)
        monkeypatch.setattr(Tensor, "__module__", f"{name}.arrays")
        if name == "jaxlib":
            told = lambda self: library  # noqa: E731 - what JAX's arrays tell and PyTorch's do not
            monkeypatch.setattr(Tensor, "__array_namespace__", told, raising=False)
        x, x0, seen = map(Tensor, (forecast, previous, y))
        found = filt.analysis(x, seen, obs, previous=x0, rng=1)
        assert isinstance(found, Tensor)
        assert isinstance(ef.models.Lorenz96(dim=40).step(x), Tensor)
        assert stand_in.waits == before
        assert np.array_equal(found.memory.get(), expected)
        before = stand_in.waits
        out = stand_in.cupy.empty_like(forecast)
        assert filt.analysis(x, seen, obs, previous=x0, rng=1, out=out) is out
        assert np.array_equal(out.get(), expected)
        before = stand_in.waits
    monkeypatch.setattr(Tensor, "__module__", "unheard_of")
    monkeypatch.delattr(Tensor, "__array_namespace__")
    found = filt.analysis(Tensor(forecast), Tensor(y), obs, previous=Tensor(previous), rng=1)
    assert isinstance(found, stand_in.cupy.ndarray)


def test_two_devices(stand_in):
    forecast, previous, y, obs = small(stand_in.cupy)
    previous.place = 1
    with pytest.raises(ValueError, match="previous lies on GPU 1, but forecast on GPU 0"):
        ef.EnFF(steps=2).analysis(forecast, y, obs, previous=previous)
    for array in (forecast, previous, y):
        array.place = 1
    with pytest.raises(ValueError, match=r"with cupy.cuda.Device\(1\)"):
        ef.EnFF(steps=2).analysis(forecast, y, obs, previous=previous)


def test_too_little_memory_is_said_before_anything_is_written(stand_in, monkeypatch):
    forecast, previous, y, obs = small(stand_in.cupy, dim=400_000)
    out = stand_in.cupy.ones((6, 400_000))
    monkeypatch.setattr(stand_in.Device, "mem_info", (1 << 20, 1 << 30))
    monkeypatch.setattr("enfilt._memory._ALWAYS_TRIED", 0)
    with pytest.raises(MemoryError, match=r"GiB of memory of GPU 0, and 0.0 GiB are free"):
        ef.EnFF(steps=2).analysis(forecast, y, obs, previous=previous)
    with pytest.raises(MemoryError, match="memory of GPU 0"):  # of the predictor
        ef.EnFF(steps=2, sampler="heun").analysis(forecast, y, obs, previous=previous, out=out)
    assert (out.get() == 1).all()


def test_twin_experiment_asks_for_memory_first(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in.Device, "mem_info", (1 << 20, 1 << 30))
    model = ef.models.Lorenz96(dim=1_000_000)
    obs = ef.Observation(ef.operators.Arctan(), std=0.05)
    twin = ef.TwinExperiment(model, obs, device="cuda")
    with pytest.raises(MemoryError, match=r"memory of GPU 0.*fewer members"):
        twin.run(ef.EnFF(), members=20)


class _Core:
    """A module of kernels on a machine without a GPU."""

    toolkit, architectures = "13.0", "80-real 90-real 100"

    def __init__(self, driver):
        self.driver = lambda: driver

    def devices(self):
        return 0, "no CUDA-capable device is detected"


class _OldGpus(_Core):
    """GPUs that the kernels were not compiled for."""

    def __init__(self):
        super().__init__(13000)

    def devices(self):
        return 2, ""

    def capability(self, device):
        return (7, 5) if device else (6, 1)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"enfilt._cuda": None}, "this build has no CUDA kernels"),
        ({"enfilt._cuda": _Core(0)}, "no NVIDIA driver"),
        ({"enfilt._cuda": _Core(13000)}, "no GPU"),
        ({"enfilt._cuda": _OldGpus()}, "here are GPUs of compute capability 6.1, 7.5"),
        ({"cupy": None}, "no CuPy"),
    ],
)
def test_what_is_missing_is_said(cuda, monkeypatch, modules, message):
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    backends._load.cache_clear()
    with pytest.raises(ValueError, match=f"backend='cuda' can't be used.*{message}"):
        ef.EnFF(backend="cuda")
    with pytest.raises(ValueError, match=f"device='cuda' can't be used.*{message}"):
        ef.TwinExperiment(
            ef.models.Lorenz96(), ef.Observation(ef.operators.Arctan(), std=0.1), device="cuda"
        )
    assert message in _config.config()["no cuda"]


def test_machine_code_runs_on_later_minor_versions_and_ptx_on_all_that_follow():
    def covered(architectures):
        gpus = [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 1)]
        return [f"{a}.{b}" for a, b in gpus if has_code(architectures, a, b)]

    assert covered("80-real 90-real 100") == ["8.0", "8.9", "9.0", "10.0", "12.1"]
    assert covered("80-real 90-real") == ["8.0", "8.9", "9.0"]
    assert covered("86-real") == ["8.9"]
    assert covered("90-virtual") == ["9.0", "10.0", "12.1"]
    assert covered("90a-real") == ["9.0"]
    assert covered("120f-real") == ["12.1"]
    assert len(covered("native")) == 6


def test_a_matrix_is_uploaded_once_a_stream(stand_in, monkeypatch):
    """A stream that has not waited for another's upload would read what is not there yet."""
    operator = ef.operators.Linear(np.ones((3, 40)))
    x = stand_in.cupy.asarray(np.ones((2, 40)))
    first = operator._beside(x)
    assert isinstance(first, stand_in.cupy.ndarray)
    assert operator._beside(x) is first
    monkeypatch.setattr(stand_in, "stream_pointer", 1)
    assert operator._beside(x) is not first
    assert operator._beside(x) is operator._beside(x)


MANY = 800
CHOICES = {
    "Subset": lambda: ef.operators.Subset(np.random.default_rng(1).permutation(2 * MANY)[:MANY]),
    "Mask": lambda: ef.operators.Mask(np.arange(2 * MANY) % 2 == 1),
    "Arctan@Subset": lambda: ef.operators.Arctan() @ ef.operators.Subset(np.arange(2 * MANY)[::-2]),
}
KEEPING = {
    "EnFF": ef.EnFF(steps=2, path="ot", algorithm="streaming"),
    "EnFF monte-carlo": ef.EnFF(steps=2, path="ot", guidance="monte-carlo"),
    "EnFF covariance": ef.EnFF(steps=2, path="ot", guidance="covariance"),
    "EnSF": ef.EnSF(steps=2),
    "ETKF": ef.ETKF(),
    "LETKF": ef.LETKF(ef.localization.GaspariCohn(4.0)),
    "LEnFF": ef.LEnFF(ef.localization.GaspariCohn(4.0), steps=1),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", KEEPING)
def test_what_follows_from_operator_and_errors_is_made_once(stand_in, monkeypatch, name, choice):
    """No work on the host, and no copy to the device, that grows with the observations."""
    dim, uploaded = 2 * MANY, []
    rng = np.random.default_rng(0)
    forecast = stand_in.cupy.asarray(rng.standard_normal((4, dim)))
    y = stand_in.cupy.asarray(rng.standard_normal(MANY))
    obs = ef.Observation(
        CHOICES[choice](), std=0.5 + rng.random(MANY), grid=ef.grids.RegularGrid((dim,))
    )
    first = KEEPING[name].analysis(forecast, y, obs, rng=1)
    upload = stand_in.OWN["asarray"]

    def counted(value, dtype=None):
        if isinstance(value, np.ndarray):
            uploaded.append(value.size)
        return upload(value, dtype)

    def refused(function):
        def call(array, *args, **options):
            assert np.size(array) < MANY, function.__name__
            return function(array, *args, **options)

        return call

    monkeypatch.setitem(stand_in.OWN, "asarray", counted)
    for function in (np.unique, np.diff, np.argsort, np.flatnonzero, np.sort):
        monkeypatch.setattr(np, function.__name__, refused(function))
    again = KEEPING[name].analysis(forecast, y, obs, rng=1)
    assert np.array_equal(first.get(), again.get())
    assert max(uploaded, default=0) < MANY


def test_kept_copies_go_when_what_they_are_of_does(stand_in):
    forecast, previous, y, _ = small(stand_in.cupy)
    gc.collect()
    before = len(_lifetimes._KEPT)
    for _ in range(2):
        obs = ef.Observation(ef.operators.Subset(np.arange(40)[::-1]), std=np.full(40, 0.5))
        ef.EnFF(steps=2).analysis(forecast, y, obs, previous=previous, rng=1)
        assert len(_lifetimes._KEPT) > before
        del obs
        gc.collect()
        assert len(_lifetimes._KEPT) == before


def test_info_says_what_there_is(cuda):
    facts = _config.config()
    assert facts["CUDA kernels"].startswith("toolkit")
    assert "no cuda" not in facts
