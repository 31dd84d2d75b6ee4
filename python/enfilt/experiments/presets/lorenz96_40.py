"""Lorenz-96 with 40 components, all observed: the field's first benchmark."""

from __future__ import annotations

from ...filters import ETKF, LETKF, MASF, SSLS, BootstrapPF, EnFF, EnKF, EnSF
from ...localization import GaspariCohn
from ...models import Lorenz96
from ...observation import Observation
from ...operators import Identity
from ...priors import GaussianPrior
from ..preset import Preset, Published, Variant
from ..twin import TwinExperiment

_SOURCE = "Sakov, Oke 2008, as run by DAPPER"

PRESET = Preset(
    name="lorenz96-40",
    title="Lorenz-96, D = 40, every component observed, r = 1, as published",
    twin=TwinExperiment(
        model=Lorenz96(dim=40, forcing=8.0, dt=0.05),
        obs=Observation(Identity(), std=1.0),
        cycles=1400,  # the first 400 are burn-in
        steps_per_cycle=1,
        spinup=1000,
        initial_mean="truth",
        initial_std=1.0,
    ),
    filter=ETKF(inflation=1.013, rotate=True),
    members=24,
    published=Published(rmse=0.18, low=0.16, high=0.20, last=1000, source=_SOURCE),
    variants=(
        Variant(EnKF(inflation=1.06), 40, Published(0.22, 0.20, 0.24, 1000, _SOURCE)),
        Variant(
            LETKF(GaspariCohn(14.56), inflation=1.04, rotate=True),
            7,
            Published(0.22, 0.20, 0.24, 1000, _SOURCE),
        ),
    ),
    rivals={
        "enkf": EnKF(inflation=1.06),
        "letkf": LETKF(GaspariCohn(14.56), inflation=1.04, rotate=True),
        # chosen on seeds 0 and 1
        "enff": EnFF(path="f2p", guidance="local", steps=10, sigma_min=0.1, strength=0.2),
        "ensf": EnSF(steps=99),
        "masf": MASF(prior=GaussianPrior(GaspariCohn(14.0)), inflation=1.05),
        "ssls": SSLS(prior=GaussianPrior(GaspariCohn(14.0)), steps=200, step_size=4e-3),
        "bpf": BootstrapPF(jitter=1.0),
    },
)
