"""Ensemble filters for data assimilation, on compiled kernels.

>>> import numpy as np, enfilt as ef
>>> model = ef.models.Lorenz96(dim=40)
>>> obs = ef.Observation(ef.operators.Arctan(), std=0.05)
>>> twin = ef.TwinExperiment(model, obs, cycles=5, steps_per_cycle=10, spinup=100)
>>> result = twin.run(ef.EnFF(steps=9), members=10, seed=0)
>>> result.rmse.analysis.shape
(5,)
"""

from importlib.metadata import version as _version

from . import (
    grids,
    inflation,
    kernels,
    localization,
    metrics,
    models,
    operators,
    presets,
    priors,
    testing,
)
from ._config import cmake_dir, config, show_config
from .filters import (
    ETKF,
    LETKF,
    MASF,
    SSLS,
    AffinePath,
    BootstrapPF,
    EnFF,
    EnKF,
    EnSF,
    IEnKF,
    KalmanFilter,
    LEnFF,
    ScoreFilter,
)
from .observation import Observation
from .result import Result
from .tuning import Tuning, tune
from .twin import TwinExperiment

__version__ = _version("enfilt")

__all__ = [
    "ETKF",
    "LETKF",
    "MASF",
    "SSLS",
    "AffinePath",
    "BootstrapPF",
    "EnFF",
    "EnKF",
    "EnSF",
    "IEnKF",
    "KalmanFilter",
    "LEnFF",
    "Observation",
    "Result",
    "ScoreFilter",
    "Tuning",
    "TwinExperiment",
    "__version__",
    "cmake_dir",
    "config",
    "grids",
    "inflation",
    "kernels",
    "localization",
    "metrics",
    "models",
    "operators",
    "presets",
    "priors",
    "show_config",
    "testing",
    "tune",
]
