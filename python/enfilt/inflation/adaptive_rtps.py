"""Relaxation to the spread of the forecast by as much as the innovations ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Array, Inflation

#: The largest relaxation. Where an analysis is hardly narrower than its forecast, the formula for
#: it has next to nothing to divide by.
LARGEST = 2.0


@dataclass(frozen=True)
class AdaptiveRTPS(Inflation):
    """Relax the spread to that of the forecast, by as much as the innovations ask for.

    Adaptive covariance relaxation: Ying, Zhang (2015), "An adaptive covariance relaxation method
    for ensemble data assimilation"; Kotsuki, Ota, Miyoshi (2017), "Adaptive covariance relaxation
    methods for ensemble data assimilation: experiments in the real atmosphere". As with `RTPS`, the
    anomalies of each component are multiplied by 1 + a (s_f - s_a)/s_a, the spreads being those of
    forecast and analysis. a is one number for all components, another in each cycle: the one that
    makes the spread of the analysis, as the observations see it, sqrt(lambda) times as large,

        a = (sqrt(lambda) - 1)/(beta - 1),  beta^2 = sum_k p_k/r_k^2 / sum_k pa_k/r_k^2,

    with the ensemble's variances p and pa of h_k(x) before and after the analysis. lambda, at least
    1, is the factor by which innovations say that p is too small, with the memory of `Adaptive`
    without places. a is at most 2 (`LARGEST`), and 0 where the analysis is no narrower than the
    forecast.

    It is here to compare with `Adaptive`, which widens the forecast instead.

    Notes
    -----
    `facts` of the filter tell lambda as ``inflation`` and a as ``relaxation``. The filter remembers
    lambda, for each ensemble of a batch, until its `reset`. h is evaluated for the analysis, too:
    an observation without an operator will not do. Where errors are correlated, each observation is
    looked at by itself. Without a filter, `apply` has no innovations
    and changes nothing.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=1.0)
    >>> filt = ef.ETKF(inflation=ef.inflation.AdaptiveRTPS())
    >>> for cycle in range(50):  # errors of the forecast 1.2 times its spread
    ...     forecast = 1.2 * rng.standard_normal(400) + rng.standard_normal((20, 400))
    ...     analysis = filt.analysis(forecast, obs.simulate(np.zeros(400), rng), obs)
    >>> bool(1.2 < filt.facts["inflation"] < 1.7), bool(0 < filt.facts["relaxation"] < 1)
    (True, True)
    """

    needs_h_of_analysis: ClassVar[bool] = True

    @property
    def is_identity(self) -> bool:
        return True  # without innovations

    def _anomalies(self, analysis: Array, forecast: Array) -> Array:
        return analysis

    def relaxation(self, factor: float, before: float, after: float) -> float:
        """Return a.

        Parameters
        ----------
        factor : float
            lambda.
        before, after : float
            sum p/r^2 of the forecast and of the analysis.
        """
        if not 0 < after < before < np.inf:
            return 0.0
        wanted, gap = np.sqrt(factor) - 1, np.sqrt(before / after) - 1
        return float(min(wanted / gap, LARGEST)) if gap > 0 else 0.0
