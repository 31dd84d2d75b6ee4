"""Named variables: datasets and states, geometry from coordinates, scores by level."""

import dataclasses
import pickle
import sys

import numpy as np
import pytest

import enfilt as ef
from enfilt import metrics
from enfilt.state import Layout

xr = pytest.importorskip("xarray")

LATITUDE, LONGITUDE, LEVEL = [-75.0, -15.0, 45.0], [0.0, 90.0, 180.0, 270.0], [100.0, 1000.0]


def dataset(members=5, member="number", dtype=np.float64):
    rng = np.random.default_rng(0)
    axes = {"t": ("level", "lat", "lon"), "ps": ("lat", "lon")}
    sizes = {"level": 2, "lat": 3, "lon": 4}
    lead = () if members is None else (member,)
    count = () if members is None else (members,)
    return xr.Dataset(
        {
            name: (
                (*lead, *dims),
                rng.standard_normal((*count, *(sizes[d] for d in dims))).astype(dtype),
                {"long_name": name},
            )
            for name, dims in axes.items()
        },
        coords={
            "level": ("level", LEVEL, {"units": "hPa", "positive": "down"}),
            "lat": LATITUDE,
            "lon": LONGITUDE,
            "time": np.datetime64("2026-01-01", "ns"),
            **({} if members is None else {member: np.arange(members) + 1}),
        },
        attrs={"title": "of a model"},
    )


