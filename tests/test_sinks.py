"""Ensembles in files: what xarray reads back, what a restart cuts off, what is not overwritten."""

import datetime
import errno
import sys

import numpy as np
import pytest

import enfilt as ef

xarray = pytest.importorskip("xarray")
DIM, MEMBERS = 10, 4
LAYOUT = ef.state.Layout(
    {"t": {"level": 2, "x": 3}, "ps": {"x": 3}, "drag": {}},
    coords={
        "x": ("x", [0.0, 1.0, 2.0], {"units": "km"}),
        "level": ("level", [1, 2]),
        "name": ("x", ["a", "b", "c"]),
    },
    variable_attrs={"t": {"units": "K"}},
)
ATTRIBUTES = {"t": {"standard_name": "air_temperature"}, "ps": {"units": "Pa"}}
BEGIN = np.datetime64("2026-01-01T00")
OBS = ef.Observation(ef.operators.Every(2), std=0.5)


def moved(ensemble, start, stop, rng):
    return 0.9 * ensemble + rng.standard_normal(ensemble.shape)


def windows(count, times=float):
    rng = np.random.default_rng(1)
    return [(times(k), rng.standard_normal(5), OBS) for k in range(count)]


def run(count=5, times=float, dtype=np.float64, filt=None, **options):
    """Return a result, and what went to functions in place of files."""
    kept = {"forecast_to": [], "analysis_to": []}
    run_options = {n: options.pop(n) for n in ("checkpoint", "every", "resume") if n in options}
    seen = [(t, y.astype(dtype), obs) for t, y, obs in windows(count, times)]
    sinks = {n: (lambda t, x, to=to: to.append((t, x.copy()))) for n, to in kept.items()}
    steps = ef.Assimilation(moved, seen, **(sinks | options))
    given = np.random.default_rng(0).standard_normal((MEMBERS, DIM)).astype(dtype)

    def model(ensemble, start, stop, rng):
        return moved(ensemble, start, stop, rng).astype(dtype)

    object.__setattr__(steps, "model", model)
    result = steps.run(filt or ef.ETKF(), ensemble=given, seed=0, **run_options)
    return result, kept


def made(kind, path, *arguments, **options):
    if kind == "zarr":
        pytest.importorskip("zarr")
        return ef.sinks.Zarr(path / "a.zarr", *arguments, **options)
    pytest.importorskip("h5netcdf")
    return ef.sinks.NetCDF(path / "a.nc", *arguments, **options)


def read(sink, consolidated=None):
    if isinstance(sink, ef.sinks.Zarr):
        return xarray.open_zarr(sink.path, consolidated=consolidated)
    return xarray.open_dataset(sink.path, engine="h5netcdf")


AN_HOUR_EAST = datetime.timezone(datetime.timedelta(hours=1))
KINDS = pytest.mark.parametrize("kind", ["zarr", "netcdf"])


