"""How good an ensemble is against observations, where nobody knows the truth.

`departures` compares one forecast and its analysis with the observations of one cycle;
`statistics` says what they come to, over any number of observations and cycles. An
`enfilt.Assimilation` keeps them by kind and level, as `Innovations`.
"""

from __future__ import annotations

from .departures import Departures, Statistics, departures, statistics
from .innovations import Innovations

__all__ = ["Departures", "Innovations", "Statistics", "departures", "statistics"]
