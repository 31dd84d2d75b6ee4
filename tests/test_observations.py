"""Observations from tables: windows of time, operators, and what is left out and counted."""

import datetime
import sys

import numpy as np
import pytest

import enfilt as ef
from enfilt.geometry import Points, RegularGrid, Sphere

pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")

SPHERE = Sphere(
    np.arange(0, 360, 30.0),
    np.arange(-75, 76, 30.0)[:, None],
    vertical=[0.0, 5.0, 10.0],
    variables={"t": 3, "u": 3, "ps": 1},
)
STATE = np.random.default_rng(3).standard_normal(SPHERE.size)
BEGIN = np.datetime64("2026-01-01T00", "h")
GAUGES = RegularGrid((8,), periodic=False, variables=2)


def table(n=200, **changes):
    """Return a table of random observations within a day and a half."""
    rng = np.random.default_rng(1)
    columns = {
        "time": BEGIN + (rng.integers(0, 36 * 60, n)).astype("timedelta64[m]"),
        "kind": rng.choice(["temperature", "u", "ps"], n),
        "longitude": rng.uniform(-180, 180, n),
        "latitude": rng.uniform(-90, 90, n),
        "vertical": rng.uniform(0, 10, n),
        "value": rng.standard_normal(n),
        "error": rng.uniform(0.5, 1.5, n),
    }
    frame = pd.DataFrame(columns | changes)
    frame.loc[frame.kind == "ps", "vertical"] = np.nan
    return frame


def made(frame, geometry=SPHERE, **options):
    options.setdefault("kinds", {"temperature": "t"})
    return ef.Observations.from_frame(frame, geometry, **options)


def gauges(**columns):
    """Return observations of a table of three gauges of one variable."""
    usual = {"time": [0.0, 1.0, 2.0], "kind": [0, 0, 0], "x": [1.0, 2.5, 6.0],
             "value": [1.0, 2.0, 3.0], "error": [0.1, 0.2, 0.3]}  # fmt: skip
    options = {"places": ["x"]} | columns.pop("options", {})
    return ef.Observations.from_frame(usual | columns, GAUGES, **options)


def test_windows_are_what_a_loop_over_the_rows_finds():
    frame, length = table(), np.timedelta64(6, "h")
    frame.loc[7, "value"] = np.nan
    windows = made(frame, window="6h", start="2026-01-01T06")
    assert len(windows) == 6
    seen = 0
    for k, (time, y, obs) in enumerate(windows):
        assert time == BEGIN + (k + 1) * length
        inside = (frame.time > time - length / 2) & (frame.time <= time + length / 2)
        assert sorted(windows.rows(k)) == np.flatnonzero(inside).tolist()
        rows = frame.iloc[windows.rows(k)]
        np.testing.assert_array_equal(y, rows.value)
        np.testing.assert_array_equal(obs.std, rows.error)
        names = rows.kind.replace({"temperature": "t"}).tolist()
        where = rows[["longitude", "latitude", "vertical"]].to_numpy()
        h, locations = ef.operators.interpolate(SPHERE, where, variable=names)
        np.testing.assert_array_equal(obs.operator(STATE), h(STATE))
        np.testing.assert_array_equal(obs.locations, locations)
        assert obs.grid is SPHERE
        seen += len(y)
    early = int((frame.time <= BEGIN + length / 2).sum())
    assert windows.facts == {"kind": 0, "early": early, "outside": 0, "duplicate": 0,
                             "missing": 1, "used": seen - 1}  # fmt: skip
    assert seen == len(frame) - early


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {0.0: [0], 0.1: [1], 0.15: [2], 0.3: [3], 0.4: [4]}),
        ({"window": 0.1}, {0.0: [0], 0.1: [1, 2], 0.3: [3], 0.4: [4]}),
        ({"window": 0.1, "align": "end"}, {0.0: [0], 0.1: [1], 0.2: [2], 0.3: [3], 0.4: [4]}),
        (
            {"window": 0.1, "align": "end", "start": 0.1},
            {0.1: [1], 0.2: [2], 0.3: [3], 0.4: [4]},
        ),
        ({"window": 0.2, "start": 0.2}, {0.2: [2, 3], 0.4: [4]}),
        ({"start": 0.1}, {0.1: [1], 0.15: [2], 0.3: [3], 0.4: [4]}),
    ],
)
def test_a_window_ends_with_its_end(options, wanted):
    # (0.4 - 0.1) / 0.1 is beyond 3
    frame = {"time": [0.0, 0.1, 0.15, 0.3, 0.4], "value": np.arange(5.0), "error": np.ones(5)}
    found = ef.Observations.from_frame(frame, **options)
    assert {round(time, 10): y.tolist() for time, y, _ in found} == wanted
    assert found.facts["early"] == 5 - sum(map(len, wanted.values()))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1"])
