"""Lorenz-96 with a million components, as in the flow filter's paper."""

from __future__ import annotations

from ..filters import LETKF, EnFF, EnSF
from ..inflation import RTPS
from ..localization import GaspariCohn
from ..models import Lorenz96
from ..observation import Observation
from ..operators import Arctan
from .base import Preset, Published

PRESET = Preset(
    name="lorenz96-1m",
    title="Lorenz-96, D = 1,000,000, arctan of every component, as published",
    model=Lorenz96(dim=1_000_000, forcing=8.0, dt=0.01),
    obs=Observation(Arctan(), std=0.05),
    filter=EnFF(path="f2p", guidance="local", steps=19, sigma_min=0.01, strength=0.05),
    members=20,
    cycles=80,
    steps_per_cycle=10,
    spinup=1000,
    initial_mean="zero",
    initial_std=1.0,
    dtype="float32",
    published=Published(
        rmse=0.1725, low=0.160, high=0.190, last=50, source="Transue et al. 2025, arXiv:2508.13313"
    ),
    rivals={
        "ensf": EnSF(steps=99, score_limit=50.0),  # published by the same: RMSE 0.403
        "letkf": LETKF(GaspariCohn(14.0), RTPS(0.3)),
    },
)
