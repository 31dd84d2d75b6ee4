"""The Kuramoto-Sivashinsky equation, observed through arctan, as in the flow filter's paper."""

from __future__ import annotations

from ...filters import EnFF
from ...models import KuramotoSivashinsky
from ...observation import Observation
from ...operators import Arctan
from ..preset import Preset, Published
from ..twin import TwinExperiment

PRESET = Preset(
    name="ks-1024",
    title="Kuramoto-Sivashinsky, D = 1,024, arctan of every component, as published",
    twin=TwinExperiment(
        model=KuramotoSivashinsky(dim=1024, domain=128.0, dt=0.25),
        obs=Observation(Arctan(), std=0.1),
        cycles=1000,
        steps_per_cycle=4,
        spinup=2000,
        initial_mean="truth",
        initial_std=1.0,
        track=1024,
    ),
    filter=EnFF(path="f2p", guidance="local", steps=4, sigma_min=1e-3, strength=5e-3),
    members=20,
    quick={"cycles": 150},
    published=Published(
        rmse=0.0662,  # energy score 2.08
        # 10 %, and not reached: the error here is lower. It comes in bursts, so that 50 cycles say
        # little: 0.046 to 0.054 (mean 0.052) in 8 runs in float64, 0.043 to 0.089 (mean 0.058) in
        # 16 in float32, one of which is within.
        low=0.0596,
        high=0.0728,
        last=50,
        source="Transue et al. 2025, arXiv:2508.13313",
    ),
)
