"""Ensemble filters for data assimilation, on compiled kernels.

>>> import numpy as np, enfilt as ef
>>> model = ef.models.Lorenz96(dim=40)
>>> obs = ef.Observation(ef.operators.Arctan(), std=0.05)
>>> twin = ef.TwinExperiment(model, obs, cycles=5, steps_per_cycle=10, spinup=100)
>>> result = twin.run(ef.EnFF(steps=9), members=10, seed=0)
>>> result.rmse.analysis.shape
(5,)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        geometry,
        grids,
        inflation,
        kernels,
        localization,
        metrics,
        models,
        operators,
        priors,
        quality,
        state,
        testing,
        transforms,
    )
    from ._config import cmake_dir, config, show_config
    from .experiments import diagnostics, presets
    from .experiments.assimilation import Assimilation, Model
    from .experiments.assimilation_result import AssimilationResult
    from .experiments.compare import compare
    from .experiments.result import Result
    from .experiments.tune import tune
    from .experiments.tuning import Tuning
    from .experiments.twin import TwinExperiment
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
        Transformed,
    )
    from .observation import Observation
    from .observations import Observations

    __version__: str

__all__ = [
    "ETKF",
    "LETKF",
    "MASF",
    "SSLS",
    "AffinePath",
    "Assimilation",
    "AssimilationResult",
    "BootstrapPF",
    "EnFF",
    "EnKF",
    "EnSF",
    "IEnKF",
    "KalmanFilter",
    "LEnFF",
    "Model",
    "Observation",
    "Observations",
    "Result",
    "ScoreFilter",
    "Transformed",
    "Tuning",
    "TwinExperiment",
    "__version__",
    "cmake_dir",
    "compare",
    "config",
    "diagnostics",
    "geometry",
    "grids",
    "inflation",
    "kernels",
    "localization",
    "metrics",
    "models",
    "operators",
    "presets",
    "priors",
    "quality",
    "show_config",
    "state",
    "testing",
    "transforms",
    "tune",
]

# Names are imported when they are first asked for: no one uses all of the library at once.
_HOMES = {
    "Assimilation": "experiments.assimilation",
    "AssimilationResult": "experiments.assimilation_result",
    "Model": "experiments.assimilation",
    "Observation": "observation",
    "Observations": "observations",
    "Result": "experiments.result",
    "Tuning": "experiments.tuning",
    "TwinExperiment": "experiments.twin",
    "cmake_dir": "_config",
    "compare": "experiments.compare",
    "config": "_config",
    "show_config": "_config",
    "tune": "experiments.tune",
}
_MODULES = {
    name: name
    for name in (
        *("backends", "experiments", "filters", "geometry", "grids", "inflation", "kernels"),
        *("localization", "metrics", "models", "operators", "priors", "quality", "state"),
        *("testing", "transforms"),
    )
} | {"diagnostics": "experiments.diagnostics", "presets": "experiments.presets"}

if not TYPE_CHECKING:  # for a type checker every name would be one of this module's

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = importlib.import_module("importlib.metadata").version("enfilt")
        elif name in _MODULES:
            value = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        elif name in __all__:
            value = getattr(
                importlib.import_module(f"{__name__}.{_HOMES.get(name, 'filters')}"), name
            )
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
