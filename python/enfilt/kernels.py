"""The kernels on their own, for other data assimilation codes.

Each call checks its arguments and runs on the backend asked for; nothing else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks, backends
from .backends import Stage
from .filters.paths import AffinePath, as_path
from .localization import Taper
from .observation import Observation

Array = npt.NDArray[Any]

__all__ = [
    "flow_field",
    "letkf",
    "lorenz96",
    "mixture_score",
    "pairwise_log_weights",
    "standard_normal",
]


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
    points, members = _points(x, "forecast", forecast)
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
    return _pairwise(points, members, before, stage, log_weights, out, backend, "forecast")


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
    points, members = _points(x, "centers", centers)
    return _pairwise(points, members, None, stage, log_weights, out, backend, "centers")


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
    points, members = _points(x, "centers", centers)
    kernels = backends.of_arrays(backend, x=points, centers=members)
    if not kernels.on_device:
        _checks.finite("x", points, kernels.all_finite)
        _checks.finite("centers", members, kernels.all_finite)
    with np.errstate(over="ignore"):
        found = -stage.half_precision * kernels.squared_distances(points, members, None, stage)
    if not kernels.on_device:
        _check_result(found, kernels.all_finite, "centers")
    return found


def lorenz96(
    x: npt.ArrayLike,
    *,
    dt: float = 0.01,
    steps: int = 1,
    forcing: float = 8.0,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Step Lorenz-96 by the classical Runge-Kutta method; see `enfilt.models.Lorenz96`.

    Parameters
    ----------
    x : array_like, (..., D)
        States, D at least 4.
    dt : float
        Time of one step, above zero.
    steps : int
        Number of steps, at least 0.
    forcing : float
        F.
    out : ndarray, as `x`, optional
        Where the result goes; `x` itself is allowed.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, as `x`

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> ef.kernels.lorenz96(np.full((1, 4), 8.0), dt=0.05, steps=10)
    array([[8., 8., 8., 8.]])
    """
    from .models import Lorenz96  # the model is the checked form of the kernel

    state = _checks.floating("x", x, members=2)
    if state.ndim < 1 or state.shape[-1] < 4:
        raise ValueError(f"x has shape {state.shape}: expected (..., D) with D at least 4")
    model = Lorenz96(dim=state.shape[-1], forcing=forcing, dt=dt, backend=backend)
    return model._stepped("x", state, steps, None, out)


