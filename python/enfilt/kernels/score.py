"""The score of a mixture of Gaussians, and the weights behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends
from ..backends import Stage
from ._calls import check_result
from ._pairwise import checked_points, estimate

Array = npt.NDArray[Any]


@_arrays.as_it_came
def mixture_score(
    x: npt.ArrayLike,
    centers: npt.ArrayLike,
    scale: float,
    std: float,
    *,
    log_weights: npt.ArrayLike | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Return the score of a mixture of Gaussians N(scale c_j, std^2 I).

    score_i = -(x_i - sum_j w_ij scale c_j) / std^2, the w_ij of `flow_field`.

    Parameters
    ----------
    x : array_like, (M, D)
        Points where the score is asked for.
    centers : array_like, (N, D)
        c_j, in the dtype of `x`.
    scale : float
        Multiplies the centres.
    std : float
        Width of all components, above zero.
    log_weights : array_like of float64, (N,), optional
        Logarithms of the components' weights, up to a constant; default: equal.
    out : ndarray, (M, D), optional
        Where the score goes; overlaps no input.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, (M, D)

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If finite numbers overflow.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.kernels.mixture_score(np.array([[1.0]]), np.array([[-1.0], [1.0]]), 0.0, 0.5)
    array([[-4.]])
    """
    stage = _mixture(scale, std)
    points, members = checked_points(x, "centers", centers)
    return estimate(points, members, None, stage, log_weights, out, backend, "centers")


@_arrays.as_it_came
def pairwise_log_weights(
    x: npt.ArrayLike, centers: npt.ArrayLike, scale: float, std: float, *, backend: str = "auto"
) -> npt.NDArray[np.float64]:
    """Return the pairwise log-weights -norm(x_i - scale c_j)^2 / (2 std^2), not normalized.

    Their softmax over j are the weights of `mixture_score`. Not normalized, they may be summed
    over parts of the state (several ranks, several variables) before that.

    Parameters
    ----------
    x : array_like, (M, D)
        Points.
    centers : array_like, (N, D)
        c_j, in the dtype of `x`.
    scale : float
        Multiplies the centres.
    std : float
        Width, above zero.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray of float64, (M, N)

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If finite numbers overflow.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.kernels.pairwise_log_weights(np.array([[1.0]]), np.array([[-1.0], [1.0]]), 1.0, 1.0)
    array([[-2., -0.]])
    """
    stage = _mixture(scale, std)
    points, members = checked_points(x, "centers", centers)
    kernels = backends.of_arrays(backend, x=points, centers=members)
    if not kernels.on_device:
        _checks.finite("x", points, kernels.all_finite)
        _checks.finite("centers", members, kernels.all_finite)
    with np.errstate(over="ignore"):
        found = -stage.half_precision * kernels.squared_distances(points, members, None, stage)
    if not kernels.on_device:
        check_result(found, kernels, "x and centers are too far apart")
    return found


def _mixture(scale: float, std: float) -> Stage:
    a = _checks.number("scale", scale)
    s = _checks.number("std", std, above=1e-150, most=1e150)  # squares of it are numbers, too
    return Stage(
        a1=a,
        a0=0.0,
        half_precision=0.5 / (s * s),
        ratio=-1 / (s * s),
        b1=a / (s * s),
        b0=0.0,
        remaining=0.0,
        strength=0.0,
    )
