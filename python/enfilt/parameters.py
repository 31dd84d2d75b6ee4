"""Parameters of a model as components of its state: they have no place."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _checks
from ._values import Value
from .grids import Embedding, Grid, as_grid, chosen_components
from .localization import Taper

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class WithParameters(Value, Grid):
    """A geometry, and behind its components some that have no place: parameters of the model.

    Every observation informs a parameter, without a taper: what is uncertain everywhere correlates
    with what is observed anywhere. A parameter has no dynamics, so that nothing widens it again: it
    is left out of a filter's inflation, and has the filter's ``parameter_inflation=`` instead.

    Parameters
    ----------
    grid : Grid or array_like, (n, k)
        Where the other components are.
    parameters : int or sequence of str
        How many there are, or their names; they are the last components of the state.
    weight : float
        The weight that localization gives observations for a parameter, above 0, at most 1. With
        few members chance correlations with many far observations add up; a weight below 1 takes
        from each observation only a part.

    Raises
    ------
    TypeError, ValueError
        If `grid` is none, a name comes twice, or a number is out of its range.

    Notes
    -----
    A parameter that is observed itself has no place that observation could have: localized filters
    raise an error, unless ``locations=`` tell one.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ring = ef.geometry.RegularGrid((40,))
    >>> grid = ef.geometry.WithParameters(ring, ["forcing"])
    >>> grid.size, grid.components("forcing")
    (41, slice(40, 41, None))
    >>> obs = ef.Observation(ef.operators.Subset([0]), std=0.1, grid=grid)
    >>> filt = ef.LETKF(ef.localization.GaspariCohn(3.0), parameter_inflation=1.02)
    >>> forecast = np.random.default_rng(0).standard_normal((10, 41))
    >>> np.flatnonzero((filt.analysis(forecast, [1.0], obs) != forecast).any(axis=0))
    array([ 0,  1,  2, 38, 39, 40])
    """

    grid: Grid | npt.ArrayLike
    parameters: int | Sequence[str]
    weight: float = 1.0

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        object.__setattr__(self, "grid", as_grid(self.grid))
        if isinstance(self.grid, WithParameters):
            raise ValueError(f"grid={self.grid!r} has parameters already: expected one without")
        if isinstance(self.parameters, str):
            raise TypeError(
                f"parameters={self.parameters!r}: expected a number, or a list of names"
            )
        if isinstance(self.parameters, Sequence):
            object.__setattr__(self, "parameters", tuple(self.parameters))
            if len(set(self.parameters)) < len(self.parameters):
                raise ValueError(f"parameters={self.parameters!r}: expected each name once")
            _checks.integer("len(parameters)", len(self.parameters), 1)
        else:
            _checks.integer("parameters", self.parameters, 1)
        _checks.number("weight", self.weight, above=0, most=1)

    @property
    def placed(self) -> Grid:
        """The geometry of the components that have a place."""
        assert isinstance(self.grid, Grid)
        return self.grid

    @property
    def count(self) -> int:
        """How many parameters there are."""
        return self.parameters if isinstance(self.parameters, int) else len(self.parameters)

    @property
    def size(self) -> int:
        return self.placed.size + self.count

    def components(self, variable: str) -> slice:
        """Return which components a variable or a parameter has, by its name."""
        names = [] if isinstance(self.parameters, int) else list(self.parameters)
        if variable in names:
            first = self.placed.size + names.index(variable)
            return slice(first, first + 1)
        if not hasattr(self.placed, "components"):
            raise ValueError(f"variable={variable!r}: expected one of {names}")
        found: slice = self.placed.components(variable)
        return found

    @property
    def variables_at_places(self) -> int:
        return self.placed.variables_at_places

    @property
    def variable_count(self) -> int:
        return self.placed.variable_count

    def variables_of(self, components: Any = slice(None)) -> npt.NDArray[np.int64]:
        chosen = chosen_components(self.size, components)
        there = chosen < self.placed.size
        result = np.full(len(chosen), -1)
        result[there] = self.placed.variables_of(chosen[there])
        return result

    @property
    def apart(self) -> bool:
        return self.placed.apart

    @property
    def spacing(self) -> Any:
        """The distance between neighbours."""
        return getattr(self.placed, "spacing", 1.0)

    def embedding(self) -> Embedding | None:
        # with a weight a localization is never none
        return self.placed.embedding() if self.weight == 1 else None

    def stretched(self, ratio: float) -> Grid:
        return dataclasses.replace(self, grid=self.placed.stretched(ratio))

    def check_places(self, argument: str, places: Array) -> None:
        self.placed.check_places(argument, places)

    def coordinates(self, components: Any = slice(None)) -> npt.NDArray[np.float64]:
        """Return the coordinates (n, k) of components; NaN of parameters."""
        chosen = chosen_components(self.size, components)
        there = chosen < self.placed.size
        where = self.placed.coordinates(chosen[there])
        result: npt.NDArray[np.float64] = np.full((len(chosen), where.shape[1]), np.nan)
        result[there] = where
        return result

    def distances(self, a: Array, b: Array) -> npt.NDArray[np.float64]:
        """Return the distances (n, m) between places; 0 to a parameter, wherever."""
        a, b = _checks.numbers("a", a), _checks.numbers("b", b)
        for name, where in (("a", a), ("b", b)):
            if where.ndim != 2:
                raise ValueError(f"{name} has shape {where.shape}: expected (n, k)")
        one, other = (np.flatnonzero(~np.isnan(x).any(axis=-1)) for x in (a, b))
        result: npt.NDArray[np.float64] = np.zeros((len(a), len(b)))
        result[np.ix_(one, other)] = self.placed.distances(a[one], b[other])
        return result


def split(grid: Grid) -> tuple[Grid, float]:
    """Return the geometry of components that have a place, and the weight of others, or 0."""
    return (grid.placed, grid.weight) if isinstance(grid, WithParameters) else (grid, 0.0)


def weights(
    localization: Taper, grid: Grid, components: npt.NDArray[np.int64], places: Array
) -> npt.NDArray[np.float64]:
    """Return the weights (n, m) of components and of observations at places (m, k)."""
    placed, weight = split(localization.on(grid))
    there = components < placed.size
    result: npt.NDArray[np.float64] = np.full((len(components), len(places)), weight)
    where = placed.coordinates(components[there])
    result[there] = localization.weight(placed.distances(where, places))
    return result
