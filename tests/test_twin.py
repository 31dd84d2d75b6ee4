"""Twin experiments: what is compared with what, how a run ends, and what it leaves behind."""

import dataclasses
import io
import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import enfilt as ef
from enfilt import backends, metrics, progress
from enfilt.experiments.result import SCORES, Series
from enfilt.filters import EnsembleFilter

DIM = 8


@dataclass(frozen=True)
class Recording(EnsembleFilter):
    """Returns the forecast moved by a constant, and keeps what it was given."""

    shift: float = 0.25

    def _check_options(self):
        object.__setattr__(self, "calls", [])  # no field: it is no option

    def analysis(self, forecast, y, obs, **options):
        kept = {
            name: None if v is None else np.array(v)
            for name, v in (("previous", options["previous"]), ("y", y), ("forecast", forecast))
        }
        result = super().analysis(forecast, y, obs, **options)
        self.calls.append({**kept, "obs": obs, "rng": options["rng"], "analysis": result.copy()})
        return result

    def _update(self, cycle, out):
        out[...] = cycle.forecast + self.shift


def make_twin(model=None, **options):
    defaults = {"cycles": 4, "steps_per_cycle": 5, "spinup": 20}
    obs = ef.Observation(options.pop("operator", ef.operators.Arctan()), std=0.1)
    return ef.TwinExperiment(model or ef.models.Lorenz96(dim=DIM), obs, **(defaults | options))


def assert_same_scores(one, other):
    for name in SCORES:
        for kind in ("forecast", "analysis"):
            a, b = (getattr(getattr(r, name), kind) for r in (one, other))
            np.testing.assert_array_equal(a, b, err_msg=f"{name} {kind}")


def breaking_model(after, act):
    """A callable model that behaves until call number `after`."""
    model = ef.models.Lorenz96(dim=DIM)
    calls = []

    def step(ensemble, steps):
        calls.append(steps)
        if len(calls) > after:
            return act(ensemble)
        return model.step(ensemble, steps)

    return step


def interrupt(_):
    raise KeyboardInterrupt


CALLABLE = {"initial_state": np.linspace(-3, 9, DIM), "spinup": 20}


# -- the protocol


def test_two_filters_see_the_same_truth_and_the_same_observations():
    twin = make_twin()
    one, other = Recording(shift=0.0), Recording(shift=0.5)
    first = twin.run(one, members=4, seed=3)
    second = twin.run(other, members=6, seed=3)
    np.testing.assert_array_equal(first.truth, second.truth)
    for a, b in zip(one.calls, other.calls, strict=True):
        np.testing.assert_array_equal(a["y"], b["y"])
    assert not np.array_equal(one.calls[1]["forecast"], other.calls[1]["forecast"][:4])
    drawing = twin.run(ef.EnFF(steps=2), members=4, seed=3)
    np.testing.assert_array_equal(drawing.truth, first.truth)


@dataclass(frozen=True)
class Drawing(Recording):
    """Draws as many numbers as it is told."""

    draws: int = 1

    def _update(self, cycle, out):
        super()._update(cycle, out)
        out += 0.01 * cycle.rng.standard_normal(self.draws).mean()


def test_the_streams_are_apart():
    """Neither the number of members nor what the filter draws changes truth or observations."""
    twin = make_twin(ef.models.Lorenz96(dim=DIM, model_noise=0.3))
    filters = [Drawing(draws=1), Drawing(draws=7), Drawing(draws=1)]
    results = [
        twin.run(filt, members=members, seed=3)
        for filt, members in zip(filters, (4, 4, 9), strict=True)
    ]
    for filt, result in zip(filters[1:], results[1:], strict=True):
        np.testing.assert_array_equal(result.truth, results[0].truth)
        for a, b in zip(filt.calls, filters[0].calls, strict=True):
            np.testing.assert_array_equal(a["y"], b["y"])
    first = [filt.calls[0]["forecast"] for filt in filters]
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[0], first[2][:4])


def test_members_of_a_smaller_run_are_the_first_of_a_larger():
    small, large = Recording(), Recording()
    make_twin().run(small, members=10, seed=1)
    make_twin().run(large, members=20, seed=1)
    np.testing.assert_array_equal(small.calls[0]["forecast"], large.calls[0]["forecast"][:10])
    np.testing.assert_array_equal(small.calls[-1]["forecast"], large.calls[-1]["forecast"][:10])


