"""What the kernels of analyses share: an ensemble, h(x) of it, observations and their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, _checks, backends
from ..backends import Backend
from ..observation import Observation
from ._calls import written

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Given:
    """Arguments that were checked.

    Attributes
    ----------
    forecast : ndarray, (N, D)
    observed : ndarray, (N, m)
    y : ndarray, (m,)
        With NaN where nothing is observed.
    precision : ndarray of float64, (m,)
        1/r^2.
    seen : ndarray of int64, or slice
        The observations that hold a value; on a GPU, where the host does not know, all.
    backend : Backend
    """

    forecast: Array
    observed: Array
    y: Array
    precision: npt.NDArray[np.float64]
    seen: Any
    backend: Backend

    def analysed(self, write: Callable[[Array], None], out: Array | None) -> Array:
        """Return the analysis that `write` puts into an array (N, D)."""

        def analysis(result: Array) -> None:
            if isinstance(self.seen, slice) or len(self.seen):
                write(result)
            else:
                result[...] = self.forecast

        inputs = (self.forecast, self.observed, self.y)
        failure = "forecast, observed, y and std lead to numbers that are too large"
        return written(self.backend, inputs, self.forecast, out, analysis, failure)


def checked(
    forecast: npt.ArrayLike,
    y: npt.ArrayLike,
    observed: npt.ArrayLike,
    std: float | npt.ArrayLike,
    out: Array | None,
    backend: str,
) -> Given:
    """Check what all of these kernels are given."""
    ensemble = _checks.ensemble("forecast", forecast, batch=False)
    members, dtype = len(ensemble), ensemble.dtype
    observations = _checks.floating("y", y, dtype, missing=True, rounded=True)
    observations = _checks.contiguous(observations)
    if observations.ndim != 1 or not observations.size:
        raise ValueError(f"y has shape {observations.shape}: expected (m,), an observation each")
    m = observations.size
    of_each = f"h(x) of {m} observations a member"
    values = _checks.shaped(
        "observed", observed, (members, m), dtype, of_each, members=2, rounded=True
    )
    errors = Observation(None, std=std)
    if errors.r.ndim and errors.r.size != m:
        raise ValueError(f"std has {errors.r.size} entries: expected {m}, one an observation")
    arrays = {"forecast": ensemble, "observed": values, "y": observations, "out": out}
    kernels = backends.of_arrays(backend, **arrays)
    xp = _arrays.namespace(ensemble)
    seen: Any = slice(None)
    if not kernels.on_device:
        _checks.finite("forecast", ensemble, kernels.all_finite)
        _checks.finite("observed", values, kernels.all_finite)
        _checks.not_infinite("y", observations)
        seen = np.flatnonzero(~np.isnan(observations))
    errors.check_seen(observations)
    errors.precision(dtype)  # raises where it is no number there
    precision = xp.broadcast_to(_arrays.beside(ensemble, errors.precision(np.float64)), (m,))
    return Given(ensemble, values, observations, precision, seen, kernels)
