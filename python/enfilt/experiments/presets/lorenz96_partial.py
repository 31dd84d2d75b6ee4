"""Lorenz-96 with every second component observed."""

from __future__ import annotations

from ...filters import ETKF, LETKF, MASF, SSLS, BootstrapPF, EnFF, EnKF, EnSF
from ...inflation import RTPP, RTPS
from ...localization import GaspariCohn
from ...models import Lorenz96
from ...observation import Observation
from ...operators import Arctan, Every
from ...priors import GaussianPrior
from ..preset import Preset
from ..twin import TwinExperiment

PRESET = Preset(
    name="lorenz96-partial",
    title="Lorenz-96, D = 40, arctan of every second component",
    twin=TwinExperiment(
        model=Lorenz96(dim=40, forcing=8.0, dt=0.01),
        obs=Observation(Arctan() @ Every(2), std=0.05),
        cycles=300,
        steps_per_cycle=10,
        spinup=1000,
        initial_mean="zero",
        initial_std=1.0,
    ),
    filter=EnFF(path="f2p", guidance="local", steps=19, sigma_min=0.01, strength=0.05),
    members=20,
    # chosen on seeds 0 and 1
    rivals={
        "ensf": EnSF(
            steps=99, score_limit=50.0, regress_unobserved=True, localization=GaspariCohn(4.0)
        ),
        "masf": MASF(mode="published", prior=GaussianPrior(GaspariCohn(8.0)), inflation=RTPS(0.3)),
        "ssls": SSLS(prior=GaussianPrior(GaspariCohn(8.0)), steps=200),
        "enkf": EnKF(RTPS(0.5), GaspariCohn(8.0)),
        "etkf": ETKF(RTPP(0.3)),
        "letkf": LETKF(GaspariCohn(8.0), RTPS(0.5)),
        "bpf": BootstrapPF(jitter=1.0),
    },
)
