"""Filters made of shared kernels, on every backend against NumPy's.

EnFF, EnSF, the LETKF, the Kalman family and the linear form of MASF are held against it in files
of their own.

Tolerance: 200 eps of the largest number. 15 steps are some 300 rounded operations, which add up
like a random walk, and 1/s^2 multiplies those of early ones; 20 eps is the most that is seen.
"""

import dataclasses

import numpy as np
import pytest

import enfilt as ef
from enfilt.priors import EnsemblePrior

FILTERS = {
    "MASF": ef.MASF(mode="published", prior=EnsemblePrior(0.4), steps=15),
    "MASF of members": ef.MASF(mode="published", prior=EnsemblePrior(), steps=15),
    "ScoreFilter": ef.ScoreFilter(prior=EnsemblePrior(0.3), steps=15, score_limit=20.0),
    "ScoreFilter of members": ef.ScoreFilter(prior=EnsemblePrior(), steps=15),
    "SSLS": ef.SSLS(prior=EnsemblePrior(0.3), steps=15),
    "SSLS of members": ef.SSLS(prior=EnsemblePrior(), steps=15, anneal_init=1.0, anneal_steps=3),
    "BootstrapPF": ef.BootstrapPF(jitter=0.5),
    "BootstrapPF residual": ef.BootstrapPF(resampling="residual", jitter=0.5),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(("members", "dim"), [(2, 1), (3, 33), (20, 2), (33, 1025)])
def test_equals_numpy(other_backend, dtype, name, members, dim):
    rng = np.random.default_rng([members, dim])
    operator = ef.operators.Arctan() @ ef.operators.Every(2)
    obs = ef.Observation(operator, std=0.5 + rng.random(-(-dim // 2)))
    truth = rng.standard_normal(dim)
    forecast = truth + rng.standard_normal((2, members, dim)) / np.sqrt(dim)
    y = operator(truth[None])[0] + 0.5 * rng.standard_normal((2, -(-dim // 2)))
    y[0, 1::3] = np.nan
    filt = FILTERS[name]
    draws = () if "PF" in name else (filt.steps + 1,)
    noise = rng.standard_normal((2, *draws, members, dim))
    x, y, noise = (a.astype(dtype) for a in (forecast, y, noise))
    result, expected = (
        dataclasses.replace(filt, backend=backend).analysis(x, y, obs, rng=1, noise=noise)
        for backend in (other_backend, "numpy")
    )
    assert result.dtype == expected.dtype == dtype
    assert np.abs(expected - x).max() > 0.01
    error = np.abs(result.astype(np.float64) - expected).max() / np.abs(expected).max()
    assert error <= 200 * np.finfo(dtype).eps