def test_same_seed_same_run_and_another_seed_another():
    twin, filt = make_twin(), ef.EnFF(steps=3)
    one = twin.run(filt, members=5, seed=7)
    assert_same_scores(one, twin.run(filt, members=5, seed=7))
    other = twin.run(filt, members=5, seed=8)
    assert not np.array_equal(one.truth, other.truth)
    unseeded = twin.run(filt, members=5)
    assert unseeded.info["seed"] == "none"
    assert not np.array_equal(one.truth, unseeded.truth)


def test_the_course_of_a_run():
    """Cycle 0 assimilates at once; a later one first forecasts the last analysis."""
    model = ef.models.Lorenz96(dim=DIM)
    filt = Recording()
    result = make_twin(model).run(filt, members=4, seed=0)
    calls = filt.calls
    assert len(calls) == 4
    np.testing.assert_array_equal(calls[0]["previous"], calls[0]["forecast"])
    for k, call in enumerate(calls):
        if k:
            before = calls[k - 1]["analysis"]
            np.testing.assert_array_equal(call["previous"], before)
            np.testing.assert_array_equal(call["forecast"], model.step(before, 5))
            truth = model.step(result.truth[k - 1], 5)
            np.testing.assert_array_equal(truth, result.truth[k])
        np.testing.assert_array_equal(call["analysis"], call["forecast"] + 0.25)
        truth = result.truth[k]
        for kind in ("forecast", "analysis"):
            wanted = metrics.score(call[kind], truth)
            for name in SCORES:
                found = getattr(getattr(result, name), kind)[k]
                np.testing.assert_array_equal(found, getattr(wanted, name))
        np.testing.assert_array_equal(result.mean[k], call["analysis"].mean(axis=0))
        np.testing.assert_array_equal(result.deviation[k], call["analysis"].std(axis=0, ddof=1))


def test_the_truth_is_spun_up():
    model = ef.models.Lorenz96(dim=DIM)
    start = np.linspace(-3, 9, DIM)
    for spinup in (0, 1, 230):  # 230: more than the progress bar's chunk of 100
        result = make_twin(model, spinup=spinup, initial_state=start).run(
            Recording(), members=2, seed=0
        )
        np.testing.assert_array_equal(result.truth[0], model.step(start, spinup))


def test_observations_are_of_the_truth():
    filt = Recording()
    result = make_twin(cycles=400, steps_per_cycle=1).run(filt, members=2, seed=0)
    y = np.array([c["y"] for c in filt.calls])
    error = (y - np.arctan(result.truth)) / 0.1
    # five standard errors of mean and standard deviation of 3200 normals
    assert abs(error.mean()) < 5 / np.sqrt(error.size)
    assert abs(error.std() - 1) < 5 / np.sqrt(2 * error.size)


@pytest.mark.parametrize("mean", ["zero", "truth", "array"])
@pytest.mark.parametrize("std", [0.0, 0.5])
def test_initial_ensemble(mean, std):
    given = np.linspace(1, 2, DIM)
    filt = Recording()
    members = 2000
    options = {"initial_mean": given if mean == "array" else mean, "initial_std": std}
    result = make_twin(cycles=1, **options).run(filt, members=members, seed=0)
    centre = {"zero": np.zeros(DIM), "truth": result.truth[0], "array": given}[mean]
    forecast = filt.calls[0]["forecast"]
    if std == 0:
        np.testing.assert_array_equal(forecast, np.tile(centre, (members, 1)))
        return
    # five standard errors
    assert np.abs(forecast.mean(axis=0) - centre).max() < 5 * std / np.sqrt(members)
    assert np.abs(forecast.std(axis=0, ddof=1) / std - 1).max() < 5 / np.sqrt(2 * members)


def test_the_filter_gets_the_grid_of_the_model():
    filt = Recording()
    twin = make_twin(cycles=1)
    twin.run(filt, members=2, seed=0)
    assert filt.calls[0]["obs"].grid == twin.model.grid
    assert twin.obs.grid is None
    own = ef.grids.RegularGrid((2, 4))
    kept = dataclasses.replace(twin, obs=dataclasses.replace(twin.obs, grid=own))
    kept.run(filt, members=2, seed=0)
    assert filt.calls[1]["obs"].grid == own


