"""libenfilt by ctypes: its structures, and calls that raise what went wrong."""

import ctypes
import math
from ctypes import POINTER, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import enfilt as ef

Array = npt.NDArray[Any]
ALLREDUCE = ctypes.CFUNCTYPE(None, POINTER(c_double), c_int64, c_void_p)
LIBRARY = Path(ef.get_include()).with_name("lib") / "libenfilt.so"


def load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    for name in ("enfilt_last_error", "enfilt_version", "enfilt_simd"):
        getattr(library, name).restype = ctypes.c_char_p
    return library


class Ensemble(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("members", c_int64), ("dim", c_int64), ("stride", c_int64))


class Observations(ctypes.Structure):
    _fields_ = (
        ("size", c_int64),
        ("y", c_void_p),
        ("std", c_void_p),
        ("std_size", c_int64),
        ("values", c_void_p),
        ("components", c_void_p),
        ("offset", c_int64),
        ("stride", c_int64),
        ("parameter", c_double),
        ("function", c_int32),
        ("reserved", c_int32),
    )


_INFLATION = (("inflation_amount", c_double), ("inflation", c_int32), ("reserved", c_int32))


class EnFFOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("path", c_int32),
        ("guidance", c_int32),
        ("sampler", c_int32),
        ("algorithm", c_int32),
        ("steps", c_int64),
        ("sigma_min", c_double),
        ("strength", c_double),
        ("key", c_uint64),
        ("first_component", c_int64),
        ("whole", c_int64),
        ("allreduce", ALLREDUCE),
        ("context", c_void_p),
        *_INFLATION,
    )


class EnSFOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("score", c_int32),
        ("sampler", c_int32),
        ("algorithm", c_int32),
        ("standardize_start", c_int32),
        ("steps", c_int64),
        ("eps_alpha", c_double),
        ("eps_beta", c_double),
        ("score_limit", c_double),
        ("key", c_uint64),
        ("first_component", c_int64),
        ("whole", c_int64),
        ("allreduce", ALLREDUCE),
        ("context", c_void_p),
        *_INFLATION,
    )


class ETKFOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("rotation", c_void_p),
        ("allreduce", ALLREDUCE),
        ("context", c_void_p),
        *_INFLATION,
    )


class LEnFFOptions(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("steps", c_int64), ("growth", c_double), *_INFLATION)


class Plan(ctypes.Structure):
    _fields_ = (("id", c_int64),)


class Taper(ctypes.Structure):
    _fields_ = (("cutoff", c_double), ("shape", c_int32), ("reserved", c_int32))


class Places(ctypes.Structure):
    _fields_ = (
        ("axes", c_int64),
        ("period", c_void_p),
        ("count", c_int64),
        ("places", c_void_p),
        ("dim", c_int64),
        ("place", c_void_p),
        ("size", c_int64),
        ("observations", c_void_p),
    )


class Lists(ctypes.Structure):
    _fields_ = (
        ("count", c_int64),
        ("starts", c_void_p),
        ("indices", c_void_p),
        ("rho", c_void_p),
    )


STRUCTURES = {
    "enfilt_ensemble_f64": Ensemble,
    "enfilt_ensemble_f32": Ensemble,
    "enfilt_observations_f64": Observations,
    "enfilt_observations_f32": Observations,
    "enfilt_enff_options": EnFFOptions,
    "enfilt_ensf_options": EnSFOptions,
    "enfilt_etkf_options": ETKFOptions,
    "enfilt_lenff_options": LEnFFOptions,
    "enfilt_plan": Plan,
    "enfilt_taper": Taper,
    "enfilt_places": Places,
    "enfilt_lists": Lists,
}
_OPTIONS = {"enff": EnFFOptions, "ensf": EnSFOptions, "etkf": ETKFOptions, "lenff": LEnFFOptions}


class LibraryError(Exception):
    """A code that is not 0, and what the library says of it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def address(array: Array | None) -> Any:
    """Where an array begins, which has to live as long as it is used."""
    return None if array is None else array.ctypes.data


class Library:
    """Calls of the library on arrays of one dtype."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.library, self.dtype = load(), np.dtype(dtype)
        self.suffix = "_f64" if self.dtype == np.float64 else "_f32"

    def call(self, name: str, *arguments: Any, typed: bool = True) -> None:
        function = getattr(self.library, f"enfilt_{name}{self.suffix if typed else ''}")
        code = function(*arguments)
        if code:
            raise LibraryError(code, self.library.enfilt_last_error().decode())

    def ensemble(self, x: Array, **changed: int) -> Any:
        assert x.dtype == self.dtype
        assert x.flags.c_contiguous
        made = Ensemble(address(x), *x.shape, 0)
        for name, value in changed.items():
            setattr(made, name, value)
        made.array = x
        return ctypes.byref(made)

    def observations(
        self,
        y: Array,
        std: Array,
        values: Array | None = None,
        components: Array | None = None,
        **changed: Any,
    ) -> Any:
        assert values is None or (values.dtype == self.dtype and values.flags.c_contiguous)
        std = np.atleast_1d(np.asarray(std, np.float64))
        made = Observations(y.size, address(y), address(std), std.size, address(values))
        made.components, made.stride = address(components), 1
        for name, value in changed.items():
            setattr(made, name, value)
        made.arrays = y, std, values, components
        return ctypes.byref(made)

    def options(self, kind: str, **changed: Any) -> Any:
        made = _OPTIONS[kind]()
        getattr(self.library, f"enfilt_{kind}_options_init")(ctypes.byref(made))
        for name, value in changed.items():
            setattr(made, name, value)
        return ctypes.byref(made)

    def plan(self, kind: str, *arguments: Any) -> Plan:
        made = Plan()
        self.call(f"plan_{kind}", *arguments, ctypes.byref(made), typed=False)
        return made

    def grid(self, shape: tuple[int, ...], cutoff: float, *, periodic: bool = True) -> Plan:
        rows, columns = shape if len(shape) == 2 else (1, *shape)
        taper = Taper(cutoff, 0, 0)
        sizes = c_int64(rows), c_int64(columns), int(periodic), c_double(1.0)
        return self.plan("grid", *sizes, ctypes.byref(taper))

    def places(
        self,
        places: Array,
        observations: Array,
        cutoff: float,
        period: Array | None = None,
        place: Array | None = None,
    ) -> Plan:
        count, axes = places.shape
        dim = count if place is None else place.size
        made = Places(axes, address(period), count, address(places), dim, address(place))
        made.size, made.observations = len(observations), address(observations)
        taper = Taper(cutoff if math.isfinite(cutoff) else math.inf, 0, 0)
        return self.plan("places", ctypes.byref(made), ctypes.byref(taper))

    def lists(self, weights: Any, between: Any = None, place: Array | None = None) -> Plan:
        """Return the plan of sparse weights (D or P, m)."""
        kept = []

        def as_lists(matrix: Any) -> Any:
            arrays = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data
            kept.append(arrays)
            return ctypes.byref(Lists(matrix.shape[0], *map(address, arrays)))

        dim = weights.shape[0] if place is None else place.size
        pair = as_lists(weights), None if between is None else as_lists(between)
        sizes = c_int64(dim), pointer(place), c_int64(weights.shape[1])
        return self.plan("lists", pair[0], *sizes, pair[1])


def pointer(array: Array | None) -> Any:
    """An array as an argument."""
    return None if array is None else c_void_p(array.ctypes.data)
