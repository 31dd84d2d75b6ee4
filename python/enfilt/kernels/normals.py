"""Standard normals by a counter."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends

Array = npt.NDArray[Any]


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
    if kernels.on_device:
        _arrays.check_not_captured()
    out = kernels.empty((members, dim), _checks.float_dtype("dtype", dtype))
    kernels.normals(_checks.integer("key", key, 0) % 2**64, int(batch), int(step), out)
    return out
