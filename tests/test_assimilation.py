"""The cycle without a truth: windows, times, models of one's own, and how a run ends."""

import dataclasses
import datetime
import pickle

import numpy as np
import pytest
from test_twin import DIM, Recording

import enfilt as ef

MODEL = ef.models.Lorenz96(dim=DIM, dt=0.05)
OBS = ef.Observation(ef.operators.Every(2), std=0.5)


def windows(count=6, obs=OBS, seed=0):
    """A truth's observations, a quarter of a time unit apart."""
    rng = np.random.default_rng(seed)
    truth, found = MODEL.step(MODEL.initial_state(rng), 200), []
    for k in range(count):
        truth = MODEL.step(truth, 5)
        found.append((0.25 * k, obs.simulate(truth, rng), obs))
    return found


def first(members=6, seed=1):
    rng = np.random.default_rng(seed)
    return MODEL.step(3 + rng.standard_normal((members, DIM)), 100)


def stepped(ensemble, start, stop, rng):
    return MODEL.step(ensemble, round((stop - start) / MODEL.dt), rng=rng)


def assert_same(one, other):
    for name in ("time", "mean", "deviation", "ensemble"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("cycle", "group", "sums", "ranks"):
        a, b = (getattr(r.innovations, name) for r in (one, other))
        np.testing.assert_array_equal(a, b)
    assert one.facts.keys() == other.facts.keys()
    for name, values in one.facts.items():
        np.testing.assert_array_equal(values, other.facts[name])


@pytest.mark.parametrize("start", [None, -0.5])
def test_the_course_of_a_run(start):
    """The ensemble is that at `start`, or assimilated at once; then model and filter take turns."""
    given, seen = first(), windows()
    filt, before = Recording(), given.copy()
    result = ef.Assimilation(MODEL, seen, start=start).run(filt, ensemble=given, seed=0)
    np.testing.assert_array_equal(given, before)  # nobody writes to it
    assert (result.cycles, result.stopped) == (6, "")
    np.testing.assert_array_equal(result.time, [time for time, _, _ in seen])
    analysis = given
    for k, (call, (_, y, _)) in enumerate(zip(filt.calls, seen, strict=True)):
        steps = 5 if k else 0 if start is None else 10
        np.testing.assert_array_equal(call["previous"], analysis)
        np.testing.assert_array_equal(call["forecast"], MODEL.step(analysis, steps))
        np.testing.assert_array_equal(call["y"], y)
        assert call["obs"].grid == MODEL.grid
        analysis = call["analysis"]
        np.testing.assert_array_equal(result.mean[k], analysis.mean(axis=0))
    np.testing.assert_array_equal(result.ensemble, analysis)


def test_one_loop_serves_twins_and_assimilation():
    """What a twin experiment has observed, assimilated as if nobody knew the truth: same bits."""
    filt = Recording()
    twin = ef.TwinExperiment(MODEL, OBS, cycles=6, steps_per_cycle=5, spinup=20)
    twin.run(filt, members=6, seed=3)
    seen = [(0.25 * k, call["y"], OBS) for k, call in enumerate(filt.calls)]
    again = Recording()
    ef.Assimilation(MODEL, seen).run(again, ensemble=filt.calls[0]["forecast"], seed=3)
    for one, other in zip(filt.calls, again.calls, strict=True):
        np.testing.assert_array_equal(one["analysis"], other["analysis"])
    drawing = [ef.EnFF(steps=3), ef.EnKF()]
    for one in drawing:
        result = twin.run(one, members=6, seed=3)
        given = filt.calls[0]["forecast"]
        other = ef.Assimilation(MODEL, seen).run(one, ensemble=given, seed=3)
        np.testing.assert_array_equal(result.mean, other.mean)


def test_a_function_as_a_model():
    seen, given = windows(), first()
    times = []

    def model(ensemble, start, stop, rng):
        times.append((start, stop))
        assert isinstance(rng, np.random.Generator)
        return stepped(ensemble, start, stop, rng)

    one, other = (
        ef.Assimilation(m, seen).run(ef.EnFF(steps=3), ensemble=given, seed=0)
        for m in (model, MODEL)
    )
    assert_same(one, other)
    assert times == [(0.25 * k, 0.25 * k + 0.25) for k in range(5)]


def test_noise_of_the_model_is_that_of_the_seed():
    def noisy(ensemble, start, stop, rng):
        return ensemble + rng.standard_normal(ensemble.shape)

    run, given = ef.Assimilation(noisy, windows()), first()
    one, again, other = (run.run(ef.ETKF(), ensemble=given, seed=s) for s in (1, 1, 2))
    assert_same(one, again)
    assert not np.array_equal(one.ensemble, other.ensemble)
    unseeded = run.run(ef.ETKF(), ensemble=given)
    assert unseeded.info["seed"] == "none"
    assert not np.array_equal(one.ensemble, unseeded.ensemble)


def test_windows_of_a_generator_are_asked_for_one_at_a_time():
    asked = []

    def stream():
        for window in windows():
            asked.append(window[0])
            yield window

    def model(ensemble, start, stop, rng):
        assert asked[-1] == stop
        return stepped(ensemble, start, stop, rng)

    one = ef.Assimilation(model, stream()).run(ef.ETKF(), ensemble=first(), seed=0)
    assert_same(one, ef.Assimilation(MODEL, windows()).run(ef.ETKF(), ensemble=first(), seed=0))


def test_windows_of_a_table():
    rng = np.random.default_rng(0)
    station, time = map(np.ravel, np.meshgrid(np.arange(0, DIM, 2.0), 0.25 * np.arange(5)))
    table = {"time": time, "x": station, "value": rng.normal(2, 3, 20), "error": np.ones(20)}
    table["value"][3] = np.nan
    observations = ef.Observations.from_frame(table, MODEL.grid, window=0.25, places=["x"])
    result = ef.Assimilation(MODEL, observations).run(ef.LEnFF(), ensemble=first(), seed=0)
    assert result.cycles == 5
    assert result.innovations.total().number == 19
    assert ef.Assimilation(MODEL, observations) == ef.Assimilation(MODEL, observations)


def test_dates_as_times():
    begin, hour = np.datetime64("2026-01-01T00"), np.timedelta64(6, "h")
    seen = [(begin + k * hour, y, obs) for k, (_, y, obs) in enumerate(windows())]

    def model(ensemble, start, stop, rng):
        return MODEL.step(ensemble, 5 * int((stop - start) / hour), rng=rng)

    plain = ef.Assimilation(MODEL, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    dated = ef.Assimilation(model, seen, start=begin).run(ef.ETKF(), ensemble=first(), seed=0)
    assert dated.time.dtype.kind == "M"
    np.testing.assert_array_equal(dated.ensemble, plain.ensemble)
    of_python = [(t.astype(datetime.datetime), y, obs) for t, y, obs in seen]
    other = ef.Assimilation(
        lambda x, start, stop, rng: model(x, np.datetime64(start), np.datetime64(stop), rng),
        of_python,
    ).run(ef.ETKF(), ensemble=first(), seed=0)
    np.testing.assert_array_equal(other.time, dated.time)
    with pytest.raises(TypeError, match=r"Lorenz96 counts time in numbers: expected .* function"):
        ef.Assimilation(MODEL, seen).run(ef.ETKF(), ensemble=first())


@pytest.mark.parametrize(
    "times",
    [
        (0, 0.5, 1.25),
        (np.datetime64("2026-01-01"), np.datetime64("2026-01-01T06"), np.datetime64("2026-01-02")),
        ("2026", "2026-01-01", "2027"),
    ],
)
def test_times_that_are_finer_than_the_first(times):
    """A day and then its hours, or 0 and then 0.5: the result has them as they were given."""
    seen = [(time, y, obs) for time, (_, y, obs) in zip(times, windows(3), strict=True)]
    run = ef.Assimilation(lambda ensemble, start, stop, rng: ensemble, seen)
    assert run.run(ef.ETKF(), ensemble=first(), seed=0).time.tolist() == np.array(times).tolist()


@pytest.mark.parametrize("given", ["array", "function"])
def test_values_that_the_model_computed(given):
    """4 values in the window: `observed=`, which no operator of the state at one time tells."""
    bare = ef.Observation(None, std=0.5)

    def values(ensemble):
        return np.ascontiguousarray(ensemble[:, ::2])

    shared = []

    def model(ensemble, start, stop, rng):
        shared.append(stepped(ensemble, start, stop, rng))
        return shared[-1]

    def stream():
        for time, y, _ in windows():
            yield time, y, bare, values

    def arrays():
        # the values of a model that runs ahead of its windows
        ensemble, filt = first(), ef.ETKF()
        for k, (time, y, obs) in enumerate(windows()):
            ensemble = MODEL.step(ensemble, 5) if k else ensemble
            yield time, y, bare, values(ensemble)
            ensemble = filt.analysis(ensemble, y, obs)

    source = stream() if given == "function" else arrays()
    one = ef.Assimilation(model, source).run(ef.ETKF(), ensemble=first(), seed=0)
    other = ef.Assimilation(MODEL, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    np.testing.assert_allclose(one.ensemble, other.ensemble, rtol=1e-9)
    found = one.innovations.total()
    assert found.rmse == pytest.approx(other.innovations.total().rmse, rel=1e-9)
    assert np.isnan(found.r)  # nobody knows h of the analysis


def test_nothing_at_all_has_no_levels():
    result = ef.Assimilation(MODEL, [(0.0, None, None)]).run(ef.ETKF(), ensemble=first(), seed=0)
    assert result.innovations.by_level() == result.innovations.by_kind() == {}
    with pytest.raises(ValueError, match="kind='t'"):
        result.innovations.by_level("t")


def test_windows_with_nothing_to_assimilate():
    seen = windows()
    seen[2] = (seen[2][0], None, None)
    seen[3] = (seen[3][0], np.full(4, np.nan), OBS)
    filt = Recording()
    result = ef.Assimilation(MODEL, seen).run(filt, ensemble=first(), seed=0)
    assert (result.cycles, len(filt.calls)) == (6, 5)
    np.testing.assert_array_equal(
        filt.calls[2]["previous"], MODEL.step(filt.calls[1]["analysis"], 5)
    )
    assert np.isnan(result.innovations.series("rmse")[[2, 3]]).all()
    assert result.innovations.series("number").tolist() == [4, 4, 0, 0, 4, 4]


def test_an_observation_whose_number_changes():
    """One `obs`, of which h makes as many values as there are: kinds then have to be as many."""
    size = []

    def h(x):
        return np.ascontiguousarray(x[:, : size[-1]])

    def stream(sizes):
        for k, m in enumerate(sizes):
            size.append(m)
            yield 0.25 * k, np.zeros(m), obs

    obs = ef.Observation(ef.operators.Custom(h), std=0.5)
    result = ef.Assimilation(MODEL, stream([3, 5, 4])).run(ef.ETKF(), ensemble=first(), seed=0)
    assert result.innovations.series("number").tolist() == [3, 5, 4]
    obs = ef.Observation(ef.operators.Custom(h), std=0.5, kinds=["a", "b", "a"])
    with pytest.raises(
        ValueError, match=r"kinds of observations has shape \(3,\): expected \(5,\)"
    ):
        ef.Assimilation(MODEL, stream([3, 5])).run(ef.ETKF(), ensemble=first(), seed=0)


@pytest.mark.parametrize("operator", ["arctan", "linear"])
def test_a_model_whose_result_is_read_only_and_column_major(operator):
    h = {
        "arctan": ef.operators.Arctan() @ ef.operators.Every(2),
        "linear": ef.operators.Linear(np.eye(DIM)[::2]),
    }[operator]
    obs = ef.Observation(h, std=0.5)
    seen = windows(obs=obs)

    def odd(ensemble, start, stop, rng):
        result = np.asfortranarray(stepped(ensemble, start, stop, rng))
        result.flags.writeable = False
        return result

    one, other = (
        ef.Assimilation(m, seen).run(ef.ETKF(), ensemble=first(), seed=0) for m in (MODEL, odd)
    )
    assert_same(one, other)


def test_a_free_run():
    result = ef.Assimilation(MODEL, windows()).run(None, ensemble=first(), seed=0)
    np.testing.assert_array_equal(result.ensemble, MODEL.step(first(), 25))
    found = result.innovations.total()
    assert found.analysis_rmse == found.rmse


def test_float32():
    seen = [(t, y.astype(np.float32), obs) for t, y, obs in windows()]
    given = first().astype(np.float32)
    result = ef.Assimilation(MODEL, seen).run(ef.ETKF(), ensemble=given, seed=0)
    assert result.ensemble.dtype == np.float32
    assert result.info["dtype"] == "float32"


@pytest.mark.parametrize(
    ("window", "kind", "message"),
    [
        (3, TypeError, r"window 1 of observations is 3: expected \(time, y, obs\)"),
        ((1.0, np.zeros(4)), TypeError, "window 1 of observations"),
        ((1.0, np.zeros(4), OBS, None, None), TypeError, "window 1 of observations"),
        ((1.0, np.zeros(4), "obs"), TypeError, "obs of window 1 is 'obs'"),
        ((-1.0, np.zeros(4), OBS), ValueError, "time of window 1 is -1.0, after 0.0"),
        (("now", np.zeros(4), OBS), TypeError, "time of window 1 is 'now'"),
        ((np.nan, np.zeros(4), OBS), ValueError, "time of window 1 is nan"),
        ((0.12, np.zeros(4), OBS), ValueError, "2.4 steps of dt=0.05"),
        ((0.25, np.zeros(5), OBS), ValueError, "y has shape"),
        ((0.25, np.zeros(4), OBS, np.zeros((2, 4))), ValueError, "observed has shape"),
    ],
)
def test_windows_that_are_none(window, kind, message):
    run = ef.Assimilation(MODEL, [windows()[0], window])
    with pytest.raises(kind, match=message):
        run.run(ef.ETKF(), ensemble=first(), seed=0)


def test_bad_arguments():
    for arguments, kind, message in (
        (("model", []), TypeError, "model='model'"),
        ((MODEL, 3), TypeError, "observations=3"),
    ):
        with pytest.raises(kind, match=message):
            ef.Assimilation(*arguments)
    for levels in ([2.0, 1.0], [np.nan]):
        with pytest.raises(ValueError, match="levels="):
            ef.Assimilation(MODEL, [], levels=levels)
    run = ef.Assimilation(MODEL, windows())
    with pytest.raises(TypeError, match="filt='etkf'"):
        run.run("etkf", ensemble=first())
    bad = first()
    bad[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"ensemble\[1, 2\] is nan"):
        run.run(ef.ETKF(), ensemble=bad)
    with pytest.raises(ValueError, match="seed=-1"):
        run.run(ef.ETKF(), ensemble=first(), seed=-1)


def test_a_state_that_is_not_finite_ends_the_run():
    calls = []

    def spoils(ensemble, start, stop, rng):
        calls.append(start)
        result = stepped(ensemble, start, stop, rng)
        if len(calls) == 3:
            result[4, 1] = np.inf
        return result

    with pytest.warns(RuntimeWarning, match=r"at cycle 3, forecast\[4, 1\] is inf") as caught:
        result = ef.Assimilation(spoils, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    assert caught[0].filename == __file__
    assert result.cycles == 3
    whole = ef.Assimilation(MODEL, windows(3)).run(ef.ETKF(), ensemble=first(), seed=0)
    np.testing.assert_array_equal(result.ensemble, whole.ensemble)


def test_a_model_that_overflows_ends_the_run():
    def fails(ensemble, *_):
        raise FloatingPointError("overflow encountered in exp")

    with pytest.warns(RuntimeWarning, match="at cycle 1, overflow encountered in exp"):
        result = ef.Assimilation(fails, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    assert result.cycles == 1
    twin = ef.TwinExperiment(fails, OBS, initial_state=np.zeros(10), spinup=0, cycles=3)
    with pytest.warns(RuntimeWarning, match="at cycle 1, overflow encountered in exp"):
        assert twin.run(ef.ETKF(), members=5).cycles == 1


def test_interrupted_and_nothing_at_all(tmp_path):
    def interrupt(ensemble, start, stop, rng):
        raise KeyboardInterrupt

    result = ef.Assimilation(interrupt, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    assert (result.cycles, result.stopped) == (1, "interrupted")
    none = ef.Assimilation(MODEL, []).run(ef.ETKF(), ensemble=first(), seed=0)
    assert none.cycles == 0
    assert np.isnan(none.summary()["rmse"])
    loaded = ef.AssimilationResult.load(none.save(tmp_path / "none.npz"))
    assert loaded.cycles == 0


def test_what_is_left_behind(tmp_path):
    kinds = ef.Observation(OBS.operator, std=0.5, kinds=["a", "b", "a", "b"], heights=[0, 1, 2, 3])
    run = ef.Assimilation(MODEL, windows(obs=kinds), levels=[1.5])
    result = run.run(ef.LEnFF(), ensemble=first(), seed=0)
    assert result.innovations.groups == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert {*result.facts} >= {"inflation", "cutoff"}
    assert result.summary(last=3)["chi_square"] == result.innovations.total(last=3).chi_square
    loaded = ef.AssimilationResult.load(result.save(tmp_path / "run.npz"))
    assert_same(loaded, result)
    assert loaded.innovations.groups == result.innovations.groups
    assert loaded.info == result.info
    assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(ValueError, match=r"\.npz or \.nc"):
        result.save(tmp_path / "run.csv")


def test_to_xarray_and_netcdf(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    result = ef.Assimilation(MODEL, windows()).run(ef.LEnFF(), ensemble=first(), seed=0)
    path = result.save(tmp_path / "run.nc")
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["chi_square"], result.innovations.series("chi_square"))
        assert data.sizes["group"] == 1


def test_the_page_of_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    result = ef.Assimilation(MODEL, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    figure = result.plot(tmp_path / "run.png", kind="innovations")
    assert (tmp_path / "run.png").stat().st_size > 1000
    departures, chi_square, errors, ranks = figure.axes
    lines = {line.get_label(): line for line in departures.get_lines()}
    wanted = result.innovations.series("rmse")
    np.testing.assert_array_equal(lines["y - h(x), RMS"].get_ydata(), wanted)
    wanted = result.innovations.series("chi_square")
    np.testing.assert_array_equal(chi_square.get_lines()[0].get_ydata(), wanted)
    assert len(errors.patches) == 2
    heights = [bar.get_height() for bar in ranks.patches]
    counts = result.innovations.rank_histogram()
    np.testing.assert_allclose(heights, counts / counts.sum())
    with pytest.raises(ValueError, match="kind='overview'"):
        result.plot(kind="overview")


def test_models_with_a_state_of_their_own():
    class Counts(ef.Model):
        def __init__(self):
            self.calls = 0

        def __call__(self, ensemble, start, stop, rng):
            self.calls += 1
            return stepped(ensemble, start, stop, rng)

    model = Counts()
    ef.Assimilation(model, windows()).run(ef.ETKF(), ensemble=first(), seed=0)
    assert model.calls == 5
    assert model.save() is None  # what is not asked for is not kept
    model.load(None)


def test_an_assimilation_is_a_value():
    run = ef.Assimilation(MODEL, windows(), levels=[1, 2])
    assert run == pickle.loads(pickle.dumps(run))
    assert dataclasses.replace(run, start=-1.0) != run


def test_only_the_last_cycles_are_kept(tmp_path):
    kinds = ef.Observation(OBS.operator, std=0.5, kinds=["a", "b", "a", "b"])
    seen = windows(30, kinds)
    whole = ef.Assimilation(MODEL, seen).run(ef.LEnFF(), ensemble=first(), seed=0)
    run = ef.Assimilation(MODEL, seen, keep=4)
    some = run.run(ef.LEnFF(), ensemble=first(), seed=0)
    assert (some.cycles, some.time.size) == (30, 4)
    for name in ("time", "mean", "deviation"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[-4:])
    np.testing.assert_array_equal(some.ensemble, whole.ensemble)
    for name, values in some.facts.items():
        np.testing.assert_array_equal(values, whole.facts[name][-4:])
    for name in ("rmse", "number"):
        series = (r.innovations.series(name) for r in (some, whole))
        np.testing.assert_array_equal(next(series), next(series)[-4:])
    assert some.innovations.total() == whole.innovations.total(last=4)
    assert some.innovations.by_kind(2) == whole.innovations.by_kind(2)
    path, options = tmp_path / "c", {"ensemble": first(), "seed": 0, "every": 7}
    half = ef.Assimilation(MODEL, seen[:17], keep=4)
    half.run(ef.LEnFF(), **options, checkpoint=path)
    assert_same(run.run(ef.LEnFF(), **options, checkpoint=path, resume=True), some)
    loaded = ef.AssimilationResult.load(some.save(tmp_path / "run.npz"))
    assert (loaded.cycles, loaded.innovations.begin) == (30, 26)
    with pytest.raises(ValueError, match="keep=0"):
        ef.Assimilation(MODEL, seen, keep=0)


def test_observations_that_are_no_array_are_an_error_of_y():
    model = ef.models.Lorenz96(dim=8)
    obs = ef.Observation(ef.operators.Subset([1, 3]), 2.0)
    run = ef.Assimilation(model, [(0.0, [[1.0], [1.0, 2.0]], obs)])
    with pytest.raises((TypeError, ValueError), match=r"^y "):
        run.run(ef.ETKF(), ensemble=np.eye(5, 8), seed=0)
    run = ef.Assimilation(model, [(0.0, [], obs), (1.0, [0.5, 0.5], obs)])
    assert run.run(ef.ETKF(), ensemble=np.eye(5, 8), seed=0).time.size == 2
