"""How good an ensemble is against the truth.

All of them compare an ensemble (N, D) with a truth (D,) and give one number, except the rank
histogram. `score` computes them together in one pass over the ensemble.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks, backends
from ._values import by_content

Array = npt.NDArray[Any]

__all__ = [
    "ComponentScores",
    "Scores",
    "crps",
    "energy_score",
    "fair_crps",
    "nrmse",
    "of_components",
    "rank_histogram",
    "rmse",
    "score",
    "spread",
]


_OVERFLOW = "ensemble and truth hold numbers whose squares overflow: expected smaller ones"
# Numbers in a temporary array: small beside an ensemble.
_BLOCK = 1 << 20


@by_content
class ComponentScores(NamedTuple):
    """Scores of each component of one ensemble, (D,), in float64.

    Attributes
    ----------
    squared_error : ndarray
        (ensemble mean - truth)^2.
    variance : ndarray
        Of the ensemble, with N - 1; 0 of one member.
    crps, fair_crps : ndarray
        As of `Scores`, whose are their means.
    """

    squared_error: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    crps: npt.NDArray[np.float64]
    fair_crps: npt.NDArray[np.float64]


@by_content
class Scores(NamedTuple):
    """All scores of one ensemble.

    Attributes
    ----------
    rmse : float
        sqrt of the mean over D of (ensemble mean - truth)^2.
    spread : float
        sqrt of the mean over D of the ensemble variance (with N - 1).
    crps : float
        Mean over D of the ensemble CRPS in its empirical form (Hersbach 2000; Gneiting, Raftery
        2007, eq. 21).
    energy_score : float
        mean_j |x_j - truth| - 1/2 mean_jk |x_j - x_k|, the norm over all D (Gneiting, Raftery
        2007, eq. 22).
    nrmse : float
        rmse over the standard deviation of the truth's components; NaN where that is zero.
    rank_histogram : ndarray of int64, (N + 1,)
        How many components have k members below the truth.
    fair_crps : float
        As `crps`, the mean distance between members being that of N (N - 1) pairs and not of N^2
        (Ferro 2014, "Fair scores for ensemble forecasts"): the expectation does not depend on how
        many members there are, and ensembles of different sizes can be compared. NaN of one.
    """

    rmse: float
    spread: float
    crps: float
    energy_score: float
    nrmse: float
    rank_histogram: npt.NDArray[np.int64]
    fair_crps: float


def score(ensemble: npt.ArrayLike, truth: npt.ArrayLike, *, backend: str = "auto") -> Scores:
    """Return all scores of an ensemble.

    Parameters
    ----------
    ensemble : array_like, (N, D)
        Float32 or float64; one member is allowed, its spread is 0.
    truth : array_like, (D,)
        In the dtype of the ensemble.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    Scores

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If the squares of finite numbers overflow.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> s = ef.metrics.score(np.array([[-1.0, 0.0], [1.0, 2.0]]), np.array([0.5, 1.0]))
    >>> round(s.rmse, 4), round(s.spread, 4), s.crps
    (0.3536, 1.4142, 0.5)
    >>> s.rank_histogram
    array([0, 2, 0])
    """
    x, reference = checked(ensemble, truth)
    return of_part(x, reference, backends.of_arrays(backend, ensemble=x, truth=reference))


def checked(
    ensemble: npt.ArrayLike, truth: npt.ArrayLike, *, empty: bool = False
) -> tuple[Array, Array]:
    """Return an ensemble and a truth, checked; with `empty`, also of no component."""
    if empty and np.ndim(ensemble) == 2 and not np.shape(ensemble)[1]:
        return np.asarray(ensemble), np.asarray(truth)
    x = _checks.ensemble("ensemble", ensemble, members=1, batch=False)
    reference = _checks.shaped("truth", truth, x.shape[1:], x.dtype, "one value a component")
    _checks.alike(ensemble=ensemble, truth=truth)
    return x, reference


def of_part(x: Array, reference: Array, kernels: backends.Backend) -> Scores:
    """Return the scores of an ensemble of which a backend has a part, or all; what was checked."""
    members, dim = len(x), kernels.whole(x.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
        sums = kernels.score_sums(x, reference)
        apart = np.sqrt(sums.to_members).sum() / members**2
        deviation = _deviation(reference, kernels)
        found = Scores(
            rmse=float(np.sqrt(sums.squared_error / dim)),
            spread=float(np.sqrt(sums.variance / dim)),
            crps=sums.crps / dim,
            energy_score=float(np.sqrt(sums.to_truth).mean() - 0.5 * apart),
            nrmse=float("nan"),
            rank_histogram=sums.ranks,
            # with N (N - 1) pairs in place of N^2, from the CRPS and the mean absolute error
            fair_crps=(members * sums.crps - sums.absolute) / ((members - 1) * dim)
            if members > 1
            else float("nan"),
        )
    # a value that is not finite leaves none of the sums so: the arrays need not be read for it
    if not np.isfinite([*found[:4], deviation]).all():
        _checks.finite("ensemble", x, kernels.all_finite)
        _checks.finite("truth", reference, lambda row: kernels.all_finite(row[None]))
        raise FloatingPointError(_OVERFLOW)
    return found._replace(nrmse=found.rmse / deviation) if deviation > 0 else found


def _deviation(reference: Array, kernels: backends.Backend) -> float:
    """Return the standard deviation of a truth's components."""
    if kernels.alone:
        return float(_arrays.namespace(reference).std(reference, dtype=np.float64))
    count = kernels.whole(reference.size)
    mean = kernels.total(np.array([reference.sum(dtype=np.float64)])) / count
    return float(np.sqrt(kernels.total(((reference - mean) ** 2).sum(keepdims=True)) / count)[0])


