"""The forward process of MASF: from the state to its own measurement.

In coordinates in which the operator is diagonal with entries k, and with errors of size r,

    x_s = A(s) x_0 + sqrt(C(s)) eps,   A = a + (1 - a) k,   C = c(a) r^2,

a falling from 1 to about 0, c = 1 - a^2 (cosine schedule) or 1 - a (linear). Yoon, Kim, Kim
(2026), "Rethinking Forward Processes for Score-Based Data Assimilation in High Dimensions",
arXiv:2604.02889.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ..observation import Observation
from ..operators import Operator
from ..priors import Noising

Array = npt.NDArray[Any]
Vector = npt.NDArray[np.float64]

#: Offset of the cosine schedule (Nichol, Dhariwal 2021), and the time at which all schedules end.
_OFFSET, _END = 0.008, 0.992
_FIRST = 1e-6


def _cosine(t: float) -> float:
    quarter = math.pi / 2 / (1 + _OFFSET)
    return math.cos(quarter * (t + _OFFSET)) / math.cos(quarter * _OFFSET)


#: a(t) and c(a) by name.
SCHEDULES: dict[str, tuple[Callable[[float], float], Callable[[Any], Any]]] = {
    "cosine": (_cosine, lambda a: 1 - a**2),
    "linear": (lambda t: 1 - t, lambda a: 1 - a),
}


def times(steps: int) -> list[float]:
    """Return the times T (1 - k/steps)^2 + 1e-6 of the reverse process, k = 0 .. steps."""
    return [_END * (1 - k / steps) ** 2 + _FIRST for k in range(steps + 1)]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Observations in coordinates in which the operator is diagonal.

    Attributes
    ----------
    gain : ndarray, (D,)
        k, 0 where nothing is observed.
    y : ndarray, (D,)
        Observations; 0 where nothing is observed.
    std : ndarray, (D,)
        r; where nothing is observed, the root mean square of the others.
    basis : ndarray, (D, D), or None
        Orthogonal, the coordinates as columns; None: the components.
    """

    gain: Vector
    y: Vector
    std: Vector
    basis: Vector | None


def is_linear(operator: Operator, dim: int) -> bool:
    """Return whether `measurement` takes the operator for linear."""
    form = operator.pointwise(dim)
    return operator.as_matrix(dim) is not None if form is None else form.kind == "identity"


def measurement(obs: Observation, y: Array, dim: int) -> Measurement | None:
    """Return linear observations (m,) in their own coordinates; None if they are not linear.

    Raises
    ------
    ValueError
        If the operator mixes components and the observation errors are not all the same.
    """
    form = obs.pointwise(dim) if not obs.is_correlated else None
    if form is not None:
        if form.kind != "identity":
            return None
        gain, values, std = placed(obs, y, np.arange(dim)[form.components], dim)
        return Measurement(gain, values, std, None)
    return _mixed(obs, y, dim) if is_linear(obs.h, dim) else None


def placed(
    obs: Observation, y: Array, components: Array, dim: int
) -> tuple[Vector, Vector, Vector]:
    """Return gain, y and r of `Measurement` for observations each of one component."""
    seen = ~np.isnan(y)
    errors = np.broadcast_to(obs.r, y.shape)[seen]
    gain, values = np.zeros(dim), np.zeros(dim)
    std = np.full(dim, math.sqrt(float(np.mean(errors**2))))
    where = components[seen]
    gain[where], values[where], std[where] = 1.0, y[seen], errors
    return gain, values, std


def _mixed(obs: Observation, y: Array, dim: int) -> Measurement:
    errors = obs.r[~np.isnan(obs.r)]  # where nothing is ever observed
    transform = obs.decorrelation(y)
    if transform is not None:  # correlated errors become those of size one
        y, errors = transform(y) / obs.r, np.ones(1)
    if np.ptp(errors) > 0:
        raise ValueError(
            f"std has entries from {errors.min():g} to {errors.max():g}: expected one number, "
            f"since MASF turns the observations of {obs.operator!r} into its singular "
            f"directions, each a mixture of all"
        )
    seen = ~np.isnan(y)
    left, k, right = _decompose(obs if transform else obs.h, dim, seen.tobytes())
    gain, values = np.zeros(dim), np.zeros(dim)
    # a direction of rounding size tells nothing
    rank = int(np.sum(k > k.max(initial=0.0) * np.finfo(np.float64).eps * max(dim, y.size)))
    gain[:rank] = k[:rank]
    values[:rank] = left[:, :rank].T @ y[seen].astype(np.float64)
    return Measurement(gain, values, np.full(dim, float(errors.flat[0])), right.T)


@functools.lru_cache(maxsize=4)
def _decompose(
    observed: Operator | Observation, dim: int, seen: bytes
) -> tuple[Vector, Vector, Vector]:
    """Return the singular value decomposition of the rows that are seen; the same in all cycles.

    Of observations with correlated errors they are whitened.
    """
    operator = observed.h if isinstance(observed, Observation) else observed
    matrix, kept = operator.as_matrix(dim), np.frombuffer(seen, dtype=bool)
    assert matrix is not None  # checked before
    if isinstance(observed, Observation):
        transform = observed.decorrelation(np.where(kept, 0.0, np.nan))
        assert transform is not None
        matrix = (transform(matrix.T) / observed.r).T
    left, k, right = np.linalg.svd(matrix[kept], full_matrices=True)
    return left, k, right


class ForwardProcess(Sequence[Noising]):
    """A(s_k) and C(s_k) along the steps, k = 0 .. steps: most noise first.

    Parameters
    ----------
    schedule : str
        Key of `SCHEDULES`.
    steps : int
        Of the sampler.
    gain, std : ndarray, (D,)
        k and r.
    ends : ndarray of bool, (D,)
        Components that reach A = k and C = r^2 exactly, a rescaled to end at zero.
    image : bool
        Whether the state turns into its image instead: A = a and `image_scale` 1 - a.
    """

    def __init__(
        self,
        schedule: str,
        steps: int,
        gain: Vector,
        std: Vector,
        ends: npt.NDArray[np.bool_],
        *,
        image: bool = False,
    ) -> None:
        a, self.noise = SCHEDULES[schedule]
        self.a = [a(t) for t in times(steps)]
        # one number for all components lets a prior use its faster form
        alike = all(np.all(v == v[0]) for v in (gain, std, ends))
        first: Any = 0 if alike else slice(None)
        self.gain, self.variance, self.ends = gain[first], std[first] ** 2, ends[first]
        self.image = image

    def __len__(self) -> int:
        return len(self.a) - 1  # the last one is where the sampler ends, and asks no more

    @overload
    def __getitem__(self, k: int) -> Noising: ...
    @overload
    def __getitem__(self, k: slice) -> list[Noising]: ...
    def __getitem__(self, k: int | slice) -> Noising | list[Noising]:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        plain, last = self.a[k], self.a[0]
        a = np.where(self.ends, (plain - last) / (1 - last), plain)
        variance = self.noise(a) * self.variance
        if self.image:
            return Noising(plain, _number(variance), 1 - plain)
        return Noising(_number(a + (1 - a) * self.gain), _number(variance))


def _number(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
