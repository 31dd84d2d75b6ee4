"""A taper that follows from the ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FromEnsemble:
    """A taper whose cutoff follows from the ensemble, cycle by cycle: there is nothing to choose.

    The factor that takes the ensemble's covariances P closest to the true ones in mean square
    follows, for N Gaussian members, from their own moments (Menetrier, Montmerle, Michel, Berre
    2015, "Linear filtering of sample covariances for ensemble-based data assimilation"): by
    distance, averaged over space and with memory over cycles,

        rho = ((N - 1) mean P_ij^2 - mean P_ii P_jj) / (N mean P_ij^2),  over its value at i = j.

    The taper is the Gaspari-Cohn function that holds sqrt(N/5) times as many places (from 1 to 2
    times) as the one closest to rho; or a narrower one, the widest with which nine places in ten
    get at most N/4 degrees of freedom for signal,
    sum_k rho_k p_k/(p_k + r_k^2), from the observations about them, p_k being the ensemble's
    variance of h_k(x). It is for `LEnFF`, `LETKF` and the localized `EnKF`.

    The filter's `facts` tell it as ``cutoff``. The filter remembers the means from cycle to cycle,
    for each ensemble of a batch, until its `reset`, which a twin experiment calls when a run
    begins.

    Notes
    -----
    Distances are those of the observation's grid, and need not be regular: on coordinates of the
    user's, pairs are put in bins. Of more than some thousand places, enough pairs are looked at,
    ever the same.

    Of a grid of several variables, each pair of them has a taper of its own (`ByVariable`), by its
    own covariances; between two variables its weight at distance 0 is fitted as well. `facts` then
    tell the longest cutoff, and ``cutoff of variable 0`` and so on. Where places do not tell the
    variable of an observation, all have one. To bound what an analysis costs, a taper holds at most
    256 places of one variable, counted by its weights.

    Examples
    --------
    >>> import numpy as np, enfilt as ef
    >>> rng = np.random.default_rng(0)
    >>> obs = ef.Observation(ef.operators.Identity(), std=5.0, grid=ef.grids.RegularGrid((200,)))
    >>> filt = ef.LETKF(ef.localization.FromEnsemble())
    >>> noise = rng.standard_normal((10, 200))
    >>> smooth = sum(np.roll(noise, shift, axis=1) for shift in range(8)) / np.sqrt(8)
    >>> analysis = filt.analysis(smooth, np.zeros(200), obs)
    >>> bool(8 < filt.facts["cutoff"] < 30)  # correlations reach 8 places
    True
    """

    def is_none(self, grid: Any) -> bool:
        """Return False: what it will find is not known."""
        return False
