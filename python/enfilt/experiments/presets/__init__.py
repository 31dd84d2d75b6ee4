"""Named experiments: a setting a file, with the figure that it should reach beside it."""

from __future__ import annotations

from ... import _checks
from ..preset import Preset, Published, Variant
from . import (
    kolmogorov_128,
    ks_1024,
    lorenz63,
    lorenz96,
    lorenz96_1m,
    lorenz96_40,
    lorenz96_100m,
    lorenz96_partial,
    lorenz96_sparse,
    lorenz96_two_scale,
    navier_stokes_64,
    navier_stokes_256,
    rotation2d,
)

__all__ = ["PRESETS", "Preset", "Published", "Variant", "get"]

#: Presets by name.
PRESETS: dict[str, Preset] = {
    module.PRESET.name: module.PRESET
    for module in (
        lorenz96,
        lorenz96_partial,
        lorenz96_sparse,
        lorenz96_two_scale,
        lorenz96_40,
        lorenz96_1m,
        lorenz96_100m,
        lorenz63,
        ks_1024,
        navier_stokes_64,
        navier_stokes_256,
        kolmogorov_128,
        rotation2d,
    )
}


def get(name: str) -> Preset:
    """Return the preset of a name.

    Raises
    ------
    ValueError
        If there is none; the message gives the nearest name.
    """
    return PRESETS[_checks.choice("preset", name, PRESETS)]