@pytest.mark.parametrize("member", ["member", "realization", "number"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dataset_goes_there_and_back(member, dtype):
    data = dataset(member=member, dtype=dtype)
    layout = Layout.from_dataset(data)
    packed = layout.pack(data)
    assert packed.dtype == dtype
    assert packed.shape == (5, layout.size) == (5, 36)
    np.testing.assert_array_equal(packed[:, layout.slices["ps"]], data["ps"].values.reshape(5, -1))
    xr.testing.assert_identical(layout.unpack(packed), data)
    assert pickle.loads(pickle.dumps(layout)) == layout


def test_members_anywhere_and_variables_of_ones_choice():
    data = dataset()
    wanted = Layout.from_dataset(data, ["ps", "t"]).pack(data)
    turned = data.transpose("lon", "number", "level", "lat")
    found = Layout.from_dataset(data, ["ps", "t"]).pack(turned)
    np.testing.assert_array_equal(found, wanted)
    # those of another dimension's name are told
    other = data.rename(number="sample")
    assert Layout.from_dataset(other, member="sample").members == 5


def test_nothing_is_copied_where_memory_lies_so():
    data = dataset()[["t"]]
    layout = Layout.from_dataset(data)
    packed = layout.pack(data)
    assert np.shares_memory(packed, data["t"].values)
    whole = dataset()
    layout = Layout.from_dataset(whole)
    packed = layout.pack(whole)
    unpacked = layout.unpack(packed)
    unpacked["ps"].values[2] = 7
    assert (packed[2, layout.slices["ps"]] == 7).all()
    again = layout.pack(unpacked)
    assert again.__array_interface__["data"] == packed.__array_interface__["data"]
    turned = Layout.from_dataset(whole, ["ps", "t"])
    wanted = np.concatenate([packed[:, 24:], packed[:, :24]], axis=1)
    np.testing.assert_array_equal(turned.pack(unpacked), wanted)


def test_one_state_has_no_members():
    data, truth = dataset(), dataset(None)
    layout = Layout.from_dataset(data)
    assert layout.pack(truth).shape == (36,)
    xr.testing.assert_identical(layout.unpack(layout.pack(truth)), truth)
    of_truth = Layout.from_dataset(truth)
    assert of_truth.unpack(np.zeros((3, 36)))["t"].dims == ("realization", "level", "lat", "lon")


def test_one_state_with_a_number_of_its_own():
    layout = ef.state.Layout({"t": {"x": 2}, "drag": {}})
    data = layout.unpack(np.arange(3.0))
    assert data["drag"].shape == ()
    assert data["drag"] == 2
    np.testing.assert_array_equal(layout.pack(data), np.arange(3.0))


def test_an_analysis_by_name():
    data = dataset()
    layout = Layout.from_dataset(data)
    obs = ef.Observation(
        ef.operators.Subset(np.arange(36)[layout.slices["ps"]][::5]),
        std=0.1,
        grid=layout.geometry(vertical_scale=5.0),
    )
    filt = ef.LETKF(ef.localization.GaspariCohn(cutoff=5000.0))
    analysis = filt.analysis(layout.pack(data), np.zeros(3), obs)
    moved = layout.unpack(analysis)
    error, before = (abs(d["ps"].isel(number=slice(None)).mean("number")) for d in (moved, data))
    assert float(error.values.ravel()[::5].max()) < float(before.values.ravel()[::5].max())
    xr.testing.assert_identical(moved.coords.to_dataset(), data.coords.to_dataset())


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda d: d.drop_vars("ps"), ValueError, r"\['ps'\] missing .* expected \['t', 'ps'\]"),
        (lambda d: d.isel(number=slice(3)), ValueError, "dataset has 3 members: expected 5"),
        (lambda d: d.isel(lon=slice(2)), ValueError, "another coordinate 'lon'"),
        (lambda d: d.isel(lat=slice(None, None, -1)), ValueError, "another coordinate 'lat'"),
        (lambda d: d.drop_vars("lon").isel(lon=slice(2)), ValueError, r"'t' .*'lon': 2.* expected"),
        (lambda d: d.assign(ps=d["ps"].mean("number")), ValueError, r"\['ps'\] have no .*'number'"),
        (lambda d: d.astype("int64"), TypeError, "'t' has dtype int64"),
        (lambda d: d.assign(ps=d["ps"].astype("float32")), TypeError, "'ps' has dtype float32"),
        (lambda d: d["ps"], TypeError, "DataArray: expected an xarray.Dataset"),
    ],
)
def test_datasets_that_do_not_fit(change, kind, message):
    data = dataset()
    with pytest.raises(kind, match=message):
        Layout.from_dataset(data).pack(change(data))


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [
        (lambda: Layout({}), TypeError, "variables={}"),
        (lambda: Layout({"t": {"x": 0}}), ValueError, r"variables\['t'\]\['x'\]=0"),
        (lambda: Layout({"t": {"x": 2}, "u": {"x": 3}}), ValueError, "'u'.* has 3 along 'x'"),
        (
            lambda: Layout({"t": {"x": 2}}, coords={"x": ("x", np.arange(3))}),
            ValueError,
            r"coords\['x'\] has shape \(3,\): expected \(2,\)",
        ),
        (
            lambda: Layout({"t": {"x": 2}, "u": {"x": 2}}).unpack(np.zeros((3, 5))),
            ValueError,
            r"array has shape \(3, 5\): expected \(N, 4\).*\(t 2, u 2\)",
        ),
        (
            lambda: Layout({"t": {"x": 2}}, members=4).unpack(np.zeros((3, 2))),
            ValueError,
            "array has 3 members: expected 4",
        ),
        (lambda: Layout.from_dataset(dataset(), member="sample"), ValueError, "member='sample'"),
        (
            lambda: Layout.from_dataset(dataset().expand_dims(ens=2)),
            ValueError,
            r"\['ens', 'number'\]",
        ),
    ],
)
def test_layouts_that_do_not_fit(made, kind, message):
    with pytest.raises(kind, match=message):
        made()


def test_without_xarray_an_error_tells_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    layout = Layout({"t": {"x": 2}})
    for call in (Layout.from_dataset, layout.pack, layout.unpack):
        with pytest.raises(ImportError, match=r"pip install 'enfilt\[io\]'"):
            call(np.zeros(2))


def test_geometry_of_a_sphere():
    layout = Layout.from_dataset(dataset())
    sphere = layout.geometry(vertical_scale=0.01, surface=1013.0)
    assert sphere.size == layout.size
    for name, chosen in layout.slices.items():
        assert sphere.components(name) == chosen
    where = layout.unpack(np.arange(36.0))
    component = int(where["t"].sel(level=1000, lat=45, lon=180))
    assert sphere.coordinates([component, component + 12]).tolist() == [
        [180.0, 45.0, 1000.0],
        [180.0, 45.0, 1013.0],
    ]
    assert layout.geometry().coordinates([35]).tolist() == [[270.0, 45.0, 100.0]]
    renamed = layout.unpack(np.zeros(36)).rename(lat="j", lon="i", level="k")
    renamed["j"].attrs["units"], renamed["i"].attrs["standard_name"] = "degrees_north", "longitude"
    assert Layout.from_dataset(renamed).geometry(vertical="k", surface=1013.0) == layout.geometry(
        surface=1013.0
    )


