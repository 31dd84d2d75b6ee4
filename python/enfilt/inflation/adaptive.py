"""Inflation of the forecast by factors from its innovations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _checks, backends
from ..backends.problems import InnovationSums
from ..observation import Observation
from .base import Array, Inflation, check_finite, check_overflow

#: q of `Adaptive`: the standard deviation with which the factor of the cycles before is known.
MEMORY = 0.1


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
    Where errors are correlated, it looks at each observation by itself.
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

    is_of_forecast: ClassVar[bool] = True

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
        seen = _checks.floating("y", y, x.dtype, missing=True, rounded=True)
        m = obs.told_size(x.shape[-1])
        seen = _checks.shaped("y", seen, (seen.size if m is None else m,), x.dtype, "(m,)")
        kernels = backends.of_arrays("auto", forecast=x, y=seen)
        obs.check_seen(seen)
        check_finite(kernels, forecast=x)
        if not kernels.on_device:
            _checks.not_infinite("y", seen)
        of_state = None
        if observed is not None:
            x = _checks.shaped(
                "observed", observed, (len(x), seen.size), x.dtype, "(N, m)", rounded=True
            )
            check_finite(kernels, observed=x)
        else:
            of_state = obs.components(x.shape[-1], seen)
        with np.errstate(over="ignore", invalid="ignore"):  # then there is nothing to learn
            if of_state is not None and of_state.kind not in kernels.kinds:
                of_state = None
            if of_state is None and observed is None:
                x = _checks.contiguous(obs.observe(x, seen.size))
            return factor_after(kernels.innovations(x, of_state or obs.of_values(seen)), known)

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
        check_finite(kernels, forecast=rows)
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it better
            kernels.widen(rows.reshape(batch), np.atleast_1d(variance), target.reshape(batch))
        check_overflow(kernels, "out", target)


def factor_after(sums: InnovationSums, known: float) -> float:
    """Return lambda, one for all observations, after innovations with these sums.

    Parameters
    ----------
    sums : InnovationSums
    known : float
        lambda after the cycles before, at least 1.
    """
    seen, ratio, squares, misfit = sums
    total = known**2 * squares + 2 * known * ratio + seen
    excess = misfit - seen - ratio
    return 1 + float(excess_after(known - 1, MEMORY**2, excess, ratio, total)[0])


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
