"""The local ensemble transform Kalman filter's analysis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from .. import _arrays
from ..backends import Backend, LocalLists, LocalObservations
from ..backends.problems import Matrix
from ..localization import Taper
from ..observation import Observation
from . import _weights
from ._analysis import checked

Array = npt.NDArray[Any]


@_arrays.as_it_came
def letkf(
    forecast: npt.ArrayLike,
    y: npt.ArrayLike,
    obs: Observation | None = None,
    *,
    localization: Taper | None = None,
    observed: npt.ArrayLike | None = None,
    std: float | npt.ArrayLike | None = None,
    weights: Any = None,
    place: npt.ArrayLike | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Return the analysis of the local ensemble transform Kalman filter; see `enfilt.LETKF`.

    From arrays alone, ``observed=``, ``std=`` and ``weights=``; or from an `Observation` and a
    taper, as the filter does it.

    Parameters
    ----------
    forecast : array_like, (N, D); with `obs` also (B, N, D)
        The forecast ensemble, or a batch of them, N >= 2.
    y : array_like, (m,); with `obs` also (B, m) for a batch
        Observations; NaN: not observed.
    obs : Observation, optional
        Operator, error and places: ``Observation(..., grid=...)``.
    localization : Taper, optional
        The taper and its cutoff, beside `obs`.
    observed : array_like, (N, m), or (B, N, m)
        h(x), a member a row; beside an `obs` with an operator it may be left out.
    std : float or array_like, (m,), optional
        r, the standard deviation of the observation error, without `obs`.
    weights : array_like or scipy.sparse array, (D, m) or (P, m), optional
        rho, from 0 to 1, by which a component multiplies the precision 1/r^2 of an observation,
        without `obs`. What it does not see is 0. Lists of neighbours are a sparse array:
        ``scipy.sparse.csr_array((rho, indices, starts), shape=(D, m))``.
    place : array_like of int, (D,), optional
        Where components share weights: the row of `weights` of each.
    out : ndarray, as `forecast`, optional
        Where the analysis goes; `forecast` itself is allowed.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, as `forecast`
        A component that sees no observation keeps its forecast, bit for bit.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If finite numbers overflow.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    >>> ef.kernels.letkf(x, [3.0, 0.0, 1.0], observed=x, std=1.0, weights=np.eye(3)).round(4)
    array([[1.4226, 0.    , 1.    ],
           [2.5774, 0.    , 1.    ]])

    The same from places and a taper:

    >>> obs = ef.Observation(ef.operators.Identity(), std=1.0, grid=ef.grids.RegularGrid((3,)))
    >>> taper = ef.localization.GaspariCohn(cutoff=1.0)
    >>> ef.kernels.letkf(x, [3.0, 0.0, 1.0], obs, localization=taper).round(4)
    array([[1.4226, 0.    , 1.    ],
           [2.5774, 0.    , 1.    ]])
    """
    arrays = {"std": std, "weights": weights, "place": place}
    if obs is not None:
        extra = [name for name, value in arrays.items() if value is not None]
        if extra:
            raise TypeError(
                f"{extra[0]} and obs are both given: expected obs and localization, or observed, "
                f"std and weights"
            )
        import enfilt  # of this form the checked one is the filter, which stands above the kernels

        filt = enfilt.LETKF(localization, backend=backend)  # type: ignore[arg-type]  # checks it
        return filt.analysis(forecast, y, obs, observed=observed, out=out)
    if localization is not None:
        raise TypeError("localization is given, and obs is missing, whose places it weighs")
    if observed is None or std is None or weights is None:
        needed = {"observed": observed, "std": std, "weights": weights}
        missing = [name for name, value in needed.items() if value is None]
        raise TypeError(
            f"{missing[0]} is missing: expected observed, std and weights, or obs and localization"
        )
    given = checked(forecast, y, observed, std, out, backend)
    found = _weights.lists("weights", weights, given.forecast.shape[1], given, place)
    seen, x = given.seen, given.forecast

    def write(result: Array) -> None:
        told = said(given.observed[:, seen], given.y[seen], given.precision[seen], x.dtype)
        analyse(given.backend, x, [found], told, None, result)

    return given.analysed(write, out)


def said(values: Array, y: Array, precision: Array, dtype: Any) -> LocalObservations:
    """Return what observations y (m,) say to an ensemble with these h(x), (N, m).

    `dtype` is that of the ensemble, which that of decorrelated values is not. On a GPU some may be
    NaN; elsewhere none.
    """
    xp = _arrays.namespace(values)
    return LocalObservations(values, y, xp.ascontiguousarray(precision, dtype))


def analyse(
    kernels: Backend,
    x: Array,
    lists: Iterable[LocalLists],
    observations: LocalObservations,
    rotation: Matrix | None,
    out: Array,
) -> None:
    """Write the analysis of the components of all lists to their columns of `out`, (N, D)."""
    for part in lists:
        kernels.letkf_lists(x, kernels.resident(part), observations, rotation, out)
