"""Lorenz-96 with a million components, as in the flow filter's paper."""

from __future__ import annotations

from ...filters import LETKF, EnFF, EnSF
from ...inflation import RTPS
from ...localization import GaspariCohn
from ...models import Lorenz96
from ...observation import Observation
from ...operators import Arctan
from ..preset import Preset, Published, Variant
from ..twin import TwinExperiment

_SOURCE = "Transue et al. 2025, arXiv:2508.13313"

PRESET = Preset(
    name="lorenz96-1m",
    title="Lorenz-96, D = 1,000,000, arctan of every component, as published",
    twin=TwinExperiment(
        model=Lorenz96(dim=1_000_000, forcing=8.0, dt=0.01),
        obs=Observation(Arctan(), std=0.05),
        cycles=80,
        steps_per_cycle=10,
        spinup=1000,
        initial_mean="zero",
        initial_std=1.0,
        dtype="float32",
    ),
    filter=EnFF(path="f2p", guidance="local", steps=19, sigma_min=0.01, strength=0.05),
    members=20,
    published=Published(rmse=0.1725, low=0.160, high=0.190, last=50, source=_SOURCE),
    variants=(
        Variant(
            EnFF(path="f2p", guidance="local", steps=9, sigma_min=0.1, strength=0.05),
            20,
            Published(0.1778, 0.160, 0.196, 50, _SOURCE),
        ),
        # their limit of 50 is not this one: clipped at 50 the error here is 0.37
        Variant(EnSF(steps=99), 20, Published(0.403, 0.363, 0.443, 50, _SOURCE)),
    ),
    quick={"model.dim": 20_000},
    rivals={
        "ensf": EnSF(steps=99, score_limit=50.0),
        "letkf": LETKF(GaspariCohn(14.0), RTPS(0.3)),
    },
)
