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

# A type checker takes the names from here, and what runs from below.
if TYPE_CHECKING:
    from . import geometry as geometry
    from . import grids as grids
    from . import inflation as inflation
    from . import kernels as kernels
    from . import localization as localization
    from . import metrics as metrics
    from . import models as models
    from . import operators as operators
    from . import priors as priors
    from . import quality as quality
    from . import state as state
    from . import testing as testing
    from . import transforms as transforms
    from ._config import cmake_dir as cmake_dir
    from ._config import config as config
    from ._config import get_include as get_include
    from ._config import show_config as show_config
    from .experiments import diagnostics as diagnostics
    from .experiments import presets as presets
    from .experiments import sinks as sinks
    from .experiments.assimilation import Assimilation as Assimilation
    from .experiments.assimilation import Model as Model
    from .experiments.assimilation_result import AssimilationResult as AssimilationResult
    from .experiments.compare import compare as compare
    from .experiments.result import Result as Result
    from .experiments.tune import tune as tune
    from .experiments.tuning import Tuning as Tuning
    from .experiments.twin import TwinExperiment as TwinExperiment
    from .filters.catalogue import *
    from .observation import Observation as Observation
    from .observations import Observations as Observations
    from .paths import AffinePath as AffinePath

    __version__: str

# Names are imported when they are first asked for: no one uses all of the library at once.
_HOMES = {
    "AffinePath": "paths",
    "Assimilation": "experiments.assimilation",
    "AssimilationResult": "experiments.assimilation_result",
    "Model": "experiments.assimilation",
    "Observation": "observation",
    "Observations": "observations",
    "Result": "experiments.result",
    "Tuning": "experiments.tuning",
    "TwinExperiment": "experiments.twin",
    "cmake_dir": "_config",
    "get_include": "_config",
    "compare": "experiments.compare",
    "config": "_config",
    "show_config": "_config",
    "tune": "experiments.tune",
}
_MODULES = {
    name: name
    for name in (
        *("backends", "experiments", "filters", "geometry", "grids", "inflation", "kernels"),
        *("localization", "metrics", "models", "mpi", "operators", "priors", "quality", "state"),
        *("testing", "transforms"),
    )
} | {name: f"experiments.{name}" for name in ("diagnostics", "presets", "sinks")}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = importlib.import_module("importlib.metadata").version("enfilt")
        elif name == "__all__":
            value = _public()
        elif name in _MODULES:
            value = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        elif name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        elif not name.startswith("_") and name in _filters():
            value = getattr(importlib.import_module(f"{__name__}.filters"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def _filters() -> list[str]:
    names: list[str] = importlib.import_module(f"{__name__}.filters.catalogue").__all__
    return names


def _public() -> list[str]:
    """Return the names that are the library's."""
    inner = {"backends", "experiments", "filters"}
    return sorted({"__version__", *_HOMES, *(set(_MODULES) - inner), *_filters()})


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})