def letkf(
    forecast: npt.ArrayLike,
    y: npt.ArrayLike,
    obs: Observation,
    *,
    localization: Taper,
    observed: npt.ArrayLike | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Return the analysis of the local ensemble transform Kalman filter; see `enfilt.LETKF`.

    Parameters
    ----------
    forecast : array_like, (N, D) or (B, N, D)
        The forecast ensemble, or a batch of them, N >= 2.
    y : array_like, (m,), or (B, m) for a batch
        Observations; NaN: not observed.
    obs : Observation
        Operator, error and places: ``Observation(..., grid=...)``.
    localization : Taper
        The taper and its cutoff.
    observed : array_like, (N, m) or (B, N, m), optional
        h(x), where the operator is not to be asked for it, or ``obs`` has none.
    out : ndarray, as `forecast`, optional
        Where the analysis goes; `forecast` itself is allowed.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, as `forecast`

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> obs = ef.Observation(ef.operators.Identity(), std=1.0, grid=ef.grids.RegularGrid((3,)))
    >>> taper = ef.localization.GaspariCohn(cutoff=1.0)
    >>> ef.kernels.letkf([[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]], [3.0, 0.0, 1.0], obs,
    ...                  localization=taper).round(4)
    array([[1.4226, 0.    , 1.    ],
           [2.5774, 0.    , 1.    ]])
    """
    from .filters import LETKF  # the filter is the checked form of the kernel

    filt = LETKF(localization, backend=backend)
    return filt.analysis(forecast, y, obs, observed=observed, out=out)


def standard_normal(
    key: int,
    shape: tuple[int, int],
    *,
    step: int = 0,
    batch: int = 0,
    dtype: npt.DTypeLike = np.float64,
    backend: str = "auto",
) -> Array:
    """Return the counter-based standard normals that the samplers draw.

    Each is a function of (key, batch, step, member, component) alone: Philox4x32-10 (Salmon et
    al. 2011) and the transform of Box and Muller.

    Parameters
    ----------
    key : int
        64 bits.
    shape : tuple of int
        (N, D). A smaller shape gives the leading part of a larger one.
    step, batch : int
        Further counters, 32 bits each.
    dtype : dtype
        float32 or float64; the two differ by rounding.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, (N, D)

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> big = ef.kernels.standard_normal(7, (3, 100))
    >>> small = ef.kernels.standard_normal(7, (2, 50))
    >>> bool(np.array_equal(big[:2, :50], small))
    True
    """
    if not (isinstance(shape, tuple | list) and len(shape) == 2):
        raise TypeError(f"shape={shape!r}: expected (N, D)")
    members, dim = (_checks.integer("shape", n, 1) for n in shape)
    for name, value in (("batch", batch), ("step", step)):
        if _checks.integer(name, value, 0) >= 2**32:
            raise ValueError(f"{name}={value}: expected an integer below 2**32")
    kernels = backends.get(backend)
    out = kernels.empty((members, dim), _checks.float_dtype("dtype", dtype))
    kernels.normals(_checks.integer("key", key, 0) % 2**64, int(batch), int(step), out)
    return out


def _mixture(scale: float, std: float) -> Stage:
    a = _checks.number("scale", scale)
    s = _checks.number("std", std, above=1e-150, most=1e150)  # squares of it are numbers, too
    return Stage(
        a1=a,
        a0=0.0,
        half_precision=0.5 / s**2,
        ratio=-1 / s**2,
        b1=a / s**2,
        b0=0.0,
        remaining=0.0,
        strength=0.0,
    )


def _points(x: npt.ArrayLike, name: str, members: npt.ArrayLike) -> tuple[Array, Array]:
    """Check points (M, D) and members (N, D) of one dtype."""
    points = _checks.ensemble("x", x, members=1, batch=False)
    found = _checks.floating(name, members, points.dtype, members=2)
    if found.ndim != 2 or found.shape[1] != points.shape[1] or found.shape[0] == 0:
        raise ValueError(f"{name} has shape {found.shape}: expected (N, {points.shape[1]})")
    return points, _checks.contiguous(found)


def _pairwise(
    points: Array,
    members: Array,
    before: Array | None,
    stage: Stage,
    log_weights: npt.ArrayLike | None,
    out: Array | None,
    backend: str,
    name: str,
) -> Array:
    arrays = {"x": points, name: members, "previous": before, "out": out}
    kernels = backends.of_arrays(backend, **arrays)
    xp = _arrays.namespace(points)
    target: Array
    weights = None
    if log_weights is not None:
        given_weights = _checks.plain("log_weights", log_weights)
        try:
            weights = _checks.contiguous(xp.asarray(given_weights, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise TypeError(f"log_weights can't be read as an array of numbers: {error}") from None
        if weights.shape != (len(members),):
            raise ValueError(
                f"log_weights has shape {weights.shape}: expected ({len(members)},), one a member"
            )
    if not kernels.on_device:
        given = {"x": points, name: members, "previous": before, "log_weights": weights}
        for argument, array in given.items():
            if array is not None:
                fast = None if array is weights else kernels.all_finite
                _checks.finite(argument, array, fast)
    if out is None:
        target = xp.empty_like(points)
    else:
        target = _checks.output("out", out, points.shape, points.dtype)
    shared = any(
        a is not None and xp.may_share_memory(a, target) for a in (points, members, before)
    )
    result = xp.empty_like(points) if shared else target
    with np.errstate(over="ignore", invalid="ignore"):  # the check says it better
        kernels.pairwise_field(points, members, before, stage, weights, result)
    if not kernels.on_device:
        _check_result(result, kernels.all_finite, name)
    if shared:
        target[...] = result
    return target


def _check_result(result: Array, test: Callable[[Array], bool], name: str) -> None:
    """Check that what finite numbers led to is finite."""
    if not test(result):
        bad = _checks.first_bad("result", result)
        raise FloatingPointError(f"x and {name} are too far apart for {result.dtype}: {bad}")
