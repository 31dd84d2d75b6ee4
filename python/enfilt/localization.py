"""Localization: a weight that falls with distance and is zero beyond a cutoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _checks
from .grids import Grid

Array = npt.NDArray[Any]


def _gaspari_cohn(distance: Array, cutoff: float) -> Array:
    # eq. 4.10 with half-width c = cutoff/2; r = distance/c runs to 2
    r = 2 * distance / cutoff
    inner = 1 + r**2 * (-5 / 3 + r * (5 / 8 + r * (1 / 2 - r / 4)))
    safe = np.maximum(r, 1.0)
    outer = 4 + safe * (-5 + safe * (5 / 3 + safe * (5 / 8 + safe * (-1 / 2 + safe / 12))))
    outer = outer - 2 / (3 * safe)
    return np.where(r < 1, inner, np.maximum(outer, 0.0))


def _step(distance: Array, cutoff: float) -> Array:
    return np.ones_like(distance)


#: Shapes by name: the weights at distances below the cutoff.
SHAPES: dict[str, Callable[[Array, float], Array]] = {"gaspari-cohn": _gaspari_cohn, "step": _step}


@dataclass(frozen=True)
class Taper:
    """A weight that falls with distance to zero at a cutoff.

    Parameters
    ----------
    cutoff : float
        Distance, in the unit of the grid, at and beyond which the weight is exactly zero; above
        zero. Infinite: no localization, the weight is one everywhere, and nothing is asked for the
        places of components or observations (but by a shape of yours, and on a grid with
        ``between_variables=False``, whose variables stay apart).
    shape : {"gaspari-cohn", "step"} or callable
        How the weight falls within the cutoff: as that of `GaspariCohn`, or not at all; a callable
        maps distances to weights from 0 to 1.
    vertical : float, optional
        The cutoff straight up and down, where it is another: in the unit of the heights of a
        `Sphere`, or along the first axis of a `RegularGrid` of three. A place that is z higher then
        counts as (cutoff/vertical) z away, so that a component sees an ellipsoid.
    most : int, optional
        The largest number of observations that a place sees: of more, those of the largest weights,
        the first of equals. For the `LETKF` and the `LEnFF`, where errors are not correlated.
    horizontal : float, optional
        `cutoff` by another name, as one writes it beside `vertical`.

    Raises
    ------
    TypeError, ValueError
        If a cutoff is not above zero, the shape is not known, or `cutoff` and `horizontal` are
        given both, or neither.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.localization.Taper(4.0, "step").weight(np.array([0.0, 2.0, 4.0]))
    array([1., 1., 0.])
    >>> ef.localization.Taper(horizontal=2500.0, vertical=8.0)
    Taper(cutoff=2500.0, shape='gaspari-cohn', vertical=8.0, most=None)
    """

    cutoff: float = None  # type: ignore[assignment]  # a number, once it is made
    shape: str | Callable[[Array], Array] = "gaspari-cohn"
    vertical: float | None = None
    most: int | None = field(default=None, kw_only=True)
    horizontal: InitVar[float | None] = None

    def __post_init__(self, horizontal: float | None) -> None:
        if (self.cutoff is None) == (horizontal is None):
            raise ValueError(
                f"cutoff={self.cutoff!r} and horizontal={horizontal!r}: expected one of the two"
            )
        name = "cutoff"
        if horizontal is not None:
            name = "horizontal"
            object.__setattr__(self, "cutoff", horizontal)
        _checks.python_numbers(self)
        if self.cutoff != np.inf:
            _checks.number(name, self.cutoff, above=0)
        if self.vertical is not None:
            _checks.number("vertical", self.vertical, above=0)
            if self.cutoff == np.inf:
                raise ValueError(f"vertical={self.vertical}: expected a finite {name} beside it")
        if self.most is not None:
            _checks.integer("most", self.most, 1)
        if not callable(self.shape):
            _checks.choice("shape", self.shape, SHAPES)

    def counts_none(self) -> Taper:
        """Return the taper, for those who look at all observations.

        Raises
        ------
        ValueError
            If it has a largest number of them.
        """
        if self.most is not None:
            raise ValueError(
                f"localization={self!r}: expected one without most=, which is for the LETKF and "
                f"the LEnFF"
            )
        return self

    def on(self, grid: Grid) -> Grid:
        """Return the grid of which the weights are by distance.

        Raises
        ------
        ValueError
            If heights have a cutoff of their own, and the grid has no heights.
        """
        return grid if self.vertical is None else grid.stretched(self.cutoff / self.vertical)

    def is_none(self, grid: Any) -> bool:
        """Return whether all weights are one, wherever components and observations lie.

        Parameters
        ----------
        grid : Grid, array_like or None
            That of the state, as an `Observation` takes it: distances may be infinite on one of
            the user's, or between variables kept apart.
        """
        finite = True
        if isinstance(grid, Grid):
            apart = grid.apart and grid.variables_at_places > 1
            finite = grid.embedding() is not None and not apart
        return self.cutoff == np.inf and not callable(self.shape) and finite and self.most is None

    def weight(self, distance: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the weight at distances, of their shape.

        Raises
        ------
        TypeError, ValueError
            If a distance is not at least 0 (infinite is allowed), or a callable shape returns no
            numbers, another shape, or a weight that is not from 0 to 1; the message gives weight
            and distance.
        """
        d = _checks.numbers("distance", distance)
        if not (d >= 0).all():
            first = d[~(d >= 0)].flat[0]
            raise ValueError(f"distance holds {first}: expected numbers of at least 0")
        if callable(self.shape):
            weight = _checks.numbers("what shape returned", self.shape(d))
            if weight.shape != d.shape:
                raise ValueError(
                    f"shape returned weights of shape {weight.shape} for distances of shape "
                    f"{d.shape}: expected the same, a weight each"
                )
            within = d < self.cutoff
            bad = np.flatnonzero(within & ~((weight >= 0) & (weight <= 1)))
            if bad.size:
                found, at = weight.flat[bad[0]], d.flat[bad[0]]
                raise ValueError(
                    f"shape returned {found} at distance {at}: expected weights from 0 to 1"
                )
            return np.where(within, weight, 0.0)
        inside = d < self.cutoff  # also without one: variables kept apart are infinitely far
        weight = np.zeros_like(d)
        # few of many distances are inside, and the taper costs more than to choose them
        unbounded = self.cutoff == np.inf
        weight[inside] = 1.0 if unbounded else SHAPES[self.shape](d[inside], float(self.cutoff))
        return weight


