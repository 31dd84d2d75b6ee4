"""Where the components of a state are, by the coordinates of its variables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..geometry import Grid, Masked, RegularGrid, Sphere, WithParameters
from . import roles

if TYPE_CHECKING:
    from .layout import Layout

Array = npt.NDArray[Any]


def geometry(
    layout: Layout,
    given: tuple[str | None, str | None, str | None],
    surface: float | None,
    periodic: bool | tuple[bool, ...],
    **options: Any,
) -> Grid:
    """Return the geometry that `Layout.geometry` tells."""
    fields = {name: dims for name, dims in layout.variables.items() if dims}
    alone = [name for name, dims in layout.variables.items() if not dims]
    if alone != list(layout.variables)[len(fields) :] or not fields:
        raise ValueError(
            f"variables {list(layout.variables)}: expected {alone}, which have no dimensions and "
            f"are parameters, behind others (Layout.from_dataset(dataset, [...]) orders them)"
        )
    whole = dataclasses.replace(layout, variables=fields, present={})
    east, north, up = roles.names(whole, *given)
    grid: Grid
    if east is None or north is None:
        grid = regular(whole, periodic)
    else:
        grid = sphere(whole, east, north, up, surface, **options)
    if layout.present:
        grid = masked(grid, [layout.mask(name).ravel() for name in fields])
    return WithParameters(grid, alone) if alone else grid


def sphere(
    layout: Layout, east: str, north: str, up: str | None, surface: float | None, **options: Any
) -> Sphere:
    """Return the sphere of variables with levels, by the names of their coordinates."""
    along = {*layout.coords[north][0], *layout.coords[east][0]}
    across = next((_chosen(d, along) for d in layout.variables.values() if along <= set(d)), ())
    heights: dict[str, Array] = {}
    for name, dims in layout.variables.items():
        others = [dim for dim, size in dims.items() if dim not in across and size > 1]
        kept = tuple(dim for dim in dims if dim in across or dim in others)
        if not across or kept not in (across, (*others[:1], *across)) or (others and up is None):
            wanted = f"({'level, ' if up else ''}{', '.join(across or sorted(along))})"
            raise ValueError(
                f"variable {name!r} has the dimensions {tuple(dims)}: expected {wanted}, in that "
                f"order (dataset.transpose(...))"
            )
        heights[name] = np.zeros(0)
        if others and up is not None:
            heights[name] = roles.heights(layout, up, others[0], dims[others[0]])
    most = max(heights.values(), key=len)
    if len(most) or surface is not None:
        low = most[:1] if surface is None else np.array([float(surface)])
        heights = {name: values if len(values) else low for name, values in heights.items()}
        options["vertical"] = heights
    levels = {name: max(1, len(values)) for name, values in heights.items()}
    longitude, latitude = (
        roles.along(layout.coords[name][1], layout.coords[name][0], across)
        for name in (east, north)
    )
    return Sphere(longitude, latitude, variables=levels, **options)


def masked(grid: Grid, present: list[npt.NDArray[np.bool_]]) -> Masked:
    """Return the components of a grid that are there, by variable."""
    flat = np.concatenate(present)
    levels = flat.reshape(-1, grid.sites)
    return Masked(grid, levels[0] if (levels == levels[0]).all() else flat)


def _chosen(dims: Any, among: set[str]) -> tuple[str, ...]:
    return tuple(dim for dim in dims if dim in among)


def regular(layout: Layout, periodic: bool | tuple[bool, ...]) -> RegularGrid:
    """Return the grid of variables that all have the same axes."""
    first, *others = layout.variables.values()
    if not 1 <= len(first) <= 3 or any(list(d.items()) != list(first.items()) for d in others):
        told = {name: tuple(dims) for name, dims in layout.variables.items()}
        raise ValueError(
            f"variables have the dimensions {told}, and no coordinates are longitude and latitude: "
            f"expected the same one to three dimensions of all, or longitude= and latitude="
        )
    spacing = []
    for dim, size in first.items():
        values = layout.coords[dim][1] if dim in layout.coords else np.arange(float(size))
        steps = np.diff(values.astype(np.float64)) if size > 1 else np.ones(1)
        if not np.allclose(steps, steps[0], rtol=1e-4) or steps[0] == 0:
            raise ValueError(
                f"coordinate {dim!r} is not evenly spaced: expected such, or a geometry made by "
                f"hand, such as geometry.Points"
            )
        spacing.append(abs(float(steps.mean())))
    return RegularGrid(tuple(first.values()), periodic, tuple(spacing), len(layout.variables))