def test_model_noise_differs_between_truth_and_members():
    model = ef.models.Lorenz96(dim=DIM, model_noise=0.5)
    filt = Recording(shift=0.0)
    options = {"cycles": 2, "steps_per_cycle": 1, "initial_mean": "truth", "initial_std": 0.0}
    result = make_twin(model, **options).run(filt, members=3, seed=0)
    rows = np.vstack([filt.calls[1]["forecast"], result.truth[1:]])
    apart = [np.abs(a - b).min() for i, a in enumerate(rows) for b in rows[:i]]
    assert min(apart) > 0


# -- shapes, dtypes, models


@pytest.mark.parametrize("track", [0, 3, 40])
def test_shapes(track):
    members, cycles = 6, 4
    result = make_twin(track=track).run(ef.EnFF(steps=2), members=members, seed=0)
    assert result.cycles == cycles
    assert result.stopped == ""
    for name in SCORES:
        shape = (cycles, members + 1) if name == "rank_histogram" else (cycles,)
        series = getattr(result, name)
        assert series.forecast.shape == series.analysis.shape == shape
    for name in ("time", "seconds", "seconds_forecast"):
        assert getattr(result, name).shape == (cycles,)
    for name in ("truth", "mean", "deviation"):
        assert getattr(result, name).shape == (cycles, min(track, DIM))
    assert (result.rank_histogram.analysis.sum(axis=1) == DIM).all()
    assert (result.seconds >= 0).all()
    assert (result.seconds_forecast >= 0).all()
    np.testing.assert_allclose(result.time, 0.05 * np.arange(4), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", np.float32, "float64", np.dtype(np.float64)])
def test_dtype(dtype):
    filt = Recording()
    result = make_twin(dtype=dtype).run(filt, members=3, seed=0)
    for call in filt.calls:
        for name in ("forecast", "previous", "y", "analysis"):
            assert call[name].dtype == np.dtype(dtype)
    assert result.truth.dtype == np.dtype(dtype)
    assert result.info["dtype"] == np.dtype(dtype).name


def test_float32_runs_a_filter_like_float64():
    runs = [
        make_twin(cycles=2, dtype=d).run(ef.EnFF(steps=4), members=5, seed=0)
        for d in ("float32", "float64")
    ]
    # 25 model steps and two analyses: a rounding of 6e-8 of states up to 10, grown by what
    # half a time unit can, e^(81/2) at the very worst but some e^2 on the attractor, and by
    # 1/s^2 = 1e4 in the weights of the flow
    np.testing.assert_allclose(runs[0].rmse.analysis, runs[1].rmse.analysis, rtol=0.01)


@pytest.mark.parametrize(
    "operator",
    [
        ef.operators.Every(3),
        ef.operators.Linear(np.eye(DIM)[:3] / 2),
        ef.operators.Custom(lambda x: x[:, :3].copy(), lambda x, u: np.pad(u, ((0, 0), (0, 5)))),
    ],
    ids=["every", "linear", "custom"],
)
def test_operators_that_observe_less(operator):
    result = make_twin(operator=operator).run(ef.EnFF(steps=5, strength=0.01), members=4, seed=0)
    assert result.cycles == 4
    assert np.isfinite(result.rmse.analysis).all()


def test_callable_model():
    shift = make_twin(lambda x, steps: np.roll(x, steps, axis=-1), **CALLABLE)
    filt = Recording()
    result = shift.run(filt, members=3, seed=0)
    np.testing.assert_array_equal(result.truth[1], np.roll(result.truth[0], 5))
    np.testing.assert_array_equal(
        filt.calls[1]["forecast"], np.roll(filt.calls[0]["analysis"], 5, axis=1)
    )
    np.testing.assert_array_equal(result.time, [0, 5, 10, 15])


def test_callable_model_that_returns_its_argument():
    filt = Recording()
    result = make_twin(lambda x, steps: x, **CALLABLE).run(filt, members=3, seed=0)
    assert result.cycles == 4
    for before, call in zip(filt.calls, filt.calls[1:], strict=False):
        np.testing.assert_array_equal(call["forecast"], before["analysis"])
        np.testing.assert_array_equal(call["analysis"], call["forecast"] + 0.25)
    np.testing.assert_array_equal(result.truth, np.tile(CALLABLE["initial_state"], (4, 1)))


def test_callable_model_whose_result_is_read_only_and_column_major():
    model = ef.models.Lorenz96(dim=DIM)

    def odd(x, steps):
        result = np.asfortranarray(model.step(x, steps))
        result.flags.writeable = False
        return result

    one, other = (
        make_twin(m, **CALLABLE).run(ef.EnFF(steps=2), members=3, seed=0) for m in (model, odd)
    )
    assert_same_scores(one, other)


@pytest.mark.parametrize(
    "result", [np.zeros((3, DIM)), np.zeros((1, DIM), np.float32), np.zeros(DIM), None]
)
def test_callable_model_that_returns_something_else(result):
    twin = make_twin(lambda x, steps: result, **CALLABLE)
    with pytest.raises(ValueError, match="model returned"):
        twin.run(Recording(), members=2, seed=0)


# -- how a run ends


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_interrupted_in_the_model(kept):
    # a call for the spin-up, then two a cycle (truth and ensemble) from cycle 1 on
    model = breaking_model(1 + 2 * (kept - 1), interrupt)
    whole = make_twin(ef.models.Lorenz96(dim=DIM), **CALLABLE).run(Recording(), members=3, seed=0)
    result = make_twin(model, **CALLABLE).run(Recording(), members=3, seed=0)
    assert result.stopped == "interrupted"
    assert result.cycles == kept
    np.testing.assert_array_equal(result.rmse.analysis, whole.rmse.analysis[:kept])
    np.testing.assert_array_equal(result.truth, whole.truth[:kept])
    assert result.info["cycles"] == 4


def test_interrupted_in_the_filter():
    @dataclass(frozen=True)
    class Interrupted(Recording):
        def _update(self, cycle, out):
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            super()._update(cycle, out)

    result = make_twin().run(Interrupted(), members=3, seed=0)
    whole = make_twin().run(Recording(), members=3, seed=0)
    assert (result.cycles, result.stopped) == (2, "interrupted")
    np.testing.assert_array_equal(result.rmse.analysis, whole.rmse.analysis[:2])


def test_interrupted_between_the_records_of_a_cycle(monkeypatch):
    count = []
    score = metrics.score

    def interrupted(*arguments):
        count.append(1)
        if len(count) == 4:  # the analysis of cycle 1, whose forecast is scored
            raise KeyboardInterrupt
        return score(*arguments)

    monkeypatch.setattr(metrics, "score", interrupted)
    result = make_twin().run(Recording(), members=3, seed=0)
    assert result.cycles == 1
    assert {getattr(result, n).shape[0] for n in ("time", "seconds", "truth", "mean")} == {1}


def test_interrupted_before_the_first_cycle(tmp_path):
    twin = make_twin(breaking_model(0, interrupt), **CALLABLE)
    result = twin.run(Recording(), members=3, seed=0)
    assert (result.cycles, result.stopped) == (0, "interrupted")
    assert np.isnan(result.summary()["rmse.analysis"])
    loaded = ef.Result.load(result.save(tmp_path / "none.npz"))
    assert (loaded.cycles, loaded.stopped) == (0, "interrupted")
    assert loaded.rank_histogram.analysis.shape == (0, 4)
    assert loaded.truth.ndim == 2


def test_nothing_completed_fits_into_xarray():
    pytest.importorskip("xarray")
    twin = make_twin(breaking_model(0, interrupt), **CALLABLE)
    data = twin.run(Recording(), members=3, seed=0).to_xarray()
    assert data.sizes["time"] == 0


@pytest.mark.parametrize(
    ("call", "name", "kept"),
    [(1, "truth", 0), (2, "truth", 1), (3, "forecast", 1), (5, "forecast", 2)],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_state_that_is_not_finite_ends_the_run(call, name, kept, value):
    def spoil(ensemble):
        result = ensemble.copy()
        result[-1, 5] = value
        return result

    twin = make_twin(breaking_model(call - 1, spoil), **CALLABLE)
    with pytest.warns(RuntimeWarning, match=f"at cycle {kept}, {name}") as caught:
        result = twin.run(Recording(), members=3, seed=0)
    row = 2 if name == "forecast" else 0
    assert result.stopped.startswith(f"at cycle {kept}, {name}[{row}, 5] is {value}")
    assert result.cycles == kept
    assert np.isfinite(result.rmse.analysis).all()
    assert caught[0].filename == __file__  # it points to the caller of run


def test_every_state_is_looked_at_once(monkeypatch):
    """A forecast by the model, or by the run where the model is a function; an analysis once."""
    model = ef.models.Lorenz96(dim=DIM)
    sizes, kernels = [], type(backends.get("auto"))
    plain = kernels.all_finite
    monkeypatch.setattr(
        kernels, "all_finite", lambda self, x: sizes.append(x.size) or plain(self, x)
    )
    looks = []
    for stepped in (model, lambda x, steps: model.step(x.copy(), steps).copy()):
        for cycles in (2, 3):
            sizes.clear()
            twin = make_twin(stepped, cycles=cycles, initial_state=model.initial_state(0))
            twin.run(ef.ETKF(), members=3, seed=0)
            looks.append([sizes.count(3 * DIM), sizes.count(DIM)])
    own, function = np.diff(np.reshape(looks, (2, 2, 2)), axis=1)[:, 0].tolist()
    assert own == [2, 1]  # a cycle's forecast and analysis, and its truth
    assert function == [3, 2]  # the model's `step` that this one calls has looked, too


class Broken(ef.models.Lorenz96):
    """A model of the user's, with a `step` of its own that goes wrong for ensembles."""

    def step(self, ensemble, steps=1, **options):
        result = super().step(ensemble, steps, **options)
        if len(result) > 1:
            result[1, 2] = np.nan
        return result


def test_a_step_of_the_users_own_is_looked_at():
    with pytest.warns(RuntimeWarning, match=r"at cycle 1, forecast\[1, 2\] is nan"):
        result = make_twin(Broken(dim=DIM)).run(ef.ETKF(), members=3, seed=0)
    assert len(result.rmse.forecast) == 1


@dataclass(frozen=True)
class Late(Recording):
    """Whose `analysis`, the user's own, is not finite after it was looked at."""

    def analysis(self, forecast, y, obs, **options):
        result = super().analysis(forecast, y, obs, **options)
        result[0, 1] = np.inf
        return result


def test_an_analysis_of_the_users_own_is_looked_at():
    with pytest.warns(RuntimeWarning, match=r"at cycle 0, analysis\[0, 1\] is inf"):
        make_twin().run(Late(), members=3, seed=0)


def test_an_analysis_that_is_not_finite_ends_the_run():
    with pytest.warns(RuntimeWarning, match=r"at cycle 0, Recording fails .*\[0, 0\] is nan"):
        result = make_twin().run(Recording(shift=np.nan), members=3, seed=0)
    assert result.cycles == 0


def test_a_model_that_blows_up_ends_the_run():
    """A step far too long for Runge-Kutta: overflow, without NumPy's own warnings."""
    with pytest.warns(RuntimeWarning, match="dt=5.0 is beyond the stability limit"):
        model = ef.models.Lorenz96(dim=DIM, dt=5.0)
    for backend in ef.config()["backends"].split(", "):
        with pytest.warns(RuntimeWarning, match="dt=5.0"):
            twin = make_twin(dataclasses.replace(model, backend=backend), spinup=0)
        with pytest.warns(RuntimeWarning, match="the run ends: at cycle 1, truth"):
            result = twin.run(Recording(), members=3, seed=0)
        assert result.cycles == 1


def test_other_errors_are_not_swallowed():
    def broken(ensemble):
        raise ZeroDivisionError("of the model's own")

    with pytest.raises(ZeroDivisionError, match="of the model's own"):
        make_twin(breaking_model(3, broken), **CALLABLE).run(Recording(), members=3, seed=0)


# -- the progress bar


@pytest.fixture
def run_with_bar(capsys):
    def run(show):
        make_twin(cycles=3).run(Recording(), members=2, seed=0, progress=show)
        return capsys.readouterr()

    return run


def test_silent_off_a_terminal(run_with_bar, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0)
    assert run_with_bar(None) == ("", "")
    assert run_with_bar(False) == ("", "")


def test_a_bar_appears_only_after_a_while(run_with_bar, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 1e9)
    assert run_with_bar(True) == ("", "")
    monkeypatch.setattr(progress, "DELAY", 0)
    out, err = run_with_bar(True)
    assert out == ""
    assert "spin-up" in err
    assert "Recording" in err
    assert "/3" in err


def test_the_delay_is_two_seconds():
    assert progress.DELAY == 2


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(progress, "DELAY", 0)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    make_twin(cycles=3).run(Recording(), members=2, seed=0)
    assert "spin-up" in terminal.getvalue()


def test_the_bar_is_closed_when_a_run_fails(monkeypatch):
    bars = []
    make = progress.bar

    def recording(*arguments):
        bars.append(make(*arguments))
        closed = bars[-1].close
        bars[-1].close = lambda: (setattr(bars[-1], "was_closed", True), closed())[1]
        return bars[-1]

    monkeypatch.setattr(progress, "bar", recording)
    make_twin(breaking_model(0, interrupt), **CALLABLE).run(Recording(), members=2, seed=0)
    assert len(bars) == 2
    assert all(getattr(b, "was_closed", False) or b.disable for b in bars)


# -- what is left behind


@pytest.fixture(scope="module")
def result():
    return make_twin(cycles=7).run(ef.EnFF(steps=3), members=5, seed=2)


def test_summary(result):
    for last, count in ((None, 7), (3, 3), (100, 7)):
        means = result.summary(last=last)
        scores = ("rmse", "spread", "crps", "energy_score", "nrmse", "fair_crps")
        keys = {f"{n}.{k}" for n in scores for k in ("forecast", "analysis")}
        assert set(means) == keys | {"seconds", "seconds_forecast"}
        for name in scores:
            for kind in ("forecast", "analysis"):
                values = getattr(getattr(result, name), kind)
                wanted = sum(values[7 - count :]) / count
                assert means[f"{name}.{kind}"] == pytest.approx(wanted, rel=1e-14)
        assert means["seconds"] == pytest.approx(result.seconds[7 - count :].mean(), rel=1e-14)
        assert all(type(v) is float for v in means.values())
    for bad, kind in ((0, ValueError), (-1, ValueError), (2.5, TypeError)):
        with pytest.raises(kind, match="last="):
            result.summary(last=bad)


def test_climate_and_whether_the_truth_is_tracked(result):
    """RMSE 0.3 of a truth of standard deviation 2, then 1.9: on average 1.1, and 1.9 at last."""
    error, deviation = np.array([0.3, 0.3, 1.9, 1.9]), np.array([2.0, 2.0, 1.5, 2.5])

    def of(error, deviation, **changes):
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(deviation > 0, error / deviation, np.nan)
        scores = {"rmse": error, "nrmse": relative}
        series = {name: Series(values, values) for name, values in scores.items()}
        return dataclasses.replace(result, time=np.arange(4.0), **series, **changes)

    one = of(error, deviation)
    assert one.climate() == pytest.approx(np.sqrt(np.mean(deviation**2)), rel=1e-14)
    assert one.climate(last=1) == pytest.approx(2.5, rel=1e-14)
    assert (one.tracks(), one.tracks(last=2), one.tracks(last=1)) == (True, False, True)
    assert of(error, deviation, stopped="interrupted").tracks()
    assert not of(error, deviation, stopped="at cycle 4, forecast[0, 0] is nan").tracks()
    # one component has no deviation, an exact analysis tells none: neither is lost for that
    assert np.isnan(of(error, np.zeros(4)).climate())
    assert of(error, np.zeros(4)).tracks()
    assert of(np.zeros(4), deviation).tracks()
    none = make_twin(breaking_model(0, interrupt), **CALLABLE).run(Recording(), members=2, seed=0)
    assert none.cycles == 0
    assert not none.tracks()
    with pytest.raises(ValueError, match="last=0"):
        one.tracks(last=0)


def test_info(result):
    info = result.info
    assert info["members"] == 5
    assert info["seed"] == 2
    assert info["cycles"] == 7
    assert info["steps_per_cycle"] == 5
    assert info["dtype"] == "float64"
    assert info["filter"].startswith("EnFF(")
    assert "steps=3" in info["filter"]
    assert info["model"] == repr(ef.models.Lorenz96(dim=DIM))
    assert info["operator"] == "Arctan()"


def assert_same(one, other):
    assert_same_scores(one, other)
    for name in ("time", "seconds", "seconds_forecast", "truth", "mean", "deviation"):
        a, b = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert one.info == other.info
    assert one.stopped == other.stopped


def test_save_and_load(result, tmp_path):
    path = tmp_path / "new" / "run.npz"
    assert result.save(str(path)) == path
    assert_same(result, ef.Result.load(path))
    with np.load(path, allow_pickle=False) as file:  # anybody can read it
        np.testing.assert_array_equal(file["rmse_analysis"], result.rmse.analysis)
        assert json.loads(str(file["info"]))["members"] == 5
    assert [p.name for p in path.parent.iterdir()] == ["run.npz"]


def test_save_over_an_older_file(result, tmp_path):
    path = tmp_path / "run.npz"
    path.write_text("older")
    result.save(path)
    assert_same(result, ef.Result.load(path))


def test_saved_files_are_as_readable_as_others(result, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    saved = result.save(tmp_path / "run.npz")
    assert saved.stat().st_mode == plain.stat().st_mode


def test_numpy_integers_as_options_can_be_saved(tmp_path):
    twin = make_twin(cycles=np.int64(2), steps_per_cycle=np.int32(5))
    result = twin.run(Recording(), members=np.int64(3), seed=np.int64(1))
    loaded = ef.Result.load(result.save(tmp_path / "run.npz"))
    assert (loaded.info["seed"], loaded.info["members"], loaded.info["cycles"]) == (1, 3, 2)


def test_a_stopped_run_says_so_when_read_back(tmp_path):
    twin = make_twin(breaking_model(3, interrupt), **CALLABLE)
    path = twin.run(Recording(), members=3, seed=0).save(tmp_path / "run.npz")
    assert ef.Result.load(path).stopped == "interrupted"


def test_to_xarray(result):
    pytest.importorskip("xarray")
    data = result.to_xarray()
    assert dict(data.sizes) == {"time": 7, "component": DIM, "rank": 6}
    np.testing.assert_array_equal(data["rmse_analysis"], result.rmse.analysis)
    np.testing.assert_array_equal(data["rank_histogram_forecast"], result.rank_histogram.forecast)
    np.testing.assert_array_equal(data["time"], result.time)
    assert data["truth"].dims == ("time", "component")
    assert data.attrs["members"] == 5


def test_save_netcdf(result, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    pytest.importorskip("h5py")
    path = result.save(tmp_path / "run.nc")
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["crps_analysis"], result.crps.analysis)
        np.testing.assert_array_equal(data["deviation"], result.deviation)
        assert data.attrs["seed"] == 2
        assert data.attrs["stopped"] == ""
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_xarray_missing(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"enfilt\[io\]"):
        result.to_xarray()
    with pytest.raises(ImportError, match=r"enfilt\[io\]"):
        result.save(tmp_path / "run.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run.csv", "run", "run.npz.gz"])
def test_unknown_ending(result, name, tmp_path):
    with pytest.raises(ValueError, match=r"path=.*\.npz or \.nc"):
        result.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_no_part_of_a_file_is_left(result, tmp_path, monkeypatch):
    def failing(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", failing)
    with pytest.raises(OSError, match="no space left"):
        result.save(tmp_path / "run.npz")
    assert list(tmp_path.iterdir()) == []
    older = tmp_path / "older.npz"
    older.write_text("older")
    with pytest.raises(OSError, match="no space left"):
        result.save(older)
    assert older.read_text() == "older"
    assert list(tmp_path.iterdir()) == [older]


def test_plot(result, tmp_path):
    figure_module = pytest.importorskip("matplotlib.figure")
    path = tmp_path / "new" / "run.png"
    figure = result.plot(path)
    assert isinstance(figure, figure_module.Figure)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [p.name for p in path.parent.iterdir()] == ["run.png"]
    axes = figure.axes
    assert len(axes) == 4
    labels = {line.get_label(): line for line in axes[-1].get_lines()}
    np.testing.assert_array_equal(labels["RMSE, analysis"].get_ydata(), result.rmse.analysis)
    np.testing.assert_array_equal(labels["spread, forecast"].get_ydata(), result.spread.forecast)
    first = {line.get_label(): line for line in axes[0].get_lines()}
    np.testing.assert_array_equal(first["truth"].get_ydata(), result.truth[:, 0])
    assert "N = 5" in figure.get_suptitle()


def test_every_kind_of_picture_there_is(result):
    pytest.importorskip("matplotlib")
    assert result.kinds == ["overview", "ranks", "hovmoeller"]
    bars = result.plot(kind="ranks").axes[1].patches
    counts = result.rank_histogram.analysis.sum(axis=0)
    np.testing.assert_allclose([bar.get_height() for bar in bars], counts / counts.sum())
    truth, _, error = [
        axis.get_images()[0].get_array() for axis in result.plot(kind="hovmoeller").axes[:3]
    ]
    np.testing.assert_array_equal(truth, result.truth.T)
    np.testing.assert_array_equal(error, (result.mean - result.truth).T)
    with pytest.raises(ValueError, match="kind='field': this result holds overview, ranks"):
        result.plot(kind="field")
    with pytest.raises(ValueError, match=r"kind='hovmoller'.*did you mean 'hovmoeller'"):
        result.plot(kind="hovmoller")


class Plane(ef.models.Model):
    """Two variables on a plane that stay as they are."""

    dim, dt, model_noise = 24, 1.0, 0.0
    grid = ef.grids.RegularGrid((3, 4), variables=2)

    def initial_state(self, rng=None):
        return np.arange(24.0)

    def _advance(self, rows, steps, out):
        out[...] = rows


def test_a_model_on_a_plane_leaves_a_field(tmp_path):
    pytest.importorskip("matplotlib")
    obs = ef.Observation(ef.operators.Subset([1, 13, 18]), std=1.0)
    twin = ef.TwinExperiment(Plane(), obs, cycles=2, spinup=0)
    result = twin.run(ef.ETKF(), members=6, seed=0)
    assert result.kinds[-1] == "field"
    assert result.field.shape == (3, 3, 4)
    np.testing.assert_array_equal(result.field[0], np.arange(12.0).reshape(3, 4))
    np.testing.assert_allclose(result.field[1].ravel(), result.mean[-1, :12])
    np.testing.assert_allclose(result.field[2].ravel(), result.deviation[-1, :12])
    np.testing.assert_array_equal(result.observed, [[0, 1], [1, 2]])  # 13 lies where 1 does
    result.plot(tmp_path / "field.png", kind="field")
    again = ef.Result.load(result.save(tmp_path / "run.npz"))
    np.testing.assert_array_equal(again.field, result.field)
    np.testing.assert_array_equal(again.observed, result.observed)


@pytest.mark.parametrize("options", [{"track": 0}, {"track": 1}, {"cycles": 1}])
def test_plot_of_little(options, tmp_path):
    pytest.importorskip("matplotlib")
    make_twin(**options).run(Recording(), members=2, seed=0).plot(tmp_path / "run.pdf")
    assert (tmp_path / "run.pdf").read_bytes().startswith(b"%PDF")


def test_plot_of_a_run_without_spread():
    pytest.importorskip("matplotlib")
    twin = make_twin(initial_std=0.0)
    assert twin.run(Recording(), members=2, seed=0).plot().axes[-1].get_yscale() == "linear"


def test_matplotlib_missing(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"enfilt\[plot\]"):
        result.plot(tmp_path / "run.png")
    assert list(tmp_path.iterdir()) == []


# -- errors


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"cycles": 0}, ValueError, "cycles=0"),
        ({"cycles": 2.0}, TypeError, "cycles=2.0"),
        ({"steps_per_cycle": 0}, ValueError, "steps_per_cycle=0"),
        ({"spinup": -1}, ValueError, "spinup=-1"),
        ({"track": -1}, ValueError, "track=-1"),
        ({"initial_std": -1}, ValueError, "initial_std=-1"),
        ({"initial_std": np.nan}, ValueError, "initial_std=nan"),
        ({"initial_mean": "turth"}, ValueError, "initial_mean='turth'.*did you mean 'truth'"),
        ({"dtype": "float16"}, TypeError, "dtype=float16"),
        ({"dtype": int}, TypeError, "dtype="),
        ({"operator": ef.operators.Subset([DIM])}, ValueError, "indices holds 8"),
    ],
)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        make_twin(**options)


