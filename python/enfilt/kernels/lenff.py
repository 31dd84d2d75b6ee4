"""The localized ensemble flow filter's analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks
from ..backends import ListedFlow
from . import _weights
from ._analysis import checked

Array = npt.NDArray[Any]


@_arrays.as_it_came
def lenff(
    forecast: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    observed: npt.ArrayLike,
    std: float | npt.ArrayLike,
    weights: Any = None,
    between: Any = None,
    place: npt.ArrayLike | None = None,
    steps: int = 10,
    growth: float = 10.0,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Return the analysis of the localized ensemble flow filter; see `enfilt.LEnFF`.

    Each of `steps` moves states, and h(x) with them as if it were components of the state, by
    dx_d = sum_l rho_dl cov(x_d, h_l) (y_l - (h_l + mean h_l)/2) / (b_l + r_l^2/w), with
    ``b_l = sum_k |rho_lk cov(h_l, h_k)|`` and the step w of pseudo-time.

    Parameters
    ----------
    forecast : array_like, (N, D)
        The forecast ensemble, N >= 2.
    y : array_like, (m,)
        Observations; NaN: not observed.
    observed : array_like, (N, m)
        h(x), a member a row.
    std : float or array_like, (m,)
        r, the standard deviation of the observation error.
    weights : array_like or scipy.sparse array, (D, m) or (P, m), optional
        rho of components and observations, from 0 to 1, as of `letkf`. Default: one everywhere.
    between : array_like or scipy.sparse array, (m, m), optional
        rho of observations among each other; beside `weights`, and only there.
    place : array_like of int, (D,), optional
        Where components share weights: the row of `weights` of each.
    steps : int
        Steps of pseudo-time, at least 1.
    growth : float
        The last step over the first, above zero.
    out : ndarray, (N, D), optional
        Where the analysis goes; `forecast` itself is allowed.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, (N, D)
        A component that sees no observation keeps its forecast, bit for bit.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If finite numbers overflow.

    Examples
    --------
    As the steps grow, mean and variance tend to those of the Kalman filter, here 2 and 2/3:

    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> analysis = ef.kernels.lenff(x, [3.0], observed=x, std=1.0, steps=1000)
    >>> analysis.mean().round(2), analysis.var(ddof=1).round(2)
    (np.float64(2.0), np.float64(0.67))
    """
    given = checked(forecast, y, observed, std, out, backend)
    if (weights is None) != (between is None):
        name, other = ("weights", "between") if weights is None else ("between", "weights")
        raise TypeError(f"{name} is missing beside {other}: expected both, or neither")
    if weights is None and place is not None:
        raise TypeError("place is given, and weights is missing, the rows of which it tells")
    _checks.integer("steps", steps, 1)
    _checks.number("growth", growth, above=0)
    kernels, seen, (dim, m) = given.backend, given.seen, (given.forecast.shape[1], given.y.size)
    if weights is None:
        of_state = _weights.everywhere(dim, given)
        of_values = _weights.everywhere(given.y[seen].size, given)
    else:
        of_state = _weights.lists("weights", weights, dim, given, place)
        of_values = _weights.lists("between", between, m, given)
        if not isinstance(seen, slice):
            of_values = of_values.of(seen)
    xp, along = _arrays.namespace(given.y), [kernels.resident(of_values)]
    problem = ListedFlow(
        pseudo_times=pseudo_times(steps, growth),
        y=xp.ascontiguousarray(given.y[seen]),
        precision=xp.ascontiguousarray(given.precision[seen]),
        of_state=[kernels.resident(of_state)],
        of_values=along,
        of_observations=along,
        values=given.observed[:, seen],
    )

    def write(result: Array) -> None:
        result[...] = given.forecast
        kernels.lenff_lists(problem, result)

    return given.analysed(write, out)


def pseudo_times(steps: int, growth: float) -> npt.NDArray[np.float64]:
    """Return w_k, (steps,): growth^(k/(steps - 1)), made to sum to 1."""
    growth, last = float(growth), max(1, steps - 1)
    weights = np.array([growth ** (k / last) for k in range(steps)])
    result: npt.NDArray[np.float64] = weights / weights.cumsum()[-1]  # added up one by one, as in C
    return result
