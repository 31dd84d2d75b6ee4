"""Steps of Lorenz-96."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _arrays, _checks

Array = npt.NDArray[Any]


@_arrays.as_it_came
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
    from ..models import Lorenz96  # the model is the checked form of the kernel

    state = _checks.floating("x", x, members=2)
    if state.ndim < 1 or state.shape[-1] < 4:
        raise ValueError(f"x has shape {state.shape}: expected (..., D) with D at least 4")
    model = Lorenz96(dim=state.shape[-1], forcing=forcing, dt=dt, backend=backend)
    return model._stepped("x", state, steps, None, out)
