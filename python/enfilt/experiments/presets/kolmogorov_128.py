"""Two-dimensional turbulence, both velocities observed at every tenth point along each axis."""

from __future__ import annotations

import numpy as np

from ...filters import LETKF
from ...inflation import RTPS
from ...localization import GaspariCohn
from ...models import KolmogorovFlow
from ...observation import Observation
from ...operators import Subset
from ..preset import Preset
from ..twin import TwinExperiment

_MODEL = KolmogorovFlow(n=128)


def _every_tenth(model: KolmogorovFlow) -> Subset:
    components = np.arange(model.dim).reshape(model.shape)
    return Subset(components[:, ::10, ::10].reshape(-1))


PRESET = Preset(
    name="kolmogorov-128",
    title="Kolmogorov flow, 128 x 128, u and v at every tenth point in x and y",
    twin=TwinExperiment(
        model=_MODEL,
        obs=Observation(_every_tenth(_MODEL), std=0.1),
        cycles=50,
        steps_per_cycle=1,
        spinup=100,
        initial_mean="truth",
        initial_std=1.0,
        dtype="float32",
    ),
    # the flow filters have nothing that takes an observation to the points between
    filter=LETKF(GaspariCohn(1.5), RTPS(0.5)),  # a cutoff of 3 observed points
    members=20,
    quick={"cycles": 5, "spinup": 20},
    operator_of=_every_tenth,
)
