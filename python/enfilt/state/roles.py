"""Which coordinates are longitude, latitude and the vertical: by CF conventions, or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .layout import Layout

Array = npt.NDArray[Any]

#: What tells a kind of coordinate: values of attributes, and names in small letters.
_SIGNS: dict[str, dict[str, set[str]]] = {
    "longitude": {
        "standard_name": {"longitude"},
        "units": {"degrees_east", "degree_east", "degree_e", "degrees_e"},
        "name": {"longitude", "lon", "nav_lon", "xlong", "lons"},
    },
    "latitude": {
        "standard_name": {"latitude"},
        "units": {"degrees_north", "degree_north", "degree_n", "degrees_n"},
        "name": {"latitude", "lat", "nav_lat", "xlat", "lats"},
    },
    "vertical": {
        "axis": {"z"},
        "positive": {"up", "down"},
        "standard_name": {
            *("air_pressure", "altitude", "depth", "height", "model_level_number"),
            *("atmosphere_hybrid_sigma_pressure_coordinate", "atmosphere_sigma_coordinate"),
            *("geopotential_height", "ocean_sigma_coordinate", "ocean_s_coordinate"),
        },
        "name": {
            *("level", "levels", "lev", "plev", "ilev", "pressure", "pressure_level"),
            *("isobaricinhpa", "hybrid", "sigma", "height", "altitude", "depth", "depthu"),
            *("depthv", "deptht", "z", "vertical", "model_level"),
        },
    },
}


def _found(kind: str, attributes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the name of the coordinate of a kind, or None.

    Parameters
    ----------
    kind : {"longitude", "latitude", "vertical"}
    attributes : mapping
        The attributes of coordinates and dimensions, by their names. Attributes tell more than a
        name does; the first that fits is taken.
    """
    signs = _SIGNS[kind]
    for name, given in attributes.items():
        if any(str(given.get(key, "")).lower() in signs[key] for key in signs if key != "name"):
            return name
    return next((name for name in attributes if name.lower() in signs["name"]), None)


def names(layout: Layout, *given: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the names of the coordinates of longitude, latitude and the vertical.

    Those that are `given` are checked, others looked for; None where there is none.
    """
    known = {name: attrs for name, (dims, _, attrs) in layout.coords.items() if dims}
    dims = {dim: known.get(dim, {}) for sizes in layout.variables.values() for dim in sizes}
    result = []
    for kind, name in zip(_SIGNS, given or [None] * 3, strict=True):
        among = dims | known if kind == "vertical" else known
        if name is not None and name not in among:
            raise ValueError(f"{kind}={name!r}: expected one of {list(among)}")
        result.append(_found(kind, among) if name is None else name)
    return result[0], result[1], result[2]


def heights(layout: Layout, vertical: str, dim: str, size: int) -> npt.NDArray[np.float64]:
    """Return the height of each level along a dimension, or else its number."""
    for name in (vertical, dim):
        dims, values, _ = layout.coords.get(name, ((), np.zeros(0), {}))
        if dims == (dim,) and values.dtype.kind in "fiu":
            return values.astype(np.float64)
    return np.arange(float(size))


def levels(layout: Layout, variable: str) -> tuple[npt.NDArray[np.float64], int | None]:
    """Return the levels of a variable, and which of its dimensions they are, or None."""
    vertical = names(layout)[2]
    if vertical is not None:
        along = layout.coords[vertical][0] if vertical in layout.coords else (vertical,)
        for axis, (dim, size) in enumerate(layout.variables[variable].items()):
            if dim in along:
                return heights(layout, vertical, dim, size), axis
    return np.zeros(1), None


def areas(layout: Layout) -> npt.NDArray[np.float64]:
    """Return the cosine of the latitude of each component, or 1 where it has none."""
    north = names(layout)[1]
    result: npt.NDArray[np.float64] = np.ones(layout.size)
    if north is None:
        return result
    across, latitude, _ = layout.coords[north]
    # rounded, that of a pole may be below zero
    cosine = np.maximum(np.cos(np.deg2rad(latitude.astype(np.float64))), 0)
    for name, dims in layout.variables.items():
        if set(across) <= set(dims):
            weight = along(cosine, across, tuple(dims))
            whole = np.broadcast_to(weight, layout.shapes[name]).ravel()
            result[layout.slices[name]] = whole[layout.kept(name)]
    return result


def along(values: Array, dims: Sequence[str], wanted: Sequence[str]) -> Array:
    """Return a coordinate with the axes of other dimensions, of length 1 where it has none."""
    there = [dim for dim in wanted if dim in dims]
    turned = values.transpose([list(dims).index(dim) for dim in there])
    sizes = iter(turned.shape)
    return turned.reshape([next(sizes) if dim in dims else 1 for dim in wanted])
