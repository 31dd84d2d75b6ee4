"""Lorenz-96 with every second component observed."""

from __future__ import annotations

from ..filters import EnFF
from ..models import Lorenz96
from ..observation import Observation
from ..operators import Arctan, Every
from .base import Preset

PRESET = Preset(
    name="lorenz96-partial",
    title="Lorenz-96, D = 40, arctan of every second component",
    model=Lorenz96(dim=40, forcing=8.0, dt=0.01),
    obs=Observation(Arctan() @ Every(2), std=0.05),
    filter=EnFF(path="f2p", guidance="local", steps=19, sigma_min=0.01, strength=0.05),
    members=20,
    cycles=300,
    steps_per_cycle=10,
    spinup=1000,
    initial_mean="zero",
    initial_std=1.0,
)
