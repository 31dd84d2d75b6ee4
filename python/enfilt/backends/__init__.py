"""Where the kernels run: the compiled core, Numba, or plain NumPy.

A backend is one file with a `Backend` and one line in `_BACKENDS`.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import _arrays, _checks
from .base import Backend
from .problems import (
    DiffusionProblem,
    DiffusionStep,
    FlowProblem,
    ListedFlow,
    LocalLists,
    LocalObservations,
    LocalWindow,
    ObservedComponents,
    ProjectionScheme,
    ScoreSums,
    Stage,
)

__all__ = [
    "Backend",
    "DiffusionProblem",
    "DiffusionStep",
    "FlowProblem",
    "ListedFlow",
    "LocalLists",
    "LocalObservations",
    "LocalWindow",
    "ObservedComponents",
    "ProjectionScheme",
    "ScoreSums",
    "Stage",
    "available",
    "check_name",
    "core",
    "get",
    "missing",
    "of_arrays",
]


class _Entry(NamedTuple):
    module: str
    type: str
    absent: str  # what to do where it can't be imported
    on_device: bool = False


# The best first: "auto" takes the first that is there and runs on such arrays.
_BACKENDS = {
    "cpp": _Entry(
        "cpp",
        "CppBackend",
        "the compiled core can't be used; an install is pure Python where there is no C++ compiler "
        "that can be used, or ENFILT_PURE is set",
    ),
    "numba": _Entry("numba.backend", "NumbaBackend", "it needs Numba: pip install 'enfilt[numba]'"),
    "numpy": _Entry("numpy.backend", "NumpyBackend", ""),
    "cuda": _Entry("cuda", "CudaBackend", "it runs on an NVIDIA GPU", on_device=True),
}


@functools.cache
def _load(name: str) -> Backend | ImportError:
    entry = _BACKENDS[name]
    try:
        module = importlib.import_module(f"{__name__}.{entry.module}")
        backend: Backend = getattr(module, entry.type)()
    except ImportError as error:
        return error
    # the backend of that name there, where it is unpickled
    copyreg.pickle(type(backend), _by_name)
    return backend


def _by_name(backend: Backend) -> tuple[Any, ...]:
    return get, (backend.name,)


def available(*, on_device: bool = False) -> list[str]:
    """Return the names of the backends that can be used on NumPy arrays, the best first.

    With `on_device`, those that can be used on CuPy arrays.
    """
    return list(_usable(on_device))


def _usable(on_device: bool) -> Iterator[str]:
    for name, entry in _BACKENDS.items():
        if entry.on_device == on_device and isinstance(_load(name), Backend):
            yield name


def missing() -> dict[str, str]:
    """Return why each other backend can't be used."""
    reasons = {}
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
    _checks.choice(argument, name, ["auto", *_BACKENDS])
    # looks at no other: to load one that is not used takes longer than an analysis
    if name != "auto" and not isinstance(_load(name), Backend):
        usable = ", ".join(repr(n) for n in ["auto", *available(), *available(on_device=True)])
        raise ValueError(
            f"{argument}={name!r} can't be used: {missing()[name]}; expected one of {usable}"
        )
    return name


def get(name: str = "auto", argument: str = "backend") -> Backend:
    """Return the backend of a name; "auto" is the best that is there for NumPy arrays.

    Raises
    ------
    ValueError
        If it can't be used.
    """
    chosen = next(_usable(False)) if name == "auto" else check_name(argument, name)
    found = _load(chosen)
    if isinstance(found, ImportError):
        raise found
    return found


def core() -> Any:
    """Return the compiled core's module, None where it is not there."""
    return getattr(_load("cpp"), "core", None)


def of_arrays(name: str, **arrays: object) -> Backend:
    """Return the backend of a name for these arrays, given by their arguments' names.

    "auto" follows the first of them: CuPy in, CUDA. Arrays that are None are left out.

    Raises
    ------
    ImportError
        If they are CuPy arrays and the CUDA backend can't be used; the message says why.
    TypeError
        If some are NumPy arrays and some are CuPy arrays, or not such as the backend runs on.
    ValueError
        If the backend can't be used, or the arrays lie on two devices, or not on the current one.
    RuntimeError
        If they are CuPy arrays and the current stream is being captured.
    """
    found = {key: array for key, array in arrays.items() if array is not None}
    first = next(iter(found))
    device = _arrays.on_device(found[first])
    for key, array in found.items():
        if _arrays.on_device(array) != device:
            raise TypeError(
                f"{key} is {_arrays.kind(array)}, but {first} is {_arrays.kind(found[first])}: "
                f"all arrays of one call are of one kind"
            )
    if device:
        _check_devices(found)
        _arrays.check_not_captured()
        if name == "auto":
            backend = _load("cuda")
            if isinstance(backend, ImportError):
                raise ImportError(
                    f"{first} is a CuPy array, but the CUDA backend is not there: {backend}"
                )
            return backend
    backend = get(name)
    if backend.on_device and not device:
        raise TypeError(
            f"backend={name!r} runs on CuPy arrays, but {first} is a NumPy array: pass "
            f"cupy.asarray({first}), or device='cuda' to a TwinExperiment"
        )
    if device and not backend.on_device:
        raise TypeError(
            f"backend={name!r} runs on NumPy arrays, but {first} is a CuPy array: expected "
            f"backend='auto' or 'cuda', or cupy.asnumpy({first})"
        )
    return backend


def _check_devices(arrays: dict[str, Any]) -> None:
    first = next(iter(arrays))
    home = _arrays.gpu(arrays[first])
    for key, array in arrays.items():
        if (other := _arrays.gpu(array)) != home:
            raise ValueError(
                f"{key} lies on GPU {other}, but {first} on GPU {home}: all arrays of "
                f"one call lie on one GPU"
            )
    current = _arrays.namespace(arrays[first]).cuda.Device().id
    if current != home:
        raise ValueError(
            f"{first} lies on GPU {home}, but GPU {current} is CuPy's current device: call this "
            f"within `with cupy.cuda.Device({home}):`"
        )