def test_bad_parts():
    model, obs = ef.models.Lorenz96(dim=DIM), ef.Observation(ef.operators.Arctan(), 0.1)
    with pytest.raises(TypeError, match="model='lorenz96'"):
        ef.TwinExperiment("lorenz96", obs)
    with pytest.raises(TypeError, match="obs="):
        ef.TwinExperiment(model, ef.operators.Arctan())
    with pytest.raises(ValueError, match="initial_state is missing"):
        ef.TwinExperiment(lambda x, steps: x, obs)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"members": 1}, ValueError, "members=1"),
        ({"members": 2.5}, TypeError, "members=2.5"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 0.5}, TypeError, "seed=0.5"),
        ({"filt": ef.EnFF}, TypeError, "filt="),
        ({"filt": "EnFF"}, TypeError, "filt='EnFF'"),
    ],
)
def test_bad_runs(options, kind, message):
    arguments = {"filt": Recording(), "members": 3, "seed": 0} | options
    filt = arguments.pop("filt")
    with pytest.raises(kind, match=message):
        make_twin().run(filt, **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_mean": np.zeros(DIM + 1)}, "initial_mean has shape"),
        ({"initial_state": np.zeros((1, DIM))}, "initial_state has shape"),
        ({"initial_state": np.zeros(DIM + 1)}, r"shape \(1, 9\)"),
    ],
)
def test_states_of_wrong_shape(options, message):
    with pytest.raises(ValueError, match=message):
        make_twin(**options).run(Recording(), members=3, seed=0)