def test_times_may_be_any_numbers(dtype):
    frame = {"time": np.array([0, 1, 2], dtype), "value": np.arange(3.0), "error": np.ones(3)}
    found = ef.Observations.from_frame(frame, window=0.5)
    assert [time for time, _, _ in found] == [0.0, 1.0, 2.0]


def test_numbers_dates_and_dates_with_a_zone_have_the_same_windows():
    minutes = np.array([0, 200, 360, 500, 900])
    rest = {"value": np.arange(5.0), "error": np.ones(5)}
    dates = pd.to_datetime(BEGIN + minutes.astype("timedelta64[m]"))
    numbers = ef.Observations.from_frame({"time": minutes} | rest, window=360)
    for times, length in (
        (dates, "6h"),
        (dates, pd.Timedelta(hours=6)),
        (dates.tz_localize("UTC"), "6h"),
        (dates.to_pydatetime(), datetime.timedelta(hours=6)),
    ):
        found = ef.Observations.from_frame({"time": times} | rest, window=length)
        first = found[0].time
        assert [y.tolist() for _, y, _ in found] == [y.tolist() for _, y, _ in numbers]
        assert [(t - first) / pd.Timedelta(hours=6) for t, _, _ in found] == [0, 1, 2]


def test_frames_datasets_and_columns_are_one():
    frame = table(30)
    wanted = made(frame, window="6h")
    arrays = {name: column.to_numpy() for name, column in frame.items()}
    dataset = xr.Dataset({name: ("obs", column) for name, column in arrays.items()})
    shuffled = frame.sample(frac=1, random_state=0)
    missing = frame.assign(vertical=frame.vertical.astype("Float64"))
    missing.loc[np.isnan(frame.vertical), "vertical"] = pd.NA
    for other in (arrays, dataset, shuffled, missing):
        found = made(other, window="6h")
        assert len(found) == len(wanted)
        for one, two in zip(found, wanted, strict=True):
            assert one.time == two.time
            np.testing.assert_array_equal(one.y, two.y)
            assert one.obs == two.obs
    assert found == wanted
    assert wanted != made(frame, window="3h")


def test_a_dataset_of_stations_has_a_row_for_each_time_and_station():
    value = np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]])
    dataset = xr.Dataset(
        {
            "value": (("time", "station"), value),
            "error": ("station", [0.1, 0.2]),
            "longitude": ("station", [10.0, -10.0]),
            "latitude": ("station", [88.0, 20.0]),
        },
        coords={"time": BEGIN + np.arange(3) * np.timedelta64(1, "D")},
    )
    sphere = Sphere(np.arange(0, 360, 30.0), np.arange(-75, 76, 30.0)[:, None])
    found = ef.Observations.from_frame(dataset, sphere, dtype="float32")
    assert [window.y.dtype for window in found] == [np.float32] * 3
    np.testing.assert_array_equal([y[::-1] for _, y, _ in found], value)
    # the same stations: one Observation, whose neighbours are found once
    assert found[0].obs is found[2].obs
    assert found.facts["missing"] == 1


def test_what_is_left_out_is_counted():
    found = ef.Observations.from_frame(
        {
            "time": [0.0] * 9,
            "kind": ["a", "a", "a", "b", "a", "a", "a", "c", "c"],
            "x": [1.0, 1.0, 1.0, 1.0, 9.5, 2.0, 2.0, 3.0, 99.0],
            "value": [1.0, 1.0, 1.5, 1.0, 9.0, np.nan, np.nan, 0.0, np.inf],
            "error": [0.1] * 9,
        },
        GAUGES,
        places=["x"],
        kinds={"a": 0, "b": 1, "c": None},
        outside="leave out",
    )
    assert found.facts == {"kind": 2, "early": 0, "outside": 1, "duplicate": 2, "missing": 1,
                           "used": 3}  # fmt: skip
    (window,) = found
    np.testing.assert_array_equal(window.y, [1, 1.5, np.nan, 1])
    assert found.rows(0).tolist() == [0, 2, 5, 3]