def rmse(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the root mean square error of the ensemble mean; see `Scores`."""
    return score(ensemble, truth).rmse


def spread(ensemble: npt.ArrayLike) -> float:
    """Return the root mean ensemble variance; see `Scores`."""
    x = _checks.ensemble("ensemble", ensemble, batch=False)
    return score(x, x[0]).spread


def crps(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the mean continuous ranked probability score; see `Scores`."""
    return score(ensemble, truth).crps


def fair_crps(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the CRPS as if there were infinitely many such members; see `Scores`."""
    x = _checks.ensemble("ensemble", ensemble, batch=False)
    return score(x, truth).fair_crps


def energy_score(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the energy score; see `Scores`."""
    return score(ensemble, truth).energy_score


def nrmse(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the RMSE over the standard deviation of the truth's components; see `Scores`."""
    return score(ensemble, truth).nrmse


def rank_histogram(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return how many components have k members below the truth, (N + 1,); see `Scores`."""
    return score(ensemble, truth).rank_histogram


def of_components(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> ComponentScores:
    """Return the scores of each component, for means over some of them or with weights.

    Parameters
    ----------
    ensemble : array_like, (N, D)
        Float32 or float64, computed in float64; on the CPU, members sorted.
    truth : array_like, (D,)
        In the dtype of the ensemble.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If the squares of finite numbers overflow.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> found = ef.metrics.of_components(np.array([[-1.0, 0.0], [1.0, 2.0]]), np.array([0.5, 1.0]))
    >>> found.squared_error, found.crps
    (array([0.25, 0.  ]), array([0.5, 0.5]))
    """
    x = _checks.ensemble("ensemble", ensemble, members=1, batch=False)
    reference = _checks.shaped("truth", truth, x.shape[1:], x.dtype, "one value a component")
    _checks.alike(ensemble=ensemble, truth=truth)
    x, reference = _arrays.to_host(x), _arrays.to_host(reference)
    for name, array in {"ensemble": x, "truth": reference}.items():
        _checks.finite(name, array)
    members, dim = x.shape
    found = np.empty((4, dim))
    # sum_jk |x_j - x_k| is 2 sum_k (2 k - N - 1) x_(k) of sorted members, k from 1
    factor = 2 * np.arange(1, members + 1) - members - 1.0
    step = max(1, _BLOCK // members)
    for first in range(0, dim, step):
        part = slice(first, first + step)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
            z = np.sort(x[:, part].astype(np.float64) - reference[part], axis=0)
            absolute, apart = np.abs(z).mean(axis=0), factor @ z / members
            found[0, part] = z.mean(axis=0) ** 2
            found[1, part] = z.var(axis=0, ddof=1) if members > 1 else 0.0
            found[2, part] = absolute - apart / members
            found[3, part] = absolute - apart / (members - 1) if members > 1 else np.nan
    if not np.isfinite(found[:3]).all():
        raise FloatingPointError(_OVERFLOW)
    return ComponentScores(*found)
