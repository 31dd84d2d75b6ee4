"""Linear interpolation from the points of a grid to places between them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._values import by_content
from ..geometry import Grid
from ._lattice import Lattice, Vector
from .linear import Linear

__all__ = ["Interpolated", "interpolate"]


@by_content
class Interpolated(NamedTuple):
    """What observes the state at given places, and where that is.

    Attributes
    ----------
    operator : Linear
        H, sparse, (m, D).
    locations : ndarray, (m, k)
        The places, as ``Observation(..., locations=...)`` takes them.
    """

    operator: Linear
    locations: Vector


def interpolate(
    geometry: Grid,
    places: npt.ArrayLike,
    *,
    variable: Any = None,
    vectors: Collection[Any] = (),
) -> Interpolated:
    """Return the operator that interpolates a state linearly to places, and their locations.

    Between grid points values are bilinear along the horizontal axes and linear in the vertical,
    that is, linear along each axis. A place at a grid point has its value, to the last bit.

    Parameters
    ----------
    geometry : RegularGrid or Sphere
        Where the components are, also `Masked`, or `WithParameters`. The places of a sphere are
        all crossings of meridians and parallels, evenly spaced or not, in any order (and of
        levels).
    places : array_like, (m, k)
        The coordinates of each: of a sphere (longitude, latitude), in degrees, with a third in the
        unit of `vertical` where the sphere has that; of a regular grid one for each axis, in the
        unit of `spacing`, from 0 at the first point.
    variable : str or int, or a sequence of them (m,), optional
        Which variable is observed, at all places or at each: by its name, or by its number, from
        0, where the geometry has no names. May be left out where there is only one.
    vectors : collection of str or int
        The variables that are eastward or northward components of a vector, such as the wind.
        It makes a difference beyond the last parallel alone.

    Returns
    -------
    Interpolated
        ``(operator, locations)``. Of a grid that keeps variables apart, locations begin with the
        variable, as its places do.

    Raises
    ------
    TypeError, ValueError
        If the geometry is none of these two, the sphere's places are not all crossings of meridians
        and parallels, a place is outside the grid or a latitude beyond a pole (the message names
        the place), or there is no such variable (it lists those that there are).

    Notes
    -----
    *Date line.* Longitudes count up to whole turns. The meridians of a sphere close where the
    widest gap between two of them is at most one and a half times the next; otherwise the grid ends
    at that gap, and places inside of it are outside the grid.

    *Poles.* A grid whose meridians close, and whose last parallel is nearer to the pole than one
    and a half of its spacings, reaches to the pole: its value there is the mean along the last
    parallel, and the interpolation runs linearly from parallel to pole. The components of a vector
    turn with the meridian, their mean there says nothing: of `vectors`, the pole has the part of
    wave number one, which is what a constant vector looks like from all sides.

    *Heights.* A variable of one level has the same value at all heights; its places may do without
    one, or have NaN, and then are at its level. Others end at their lowest and highest level.

    *Land.* Of a `Masked` geometry the points that are there share the weights of those that are
    not, in their proportion, so that weights sum to one. A place beside none of them is an error.

    *Edges.* A place up to a thousandth of a cell outside counts as on the edge.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> grid = ef.geometry.RegularGrid((4, 5), periodic=(False, True), spacing=10.0)
    >>> h, where = ef.operators.interpolate(grid, [[5.0, 0.0], [30.0, 45.0]])
    >>> h(np.arange(20.0))
    array([ 2.5, 17. ])

    A station near the date line, and a sounding:

    >>> sphere = ef.geometry.Sphere(
    ...     np.arange(0, 360, 10.0),
    ...     np.arange(-85, 90, 10.0)[:, None],
    ...     vertical=[0.0, 5.0, 10.0],
    ...     variables={"t": 3, "ps": 1},
    ... )
    >>> h, where = ef.operators.interpolate(
    ...     sphere, [[-5.0, 5.0, np.nan], [12.0, 50.0, 7.0]], variable=["ps", "t"]
    ... )
    >>> where.tolist()
    [[-5.0, 5.0, 0.0], [12.0, 50.0, 7.0]]
    >>> obs = ef.Observation(h, std=[1.0, 0.5], grid=sphere, locations=where)
    """
    lattice = Lattice(geometry)
    where = _checks.coordinates("places", places)
    codes = _codes(lattice, variable, len(where))
    names = lattice.coordinates(codes)
    if where.shape[1:] == (len(names) - 1,) and names[-1] == "height":
        where = np.column_stack([where, np.full(len(where), np.nan)])
    if not len(where) or where.shape[1:] != (len(names),):
        raise ValueError(
            f"places has shape {where.shape}: expected (m, {len(names)}), {', '.join(names)} of "
            f"each"
        )
    where, off = lattice.located(where, codes)
    for k in np.flatnonzero(off >= 0)[:1]:
        raise lattice.refusal(f"places[{k}]", where[k], codes[k], off[k])
    of_vectors = lattice.vectors("vectors", vectors)
    return Interpolated(Linear(lattice.matrix(where, codes, of_vectors)), lattice.at(where, codes))


def _codes(lattice: Lattice, variable: Any, m: int) -> npt.NDArray[np.int64]:
    """Return the number of the variable at each of m places."""
    if variable is None:
        if len(lattice.names) > 1:
            raise ValueError(f"variable is missing: expected one of {lattice.names}")
        return np.zeros(m, np.int64)
    if np.ndim(variable) == 0:
        return np.full(m, lattice.code("variable", variable))
    if np.shape(variable) != (m,):
        raise ValueError(
            f"variable has shape {np.shape(variable)}: expected one name, or one for each of "
            f"{m} places"
        )
    names = enumerate(np.asarray(variable).tolist())
    return np.array([lattice.code(f"variable[{k}]", name) for k, name in names], np.int64)
