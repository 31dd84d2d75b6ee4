"""Lorenz-96 with a hundred million components and two members: does it run at all."""

from __future__ import annotations

import dataclasses

from ...models import Lorenz96
from . import lorenz96_1m

PRESET = dataclasses.replace(
    lorenz96_1m.PRESET,
    name="lorenz96-100m",
    title="Lorenz-96, D = 100,000,000, two members, one cycle",
    twin=dataclasses.replace(
        lorenz96_1m.PRESET.twin,
        model=Lorenz96(dim=100_000_000, forcing=8.0, dt=0.01),
        cycles=1,
        spinup=10,
    ),
    members=2,
    published=None,
    variants=(),
    quick={"model.dim": 100_000},
)
