"""Where the kernels run: the compiled core, Numba, or plain NumPy.

A backend is one file with a `Backend` and one line in `_BACKENDS`.
"""

from __future__ import annotations

import functools
import importlib
from typing import NamedTuple

from .. import _checks
from .base import (
    Backend,
    DiffusionProblem,
    DiffusionStep,
    FlowProblem,
    ObservedComponents,
    ProjectionScheme,
    ScoreSums,
    Stage,
)
from .letkf import LocalLists, LocalObservations, LocalWindow

__all__ = [
    "Backend",
    "DiffusionProblem",
    "DiffusionStep",
    "FlowProblem",
    "LocalLists",
    "LocalObservations",
    "LocalWindow",
    "ObservedComponents",
    "ProjectionScheme",
    "ScoreSums",
    "Stage",
    "available",
    "check_name",
    "get",
    "missing",
]


class _Entry(NamedTuple):
    module: str
    type: str
    absent: str  # what to do where it can't be imported


# The best first: "auto" takes the first that is there.
_BACKENDS = {
    "cpp": _Entry(
        "compiled", "CppBackend", "the compiled core is not installed (a pure-Python install?)"
    ),
    "numba": _Entry("jit", "NumbaBackend", "it needs Numba: pip install 'enfilt[numba]'"),
    "numpy": _Entry("reference", "NumpyBackend", ""),
}

_PLANNED = {"cuda": "this build has no CUDA kernels"}


@functools.cache
def _load(name: str) -> Backend | ImportError:
    entry = _BACKENDS[name]
    try:
        module = importlib.import_module(f"{__name__}.{entry.module}")
        backend: Backend = getattr(module, entry.type)()
    except ImportError as error:
        return error
    return backend


def available() -> list[str]:
    """Return the names of the backends that can be used, the best first."""
    return [name for name in _BACKENDS if isinstance(_load(name), Backend)]


def missing() -> dict[str, str]:
    """Return why each other backend can't be used."""
    reasons = dict(_PLANNED)
    for name, entry in _BACKENDS.items():
        found = _load(name)
        if isinstance(found, ImportError):
            reasons[name] = f"{entry.absent} ({found})"
    return reasons


def check_name(argument: str, name: str) -> str:
    """Check that a backend of this name can be used.

    Raises
    ------
    ValueError
        If there is no such backend, or not here; the message says why.
    """
    _checks.choice(argument, name, ["auto", *_BACKENDS, *_PLANNED])
    if name != "auto" and name in missing():
        usable = ", ".join(repr(n) for n in ["auto", *available()])
        raise ValueError(
            f"{argument}={name!r} can't be used: {missing()[name]}; expected one of {usable}"
        )
    return name


def get(name: str = "auto", argument: str = "backend") -> Backend:
    """Return the backend of a name; "auto" is the best that is there.

    Raises
    ------
    ValueError
        If it can't be used.
    """
    chosen = available()[0] if name == "auto" else check_name(argument, name)
    found = _load(chosen)
    if isinstance(found, ImportError):
        raise found
    return found
