"""What filters are run on: a preset, by its name or itself, or a twin experiment of one's own."""

from __future__ import annotations

import dataclasses

from .. import _checks
from ..filters import LEnFF
from . import presets
from .preset import Preset
from .twin import TwinExperiment

#: Of a twin experiment, where none are given.
MEMBERS = 20


def problem_of(given: Preset | TwinExperiment | str, members: int | None = None) -> Preset:
    """Return a problem as a preset.

    Parameters
    ----------
    given : Preset, TwinExperiment or str
        A preset, or its name; or a twin experiment, which becomes a preset named ``twin``.
    members : int, optional
        N; default: the preset's, or 20 of a twin experiment.

    Raises
    ------
    TypeError, ValueError
        If it is something else, no preset has that name, or `members` is not at least 2.
    """
    if members is not None:
        _checks.integer("members", members, 2)
    if isinstance(given, TwinExperiment):
        title = f"{given.model!r}, {given.operators} observed"
        return Preset("twin", title, given, LEnFF(), members or MEMBERS)
    if isinstance(given, str):
        given = presets.get(given)
    if not isinstance(given, Preset):
        raise TypeError(f"problem={given!r}: expected a preset, its name, or a TwinExperiment")
    return given if members is None else dataclasses.replace(given, members=members)
