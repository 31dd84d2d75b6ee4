"""Tapers by kind of observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..grids import Grid
from .taper import Taper

Array = npt.NDArray[Any]


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
