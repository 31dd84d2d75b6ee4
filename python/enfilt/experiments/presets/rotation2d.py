"""A rotation of the plane, one coordinate observed: every filter beside the exact Kalman filter."""

from __future__ import annotations

import math

from ...filters import ETKF, BootstrapPF, EnFF, EnKF
from ...models import Linear
from ...observation import Observation
from ...operators import Subset
from ..preset import Preset
from ..twin import TwinExperiment

PRESET = Preset(
    name="rotation2d",
    title="Rotation of the plane with model noise, one coordinate observed: all is Gaussian",
    twin=TwinExperiment(
        model=Linear.rotation2d(math.pi / 12, model_noise=0.1),
        obs=Observation(Subset([0]), std=0.3),
        cycles=100,
        steps_per_cycle=1,
        spinup=0,
        initial_mean="zero",
        initial_std=1.0,
    ),
    filter=EnFF(path="ot", guidance="covariance", steps=40, sigma_min=0.01),
    members=100,
    rivals={
        "etkf": ETKF(),
        "enkf": EnKF(),
        "bpf": BootstrapPF(),
    },
)
