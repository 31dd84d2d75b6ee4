"""Every filter keeps the contract of `enfilt.testing`, with its main options, on every backend."""

import dataclasses
import math

import pytest

import enfilt as ef
from enfilt.inflation import RTPP, RTPS, Adaptive
from enfilt.localization import GaspariCohn
from enfilt.priors import GaussianPrior

TAPER = GaspariCohn(3.0)
MODEL = ef.models.Lorenz96(dim=10, dt=0.05)


def spin(t, z, v, x_hat, y, obs):
    """A guidance of the user's, that writes to all that it is given."""
    pull = 0.1 * obs.gradient(z, y)
    z[...] = v[...] = x_hat[...] = math.nan
    return pull


# Options meet in pairs, not in products: each path, guidance, sampler and inflation once or twice.
FILTERS = {
    "f2p": ef.EnFF(steps=3),
    "monte-carlo": ef.EnFF(steps=3, sampler="heun", guidance="monte-carlo", algorithm="streaming"),
    "independent": ef.EnFF(steps=3, coupling="independent", inflation=RTPS(0.5)),
    "guidance of the user": ef.EnFF(steps=3, guidance=spin),
    "ot reduced": ef.EnFF(path="ot", steps=3, algorithm="reduced", inflation=1.1),
    "ot covariance": ef.EnFF(path="ot", steps=3, guidance="covariance", algorithm="streaming"),
    "ve covariance": ef.EnFF(
        path="ve", steps=3, guidance="covariance", sampler="heun", inflation=Adaptive()
    ),
    "ve none": ef.EnFF(path="ve", steps=3, guidance="none"),
    "lenff": ef.LEnFF(TAPER),
    "lenff auto": ef.LEnFF(TAPER, steps="auto", inflation=Adaptive()),
    "ensf": ef.EnSF(steps=8),
    "ensf paired ode": ef.EnSF(steps=8, sampler="ode", score="paired", inflation=RTPP(0.5)),
    "ensf reduced": ef.EnSF(steps=8, sampler="ode", standardize_start=True, algorithm="reduced"),
    "ensf-lr": ef.EnSF(steps=8, score_limit=10.0, regress_unobserved=True, localization=TAPER),
    "ensf-lr paired": ef.EnSF(steps=8, score="paired", regress_unobserved=True, damping=math.cos),
    "masf": ef.MASF(steps=8),
    "masf gaussian": ef.MASF(steps=8, prior=GaussianPrior(), schedule="linear"),
    "masf published": ef.MASF(steps=8, mode="published", guidance_weight=0.5),
    "sf": ef.ScoreFilter(steps=8),
    "sf gaussian": ef.ScoreFilter(
        steps=8, prior=GaussianPrior(TAPER), damping=math.cos, score_limit=None
    ),
    "ssls": ef.SSLS(steps=8),
    "pf systematic": ef.BootstrapPF(),
    "pf residual": ef.BootstrapPF(resampling="residual", threshold=0.5, jitter=0.5),
    "pf multinomial": ef.BootstrapPF(resampling="multinomial", inflation=Adaptive()),
    "enkf": ef.EnKF(),
    "enkf localized": ef.EnKF(1.1, TAPER),
    "denkf": ef.EnKF(method="denkf", inflation=RTPS(0.5)),
    "etkf": ef.ETKF(RTPP(0.5)),
    "etkf rotate": ef.ETKF(rotate=True, inflation=Adaptive()),
    "letkf": ef.LETKF(TAPER),
    "letkf rotate": ef.LETKF(TAPER, rotate=True, inflation=RTPS(0.5)),
    "ienkf": ef.IEnKF(MODEL, 2),
    "ienkf bundle": ef.IEnKF(MODEL, 2, method="bundle", iterations=2, inflation=1.1),
    "kalman": ef.KalmanFilter(Adaptive()),
    "enks": ef.EnKS(ef.LETKF(TAPER, inflation=RTPS(0.5)), lag=2),
    "ienks": ef.IEnKS(MODEL, 2, lag=2, inflation=1.1),
    "ilenff": ef.ILEnFF(MODEL, 2, ef.LEnFF(TAPER), lag=2),
}


@pytest.mark.parametrize("filt", FILTERS.values(), ids=FILTERS)
def test_contract(filt, backend):
    filt = dataclasses.replace(filt, backend=backend)
    ef.testing.check_filter(filt)
