"""Local analyses: how a backend is asked for them, and the plain loop that is their oracle."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]


class LocalWindow(NamedTuple):
    """The places that every component of a regular grid sees about it, and their weights.

    Attributes
    ----------
    rows, columns : int
        Of the grid; their product is D.
    periodic : bool
    offsets : ndarray of int64, (n, 2)
        Rows and columns away; on a periodic grid no place stands twice.
    weights : ndarray of float64, (n,)
        rho, above zero.
    """

    rows: int
    columns: int
    periodic: bool
    offsets: npt.NDArray[np.int64]
    weights: Matrix


class LocalLists(NamedTuple):
    """The observations that places see, each for all components that are there.

    Place i sees ``indices[starts[i]:starts[i + 1]]`` with the weights rho of the same slice, above
    zero. Components ``components[owners[i]:owners[i + 1]]`` are there; or, where these are None,
    the component ``first + i`` alone.
    """

    first: int
    starts: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    weights: Matrix
    owners: npt.NDArray[np.int64] | None = None
    components: npt.NDArray[np.int64] | None = None

    @property
    def columns(self) -> slice | npt.NDArray[np.int64]:
        """The components, those of one place after the other."""
        if self.components is None:
            return slice(self.first, self.first + len(self.starts) - 1)
        return self.components

    def each(self) -> LocalLists:
        """Return a list for each of `columns`."""
        if self.owners is None:
            return self
        place = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.owners))
        one = np.arange(len(place) + 1)
        return self.of(place)._replace(owners=one, components=self.components)

    def of(self, places: npt.NDArray[np.int64]) -> LocalLists:
        """Return the lists of some places, without their components."""
        counts = np.diff(self.starts)[places]
        starts = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(starts[-1]) + np.repeat(self.starts[places] - starts[:-1], counts)
        return LocalLists(0, starts, self.indices[at], self.weights[at])


@dataclass(frozen=True)
class LocalObservations:
    """What the observations of one ensemble say.

    Missing ones are left out; on a GPU, where the host does not know which they are, their
    innovations are NaN.

    Attributes
    ----------
    anomalies : ndarray, (m, N)
        Of h(x), an observation a row.
    innovation : ndarray, (m,)
        y - mean h(x).
    precision : ndarray, (m,)
        1/r^2.
    """

    anomalies: Array
    innovation: Array
    precision: Array

    @functools.cached_property
    def rows(self) -> Array:
        """Anomalies and innovation behind them, each over r sqrt(N - 1): (m, N + 1)."""
        members = self.anomalies.shape[1]
        factor = np.sqrt(self.precision / (members - 1))[:, None]
        xp = _arrays.namespace(self.anomalies)
        rows: Array = xp.empty((len(factor), members + 1), self.anomalies.dtype)
        np.multiply(self.anomalies, factor, out=rows[:, :-1])
        np.multiply(self.innovation[:, None], factor, out=rows[:, -1:])
        return rows

    @functools.cached_property
    def power(self) -> Matrix:
        """Sums of squares of the anomalies in `rows`, (m,)."""
        scaled = self.rows[:, :-1]
        result: Matrix = np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64)
        return result


def analyse_lists(
    x: Array,
    lists: LocalLists,
    observations: LocalObservations,
    rotation: Matrix | None,
    out: Array,
) -> None:
    """Write the analysis of the components of `lists` to `out`, by one `eigh` a place.

    Hunt, Kostelich, Szunyogh (2007), eq. 20 to 24, with R^-1 times rho.
    """
    members, places = len(x), len(lists.starts) - 1
    owners = np.arange(places + 1) if lists.owners is None else lists.owners
    columns = np.arange(x.shape[1])[lists.columns]
    for i, (begin, end) in enumerate(zip(lists.starts[:-1], lists.starts[1:], strict=True)):
        here = columns[owners[i] : owners[i + 1]]
        if begin == end and rotation is None:
            out[:, here] = x[:, here]
            continue
        seen = lists.indices[begin:end]
        precision = lists.weights[begin:end] * observations.precision[seen].astype(np.float64)
        anomalies = observations.anomalies[seen].astype(np.float64)
        weighted = anomalies.T * precision
        values, vectors = np.linalg.eigh((members - 1) * np.eye(members) + weighted @ anomalies)
        pull = weighted @ observations.innovation[seen].astype(np.float64)
        shift = vectors @ ((vectors.T @ pull) / values)
        transform = np.sqrt(members - 1) * (vectors / np.sqrt(values)) @ vectors.T
        if rotation is not None:
            transform = rotation @ transform
        states = x[:, here].astype(np.float64)
        mean = states.mean(axis=0)
        out[:, here] = mean + (shift + transform) @ (states - mean)