@dataclass(frozen=True)
class GaspariCohn(Taper):
    """The taper of compact support that most of the field uses.

    Gaspari, Cohn (1999), "Construction of correlation functions in two and three dimensions", eq.
    4.10. Their half-width is cutoff/2; DAPPER's ``loc_rad`` r is a cutoff of 3.64 r.

    Parameters
    ----------
    cutoff, vertical, most, horizontal
        As of a `Taper`.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> taper = ef.localization.GaspariCohn(cutoff=4.0)
    >>> taper.weight(np.array([0.0, 2.0, 4.0])).round(4)
    array([1.    , 0.2083, 0.    ])
    """

    shape: str = field(default="gaspari-cohn", init=False, repr=False)


@dataclass(frozen=True)
class ByVariable:
    """Tapers by pair of variables, of components of one variable and observations of another.

    What `FromEnsemble` finds on a grid of several variables: correlations of one reach farther
    than those of another, and those between variables are weaker than those within. It can be
    given as well, to the same filters; the grid has to be one of as many variables,
    and observations tell theirs by the component that they depend on most (or, of variables that
    the grid keeps apart, by the first coordinate of their place).

    Parameters
    ----------
    tapers : sequence of sequences of Taper
        V x V: that of components of the one and observations of the other.
    amplitudes : sequence of sequences of float
        V x V: the weight at distance 0, from 0 to 1; with 0 the one does not see the other.

    Raises
    ------
    TypeError, ValueError
        If they are not V x V tapers and V x V numbers from 0 to 1.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> own, other = ef.localization.GaspariCohn(4.0), ef.localization.GaspariCohn(2.0)
    >>> taper = ef.localization.ByVariable(((own, other), (other, own)), ((1.0, 0.5), (0.5, 1.0)))
    >>> taper.weight([0.0, 0.0, 2.0], [0, 1, 1], [0, 0, 1]).round(4)
    array([1.    , 0.5   , 0.2083])
    """

    tapers: Sequence[Sequence[Taper]]
    amplitudes: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        amplitudes = _checks.numbers("amplitudes", self.amplitudes)
        if amplitudes.ndim != 2 or not 0 < amplitudes.shape[0] == amplitudes.shape[1]:
            raise ValueError(f"amplitudes has shape {amplitudes.shape}: expected (V, V)")
        if not ((amplitudes >= 0) & (amplitudes <= 1)).all() or not amplitudes.any():
            raise ValueError(
                f"amplitudes={self.amplitudes!r}: expected numbers from 0 to 1, not all of them 0"
            )
        rows = self.tapers if isinstance(self.tapers, list | tuple) else ()
        square = all(isinstance(row, list | tuple) and len(row) == len(rows) for row in rows)
        if len(rows) != len(amplitudes) or not square:
            raise ValueError(
                f"tapers={self.tapers!r}: expected a sequence of {len(amplitudes)} rows of as many "
                f"tapers, as amplitudes"
            )
        if not all(isinstance(taper, Taper) for row in rows for taper in row):
            raise TypeError(f"tapers={self.tapers!r}: expected a Taper or GaspariCohn in all rows")
        if any(t.vertical is not None or t.most is not None for row in rows for t in row):
            raise ValueError(
                f"tapers={self.tapers!r}: expected none with vertical= or most=; the distance of a "
                f"grid is one for all variables (vertical_scale= of a Sphere)"
            )
        # frozen: a taper is looked up by its value
        object.__setattr__(self, "tapers", tuple(map(tuple, rows)))
        object.__setattr__(self, "amplitudes", tuple(map(tuple, amplitudes.tolist())))

    @property
    def cutoff(self) -> float:
        """The longest of all cutoffs: beyond it all weights are zero."""
        return max(
            taper.cutoff
            for row, sizes in zip(self.tapers, self.amplitudes, strict=True)
            for taper, size in zip(row, sizes, strict=True)
            if size > 0
        )

    def weight(
        self, distance: npt.ArrayLike, of: npt.ArrayLike, by: npt.ArrayLike
    ) -> npt.NDArray[np.float64]:
        """Return the weights at distances.

        Parameters
        ----------
        distance : array_like, (...,)
        of, by : array_like of int, broadcastable to `distance`
            The variables of components, and of what observes them.
        """
        d = np.asarray(distance, np.float64)
        of, by = np.broadcast_to(of, d.shape), np.broadcast_to(by, d.shape)
        result = np.zeros_like(d)
        for u, v in np.argwhere(self.amplitudes):
            chosen = (of == u) & (by == v)
            result[chosen] = self.amplitudes[u][v] * self.tapers[u][v].weight(d[chosen])
        return result

    def table(self, distances: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the weights of all pairs of variables at distances (k,), (V, V, k)."""
        every = np.arange(len(self.tapers))
        d = np.broadcast_to(np.asarray(distances), (len(every), len(every), np.size(distances)))
        return self.weight(d, every[:, None, None], every[:, None])

    def on(self, grid: Grid) -> Grid:
        """Return the grid of which the weights are by distance: the same."""
        return grid

    def is_none(self, grid: Any) -> bool:
        """Return False: variables differ."""
        return False

    def check(self, grid: Any, *, told: bool) -> None:
        """Check that a grid has these variables, and that observations tell theirs.

        Parameters
        ----------
        grid : object
            That of the state, as an `Observation` takes it.
        told : bool
            Whether each observation tells its variable.
        """
        if not isinstance(grid, Grid) or grid.variable_count != len(self.tapers):
            raise ValueError(
                f"grid={grid!r}: expected a grid of {len(self.tapers)} variables, those of the "
                f"localization"
            )
        if not told:
            raise ValueError(
                "locations do not tell the variable of an observation, on which the localization "
                "depends: expected an operator that chooses or interpolates components, or a grid "
                "with between_variables=False"
            )


@dataclass(frozen=True)
class ByKind:
    """Tapers by kind of observation: a sounding's wind reaches farther than a gauge's rain.

    A component sees an observation by the taper of that one's kind, which `Observation(kinds=...)`
    tells, or the table that `Observations.from_frame` was given. For the `LETKF`, the `LEnFF` and
    the localized `EnKF`.

    Parameters
    ----------
    tapers : mapping of kind to Taper
        By the names, or numbers, of `Observation.kinds`.
    others : Taper, optional
        That of kinds which are not in it. Default: a kind that is not in it is an error.

    Raises
    ------
    TypeError, ValueError
        If it is no mapping with at least one entry, a value is no `Taper`, or is one with
        ``vertical=`` or ``most=``.

    Notes
    -----
    Among each other observations of two kinds have two tapers. The `EnKF`, whose covariances are
    symmetric, takes the geometric mean of both weights. In the `LEnFF` an observation's row sum
    b_l has its own taper, by which all that it moves is moved.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> taper = ef.localization.ByKind(
    ...     {"u": ef.localization.GaspariCohn(500.0), "ps": ef.localization.GaspariCohn(1000.0)}
    ... )
    >>> taper.weight(np.array([250.0, 250.0]), ["u", "ps"]).round(4)
    array([0.2083, 0.6849])
    """

    tapers: Mapping[Any, Taper]
    others: Taper | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.tapers, Mapping) or not self.tapers:
            raise TypeError(
                f"tapers={self.tapers!r}: expected a dict of kinds and their tapers, such as "
                f"{{'u': GaspariCohn(500.0)}}"
            )
        given = {f"tapers[{kind!r}]": taper for kind, taper in self.tapers.items()}
        for name, taper in (given | {"others": self.others}).items():
            if not isinstance(taper, Taper) and not (taper is None and name == "others"):
                raise TypeError(f"{name}={taper!r}: expected a Taper or GaspariCohn")
            if taper is not None and (taper.vertical is not None or taper.most is not None):
                raise ValueError(
                    f"{name}={taper!r}: expected one without vertical= or most=; the distance of a "
                    f"grid is one for all kinds (vertical_scale= of a Sphere)"
                )
        object.__setattr__(self, "tapers", dict(self.tapers))

    def __hash__(self) -> int:
        return hash((frozenset(self.tapers.items()), self.others))

    @property
    def each(self) -> list[Taper]:
        """The tapers, by their numbers."""
        return [*self.tapers.values(), *([] if self.others is None else [self.others])]

    @property
    def longest(self) -> Taper:
        """That of the longest cutoff."""
        return max(self.each, key=lambda taper: taper.cutoff)

    @property
    def cutoff(self) -> float:
        """The longest of all cutoffs: beyond it all weights are zero."""
        return self.longest.cutoff

    def numbers(self, kinds: Any, m: int) -> npt.NDArray[np.int64]:
        """Return which of the tapers is each observation's, (m,).

        Parameters
        ----------
        kinds : array_like, (m,), or None
            Of the observations.
        m : int
            How many there are.

        Raises
        ------
        ValueError
            If kinds are missing, not m, or one of them has no taper.
        """
        if kinds is None:
            raise ValueError(
                "kinds is missing: the localization depends on the kind of an observation; give "
                "Observation(..., kinds=...), or a table with kinds"
            )
        names = np.asarray(kinds).tolist()
        names = names if isinstance(names, list) else [names]
        if len(names) != m:
            raise ValueError(f"kinds has {len(names)} entries: expected {m}, one an observation")
        number = {kind: k for k, kind in enumerate(self.tapers)}
        other = None if self.others is None else len(number)
        found = [number.get(name, other) for name in names]
        if None in found:
            unknown = names[found.index(None)]
            raise ValueError(
                f"kinds holds {unknown!r}, for which localization has no taper: expected one of "
                f"{', '.join(map(repr, number))}, or others="
            )
        return np.array(found, np.int64)

    def weight(self, distance: npt.ArrayLike, kinds: Any) -> npt.NDArray[np.float64]:
        """Return the weights at distances (..., m) from observations of these kinds, (m,)."""
        d = _checks.numbers("distance", distance)
        return self.weight_of(d, self.numbers(kinds, d.shape[-1] if d.ndim else 1))

    def weight_of(self, distance: Array, numbers: Array) -> npt.NDArray[np.float64]:
        """Return weights by the numbers of tapers, which are broadcast to distances."""
        numbers = np.broadcast_to(numbers, distance.shape)
        result = np.zeros(distance.shape)
        for k, taper in enumerate(self.each):
            chosen = numbers == k
            result[chosen] = taper.weight(distance[chosen])
        return result

    def on(self, grid: Grid) -> Grid:
        """Return the grid of which the weights are by distance: the same."""
        return grid

    def is_none(self, grid: Any) -> bool:
        """Return False: kinds differ."""
        return False


#: A localization whose tapers are known.
Known: TypeAlias = Taper | ByVariable | ByKind


@dataclass(frozen=True)
class FromEnsemble:
    """A taper whose cutoff follows from the ensemble, cycle by cycle: there is nothing to choose.

    The factor that takes the ensemble's covariances P closest to the true ones in mean square
    follows, for N Gaussian members, from their own moments (Menetrier, Montmerle, Michel, Berre
    2015, "Linear filtering of sample covariances for ensemble-based data assimilation"): by
    distance, averaged over space and with memory over cycles,

        rho = ((N - 1) mean P_ij^2 - mean P_ii P_jj) / (N mean P_ij^2),  over its value at i = j.

    The taper is the Gaspari-Cohn function that holds sqrt(N/5) times as many places (from 1 to 2
    times) as the one closest to rho; or a narrower one, the widest with which nine places in ten
    get at most N/4 degrees of freedom for signal,
    sum_k rho_k p_k/(p_k + r_k^2), from the observations about them, p_k being the ensemble's
    variance of h_k(x). It is for `LEnFF`, `LETKF` and the localized `EnKF`.

    The filter's `facts` tell it as ``cutoff``. The filter remembers the means from cycle to cycle,
    for each ensemble of a batch, until its `reset`, which a twin experiment calls when a run
    begins.

    Notes
    -----
    Distances are those of the observation's grid, and need not be regular: on coordinates of the
    user's, pairs are put in bins. Of more than some thousand places, enough pairs are looked at,
    ever the same.

    Of a grid of several variables, each pair of them has a taper of its own (`ByVariable`), by its
    own covariances; between two variables its weight at distance 0 is fitted as well. `facts` then
    tell the longest cutoff, and ``cutoff of variable 0`` and so on. Where places do not tell the
    variable of an observation, all have one. To bound what an analysis costs, a taper holds at most
    256 places of one variable, counted by its weights.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=5.0, grid=ef.grids.RegularGrid((200,)))
    >>> filt = ef.LETKF(ef.localization.FromEnsemble())
    >>> noise = rng.standard_normal((10, 200))
    >>> smooth = sum(np.roll(noise, shift, axis=1) for shift in range(8)) / np.sqrt(8)
    >>> analysis = filt.analysis(smooth, np.zeros(200), obs)
    >>> bool(8 < filt.facts["cutoff"] < 30)  # correlations reach 8 places
    True
    """

    def is_none(self, grid: Any) -> bool:
        """Return False: what it will find is not known."""
        return False
