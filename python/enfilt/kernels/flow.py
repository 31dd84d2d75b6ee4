"""The flow field of the ensemble."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _arrays, _checks
from ..paths import AffinePath, as_path
from ._pairwise import checked_points, estimate

Array = npt.NDArray[Any]


@_arrays.as_it_came
def flow_field(
    x: npt.ArrayLike,
    forecast: npt.ArrayLike,
    t: float,
    *,
    path: str | AffinePath,
    sigma_min: float | None = None,
    previous: npt.ArrayLike | None = None,
    log_weights: npt.ArrayLike | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Return the Monte Carlo marginal flow field of an affine path.

    v_i = (s'/s) x_i + sum_j w_ij (b1 x1_j + b0 x0_j),
    w_ij = softmax_j(-norm(x_i - mu_j)^2 / (2 s^2) + l_j); Transue et al. (2025), arXiv:2508.13313.

    Parameters
    ----------
    x : array_like, (M, D)
        Points where the field is asked for.
    forecast : array_like, (N, D)
        x1, in the dtype of `x`; one member is allowed here.
    t : float
        Pseudo-time in [0, 1].
    path : {"ot", "f2p", "ve"} or AffinePath
        The path.
    sigma_min : float, optional
        Its width at the end, above zero.
    previous : array_like, (N, D), optional
        x0, for paths that use it (``f2p``).
    log_weights : array_like of float64, (N,), optional
        l_j.
    out : ndarray, (M, D), optional
        Where the field goes; overlaps no input.
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
    With one member the field of ``ot`` is known: (x1 - (1 - sigma_min) x) / s.

    >>> import numpy as np, enfilt as ef
    >>> ef.kernels.flow_field(np.zeros((1, 2)), np.array([[3.0, 4.0]]), 0.5, path="ot",
    ...                       sigma_min=0.5)
    array([[4.        , 5.33333333]])
    """
    kind = as_path(path, sigma_min)
    stage = kind.stage(t)
    points, members = checked_points(x, "forecast", forecast)
    before = None
    if kind.uses_previous:
        if previous is None:
            raise ValueError(f"previous is missing: path={kind.name!r} starts from it")
        before = _checks.shaped(
            "previous",
            previous,
            members.shape,
            members.dtype,
            "the shape of forecast",
            members=2,
        )
        _checks.alike(forecast=forecast, previous=previous)
    return estimate(points, members, before, stage, log_weights, out, backend, "forecast")
