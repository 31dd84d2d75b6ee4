"""Inflation: widening an ensemble about its mean.

Each changes anomalies only, never the mean: those of the analysis, or where it is adaptive of the
forecast. With a factor of 1 or a relaxation of 0 it changes no bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from . import _arrays, _checks, backends
from .backends import Backend, ObservedComponents
from .backends import inflation as plain
from .backends.inflation import InflationProblem
from .observation import Observation

Array = npt.NDArray[Any]

#: q of `Adaptive`: the standard deviation with which the factor of the cycles before is known.
MEMORY = 0.1


class Inflation(ABC):
    """Widens an ensemble in place.

    One of your own defines `is_identity` and `_anomalies`, from which `apply` makes the ensemble a
    block of components at a time, in NumPy or CuPy. Those of this module are kernels of each
    backend: one pass over memory, with the same bits on any number of threads.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> class Additive(ef.inflation.Inflation):
    ...     '''Adds the forecast's anomalies.'''
    ...     is_identity = False
    ...
    ...     def _anomalies(self, analysis, forecast):
    ...         return analysis + forecast
    >>> x = np.array([[-1.0], [1.0]])
    >>> Additive().apply(x, np.array([[4.0], [8.0]]))
    >>> x.ravel()
    array([-3.,  3.])
    """

    @property
    @abstractmethod
    def is_identity(self) -> bool:
        """Whether it changes nothing."""

    @abstractmethod
    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        """Return the new anomalies from those of analysis and forecast, (N, block) each."""

    def apply(self, analysis: Array, forecast: Array, *, backend: str = "auto") -> None:
        """Widen `analysis` (..., N, D) in place.

        Parameters
        ----------
        analysis : ndarray, (..., N, D)
            Float32 or float64, changed in place.
        forecast : ndarray, as `analysis`
            The forecast that it came from.
        backend : str
            "auto", "cpp", "numba", "numpy" or "cuda".

        Raises
        ------
        TypeError, ValueError
            If an array is of another dtype or shape, or a value is not finite; the message names
            it.
        FloatingPointError
            If finite numbers overflow. On a GPU, which would have to be waited for, neither this
            nor a value that is not finite is looked for.
        """
        shape, dtype = _in_place("analysis", analysis)
        before = _checks.shaped("forecast", forecast, shape, dtype, "as analysis", members=2)
        kernels = backends.of_arrays(backend, analysis=analysis, forecast=before)
        if 0 in shape:
            return
        work = _checks.contiguous(analysis)
        _check_finite(kernels, analysis=work, forecast=before)
        if self.is_identity:
            return
        batch = (-1, *shape[-2:])
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
            self._apply(work.reshape(batch), before.reshape(batch), kernels)
        _check_overflow(kernels, "analysis", work)
        if work is not analysis:
            analysis[...] = work

    def _apply(self, analysis: Array, forecast: Array, kernels: Backend) -> None:
        """Widen `analysis` (B, N, D) in place, of arrays that were checked and are contiguous."""
        for part in plain.blocks(analysis):
            for one, other in zip(analysis, forecast, strict=True):
                a, f = one[:, part], other[:, part]
                mean = a.mean(axis=0)
                a[...] = mean + self._anomalies(a - mean, f - f.mean(axis=0))


class _Formula(Inflation):
    """An inflation that the backends have a kernel for."""

    _kind: ClassVar[str]

    @property
    @abstractmethod
    def _amount(self) -> float:
        """That of `enfilt.backends.inflation.InflationProblem`."""

    @property
    def is_identity(self) -> bool:
        return self._amount == 0

    def _problem(self, analysis: Array, forecast: Array) -> InflationProblem:
        amount = np.array([self._amount], analysis.dtype)
        return InflationProblem(self._kind, amount, analysis, forecast)

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        widened: Array = _arrays.namespace(analysis).empty_like(analysis)
        plain.inflate(self._problem(analysis[None], forecast[None]), widened[None])
        return widened

    def _apply(self, analysis: Array, forecast: Array, kernels: Backend) -> None:
        if type(self)._anomalies is not _Formula._anomalies:  # those of a subclass of the user's
            super()._apply(analysis, forecast, kernels)
        else:
            kernels.inflate(self._problem(analysis, forecast), analysis)


@dataclass(frozen=True)
class Multiplicative(_Formula):
    """Multiply the anomalies by a factor.

    Parameters
    ----------
    factor : float
        Above zero; 1 changes nothing.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.inflation.Multiplicative(1.5).apply(x, x.copy())
    >>> x.ravel()
    array([-1.5,  1.5])
    """

    factor: float

    _kind = "multiplicative"

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("factor", self.factor, above=0)

    @property
    def _amount(self) -> float:
        return self.factor - 1


@dataclass(frozen=True)
class RTPP(_Formula):
    """Relax the anomalies to those of the forecast: (1 - a) A_a + a A_f.

    Zhang, Snyder, Sun (2004), "Impacts of initial estimate and observation availability on
    convective-scale data assimilation with an ensemble Kalman filter", eq. 5.

    Parameters
    ----------
    relaxation : float
        a, from 0 (nothing) to 1 (the forecast's anomalies).

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.inflation.RTPP(0.5).apply(x, np.array([[-3.0], [3.0]]))
    >>> x.ravel()
    array([-2.,  2.])
    """

    relaxation: float

    _kind = "rtpp"

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("relaxation", self.relaxation, least=0, most=1)

    @property
    def _amount(self) -> float:
        return self.relaxation


@dataclass(frozen=True)
class RTPS(_Formula):
    """Relax the spread to that of the forecast, component by component.

    The anomalies are multiplied by 1 + a (s_f - s_a) / s_a. Whitaker, Hamill (2012), "Evaluating
    methods to account for system errors in ensemble data assimilation", eq. 2.

    Parameters
    ----------
    relaxation : float
        a, from 0 (nothing) to 1 (the forecast's spread).

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> x = np.array([[-1.0], [1.0]])
    >>> ef.inflation.RTPS(0.5).apply(x, np.array([[-3.0], [3.0]]))
    >>> x.ravel()
    array([-2.,  2.])
    """

    relaxation: float

    _kind = "rtps"

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        _checks.number("relaxation", self.relaxation, least=0, most=1)

    @property
    def _amount(self) -> float:
        return self.relaxation


@dataclass(frozen=True)
class Adaptive(Inflation):
    """Widen the forecast by factors that the innovations tell: there is no number to choose.

    With d = y - mean h and p the ensemble's variance of h(x), a forecast whose variance is too
    small by a factor lambda has E[d_k^2] = lambda p_k + r_k^2 (Desroziers, Berre, Chapnik, Poli
    2005, "Diagnosis of observation, background and analysis-error statistics in observation
    space"; Li, Kalnay, Miyoshi 2009, "Simultaneous estimation of covariance inflation and
    observation errors within an ensemble Kalman filter"). The innovations of some places tell

        a = sum_k w_k (d_k^2/r_k^2 - 1) / sum_k w_k p_k/r_k^2,
        v = 2 sum_k w_k^2 (lambda p_k/r_k^2 + 1)^2 / (sum_k w_k p_k/r_k^2)^2,

    v being the sampling variance of a for Gaussian innovations. The anomalies of the forecast are
    multiplied by sqrt(lambda) before the analysis, where lambda is at least 1 and comes from:

    - *Without places*: all observations, w = 1. The estimate of the cycles before counts with a
      variance q^2 that does not fall, as in Miyoshi (2011), "The Gaussian approach to adaptive
      covariance inflation and its implementation with the local ensemble transform Kalman filter":
      lambda moves by (a - lambda) q^2/(q^2 + v), a taken within two standard deviations of lambda.
    - *In a localized filter*: lambda_c = 1 + b t_c at component c, where t_c is what the noise of N
      members in a gain with the taper rho adds to the variance,

          t_c = sum_k rho_ck^2 s_k/(N - 1),  s_k = p_k/(r_k^2 + sum_l corr_kl^2 p_l),

      with mean squares of correlations from the ensemble. b is one for a start, and for each
      variable learned from its innovations (0.03 is the standard deviation of b t without them;
      what is learned fades over 100 cycles).
    - *Where components have places*, then, also for filters without localization: a factor for each
      component from the innovations about it in this cycle alone, w a Gaspari-Cohn taper that
      holds nine places. It counts by its variance against how much such factors differ from place
      to place, which the filter learns, too; and is at most four times that of its variable. It
      widens the patches that have lost the truth, so that they are found again.

    The filter remembers what it has learned, for each ensemble of a batch, until its `reset`, which
    a twin experiment calls when a run begins. `facts` tell the mean factor as ``inflation``, and as
    ``lost`` the share of components that have lost the truth: in three cycles one after the other
    more than half of what is observed about them was off by more than two standard deviations.

    Parameters
    ----------
    local : bool, optional
        Whether each variable and each component has a factor of its own. Default: where the
        components and the observations have places. False: one factor for all, as without places.

    Raises
    ------
    TypeError
        If `local` is none of these.

    Notes
    -----
    It needs the true r: observations that are worse than `std` says count as a forecast too narrow.
    q is 0.1 (`MEMORY`). In v, innovations of one place count as independent of those of another
    only as far as the ensemble's correlations allow. A class of yours that defines `estimate` or
    `widen` is taken as it is, with one factor for all.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=0.5)
    >>> filt = ef.ETKF(inflation=ef.inflation.Adaptive())
    >>> for cycle in range(50):  # errors of the forecast twice as large as its spread
    ...     forecast = 2 * rng.standard_normal(400) + rng.standard_normal((20, 400))
    ...     analysis = filt.analysis(forecast, obs.simulate(np.zeros(400), rng), obs)
    >>> bool(3.5 < filt.facts["inflation"] < 4.5)
    True
    """

    local: bool | None = None

    def __post_init__(self) -> None:
        _checks.python_numbers(self)
        if self.local is not None and not isinstance(self.local, bool | np.bool_):
            raise TypeError(f"local={self.local!r}: expected True, False or None")

    @property
    def is_identity(self) -> bool:
        return True  # of the analysis: what it widens is the forecast

    @property
    def is_changed(self) -> bool:
        """Whether a class of the user's estimates or widens its own way, by one factor."""
        kind = type(self)
        return kind.estimate is not Adaptive.estimate or kind.widen is not Adaptive.widen

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        return analysis

    def estimate(
        self,
        forecast: Array,
        y: Array,
        obs: Observation,
        known: float = 1.0,
        *,
        observed: npt.ArrayLike | None = None,
    ) -> float:
        """Return lambda after the innovations of one forecast.

        Parameters
        ----------
        forecast : ndarray, (N, D)
            Not widened.
        y : ndarray, (m,)
            NaN: not observed.
        obs : Observation
        known : float
            lambda after the cycles before, at least 1.
        observed : array_like, (N, m), optional
            h(x), where it is not the operator's.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, or a value is not finite; the message names it.
        """
        x = _checks.ensemble("forecast", forecast, members=1, batch=False)
        if not isinstance(obs, Observation):
            raise TypeError(f"obs={obs!r}: expected an enfilt.Observation")
        known = _checks.number("known", known, least=1, most=1e100)  # it is squared
        seen = _checks.floating("y", y, x.dtype, missing=True)
        m = obs.told_size(x.shape[-1])
        seen = _checks.shaped("y", seen, (seen.size if m is None else m,), x.dtype, "(m,)")
        kernels = backends.of_arrays("auto", forecast=x, y=seen)
        obs.check_seen(seen)
        _check_finite(kernels, forecast=x)
        if not kernels.on_device:
            _checks.not_infinite("y", seen)
        of_state = None
        if observed is not None:
            x = _checks.shaped("observed", observed, (len(x), seen.size), x.dtype, "(N, m)")
            _check_finite(kernels, observed=x)
        else:
            of_state = obs.components(x.shape[-1], seen)
        with np.errstate(over="ignore", invalid="ignore"):  # then there is nothing to learn
            if of_state is None and observed is None:
                x = _checks.contiguous(obs.observe(x, seen.size))
            return self.learn(x, of_state or obs.of_values(seen), kernels, known)

    def learn(
        self, x: Array, observed: ObservedComponents, kernels: Backend, known: float
    ) -> float:
        """Return what `estimate` does, of arrays that were checked: x, or h(x), (N, .)."""
        seen, ratio, squares, misfit = kernels.innovations(x, observed)
        total = known**2 * squares + 2 * known * ratio + seen
        excess = misfit - seen - ratio
        return 1 + float(excess_after(known - 1, MEMORY**2, excess, ratio, total)[0])

    def widen(self, forecast: Array, factor: npt.ArrayLike, out: Array) -> None:
        """Write a forecast, its variance times `factor`, to `out`.

        Parameters
        ----------
        forecast : array_like, (..., N, D)
            Float32 or float64.
        factor : float or array_like, (D,)
            Above zero; a component whose factor is 1 keeps every bit.
        out : ndarray, as `forecast`
            C-contiguous; `forecast` itself is allowed.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, or a value is not finite; the message names it.
        FloatingPointError
            If finite numbers overflow; on a GPU neither is looked for.
        """
        x = _checks.floating("forecast", forecast, members=2)
        shape = x.shape
        if x.ndim < 2:
            raise ValueError(f"forecast has shape {shape}: expected (..., N, D)")
        target = _checks.output("out", out, shape, x.dtype)
        variance = _checks.numbers("factor", factor)
        if variance.shape not in ((), (1,), shape[-1:]):
            raise ValueError(
                f"factor has shape {variance.shape}: expected one number or {shape[-1:]}"
            )
        if not (np.isfinite(variance) & (variance > 0)).all():
            raise ValueError(f"factor={factor!r}: expected finite numbers above zero")
        kernels = backends.of_arrays("auto", forecast=x, out=target)
        if 0 in shape:
            return
        batch = (-1, *shape[-2:])
        rows = _checks.contiguous(x)
        _check_finite(kernels, forecast=rows)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
            kernels.widen(rows.reshape(batch), np.atleast_1d(variance), target.reshape(batch))
        _check_overflow(kernels, "out", target)


def excess_after(mean: Any, variance: Any, excess: Any, ratio: Any, squares: Any) -> Any:
    """Return a of factors 1 + a t after innovations with these sums, and its variance.

    Parameters
    ----------
    mean, variance : float or ndarray
        What is known of a: its expectation, at least 0, and its variance.
    excess, ratio : as `mean`
        sum (d^2/r^2 - 1 - p/r^2) and sum t p/r^2.
    squares : as `mean`
        sum ((1 + a t) p/r^2 + 1)^2.
    """
    told = (ratio > 0) & np.isfinite(ratio)  # else nothing is seen, or nothing can be widened
    safe = np.where(told, ratio, 1)
    error = 2 * squares / safe**2
    gain = variance / (variance + error)
    limit = 2 * np.sqrt(error)
    new = mean + gain * np.clip(excess / safe - mean, -limit, limit)
    told = told & np.isfinite(new)
    return np.where(told, np.maximum(0, new), mean), np.where(told, (1 - gain) * variance, variance)


def _in_place(argument: str, value: Array) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Check an array (..., N, D) that is to be changed in place; return its shape and dtype."""
    if _checks.floating(argument, value, members=2) is not value:
        raise TypeError(
            f"{argument} is of type {type(value).__name__}: expected an array, which is changed "
            f"in place"
        )
    if value.ndim < 2:
        raise ValueError(f"{argument} has shape {value.shape}: expected (..., N, D)")
    if not (_arrays.on_device(value) or value.flags.writeable):
        raise ValueError(f"{argument} is read-only: expected an array that can be changed in place")
    return value.shape, value.dtype


def _check_finite(kernels: Backend, **arrays: Array) -> None:
    for name, array in arrays.items():
        if not kernels.on_device:
            _checks.finite(name, array, kernels.all_finite)


def _check_overflow(kernels: Backend, name: str, array: Array) -> None:
    if not (kernels.on_device or kernels.all_finite(array)):
        bad = _checks.first_bad(name, array)
        raise FloatingPointError(f"{bad} after inflation: expected smaller numbers, or float64")


def as_inflation(value: float | Inflation) -> Inflation:
    """Return `value` as an inflation; a number is the factor of a multiplicative one."""
    if isinstance(value, Inflation):
        return value
    return Multiplicative(_checks.number("inflation", value, above=0))
