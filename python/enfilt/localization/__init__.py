"""Localization: a weight that falls with distance and is zero beyond a cutoff."""

from typing import TypeAlias

from .by_kind import ByKind
from .by_variable import ByVariable
from .from_ensemble import FromEnsemble
from .taper import SHAPES, GaspariCohn, Taper

#: A localization whose tapers are known.
Known: TypeAlias = Taper | ByVariable | ByKind

__all__ = ["SHAPES", "ByKind", "ByVariable", "FromEnsemble", "GaspariCohn", "Known", "Taper"]