@pytest.mark.parametrize("geometry", [None, Points(np.arange(5.0))])
def test_without_an_operator_values_are_given(geometry):
    frame = {"time": [0, 0, 1], "x": [1.0, 3.0, 1.0], "kind": ["a", "b", "a"],
             "value": [0.5, 1.0, 2.0], "error": [0.1, 0.1, 0.2]}  # fmt: skip
    found = ef.Observations.from_frame(frame, geometry, places=["x"], interpolate=False)
    forecast = np.random.default_rng(0).standard_normal((6, 5))
    for _, y, obs in found:
        assert obs.operator is None
        assert obs.locations[0] == [1.0]
        observed = forecast[:, obs.locations[:, 0].astype(int)]
        analysis = ef.ETKF().analysis(forecast, y, obs, observed=observed)
        subset = ef.Observation(ef.operators.Subset([1, 3][: len(y)]), obs.std)
        np.testing.assert_allclose(analysis, ef.ETKF().analysis(forecast, y, subset), atol=1e-12)


def test_all_options_reach_the_observations():
    frame = table(60, kind="u")
    check = ef.quality.GrossError(2.0)
    plain, vectors = (made(frame, vectors=names, quality=check) for names in ((), ("u",)))
    assert all(obs.quality is check for _, _, obs in plain)
    apart = [a.obs.operator != b.obs.operator for a, b in zip(plain, vectors, strict=True)]
    polar = [abs(a.obs.locations[0, 1]) > 75 for a in plain]
    assert apart == polar
    assert 0 < sum(polar) < len(polar)
    assert [window.time for window in plain[-2:]] == [*plain.times[-2:]]
    with pytest.raises(IndexError):
        plain[len(plain)]


def test_a_place_on_land_may_be_left_out():
    masked = ef.geometry.Masked(GAUGES, np.arange(8) < 4)
    frame = {
        "time": [0, 0],
        "x": [3.5, 5.0],
        "value": [1.0, 2.0],
        "error": [0.1, 0.1],
        "kind": [1, 1],
    }
    with pytest.raises(ValueError, match=r"row 1 of frame is \(5\), on land"):
        ef.Observations.from_frame(frame, masked, places=["x"])
    found = ef.Observations.from_frame(frame, masked, places=["x"], outside="leave out")
    assert found.facts["outside"] == 1
    assert found[0].obs.operator(np.arange(8.0)).tolist() == [7.0]


def test_parameters_behind_a_geometry_are_not_interpolated():
    frame = table(20)
    behind = made(frame, ef.geometry.WithParameters(SPHERE, ["drag"]))
    for (_, _, obs), (_, _, plain) in zip(behind, made(frame), strict=True):
        found = obs.operator(np.append(STATE, 1e9))
        assert np.array_equal(found, plain.operator(STATE))
        assert np.array_equal(obs.locations, plain.locations)


