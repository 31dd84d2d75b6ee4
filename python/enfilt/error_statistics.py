"""How well observations are known: the statistics of their errors."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks
from .error_covariance import ErrorCovariance, Transform

Array = npt.NDArray[Any]


class ErrorStatistics:
    """The part of an `Observation` that knows R, from `std` or from `covariance`."""

    std: float | npt.ArrayLike | None
    covariance: Any
    _error: ErrorCovariance | None

    def _check_errors(self) -> None:
        """Check `std` and `covariance`, and keep copies of them that nobody writes to."""
        if (self.std is None) == (self.covariance is None):
            what = "both missing" if self.std is None else "both given"
            raise ValueError(
                f"std and covariance are {what}: expected std, r of errors that are not "
                f"correlated, or covariance, R of any"
            )
        if self.covariance is not None:
            object.__setattr__(self, "_error", ErrorCovariance(self.covariance))
            if hasattr(self.covariance, "tocsr"):
                kept = self.covariance.copy()
            else:
                kept = _checks.numbers("covariance", self.covariance).copy()
                kept.flags.writeable = False
            object.__setattr__(self, "covariance", kept)
            return
        std = _checks.numbers("std", self.std)
        if std.ndim > 1 or not std.size:
            raise ValueError(
                f"std has shape {std.shape}: expected one number or (m,) (a matrix is covariance=)"
            )
        # within them 1/std^2 is a number, too
        allowed = (std >= 1e-150) & (std <= 1e150) | (np.isnan(std) & (std.ndim > 0))
        bad = np.flatnonzero(~allowed)
        if bad.size:
            where = f"std[{bad[0]}]" if std.ndim else "std"
            raise ValueError(
                f"{where}={std.flat[bad[0]]}: expected finite standard deviations above zero, "
                f"from 1e-150 to 1e150"
            )
        if std.ndim:
            std = std.copy()
            std.flags.writeable = False
            object.__setattr__(self, "std", std)
        else:
            object.__setattr__(self, "std", float(std))

    @functools.cached_property
    def r(self) -> npt.NDArray[np.float64]:
        """The standard deviation of the errors, () or (m,): `std`, or that of `covariance`."""
        return np.asarray(self.std, np.float64) if self._error is None else self._error.std

    @property
    def is_correlated(self) -> bool:
        """Whether errors are correlated."""
        return self._error is not None and not self._error.is_diagonal

    def decorrelation(self, y: Array, *, symmetric: bool = False) -> Transform | None:
        """Return T such that errors of T y, (m,), are not correlated, and of size r as before.

        None where they are not. The choice of T, of which many do, is that of
        `ErrorCovariance.transform`.
        """
        if self._error is None or self._error.is_diagonal:
            return None
        return self._error.transform(np.isnan(y), symmetric=symmetric)

    def errors(self, normals: Array, y: Array) -> Array:
        """Return errors as those of y, (m,), made of standard normals (..., m)."""
        errors, transform = self.r * normals, self.decorrelation(y)
        return errors if transform is None else transform.inverse(errors)

    def error_covariance(self, seen: npt.NDArray[np.int64], m: int) -> npt.NDArray[np.float64]:
        """Return R of those of m observations that are `seen`, (k, k)."""
        if self._error is None:
            return np.diag(np.broadcast_to(self.r, (m,))[seen] ** 2)
        return self._error.marginal(seen)

    def precision(self, dtype: npt.DTypeLike) -> Array:
        """Return 1/r^2, of shape (1,) or (m,), in `dtype`.

        Raises
        ------
        FloatingPointError
            If 1/r^2 is too large for `dtype`.
        """
        kind = _checks.float_dtype("dtype", dtype)
        found = self._precisions.get(kind)
        if found is None:
            found = self._precisions[kind] = self._precision(kind)
        return found

    @functools.cached_property
    def _precisions(self) -> dict[np.dtype[Any], Array]:
        """1/r^2 by dtype, made once and read-only."""
        return {}

    def _precision(self, kind: np.dtype[Any]) -> Array:
        std = np.atleast_1d(self.r)
        precision: Array = 1.0 / np.where(np.isnan(std), np.inf, std) ** 2  # NaN: not observed
        if kind == np.float32 and precision.max() > np.finfo(np.float32).max:
            raise FloatingPointError(
                f"std goes down to {np.nanmin(self.r):.3g}, 1/std^2 of which is no number in "
                f"float32: expected at least 6e-20, or float64"
            )
        precision = np.ascontiguousarray(precision, kind)
        precision.flags.writeable = False
        return precision

    def weighted(self, h: Array, y: Array) -> Array:
        """Return R^-1 (y - h), with zeros where y is NaN."""
        xp = _arrays.namespace(h)
        missing = xp.isnan(y)
        apart = xp.where(missing, 0, y) - h
        if self.is_correlated:
            known = np.where(missing, 0, apart)
            return self._by_pattern(missing, known, adjoint=True).astype(h.dtype)
        scaled = _arrays.beside(h, self.precision(h.dtype)) * apart
        weighted: Array = xp.where(missing, xp.zeros((), h.dtype), scaled)
        return weighted

    def misfit_of_values(self, h: Array, y: Array) -> Array:
        """Return J of h(x), (...,) for (..., m)."""
        xp = _arrays.namespace(h)
        missing = xp.isnan(y)
        residual = xp.where(missing, 0, y - h).astype(np.float64)
        if self.is_correlated:
            residual = self._by_pattern(missing, residual)
        precision = _arrays.beside(h, self.precision(np.float64))
        result: Array = 0.5 * xp.sum(precision * residual**2, axis=-1)
        return result

    def _by_pattern(self, missing: Array, apart: Array, *, adjoint: bool = False) -> Array:
        """Return T d for d (..., m), or T^T diag(1/r^2) T d; `missing` is (m,) or as d."""
        if missing.ndim > 1:
            pairs = zip(missing, apart, strict=True)
            return np.stack([self._by_pattern(gone, d, adjoint=adjoint) for gone, d in pairs])
        assert self._error is not None  # its blocks are those of correlated errors
        transform = self._error.transform(missing)
        decorrelated = transform(apart)
        return transform.adjoint(decorrelated / self.r**2) if adjoint else decorrelated

    @functools.cached_property
    def _unknown(self) -> npt.NDArray[np.int64]:
        """The observations whose error is not known."""
        return _arrays.frozen(np.flatnonzero(np.isnan(self.r)))

    def check_seen(self, y: Array) -> None:
        """Check that nothing is observed, (..., m), whose error is NaN.

        Raises
        ------
        ValueError
            If something is; the message gives its index.
        """
        if not self._unknown.size or y.shape[-1] != self.r.size:
            return  # of another size, whoever takes h(x) says so
        held = y[..., _arrays.beside(y, self._unknown)]
        seen = np.argwhere(~np.isnan(_arrays.to_host(held)))
        if seen.size:
            *lead, k = seen[0]
            at = self._unknown[k]
            where = ", ".join(map(str, [*lead, at]))
            raise ValueError(
                f"std[{at}] is nan, but y[{where}] is observed: expected a standard deviation, or "
                f"NaN in y"
            )