def test_geometry_of_curved_and_unstructured_grids():
    latitude, longitude = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    where = np.stack([longitude, latitude], axis=-1).reshape(-1, 2)
    coords = {"lat": (("y", "x"), latitude), "lon": (("y", "x"), longitude)}
    curved = Layout({"t": {"z": 2, "y": 3, "x": 4}}, coords=coords).geometry()
    levels = np.repeat([0.0, 1.0], 12)
    wanted = np.column_stack([np.tile(where, (2, 1)), levels])
    np.testing.assert_array_equal(curved.coordinates(), wanted)
    flat = {"lat": ("cell", latitude.ravel()), "lon": ("cell", longitude.ravel())}
    cells = Layout({"t": {"cell": 12}}, coords=flat).geometry()
    np.testing.assert_array_equal(cells.coordinates(), where)


def test_geometry_of_a_plane():
    layout = Layout(
        {name: {"y": 3, "x": 4} for name in "uv"},
        coords={"y": ("y", [0.0, 50.0, 100.0]), "x": ("x", [10.0, 30.0, 50.0, 70.0])},
    )
    assert layout.geometry(periodic=False) == ef.geometry.RegularGrid(
        (3, 4), False, (50.0, 20.0), variables=2
    )
    uneven = dataclasses.replace(layout, coords={"y": ("y", [0.0, 1.0, 3.0])})
    with pytest.raises(ValueError, match="'y' is not evenly spaced"):
        uneven.geometry()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"t": {"lat": 3, "lon": 4, "level": 2}}, r"'t' .*expected \(level, lat, lon\)"),
        ({"t": {"lon": 4, "lat": 3}, "u": {"lat": 3, "lon": 4}}, "variable 'u'"),
        ({"t": {"lat": 3, "lon": 4}, "zonal": {"lat": 3}}, r"variable 'zonal' .*\('lat',\)"),
        ({"t": {"lat": 3, "lon": 4, "level": 2, "tracer": 3}}, "variable 't'"),
    ],
)
def test_dimensions_that_no_sphere_has(variables, message):
    coords = {"lat": ("lat", LATITUDE), "lon": ("lon", LONGITUDE)}
    with pytest.raises(ValueError, match=message):
        Layout(variables, coords=coords).geometry()


def test_scores_by_variable_and_level():
    data = dataset(7)
    layout = Layout.from_dataset(data)
    truth = layout.pack(dataset(None)) + 0.3
    found = layout.scores(layout.pack(data), truth)
    weight = np.cos(np.deg2rad(LATITUDE))[:, None] * np.ones((1, 4))
    reference = layout.unpack(truth)
    for name in ("t", "ps"):
        x, t = data[name].values, reference[name].values
        x, t = x.reshape(7, -1, 3, 4), t.reshape(-1, 3, 4)
        for k, scores in enumerate(zip(*found[name], strict=True)):
            a, b = x[:, k].reshape(7, -1), t[k].ravel()
            w = weight.ravel() / weight.sum()
            plain = [metrics.score(a[:, [j]], b[[j]]) for j in range(b.size)]
            wanted = [
                np.sqrt(sum(w * [s.rmse**2 for s in plain])),
                np.sqrt(sum(w * [s.spread**2 for s in plain])),
                sum(w * [s.crps for s in plain]),
                sum(w * [s.fair_crps for s in plain]),
            ]
            np.testing.assert_allclose(scores[1:], wanted, rtol=1e-12)
    assert found["t"].level.tolist() == LEVEL
    assert found["ps"].level.shape == (1,)
    whole = metrics.score(layout.pack(data), truth)
    even = layout.scores(layout.pack(data), truth, weights="equal")
    crps = (2 * even["t"].crps.mean() + even["ps"].crps[0]) / 3
    assert crps == pytest.approx(whole.crps, rel=1e-12)
    given = layout.scores(layout.pack(data), truth, weights=np.ones(36))
    assert given == even


