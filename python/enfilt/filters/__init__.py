"""Ensemble filters: frozen options and one method, `analysis`."""

from .base import EnsembleFilter
from .enff import EnFF
from .ensf import EnSF
from .paths import PATHS, AffinePath

__all__ = ["PATHS", "AffinePath", "EnFF", "EnSF", "EnsembleFilter"]

#: Filters by the name that the shell uses.
FILTERS: dict[str, type[EnsembleFilter]] = {"enff": EnFF, "ensf": EnSF}
