"""Inflation: widening an ensemble about its mean.

Each changes anomalies only, never the mean: those of the analysis, or where it is adaptive of the
forecast. With a factor of 1 or a relaxation of 0 it changes no bit.
"""

from .adaptive import MEMORY, Adaptive, excess_after, factor_after
from .adaptive_rtps import AdaptiveRTPS
from .base import Inflation
from .finite_size import FiniteSize
from .fixed import RTPP, RTPS, Multiplicative, as_inflation

__all__ = [
    "MEMORY",
    "RTPP",
    "RTPS",
    "Adaptive",
    "AdaptiveRTPS",
    "FiniteSize",
    "Inflation",
    "Multiplicative",
    "as_inflation",
    "excess_after",
    "factor_after",
]
