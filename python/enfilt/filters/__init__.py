"""Ensemble filters: frozen options and one method, `analysis`."""

from typing import TYPE_CHECKING

from ..paths import PATHS as PATHS
from ..paths import AffinePath as AffinePath
from . import catalogue
from .base import EnsembleFilter as EnsembleFilter
from .catalogue import *
from .registry import FILTERS as FILTERS

if not TYPE_CHECKING:  # a type checker follows the lines above
    __all__ = ["FILTERS", "PATHS", "AffinePath", "EnsembleFilter", *catalogue.__all__]
