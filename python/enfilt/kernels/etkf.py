"""The ensemble transform Kalman filter's analysis."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .. import _arrays, _checks
from . import ensemble_space
from ._analysis import checked
from .ensemble_space import Matrix, Products

Array = npt.NDArray[Any]

#: Of more members LAPACK's eigenvectors are found sooner than the kernel's roots.
MOST_MEMBERS = 256


@_arrays.as_it_came
def etkf(
    forecast: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    observed: npt.ArrayLike,
    std: float | npt.ArrayLike,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Return the analysis of the ensemble transform Kalman filter; see `enfilt.ETKF`.

    With anomalies A and Y of x and h(x), C = (N-1) I + Y R^-1 Y^T and the innovation
    d = y - mean h(x), the mean moves by C^-1 Y R^-1 d A, and the anomalies become
    sqrt(N-1) C^-1/2 A; Hunt, Kostelich, Szunyogh (2007), section 2.3.

    Parameters
    ----------
    forecast : array_like, (N, D)
        The forecast ensemble, N >= 2.
    y : array_like, (m,)
        Observations; NaN: not observed.
    observed : array_like, (N, m)
        h(x), a member a row.
    std : float or array_like, (m,)
        r, the standard deviation of errors that are not correlated: R = diag(r^2). Observations
        with a covariance R = L L^T are given as L^-1 y and L^-1 h(x) with `std` 1.
    out : ndarray, (N, D), optional
        Where the analysis goes; `forecast` itself is allowed.
    backend : str
        "auto", "cpp", "numba", "numpy" or "cuda".

    Returns
    -------
    ndarray, (N, D)
        Where nothing is observed it is the forecast, bit for bit.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the message names it.
    FloatingPointError
        If finite numbers overflow.

    Examples
    --------
    A mean of 0 and a variance of 2 meet an observation of 3 with a variance of 1, and become
    2 and 2/3:

    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.kernels.etkf(x, [3.0], observed=x, std=1.0).round(4)
    array([[1.4226],
           [2.5774]])
    """
    given = checked(forecast, y, observed, std, out, backend)

    def write(result: Array) -> None:
        kernels = given.backend
        if kernels.has(kernels.etkf) and len(given.forecast) <= MOST_MEMBERS:
            observed = _checks.contiguous(given.observed)
            kernels.etkf(given.forecast, observed, given.y, given.precision, result)
            return
        parts = ensemble_space.in_parts(given.observed)
        products = ensemble_space.products(parts, given.y, given.precision, len(given.forecast))
        ensemble_space.combine(given.forecast, coefficients(products, None), result)

    return given.analysed(write, out)


def coefficients(products: Products, rotation: Matrix | None) -> Matrix:
    """Return the combinations (N, N) of anomalies that the members of the analysis are.

    With `rotation`, (N, N), the anomalies of the analysis are multiplied by it.
    """
    spectrum = ensemble_space.spectrum(products.gram)
    transform = spectrum.transform()
    if rotation is not None:
        transform = rotation @ transform
    result: Matrix = spectrum.power(-1) @ products.innovation + transform
    return result
