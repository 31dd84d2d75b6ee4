"""How the fields of a dataset make a state."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._values import Value
from ..geometry import Grid
from . import datasets, places
from .level_scores import LevelScores, by_level

Array = npt.NDArray[Any]
#: A coordinate: its dimensions, values and attributes.
Coordinate = tuple[tuple[str, ...], Array, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Layout(Value):
    """Which components of a state are which variable, and what else a dataset says of them.

    The state is one variable after the other, each in the order of its dimensions: with (level,
    latitude, longitude) that of a `geometry.Sphere`, which `geometry` makes. `Layout.from_dataset`
    reads it off an `xarray.Dataset`; `pack` makes an array (N, D) of such a dataset, and `unpack` a
    dataset of an array. These need xarray (``pip install 'enfilt[io]'``), the rest does not.

    Parameters
    ----------
    variables : mapping of str to mapping of str to int
        The size of each dimension of each variable, without that of members. A variable without
        dimensions is one number, such as a parameter of the model.
    coords : mapping of str to (dims, values, attrs), optional
        Coordinates along these dimensions, as `xarray.Dataset` takes them.
    attrs : mapping, optional
        Attributes of the dataset.
    variable_attrs : mapping of str to mapping, optional
        Attributes of the variables.
    present : mapping of str to array_like of bool, optional
        Where a variable has components, of its shape: an ocean model has none on land. The state
        holds these alone. A variable that is not named has all.
    member : str
        What the dimension of members is called.
    members : int, optional
        N; None: any number.

    Raises
    ------
    TypeError, ValueError
        If a size is no integer of at least 1, or a coordinate does not fit its dimensions.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> grid = {"lat": 45, "lon": 90}
    >>> layout = ef.state.Layout({"t": {"level": 8} | grid, "ps": grid})
    >>> layout.size, layout.slices["ps"]
    (36450, slice(32400, 36450, None))
    """

    variables: Mapping[str, Mapping[str, int]]
    coords: Mapping[str, Coordinate] = field(default_factory=dict, kw_only=True)
    attrs: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    variable_attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)
    present: Mapping[str, npt.ArrayLike] = field(default_factory=dict, kw_only=True)
    member: str = field(default="realization", kw_only=True)
    members: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.variables, Mapping) or not self.variables:
            raise TypeError(
                f"variables={self.variables!r}: expected the sizes of the dimensions of each "
                f"variable, such as {{'ps': {{'lat': 45, 'lon': 90}}}}"
            )
        sizes: dict[str, int] = {}
        for name, dims in self.variables.items():
            if not isinstance(dims, Mapping):
                raise TypeError(
                    f"variables[{name!r}]={dims!r}: expected the size of each dimension"
                )
            for dim, size in dims.items():
                _checks.integer(f"variables[{name!r}][{dim!r}]", size, 1)
                if sizes.setdefault(dim, size) != size:
                    raise ValueError(
                        f"variables[{name!r}] has {size} along {dim!r}, another has {sizes[dim]}: "
                        f"expected one size of each dimension"
                    )
        if self.members is not None:
            _checks.integer("members", self.members, 1)
            sizes[self.member] = self.members
        variables = {name: dict(dims) for name, dims in self.variables.items()}
        object.__setattr__(self, "variables", variables)
        coords: dict[str, Coordinate] = {}
        for name, given in self.coords.items():
            along = (given[0],) if isinstance(given[0], str) else tuple(given[0])
            values = np.array(given[1])
            wanted = tuple(sizes.get(dim, 0) for dim in along)
            if values.shape != wanted:
                raise ValueError(
                    f"coords[{name!r}] has shape {values.shape}: expected {wanted}, that of its "
                    f"dimensions {along}"
                )
            coords[name] = along, values, dict(given[2]) if len(given) > 2 else {}
        object.__setattr__(self, "coords", coords)
        present = {name: self._mask(name, mask) for name, mask in self.present.items()}
        object.__setattr__(self, "present", present)

    def _mask(self, name: str, mask: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Check where a variable has components."""
        if name not in self.variables:
            raise ValueError(f"present[{name!r}]: expected one of {list(self.variables)}")
        found = np.array(mask)
        wanted = tuple(self.variables[name].values())
        if found.dtype != bool or found.shape != wanted or not found.any():
            raise ValueError(
                f"present[{name!r}] has shape {found.shape} and dtype {found.dtype}: expected "
                f"booleans of shape {wanted}, not all of them False"
            )
        return found

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        variables: Sequence[str] | None = None,
        *,
        member: str | None = None,
        masked: bool = False,
    ) -> Layout:
        """Return the layout of a dataset.

        Parameters
        ----------
        dataset : xarray.Dataset
            Of an ensemble, or of one state.
        variables : sequence of str, optional
            Those that belong to the state, in their order; default: all, in the dataset's.
        member : str, optional
            The dimension of members; default: one called ``member``, ``realization``, ``number`` or
            the like, at any position. Where there is none, the dataset is of one state.
        masked : bool
            Whether NaN in all members means that there is no component, such as on land.

        Raises
        ------
        ImportError
            If xarray is not installed.
        TypeError, ValueError
            If `dataset` is none, or a variable is missing, is empty, or has no dimension of members
            while others have.
        """
        data = datasets.dataset(dataset)
        names = list(data.data_vars) if variables is None else list(variables)
        datasets.check_there(data, names)
        along = datasets.members_of(data, names, member)
        if along is not None:
            datasets.check_members(data, names, along)
        sizes = {
            name: {str(d): int(data.sizes[d]) for d in data[name].dims if d != along}
            for name in names
        }
        used = {dim for dims in sizes.values() for dim in dims} | {along}
        coords: dict[str, Coordinate] = {}
        for name, coordinate in data.coords.items():
            if not set(coordinate.dims) <= used:
                continue
            if getattr(data.indexes.get(name), "nlevels", 1) > 1:
                raise ValueError(
                    f"dataset has an index of several levels along {name!r}: expected plain "
                    f"coordinates, dataset.reset_index({name!r})"
                )
            dims = tuple(map(str, coordinate.dims))
            coords[str(name)] = dims, coordinate.values, dict(coordinate.attrs)
        present = {}
        for name in names if masked else []:
            there = data[name].notnull()
            there = there if along is None else there.any(along)
            if not there.values.all():
                present[str(name)] = there.transpose(*sizes[name]).values
        return cls(
            {str(name): sizes[name] for name in names},
            coords=coords,
            present=present,
            attrs=dict(data.attrs),
            variable_attrs={str(name): dict(data[name].attrs) for name in names},
            member="realization" if along is None else along,
            members=None if along is None else int(data.sizes[along]),
        )

    @property
    def size(self) -> int:
        """The number of components of the state, D."""
        return sum(self._counts)

    @property
    def slices(self) -> dict[str, slice]:
        """Which components each variable has."""
        ends = [0, *itertools.accumulate(self._counts)]
        return {name: slice(*ends[k : k + 2]) for k, name in enumerate(self.variables)}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each variable, without members."""
        return {name: tuple(dims.values()) for name, dims in self.variables.items()}

    def mask(self, variable: str) -> npt.NDArray[np.bool_]:
        """Return where a variable has components, of its shape."""
        mask = self.present.get(variable, True)
        return np.broadcast_to(np.asarray(mask), self.shapes[variable])

    def kept(self, variable: str) -> Any:
        """Return which entries of a variable, in C order, are components: an index."""
        mask = self.present.get(variable)
        return slice(None) if mask is None else np.flatnonzero(mask)

    def field(self, variable: str, state: Array) -> Array:
        """Return a variable of a state (..., D), ``(..., *shape)``; NaN where it is not there."""
        values, lead = state[..., self.slices[variable]], state.shape[:-1]
        if variable in self.present:
            size = np.size(self.present[variable])
            whole = np.full((*lead, size), np.nan, values.dtype)
            whole[..., self.kept(variable)] = values
            values = whole
        return values.reshape((*lead, *self.shapes[variable]))

    @property
    def _counts(self) -> list[int]:
        every = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in self.shapes.items()}
        some = {name: int(np.count_nonzero(mask)) for name, mask in self.present.items()}
        return [some.get(name, count) for name, count in every.items()]

    def pack(self, dataset: Any) -> Array:
        """Return the state of a dataset, (N, D), or (D,) of one without members.

        There is no copy where the variables already lie in memory like that: one variable whose
        members come first, or those that `unpack` made.

        Parameters
        ----------
        dataset : xarray.Dataset
            With the variables and dimensions of the layout, in any order; what else it holds is
            left out.

        Raises
        ------
        ImportError
            If xarray is not installed.
        TypeError, ValueError
            If a variable is missing, has other dimensions, coordinates or members, or is not of
            float32 or float64 as all the others.
        """
        data = datasets.dataset(dataset)
        datasets.check_there(data, list(self.variables))
        along = self.member if self.member in data[next(iter(self.variables))].dims else None
        if along is not None:
            datasets.check_members(data, list(self.variables), along)
            self._check_count("dataset", int(data.sizes[along]))
        datasets.check_coordinates(data, self.coords, self.member)
        lead = () if along is None else (int(data.sizes[along]),)
        parts = datasets.values(data, self.variables, along)
        shape = (*lead, self.size)
        if len(parts) == 1 and not self.present:
            return np.ascontiguousarray(parts[0]).reshape(shape)
        whole = None if self.present else datasets.whole(parts, shape)
        if whole is not None:
            return whole
        packed = np.empty(shape, parts[0].dtype)
        for (name, chosen), part in zip(self.slices.items(), parts, strict=True):
            packed[..., chosen] = part.reshape(*lead, -1)[..., self.kept(name)]
        return packed

    def unpack(self, array: npt.ArrayLike) -> Any:
        """Return the dataset of a state (D,), or of an ensemble (N, D), members first.

        Parameters
        ----------
        array : array_like, (N, D) or (D,)
            Its memory is the dataset's: there is no copy, but of variables with a mask, which are
            NaN where they have no component.

        Returns
        -------
        xarray.Dataset
            With the coordinates and attributes of the layout.

        Raises
        ------
        ImportError
            If xarray is not installed.
        ValueError
            If there are not D components, or another number of members than the layout's.
        """
        xarray = datasets.library()
        state = self._state("array", array)
        lead: tuple[str, ...] = ()
        if state.ndim == 2:
            self._check_count("array", len(state))
            lead = (self.member,)
        variables = {
            name: (
                (*lead, *dims),
                self.field(name, state),
                dict(self.variable_attrs.get(name, {})),
            )
            for name, dims in self.variables.items()
        }
        coords = {
            name: coordinate
            for name, coordinate in self.coords.items()
            if lead or self.member not in coordinate[0]
        }
        return xarray.Dataset(variables, coords=coords, attrs=dict(self.attrs))

    def scores(
        self,
        ensemble: npt.ArrayLike,
        truth: npt.ArrayLike,
        *,
        weights: str | npt.ArrayLike = "area",
    ) -> dict[str, LevelScores]:
        """Return how good an ensemble is, by variable and level.

        Parameters
        ----------
        ensemble : array_like, (N, D)
        truth : array_like, (D,)
        weights : {"area", "equal"} or array_like, (D,)
            How much each component counts in the mean over its level: ``area`` weighs by the cosine
            of the latitude, where there is one, as the cells of a grid in degrees shrink towards
            the poles.

        Returns
        -------
        dict of str to LevelScores

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit.

        Examples
        --------
        >>> import numpy as np, enfilt as ef
        >>> layout = ef.state.Layout(
        ...     {"t": {"lat": 3, "lon": 1}},
        ...     coords={"lat": ("lat", [-60.0, 0.0, 60.0])},
        ... )
        >>> ensemble = np.array([[1.0, 3.0, 1.0], [3.0, 5.0, 3.0]])
        >>> layout.scores(ensemble, np.zeros(3))["t"].rmse
        array([3.16227766])
        """
        x, reference = self._state("ensemble", ensemble), self._state("truth", truth)
        return by_level(self, x, reference, weights)

    def geometry(
        self,
        *,
        longitude: str | None = None,
        latitude: str | None = None,
        vertical: str | None = None,
        surface: float | None = None,
        vertical_scale: float = 1.0,
        distance: str = "great-circle",
        periodic: bool | tuple[bool, ...] = True,
    ) -> Grid:
        """Return where the components are, for ``Observation(..., grid=)`` and localization.

        With coordinates of longitude and latitude that is a `geometry.Sphere`, its variables by
        name; else a `geometry.RegularGrid`, for variables that all have the same one to three
        dimensions. Variables without dimensions are parameters (`geometry.WithParameters`), and
        have to be the last ones.

        Parameters
        ----------
        longitude, latitude, vertical : str, optional
            Which coordinates these are; default: those that attributes (CF conventions) or names
            tell. A vertical dimension without coordinate counts its levels.
        surface : float, optional
            The height of variables without levels, in the unit of `vertical`; default: the first
            level.
        vertical_scale, distance
            As of `geometry.Sphere`.
        periodic : bool or tuple of bool
            As of `geometry.RegularGrid`.

        Raises
        ------
        ValueError
            If a variable has other dimensions than the sphere, or the grid, can have, or a
            parameter is not among the last ones.
        """
        return places.geometry(
            self,
            (longitude, latitude, vertical),
            surface,
            periodic,
            vertical_scale=vertical_scale,
            distance=distance,
        )

    def _state(self, argument: str, value: npt.ArrayLike) -> Array:
        """Check that an argument is a state (D,), or an ensemble (N, D) of such."""
        array = _checks.floating(argument, value, members=2)
        if array.ndim not in (1, 2) or array.shape[-1] != self.size:
            told = ", ".join(
                f"{name} {n}" for name, n in zip(self.variables, self._counts, strict=True)
            )
            raise ValueError(
                f"{argument} has shape {array.shape}: expected (N, {self.size}) or "
                f"({self.size},), {self.size} being the components of the variables ({told})"
            )
        return array

    def _check_count(self, argument: str, members: int) -> None:
        if self.members not in (None, members):
            raise ValueError(
                f"{argument} has {members} members: expected {self.members}, as the layout "
                f"(dataclasses.replace(layout, members=None) takes any number)"
            )