def test_weights_that_do_not_fit():
    layout = Layout({"t": {"x": 3}})
    x = np.ones((2, 3))
    for weights in (np.ones(2), -np.ones(3)):
        with pytest.raises(ValueError, match=r"weights has shape .*expected \(3,\)"):
            layout.scores(x, x[0], weights=weights)
    assert np.isnan(layout.scores(x, x[0], weights=np.zeros(3))["t"].rmse)


def with_land(data, *, levels=False):
    """Return a dataset without values at two places, or at another one on the upper level."""
    land = np.zeros((3, 4), bool)
    land[0, 1] = land[2, 2] = True
    below = np.stack([land | (np.arange(12) == 5).reshape(3, 4), land]) if levels else land
    return data.assign(t=data["t"].where(~below), ps=data["ps"].where(~land))


@pytest.mark.parametrize("levels", [False, True])
def test_land_has_no_components(levels):
    data = with_land(dataset(), levels=levels)
    layout = Layout.from_dataset(data, masked=True)
    packed = layout.pack(data)
    assert packed.shape == (5, layout.size) == (5, 30 - levels)
    assert np.isfinite(packed).all()
    xr.testing.assert_identical(layout.unpack(packed), data)
    # geometry and scores are those of the whole grid, where components are
    whole = Layout.from_dataset(data)
    kept = np.flatnonzero(np.isfinite(whole.pack(data)[0]))
    sphere, everywhere = layout.geometry(vertical_scale=5.0), whole.geometry(vertical_scale=5.0)
    np.testing.assert_array_equal(sphere.coordinates(), everywhere.coordinates(kept))
    assert sphere.components("ps") == layout.slices["ps"]
    assert (np.size(sphere.present) == 12) is not levels
    truth = layout.pack(with_land(dataset(None), levels=levels))
    counted = np.zeros(36)
    counted[kept] = 1
    filled = np.nan_to_num(whole.pack(data)), np.zeros(36)
    filled[1][kept] = truth
    wanted = whole.scores(*filled, weights=counted)
    found = layout.scores(packed, truth, weights="equal")
    for name in ("t", "ps"):
        for one, other in zip(found[name], wanted[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    assert pickle.loads(pickle.dumps(layout)) == layout
    # a filter takes it, and one that knows nothing of land does not
    obs = ef.Observation(ef.operators.Every(5), std=0.5, grid=sphere)
    filt = ef.LETKF(ef.localization.GaspariCohn(8000.0))
    y = np.zeros(obs.size(layout.size))
    assert np.isfinite(layout.unpack(filt.analysis(packed, y, obs))["ps"].values).sum() == 50
    plain = ef.Observation(ef.operators.Every(5), std=0.5)
    with pytest.raises(ValueError, match=r"forecast\[0, 1\] is nan"):
        ef.ETKF().analysis(whole.pack(data), np.zeros(8), plain)


def test_masks_that_do_not_fit():
    for present, message in (
        ({"u": [True]}, r"present\['u'\]: expected one of \['t'\]"),
        ({"t": [True, False]}, r"present\['t'\] has shape \(2,\)"),
        ({"t": [1, 0, 1]}, "dtype int64: expected booleans"),
        ({"t": [False] * 3}, "not all of them False"),
    ):
        with pytest.raises(ValueError, match=message):
            Layout({"t": {"x": 3}}, present=present)


def test_squares_that_overflow_are_an_error():
    with pytest.raises(FloatingPointError, match="squares overflow"):
        metrics.of_components(np.array([[1e200], [-2e200]]), np.zeros(1))


def test_fair_crps_does_not_depend_on_how_many_members():
    """Of members and truths from N(0, 1): E|x - y| - E|x - x'|/2 = 1/sqrt(pi).

    The CRPS of a component has a standard deviation below 0.6.
    """
    rng, dim = np.random.default_rng(0), 1 << 16
    truth = rng.standard_normal(dim)
    for members in (2, 3, 20):
        found = metrics.of_components(rng.standard_normal((members, dim)), truth)
        assert abs(found.fair_crps.mean() - 1 / np.sqrt(np.pi)) < 5 * 0.6 / np.sqrt(dim)
        expected = (1 + 1 / members) / np.sqrt(np.pi)
        assert abs(found.crps.mean() - expected) < 5 * 0.6 / np.sqrt(dim)
