"""Regression of the increments of observed components onto the others.

The ensemble's own linear regression: dx_u = C_uo C_oo^-1 dx_o with the covariances of the forecast,
by which Anderson (2003, "A local least squares framework for ensemble filtering") splits an
analysis in two. It is written in the space of the ensemble, where the covariances, of rank N - 1 at
most, are one N x N matrix: with A_o and A_u the anomalies of the forecast,

    dX_u = W A_u,   W = dX_o A_o^T (A_o A_o^T + eps I)^-1.

eps is 1e-6 times the mean of the eigenvalues of A_o A_o^T: relative, so that units do not matter,
above the rounding of float32 anomalies, and far below what a sample of N members resolves. It makes
the solution the smallest one along the mean of the ensemble, where A_o A_o^T is always singular.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays, parameters
from ..grids import Grid
from ..localization import Taper

Array = npt.NDArray[Any]

_RIDGE = 1e-6
# Numbers in a temporary array: small beside an ensemble.
_BLOCK = 1 << 20


def _anomalies(x: Array) -> Array:
    a = x.astype(np.float64)
    a -= a.mean(axis=0)
    return a


def _solve(cross: Array, gram: Array) -> Array:
    """Return cross (gram + eps I)^-1 for stacks (..., N, N)."""
    xp, members = _arrays.namespace(gram), gram.shape[-1]
    ridge = _RIDGE * gram.trace(axis1=-2, axis2=-1) / members
    ridge = xp.where(ridge > 0, ridge, 1.0)  # no spread at all: then cross is zero too
    regular = gram + ridge[..., None, None] * xp.eye(members)
    result: Array = xp.linalg.solve(regular, cross.swapaxes(-1, -2)).swapaxes(-1, -2)
    return result


def regress(x1: Array, moved: Array, observed: Array, unobserved: Array, out: Array) -> None:
    """Write x1 + W A_u to the unobserved components of `out`.

    Parameters
    ----------
    x1 : ndarray, (N, D)
        Forecast.
    moved : ndarray, (N, D_o)
        Analysis of the observed components.
    observed, unobserved : ndarray of int, (D_o,), (D_u,)
        Which components are which; on the host.
    out : ndarray, (N, D)
        Overlaps no input.
    """
    xp, members = _arrays.namespace(x1), x1.shape[0]
    width = max(1, _BLOCK // members)
    gram, cross = xp.zeros((members, members)), xp.zeros((members, members))
    for start in range(0, observed.size, width):
        block = slice(start, start + width)
        before = x1[:, xp.asarray(observed[block])]
        a = _anomalies(before)
        gram += a @ a.T
        cross += (moved[:, block].astype(np.float64) - before) @ a.T
    weights = _solve(cross, gram)
    for start in range(0, unobserved.size, width):
        chosen = xp.asarray(unobserved[start : start + width])
        out[:, chosen] = x1[:, chosen] + weights @ _anomalies(x1[:, chosen])


def regress_locally(
    x1: Array,
    moved: Array,
    observed: Array,
    unobserved: Array,
    grid: Grid,
    places: Array,
    localization: Taper,
    out: Array,
) -> None:
    """Write the same with weights of its own for each unobserved component, tapered by distance.

    With rho the taper of the distances from component u to the observations, the regression for u
    weighs each observed component by rho (as Hunt, Kostelich, Szunyogh 2007 weigh observations),
    and the increment that comes out is multiplied by the largest rho, that of the observation
    nearest to u (as Anderson 2003 tapers a regression): far observations neither disturb it by
    chance correlations, nor alone carry it. With all rho = 1 this is `regress`; beyond the cutoff
    of every observation nothing moves. Costs D_u D_o distances and D_u solves of order N.

    Parameters
    ----------
    x1, moved, observed, unobserved, out
        As of `regress`.
    grid : Grid
        Of the components.
    places : ndarray, (D_o, k)
        Coordinates of the observations of the observed components.
    localization : Taper
        The taper.
    """
    xp, members = _arrays.namespace(x1), x1.shape[0]
    width = int(np.clip(_BLOCK // max(observed.size, members**2), 1, 256))
    for start in range(0, unobserved.size, width):
        chosen = unobserved[start : start + width]
        rho = parameters.weights(localization, grid, chosen, places)
        near = np.flatnonzero(rho.any(axis=0))
        nearest, rho = xp.asarray(rho.max(axis=1)), xp.asarray(rho[:, near])
        chosen, seen = xp.asarray(chosen), xp.asarray(observed[near])
        before = x1[:, seen]
        a = _anomalies(before)
        increments = moved[:, xp.asarray(near)].astype(np.float64) - before
        gram = _weighted_products(a, a, rho)
        weights = _solve(_weighted_products(increments, a, rho), gram)
        step = xp.einsum("cij,jc->ic", weights, _anomalies(x1[:, chosen]))
        out[:, chosen] = x1[:, chosen] + nearest * step


def _weighted_products(a: Array, b: Array, rho: Array) -> Array:
    """Return sum_k rho_ck a_ik b_jk, (C, N, N)."""
    result: Array = (rho[:, None] * a) @ b.T
    return result