def test_functions_are_given_what_the_filter_is():
    result, kept = run()
    assert [t for t, _ in kept["forecast_to"]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    np.testing.assert_array_equal(kept["analysis_to"][-1][1], result.ensemble)
    filt, obs = ef.ETKF(), windows(5)[2]
    np.testing.assert_allclose(
        filt.analysis(kept["forecast_to"][2][1], obs[1], OBS), kept["analysis_to"][2][1]
    )


@pytest.mark.parametrize("error", [FloatingPointError, OSError, RuntimeError])
def test_an_error_of_a_function_is_no_ensemble_that_has_blown_up(error):
    def fails(time, ensemble):
        raise error("division by zero in the statistics of mine")

    with pytest.raises(error, match="statistics of mine"):
        run(analysis_to=fails)


def test_a_function_can_not_write_to_the_ensemble():
    def writes(time, ensemble):
        ensemble[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        run(analysis_to=writes)


@KINDS
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_xarray_reads(tmp_path, kind, dtype):
    sink = made(kind, tmp_path, time_units="hours")
    result, _ = run(dtype=np.dtype(dtype), analysis_to=sink)
    _, kept = run(dtype=np.dtype(dtype))
    with read(sink) as data:
        assert data["state"].dims == ("time", "realization", "component")
        assert data["state"].dtype == np.dtype(dtype)
        wanted = np.stack([x for _, x in kept["analysis_to"]])
        np.testing.assert_array_equal(data["state"], wanted)
        np.testing.assert_array_equal(data["time"], np.arange(5.0))
        assert data["realization"].attrs["standard_name"] == "realization"
        assert data["time"].attrs == {"standard_name": "time", "units": "hours"}
        assert data.attrs["Conventions"] == "CF-1.11"
        np.testing.assert_array_equal(
            data["score_chi_square"], result.innovations.series("chi_square")
        )
        np.testing.assert_array_equal(data["score_seconds"], result.seconds)
        encoding = data["state"].encoding
        assert (encoding.get("chunks") or encoding["chunksizes"]) == (1, 1, DIM)


@KINDS
def test_variables_by_name(tmp_path, kind):
    sink = made(kind, tmp_path, LAYOUT, attributes=ATTRIBUTES)
    hour = np.timedelta64(6, "h")
    _, kept = run(times=lambda k: BEGIN + k * hour, forecast_to=sink)
    _, kept = run()
    with read(sink) as data:
        assert data["t"].dims == ("time", "realization", "level", "x")
        assert data["drag"].dims == ("time", "realization")
        for k, (_, x) in enumerate(kept["forecast_to"]):
            wanted = LAYOUT.unpack(x)
            for name in ("t", "ps", "drag"):
                np.testing.assert_array_equal(data[name][k], wanted[name])
        assert data["t"].attrs == {"units": "K", "standard_name": "air_temperature"}
        assert data["ps"].attrs == {"units": "Pa"}
        np.testing.assert_array_equal(data["x"], [0.0, 1.0, 2.0])
        assert data["x"].attrs == {"units": "km"}
        times = BEGIN + np.arange(5) * hour
        np.testing.assert_array_equal(data["time"].values.astype("M8[us]"), times)
        again = LAYOUT.pack(data[["t", "ps", "drag"]].isel(time=3))
        np.testing.assert_array_equal(again, kept["forecast_to"][3][1])


@KINDS
def test_land_is_missing(tmp_path, kind):
    there = np.array([True, False] * 10)
    layout = ef.state.Layout({"t": {"x": 20}}, present={"t": there})
    sink = made(kind, tmp_path, layout)
    run(analysis_to=sink)
    with read(sink) as data:
        np.testing.assert_array_equal(np.isnan(data["t"][2, 1]), ~there)


@KINDS
@pytest.mark.parametrize(
    "moment",
    [
        lambda k: datetime.datetime(2026, 1, 1, k),
        lambda k: datetime.datetime(2026, 1, 1, k + 1, tzinfo=AN_HOUR_EAST),
    ],
    ids=["naive", "zone"],
)
def test_dates_of_python(tmp_path, kind, moment):
    sink = made(kind, tmp_path)
    run(times=moment, analysis_to=sink)
    with read(sink) as data:
        found = data["time"].values.astype("M8[h]")
        np.testing.assert_array_equal(found, BEGIN + np.arange(5))


def test_dates_of_another_calendar(tmp_path):
    cftime = pytest.importorskip("cftime")
    sink = made("zarr", tmp_path)
    run(times=lambda k: cftime.DatetimeNoLeap(2024, 3, 1 + k), analysis_to=sink)
    with read(sink) as data:
        assert data["time"].values[1] == cftime.DatetimeNoLeap(2024, 3, 2)


@KINDS
def test_a_restart_goes_on_with_the_file(tmp_path, kind):
    """Of cycles after the checkpoint nothing is left, and those before are not written again."""
    sink = made(kind, tmp_path)
    options = {"checkpoint": tmp_path / "c", "every": 2, "resume": True}
    calls = []

    def interrupt(time, ensemble):
        calls.append(time)
        if len(calls) == 4:
            raise KeyboardInterrupt

    result, _ = run(7, analysis_to=sink, forecast_to=interrupt, **options)
    assert (result.cycles, result.stopped) == (4, "interrupted")
    with read(sink) as data:
        assert data.sizes["time"] == 3
    result, _ = run(7, analysis_to=sink, **options)
    _, kept = run(7)
    with read(sink) as data:
        wanted = np.stack([x for _, x in kept["analysis_to"]])
        np.testing.assert_array_equal(data["state"], wanted)
        np.testing.assert_array_equal(data["time"], np.arange(7.0))
        np.testing.assert_array_equal(data["score_rmse"], result.innovations.series("rmse"))


@KINDS
def test_no_space_left(tmp_path, monkeypatch, kind):
    sink = made(kind, tmp_path)
    options = {"checkpoint": tmp_path / "c", "every": 2, "resume": True, "analysis_to": sink}
    encoded, calls = ef.sinks.Sink.encoded, []

    def full(self, time):
        calls.append(time)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return encoded(self, time)

    with monkeypatch.context() as patched:
        patched.setattr(ef.sinks.Sink, "encoded", full)
        message = "analysis_to can't be written after cycle 4: No space left"
        with pytest.raises(OSError, match=message) as error:
            run(6, **options)
    assert error.value.errno == errno.ENOSPC
    with read(sink) as data:  # as it was before
        assert data.sizes["time"] == 3
    run(6, **options)
    _, kept = run(6)
    with read(sink) as data:
        np.testing.assert_array_equal(data["state"], np.stack([x for _, x in kept["analysis_to"]]))


@KINDS
def test_what_lies_behind_the_checkpoint_is_cut_off(tmp_path, kind):
    sink = made(kind, tmp_path)
    run(5, analysis_to=sink)
    writer = sink.open((MEMBERS, DIM), np.dtype("f8"), 3)
    with read(sink) as data:
        scores = [n.removeprefix("score_") for n in data if n.startswith("score")]
        assert {data[name].sizes["time"] for name in ("state", "time", "score_rmse")} == {3}
    writer.append(9.0, np.ones((MEMBERS, DIM)), dict.fromkeys(scores, 1.0))
    writer.close()
    with read(sink) as data:
        np.testing.assert_array_equal(data["time"], [0, 1, 2, 9])
        assert (data["state"][3] == 1).all()
        assert data["score_rmse"][-1] == 1


@KINDS
def test_a_run_that_begins_anew_overwrites_what_a_sink_wrote(tmp_path, kind):
    sink = made(kind, tmp_path)
    run(5, analysis_to=sink)
    run(2, analysis_to=sink)
    with read(sink) as data:
        assert data.sizes["time"] == 2


@KINDS
def test_what_no_sink_wrote_is_not_overwritten(tmp_path, kind):
    sink = made(kind, tmp_path)
    data = xarray.Dataset({"state": ("x", [1.0])})
    if kind == "zarr":
        data.to_zarr(sink.path, consolidated=False)
    else:
        data.to_netcdf(sink.path, engine="h5netcdf")
    with pytest.raises(FileExistsError, match="expected one that is not there yet"):
        run(2, analysis_to=sink)
    with read(sink, consolidated=False) as found:
        assert found.equals(data)


@KINDS
def test_a_file_that_is_no_longer_what_it_was(tmp_path, kind):
    sink = made(kind, tmp_path)
    with pytest.raises(FileNotFoundError, match="is gone: it held 3 cycles"):
        sink.open((MEMBERS, DIM), np.dtype("f8"), 3)
    run(2, analysis_to=sink)
    with pytest.raises(ValueError, match="holds 2 cycles, the checkpoint 3"):
        sink.open((MEMBERS, DIM), np.dtype("f8"), 3)


def test_a_file_that_was_cut_off(tmp_path):
    sink = made("netcdf", tmp_path)
    run(3, analysis_to=sink)
    sink.path.write_bytes(sink.path.read_bytes()[:500])
    with pytest.raises(FileExistsError, match="can't be read as netCDF"):
        sink.open((MEMBERS, DIM), np.dtype("f8"), 3)


def test_bad_arguments(tmp_path):
    with pytest.raises(TypeError, match="path=3"):
        ef.sinks.Zarr(3)
    with pytest.raises(TypeError, match="layout="):
        ef.sinks.Zarr("a", {"t": 3})
    with pytest.raises(ValueError, match=r"attributes of \['q'\]: expected some of \['state'\]"):
        ef.sinks.Zarr("a", attributes={"q": {}})
    with pytest.raises(TypeError, match=r"forecast_to='a\.zarr'"):
        ef.Assimilation(moved, [], forecast_to="a.zarr")
    sink = ef.sinks.NetCDF("a.nc")
    with pytest.raises(ValueError, match="analysis_to and forecast_to are one file"):
        ef.Assimilation(moved, [], forecast_to=sink, analysis_to=sink)
    small = ef.sinks.NetCDF(tmp_path / "a.nc", ef.state.Layout({"t": {"x": 3}}))
    with pytest.raises(ValueError, match="has 3 components: expected 10"):
        run(analysis_to=small)


@pytest.mark.parametrize(("kind", "name"), [("zarr", "zarr"), ("netcdf", "h5netcdf")])
def test_not_installed(tmp_path, monkeypatch, kind, name):
    sink = made(kind, tmp_path)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"enfilt\[io\]"):
        run(analysis_to=sink)
    assert [*tmp_path.iterdir()] == []
