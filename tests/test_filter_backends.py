"""Filters made of shared kernels, on every backend against NumPy's.

EnFF, EnSF, the LETKF, the Kalman family and the linear form of MASF are held against it in files
of their own.

Tolerance: 1000 eps of the largest number. 15 steps are some 300 rounded operations, which leave 5
eps where nothing multiplies them; a path that comes by a fork between two members of the prior
multiplies what went before by up to a hundred, and 160 eps are seen.
"""

import dataclasses
import inspect

import numpy as np
import pytest
from conftest import OTHER_KINDS
from pairs import pairs

import enfilt as ef
from enfilt import backends
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


@pairs(
    {
        "other_backend, dtype": OTHER_KINDS,
        "name": list(FILTERS),
        "members, dim": [(2, 1), (3, 513), (20, 2), (33, 257)],
    }
)
def test_equals_numpy(other_backend, dtype, name, members, dim):
    rng = np.random.default_rng([members, dim])
    operator = ef.operators.Arctan()
    obs = ef.Observation(operator, std=0.5 + rng.random(dim))
    truth = rng.standard_normal(dim)
    forecast = truth + rng.standard_normal((2, members, dim)) / np.sqrt(dim)
    y = operator(truth[None])[0] + 0.5 * rng.standard_normal((2, dim))
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
    assert error <= 1000 * np.finfo(dtype).eps


UNSEEN = {
    "EnFF": ef.EnFF(sigma_min=0.01, steps=2, strength=0.001),
    "EnFF Heun": ef.EnFF(sigma_min=0.01, steps=2, strength=0.001, sampler="heun"),
    "EnFF monte-carlo": ef.EnFF(sigma_min=0.01, steps=2, guidance="monte-carlo"),
    "EnFF covariance": ef.EnFF(path="ot", sigma_min=0.3, steps=2, guidance="covariance"),
    "EnSF": ef.EnSF(steps=2, eps_alpha=0.4, eps_beta=0.3, score_limit=10.0),
    "EnSF paired": ef.EnSF(steps=2, score="paired", score_limit=10.0),
    "BootstrapPF": ef.BootstrapPF(),
    "LETKF": ef.LETKF(ef.localization.GaspariCohn(3.0)),
    "LEnFF": ef.LEnFF(ef.localization.GaspariCohn(3.0), steps=2),
}


@pairs({"other_backend, dtype": OTHER_KINDS, "name": list(UNSEEN), "dim": [5, 200]})
def test_h_may_overflow_where_nothing_is_observed(other_backend, dtype, name, dim):
    """Kernels evaluate h in whole vectors; an infinite one without an observation is nobody's."""
    rng = np.random.default_rng(dim)
    x = (1 + 0.01 * rng.standard_normal((6, dim))).astype(dtype)
    x[:, 2] *= 1e5  # the 64th power is infinite in both dtypes, the square is not
    y = np.ones(dim, dtype)
    y[2] = np.nan
    obs = ef.Observation(ef.operators.Power(64), std=3.0, grid=ef.grids.RegularGrid((dim,)))
    filt = dataclasses.replace(UNSEEN[name], backend=other_backend)
    assert np.isfinite(filt.analysis(x, y, obs, previous=x, rng=1)).all()


def test_a_backend_has_the_kernels_that_it_defines():
    kernels = backends.get("numpy")
    optional = [
        *(kernels.flow_analysis, kernels.flow_analysis_with_gains, kernels.diffusion_analysis),
        *(kernels.letkf_window, kernels.lenff_window),
    ]
    for kernel in optional:
        assert not kernels.has(kernel)
        with pytest.raises(NotImplementedError, match="the backend 'numpy' has no"):
            kernel(*[None] * (len(inspect.signature(kernel).parameters)))
    if "cpp" in backends.available():
        core = backends.get("cpp")
        assert all(core.has(getattr(core, kernel.__name__)) for kernel in optional)
