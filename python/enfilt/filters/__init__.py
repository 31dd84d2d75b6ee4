"""Ensemble filters: frozen options and one method, `analysis`."""

from ..paths import PATHS, AffinePath
from .base import EnsembleFilter
from .enff import EnFF
from .enkf import EnKF
from .ensf import EnSF
from .etkf import ETKF
from .ienkf import IEnKF
from .kalman_filter import KalmanFilter
from .lenff import LEnFF
from .letkf import LETKF
from .masf import MASF
from .particle import BootstrapPF
from .registry import FILTERS
from .score_filter import ScoreFilter
from .ssls import SSLS
from .transformed import Transformed

__all__ = [
    "ETKF",
    "FILTERS",
    "LETKF",
    "MASF",
    "PATHS",
    "SSLS",
    "AffinePath",
    "BootstrapPF",
    "EnFF",
    "EnKF",
    "EnSF",
    "EnsembleFilter",
    "IEnKF",
    "KalmanFilter",
    "LEnFF",
    "ScoreFilter",
    "Transformed",
]