def test_neither_pandas_nor_xarray_is_imported_for_columns(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    assert len(gauges()) == 3
    with pytest.raises(ImportError, match=r"window='6h' is read by pandas"):
        gauges(time=BEGIN + np.arange(3), options={"window": "6h"})


NOW = [np.datetime64("2026-01-01")] * 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"value": [1.0, 2.0]}, r"columns of shapes time \(3,\), value \(2,\).*expected \(n,\)"),
        ({name: [] for name in ("time", "kind", "x", "value", "error")}, "n at least 1"),
        ({"value": [1.0, np.inf, 2.0]}, r"frame\['value'\]\[1\] is infinite"),
        ({"value": ["1", "2", "3"]}, r"frame\['value'\] can't be read as numbers"),
        ({"error": [0.1, 0.1, 0.0]}, r"frame\['error'\]\[2\]=0.0: expected finite standard dev"),
        ({"error": [0.1, np.nan, 0.1]}, r"frame\['error'\]\[1\]=nan"),
        ({"x": [1.0, 2.0, 7.5]}, r"row 2 of frame is \(7.5\), which is outside the grid"),
        ({"x": [np.nan, 2.0, 7.5], "options": {"outside": "leave out"}}, r"row 0 of frame is"),
        ({"kind": [0, 1, 2]}, r"frame\['kind'\]\[2\]=2: expected one of \[0, 1\]"),
        ({"kind": ["a", None, "a"]}, r"frame\['kind'\]\[1\] is missing"),
        ({"kind": ["a", "a", pd.NA]}, r"frame\['kind'\]\[2\] is missing"),
        ({"time": np.ma.masked_equal([0.0, 1, 2], 1)}, r"frame\['time'\]\[1\] is masked"),
        ({"kind": np.ma.masked_equal([0, 0, 1], 1)}, r"frame\['kind'\]\[2\] is masked"),
        ({"error": np.ma.masked_equal([0.1, 0.1, 9], 9)}, r"frame\['error'\]\[2\]=nan"),
        ({"time": ["2026-01-01"] * 3}, r"frame\['time'\] has dtype .*pandas.to_datetime"),
        ({"time": [0.0, np.nan, 1.0]}, r"frame\['time'\]\[1\] is nan: expected a time"),
        ({"time": [NOW[0], np.datetime64("NaT"), NOW[0]]}, r"frame\['time'\]\[1\] is NaT"),
        ({"time": NOW, "options": {"window": 6}}, "window=6 don't go together: dates have windows"),
        ({"time": NOW, "options": {"window": "6 apples"}}, "window='6 apples': expected a length"),
        ({"time": NOW, "options": {"window": "-6h"}}, "window=.*: expected a length above 0"),
        ({"time": NOW, "options": {"start": "today or so"}}, "start='today or so': exp"),
        ({"options": {"window": "6h"}}, "window='6h' is of type str: expected a real number"),
        ({"options": {"window": 0}}, "window=0: expected a finite number and above 0"),
        ({"options": {"start": 5.0}}, "frame has no observation that is left.*'early': 3"),
        ({"options": {"align": "start"}}, "align='start' is not known"),
        ({"options": {"outside": "ignore"}}, "outside='ignore' is not known"),
        ({"options": {"places": None}}, r"places is missing: expected the columns of coordinates"),
        ({"options": {"places": "x"}}, "places='x': expected names of columns"),
        ({"options": {"places": ["x", "value"]}}, r"places names 2 columns: expected 1"),
        ({"options": {"places": ["where"]}}, r"frame has no column 'where', but time, kind"),
        ({"options": {"kinds": ["a"]}}, r"kinds=\['a'\]: expected variables by kind"),
        ({"options": {"kinds": {0: "t"}}}, r"kinds\[0\]='t': expected one of \[0, 1\]"),
        ({"options": {"vectors": ["t"]}}, r"vectors='t': expected one of \[0, 1\]"),
        ({"options": {"dtype": "int32"}}, "dtype=int32: expected float32 or float64"),
        ({"options": {"quality": 3}}, "quality=3: expected a check"),
    ],
)  # fmt: skip
def test_bad_input_is_named(columns, message):
    with pytest.raises((TypeError, ValueError), match=message):
        gauges(**columns)


def test_bad_tables_and_geometries_are_named():
    frame = table(5)
    with pytest.raises(TypeError, match="frame is of type list: expected a pandas"):
        made([1, 2])
    with pytest.raises(ValueError, match=r"row \d of frame is .*expected latitude from -90 to 90"):
        made(table(5, latitude=95.0), outside="leave out")
    with pytest.raises(
        ValueError, match=r"frame has no column 'kind': expected the variables \['t'"
    ):
        made(frame.drop(columns="kind"))
    with pytest.raises(
        TypeError, match="geometry is a Points: expected a RegularGrid, or a Sphere"
    ):
        made(frame, Points([0.0]), places=["longitude"])
    with pytest.raises(TypeError, match="geometry is of type list"):
        made(frame, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"expected one of \['t', 'u', 'ps'\]"):
        made(frame, kinds={})
