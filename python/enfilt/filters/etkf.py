"""The ensemble transform Kalman filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import _arrays
from ..inflation import Inflation
from ..kernels import ensemble_space
from ..kernels.ensemble_space import Matrix
from ..kernels.etkf import coefficients
from ..observation import Observation
from . import knobs
from .base import EnsembleFilter
from .cycle import Array, Cycle
from .observation_products import observation_products

__all__ = ["ETKF"]


@dataclass(frozen=True)
class ETKF(EnsembleFilter):
    """The ensemble transform Kalman filter (ETKF) with the symmetric square root.

    Hunt, Kostelich, Szunyogh (2007), "Efficient data assimilation for spatiotemporal chaos: a
    local ensemble transform Kalman filter", section 2.3. With anomalies A and Y of x and h(x),
    and the innovation d = y - mean h(x), it works in the space of the ensemble:
    C = (N-1) I + Y R^-1 Y^T, w = C^-1 Y R^-1 d, T = sqrt(N-1) C^-1/2; the mean moves by w A, the
    anomalies become T A. For linear h mean and covariance are the Kalman filter's with the
    ensemble's own covariance, whatever N.

    Parameters
    ----------
    inflation : float or Inflation
        Widens the analysis about its mean; a number is a factor.
    rotate : bool
        Multiply the anomalies by a random orthogonal matrix that keeps mean and covariance:
        members drawn together by a nonlinear model come apart (Sakov, Oke 2008, "Implications of
        the form of the ensemble transformation in the ensemble square root filters"). `noise=`
        is then (N, N): the Gaussian matrix that is made orthogonal.
    backend : {"auto", "cpp", "numba", "numpy", "cuda"}
        Where the random numbers come from; all give the same.

    Raises
    ------
    TypeError, ValueError
        If an option is out of its range, when the filter is made.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> forecast = np.random.default_rng(0).standard_normal((20, 3))
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.1)
    >>> analysis = ef.ETKF().analysis(forecast, [1.0, 2.0, 3.0], obs)
    >>> analysis.mean(axis=0).round(1)
    array([1., 2., 3.])
    """

    inflation: float | Inflation = 1.0
    rotate: bool = False

    _name: ClassVar[str] = "etkf"
    _takes_cupy: ClassVar[bool] = True
    _takes_observed: ClassVar[bool] = True
    _takes_parts: ClassVar[bool] = True

    def _check_options(self) -> None:
        if not isinstance(self.rotate, bool | np.bool_):
            raise TypeError(f"rotate={self.rotate!r}: expected True or False")

    def search_space(self, model: Any, obs: Observation) -> knobs.Knobs:
        return {"inflation": knobs.factor()}

    def _noise_shape(self, members: int, dim: int) -> tuple[int, ...]:
        return (members, members) if self.rotate else (members, dim)

    def _update(self, cycle: Cycle, out: Array) -> None:
        for b, target in enumerate(out):
            transform_ensemble(cycle, b, rotation_of(cycle, b, self.rotate), target)


def rotation_of(cycle: Cycle, b: int, rotate: bool) -> Matrix | None:
    """Return the rotation of one ensemble of a batch, drawn where it is asked for."""
    members = cycle.forecast.shape[1]
    return mean_preserving_rotation(cycle.normals(b, (members, members))) if rotate else None


def transform_ensemble(cycle: Cycle, b: int, rotation: Matrix | None, out: Array) -> None:
    """Write the analysis of one ensemble of a batch, (N, D), to `out`."""
    moved = coefficients(observation_products(cycle, b), rotation)
    ensemble_space.combine(cycle.forecast[b], moved, out)


def mean_preserving_rotation(normals: Array) -> Matrix:
    """Return a random orthogonal matrix of order N whose rows sum to one.

    Sakov, Oke (2008), section 3: diag(1, Q) in a basis whose first vector is (1 .. 1)/sqrt(N), Q
    orthogonal and uniform: the Q of a Gaussian matrix's QR decomposition with a positive diagonal
    of R (Mezzadri 2007, "How to generate random matrices from the classical compact groups").

    Parameters
    ----------
    normals : ndarray, (N, N)
        Standard normals.
    """
    members = len(normals)
    # a Householder reflection takes (1 .. 1)/sqrt(N) to the first unit vector
    axis = np.full(members, 1 / np.sqrt(members))
    axis[0] += 1
    reflection = np.eye(members) - 2 * np.outer(axis, axis) / (axis @ axis)
    others = reflection[:, 1:]
    xp = _arrays.namespace(normals)
    others = xp.asarray(others)
    q, r = xp.linalg.qr(others.T @ normals.astype(np.float64) @ others)
    signs = xp.where(xp.diag(r) < 0, -1.0, 1.0)
    # a product may stand in columns, and kernels read rows
    rotation: Matrix = xp.ascontiguousarray(1 / members + others @ (q * signs) @ others.T)
    return rotation
