"""Lorenz-63, observed so seldom that it is nonlinear from one analysis to the next."""

from __future__ import annotations

import numpy as np

from ...filters import ETKF, MASF, BootstrapPF, EnFF, EnKF
from ...models import Lorenz63
from ...observation import Observation
from ...operators import Identity
from ...priors import EnsemblePrior
from ..preset import Preset, Published, Variant
from ..twin import TwinExperiment

_SOURCE = "Sakov, Oliver, Bertino 2012, as run by DAPPER"
_PARTICLES = BootstrapPF(jitter=1.0)

PRESET = Preset(
    name="lorenz63",
    title="Lorenz-63, every component observed every 0.25 time units, r^2 = 2, as published",
    twin=TwinExperiment(
        model=Lorenz63(dt=0.01),
        obs=Observation(Identity(), std=float(np.sqrt(2))),
        cycles=1400,  # the first 400 are burn-in
        steps_per_cycle=25,
        spinup=1000,
        initial_mean="truth",
        initial_std=1.0,
    ),
    filter=ETKF(inflation=1.02, rotate=True),
    members=10,
    published=Published(
        rmse=0.60,
        low=0.55,
        high=0.65,
        last=1000,
        source=_SOURCE,
    ),
    variants=(Variant(_PARTICLES, 800, Published(0.33, 0.28, 0.38, 1000, _SOURCE)),),
    rivals={
        "bpf": _PARTICLES,
        "enkf": EnKF(inflation=1.04),
        "enff": EnFF(path="f2p", guidance="local", steps=10, sigma_min=1.0, strength=1.0),
        "masf": MASF(prior=EnsemblePrior(bandwidth=1.0)),
    },
)
